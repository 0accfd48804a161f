"""Reads a stream of chat chunks; the surfaces that are written from it extend this.

Chat deltas may hold reasoning, text, a refusal and pieces of several tool calls; the
finish comes before usage and the sentinel. This reader orders them: one thing open at
a time, and the end only when usage or the sentinel came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from gateway.core.errors import Refusal
from gateway.core.shape import arr, obj, objs, text, whole
from gateway.core.translate.fold import DIED, GARBLED, vendor_error
from gateway.core.usage import chat_usage
from gateway.core.values import Dialect, Event, Usage


class FromChat(ABC):
    """A fold over chat chunks. Subclasses write the surface's events."""

    def __init__(self, *, asked_model: str) -> None:
        """Start; ``asked_model`` is named where the vendor names none."""
        self.failed: Refusal | None = None
        self.asked = asked_model
        self.started = False
        self.over = False
        self.finish: str | None = None
        self.sequence: object = None
        self.usage: Usage | None = None
        self.call_key: tuple[int, str | None] | None = None
        self.seen_calls: set[int] = set()

    # What a surface writes -----------------------------------------------------

    @abstractmethod
    def begin(self, vendor_id: str, model: str, created: int | None) -> list[Event]:
        """Open the answer."""

    @abstractmethod
    def add(self, kind: str, piece: str) -> list[Event]:
        """Add a piece of ``thinking``, ``text`` or ``refusal``."""

    @abstractmethod
    def signed(self, block: dict[str, object]) -> list[Event]:
        """Add a thinking block that its vendor signed, as it is."""

    @abstractmethod
    def call(self, call_id: str, name: str) -> list[Event]:
        """Open a tool call."""

    @abstractmethod
    def arguments(self, piece: str) -> list[Event]:
        """Add a piece of the open tool call's arguments."""

    @abstractmethod
    def complete(self) -> list[Event]:
        """Close what is open and end the answer with ``finish`` and ``usage``."""

    @abstractmethod
    def cut(self, reason: str = "budget", *, usage: Usage | None = None) -> list[Event]:
        """End as at a token limit."""

    @abstractmethod
    def error(self, refusal: Refusal) -> list[Event]:
        """Write the surface's error event."""

    # The reader -----------------------------------------------------------------

    def step(self, event: Event) -> list[Event]:
        """Take one chunk."""
        data = event.data
        if self.over:
            return []
        if data is None:
            return self.end()
        if "error" in data and (refusal := vendor_error(Dialect.CHAT, data)):
            return self.fail(refusal)
        events: list[Event] = []
        choice = next((c for c in objs(data, "choices") if c.get("index", 0) == 0), None)
        if choice is not None and self.finish is None:
            if not self.started:
                self.started = True
                events += self.begin(
                    text(data, "id") or "", text(data, "model") or self.asked, whole(data, "created")
                )
            events += self._delta(obj(choice, "delta") or {})
            self.finish = text(choice, "finish_reason") or None
            self.sequence = choice.get("stop_reason")
        if data.get("usage") is not None:
            self.usage = chat_usage(data["usage"])
            if self.finish is not None and not arr(data, "choices") and not self.over:
                events += self.end()
        return events

    def _delta(self, delta: Mapping[str, object]) -> list[Event]:
        """Take one delta apart."""
        events: list[Event] = []
        thoughts = text(delta, "reasoning_content") or text(delta, "reasoning")
        if thoughts:
            events += self.add("thinking", thoughts)
        for block in objs(delta, "thinking_blocks"):
            events += self.signed({key: value for key, value in block.items() if key != "index"})
        for kind, key in (("text", "content"), ("refusal", "refusal")):
            piece = text(delta, key)
            if piece:
                events += self.add(kind, piece)
        for call in objs(delta, "tool_calls"):
            events += self._call(call)
            if self.over:
                break
        return events

    def _call(self, call: Mapping[str, object]) -> list[Event]:
        """Take a piece of a tool call.

        Some vendors send every call as index 0, or without an index: another id with a
        name is another call. A late piece for a call that was closed cannot be placed.
        """
        function = obj(call, "function") or {}
        call_id, name = text(call, "id"), text(function, "name")
        index = whole(call, "index")
        piece = text(function, "arguments") or ""
        key = self.call_key
        events: list[Event] = []
        same = (
            key is not None and (index is None or index == key[0]) and (not name or call_id in {None, key[1]})
        )
        if not same:
            at = index if index is not None else len(self.seen_calls)
            if not name or (at in self.seen_calls and (key is None or at != key[0])):
                return self.fail(GARBLED)
            self.call_key = (at, call_id)
            self.seen_calls.add(at)
            events += self.call(call_id or f"call_{len(self.seen_calls)}", name)
        if piece:
            events += self.arguments(piece)
        return events

    def end(self) -> list[Event]:
        """End the answer; fail where it is unfinished."""
        if self.over:
            return []
        if self.finish is None:
            return self.fail(DIED)
        self.over = True
        return self.complete()

    def fail(self, refusal: Refusal) -> list[Event]:
        """End with the surface's error event."""
        if self.over:
            return []
        self.over = True
        self.failed = refusal
        return self.error(refusal)
