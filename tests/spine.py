"""A whole spine on in-memory twins: the bank's bundle, scripted upstreams, nothing on disk."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from gateway.adapters.clock import SetClock
from gateway.adapters.detectors.inline import InlineDetector
from gateway.adapters.memory_budgets import MemoryBudgets
from gateway.adapters.memory_journal import MemoryJournal
from gateway.adapters.memory_telemetry import MemoryTelemetry
from gateway.adapters.memory_upstream import MemoryUpstream
from gateway.api.errors import status_of
from gateway.core.snapshot import Snapshot
from gateway.core.values import Call, Caller, Event, Surface
from gateway.detection import Detection
from gateway.pipeline import Pipeline, Ports, Reply, ReplyStream
from gateway.policy.compile import compile_bundle
from gateway.policy.load import load_bundle
from gateway.ports import Detector
from tests.acceptance import bank
from tests.fakes.vendor import FakeVendor

NOW = 1_795_400_000_000_000_000  # 2026-11-23


class Vendorless(FakeVendor):
    """A vendor's address that nobody serves: the twin answers instead."""

    def __init__(self, speaks: str, port: int) -> None:
        super().__init__(speaks)
        self._port = port


def snapshot(folder: Path, **changes: Any) -> Snapshot:
    """Compile the bank's bundle, with whole files replaced by ``changes`` (``teams={…}``)."""
    vendors: dict[str, FakeVendor] = {
        "ca": Vendorless("openai", 1001),
        "ca_on": Vendorless("openai", 1002),
        "us": Vendorless("openai", 1003),
    }
    files = bank.bundle(vendors)
    for name, content in changes.items():
        files[f"{name}.yaml"] = content
    bank.write(folder, files)
    return compile_bundle(load_bundle(folder, now=NOW), now=NOW)


class Spine:
    """The pipeline and the twins that it stands on."""

    def __init__(
        self, compiled: Snapshot, *, detector: Detector | None = None, log_place: str = "CA-QC"
    ) -> None:
        self.snapshot = compiled
        self.clock = SetClock(NOW)
        self.journal = MemoryJournal(now=self.clock.now)
        self.budgets = MemoryBudgets(now=self.clock.now)
        self.upstream = MemoryUpstream()
        self.telemetry = MemoryTelemetry()
        self._decisions = itertools.count()
        self._calls = itertools.count()
        self.pipeline = Pipeline(
            Ports(
                snapshot=lambda: self.snapshot,
                clock=self.clock,
                detection=Detection(detector=detector or InlineDetector(), telemetry=self.telemetry),
                budgets=self.budgets,
                upstream=self.upstream,
                journal=self.journal,
                telemetry=self.telemetry,
                decision_id=lambda _: f"dec_{next(self._decisions)}",
                status_of=status_of,
                log_places=frozenset({log_place}),
                salt=b"s" * 32,
            )
        )

    def call(self, text: str = "hello", *, app: str = "teller", **changes: Any) -> Call:
        """Return a chat call."""
        body: dict[str, object] = {
            "model": changes.get("model", "chat"),
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 100,
            **changes.pop("body", {}),
        }
        if changes.get("stream"):
            body["stream"] = True
        team = {"teller": "branch", "hackathon": "lab"}[app]
        given: dict[str, Any] = {
            "id": f"req_{next(self._calls)}",
            "surface": Surface.CHAT,
            "caller": Caller(tenant="maple-bank", team=team, app=app, key_id="k1"),
            "model": "chat",
            "stream": False,
            "body": body,
            "size": 400,
            "received": self.clock.now(),
            **changes,
        }
        return Call(**given)

    def kinds(self) -> list[str]:
        """The kinds of the journal's entries, in order."""
        return [entry.kind for entry in self.journal.entries]

    def records(self) -> list[dict[str, Any]]:
        """The data of the call records."""
        return [dict(entry.data) for entry in self.journal.entries if entry.kind == "call.record"]


def completion(text: str = "fine", *, usage: dict[str, int] | None = None) -> dict[str, object]:
    """A chat completion as a vendor sends it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fake-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": usage or {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def chunk(text: str | None = None, *, finish: str | None = None, usage: bool = False) -> Event:
    """One streamed chunk of a chat completion."""
    data: dict[str, object] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "fake-1",
        "choices": [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}],
    }
    if usage:
        data["choices"] = []
        data["usage"] = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return Event(name=None, data=data)


def stream(*texts: str) -> list[Event]:
    """A whole streamed reply."""
    return [*(chunk(t) for t in texts), chunk(finish="stop"), chunk(usage=True), Event(name=None, data=None)]


def content(reply: Reply) -> str:
    """The text of a plain reply."""
    assert not isinstance(reply.body, ReplyStream)
    body: Any = reply.body
    return str(body["choices"][0]["message"]["content"])


async def read(reply: Reply) -> list[Event]:
    """Read a streamed reply to its end and close it."""
    assert isinstance(reply.body, ReplyStream)
    events = [event async for batch in reply.body for event in batch]
    await reply.body.aclose()
    return events
