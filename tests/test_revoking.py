"""`revoke: now`: attempts in flight that a new policy forbids are ended, the others are left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.memory_upstream import Scripted
from gateway.core.decide import decide
from gateway.core.errors import Code, GatewayError, UpstreamFailed
from gateway.core.snapshot import Snapshot
from gateway.core.values import Attempt, Dialect, Event, LabelledCall
from gateway.revoking import InFlight, stale
from tests.acceptance import bank
from tests.fakes.vendor import FakeVendor
from tests.spine import NOW, Spine, Vendorless, chunk, completion, content, read, snapshot


class Waiting:
    """An upstream that says nothing until it is let go, and one chunk before that in a stream."""

    def __init__(self) -> None:
        self.asked, self.release = asyncio.Event(), asyncio.Event()
        self.dialect = Dialect.CHAT
        self.vendor_request_id = None
        self.reported_place = None
        self.open_now = 0

    @asynccontextmanager
    async def open(self, _attempt: Attempt) -> AsyncIterator[Waiting]:
        """Open; leaving it is counted."""
        self.open_now += 1
        try:
            yield self
        finally:
            self.open_now -= 1

    async def body(self) -> dict[str, object]:
        """Answer late."""
        self.asked.set()
        await self.release.wait()
        return completion()

    async def events(self) -> AsyncIterator[Event]:
        """Say one word, then nothing for long."""
        yield chunk("first words, and then many more of them. " * 20)
        self.asked.set()
        await self.release.wait()
        yield chunk("never seen")


def waiting(spine: Spine) -> Waiting:
    """Put an upstream that waits under a spine."""
    upstream = Waiting()
    object.__setattr__(spine.pipeline._ports, "upstream", upstream)
    return upstream


def without_ca(folder: Path) -> Snapshot:
    """The bank's policy after the Canadian deployment's contract ended for all data."""
    vendors: dict[str, FakeVendor] = {"ca": Vendorless("openai", 1001), "us": Vendorless("openai", 1003)}
    return snapshot(folder, policy=stricter(bank.bundle(vendors)["policy.yaml"]))


def stricter(policy: Any) -> Any:
    """A policy under which no vendor is good enough."""
    rule = {
        "id": "STOP",
        "says": "Nothing is sent to anybody.",
        "for": {"data": "any"},
        "must": {"vendor": ["nobody"]},
        "strength": "hard",
    }
    return {**policy, "rules": [*policy["rules"], rule]}


def test_only_what_is_forbidden_is_ended(tmp_path: Path) -> None:
    """An attempt that the new snapshot permits goes on; an ended one is forgotten by who entered it."""
    spine = Spine(snapshot(tmp_path))
    call = spine.call()
    labelled = LabelledCall(call=call, labels=(), findings=())
    decision = decide(labelled, spine.snapshot, now=NOW, decision_id="dec_1")
    flight = InFlight()
    sent = flight.enter(decision, "nowhere")
    assert flight.revoke(spine.snapshot, now=NOW) == 1
    flight.leave(sent)
    assert flight.revoke(spine.snapshot, now=NOW) == 0


def test_attempts_in_flight_are_counted_by_deployment(tmp_path: Path) -> None:
    """Those of a pool share its steps."""
    spine = Spine(snapshot(tmp_path))
    labelled = LabelledCall(call=spine.call(), labels=(), findings=())
    decision = decide(labelled, spine.snapshot, now=NOW, decision_id="dec_1")
    flying = InFlight()
    sent = [flying.enter(decision, name) for name in ("ca", "ca", "us")]
    assert flying.count({"ca"}) == 2
    flying.leave(sent[0])
    assert [flying.count({"ca"}), flying.count({"ca", "us"}), flying.count(())] == [1, 2, 0]


async def test_a_plain_answer_is_ended_while_it_waits(tmp_path: Path) -> None:
    """The caller is told by 403 policy_refused; the try is booked, and the call recorded once."""
    spine = Spine(snapshot(tmp_path / "a"))
    upstream = waiting(spine)
    running = asyncio.ensure_future(spine.pipeline.handle(spine.call()))
    await upstream.asked.wait()
    assert spine.pipeline.revoke(spine.snapshot) == 0, "what is permitted still is left alone"
    spine.snapshot = without_ca(tmp_path / "b")
    assert spine.pipeline.revoke(spine.snapshot) == 1
    with pytest.raises(GatewayError) as refused:
        await running
    assert refused.value.refusal.code is Code.POLICY_REFUSED
    (record,) = spine.records()
    assert record["outcome"] == "policy_refused"
    assert upstream.open_now == 0, "the vendor's work is ended too"
    assert spine.pipeline.revoke(spine.snapshot) == 0


async def test_a_stream_is_ended_with_the_surfaces_own_error(tmp_path: Path) -> None:
    """What was read stays read; the end says that the policy refused, and the hold is settled."""
    spine = Spine(snapshot(tmp_path / "a"))
    upstream = waiting(spine)
    reply = await spine.pipeline.handle(spine.call(stream=True))
    spine.snapshot = without_ca(tmp_path / "b")
    reading = asyncio.ensure_future(read(reply))
    await upstream.asked.wait()
    assert spine.pipeline.revoke(spine.snapshot) == 1
    seen = await reading
    text = "".join(str(event.data) for event in seen)
    assert "first" in text
    assert "never seen" not in text
    assert "policy_refused" in text
    (record,) = spine.records()
    assert record["outcome"] == "policy_refused"


async def test_a_stale_policy_refuses_every_call(tmp_path: Path) -> None:
    """After its bound the last good policy no longer stands in; the refusal says so."""
    spine = Spine(snapshot(tmp_path))
    spine.upstream.script("ca", Scripted(reply=completion()))
    assert content(await spine.pipeline.handle(spine.call())) == "fine"
    object.__setattr__(spine.pipeline._ports, "stale", lambda _now: True)
    with pytest.raises(GatewayError) as refused:
        await spine.pipeline.handle(spine.call())
    assert refused.value.refusal.code is Code.POLICY_REFUSED
    assert "stale" in refused.value.refusal.message
    assert stale("privacy-office").extension["ask"] == "privacy-office"


async def test_somebody_elses_cancellation_is_not_a_revocation(tmp_path: Path) -> None:
    """A client that leaves is abandoned, not refused."""
    spine = Spine(snapshot(tmp_path))
    decision = decide(
        LabelledCall(call=spine.call(), labels=(), findings=()), spine.snapshot, now=NOW, decision_id="d"
    )
    sent = InFlight().enter(decision, "x")

    async def waits() -> None:
        with sent:
            await asyncio.Event().wait()

    task = asyncio.ensure_future(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    again = InFlight().enter(decision, "x")

    async def revoked() -> None:
        with again:
            await asyncio.Event().wait()

    task = asyncio.ensure_future(revoked())
    await asyncio.sleep(0)
    again.revoke()
    with pytest.raises(UpstreamFailed):
        await task
