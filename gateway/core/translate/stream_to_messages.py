"""A stream of chat chunks as a stream of Anthropic's events."""

from __future__ import annotations

from typing_extensions import override

from gateway.core.errors import Refusal
from gateway.core.shape import text
from gateway.core.translate.fold import error_body
from gateway.core.translate.from_chat import FromChat
from gateway.core.translate.identity import message_delta, message_start, named
from gateway.core.translate.reasons import to_messages
from gateway.core.translate.usage import as_messages
from gateway.core.values import Event, Surface, Usage


class ChatToMessages(FromChat):
    """Writes one block at a time, each started, added to and stopped."""

    def __init__(self, *, asked_model: str) -> None:
        """Start."""
        super().__init__(asked_model=asked_model)
        self._index = -1
        self._open: str | None = None
        self._calls = False
        self._refused = False

    @override
    def begin(self, vendor_id: str, model: str, created: int | None) -> list[Event]:
        """Open the message."""
        return [named(message_start(vendor_id or "msg_0", model, {}))]

    def _start(self, kind: str, block: dict[str, object]) -> list[Event]:
        """Stop the open block and start another."""
        events = self._stop()
        self._index += 1
        self._open = kind
        start: dict[str, object] = {
            "type": "content_block_start",
            "index": self._index,
            "content_block": block,
        }
        return [*events, named(start)]

    def _stop(self) -> list[Event]:
        """Stop the open block."""
        if self._open is None:
            return []
        self._open = None
        return [named({"type": "content_block_stop", "index": self._index})]

    def _piece(self, delta: dict[str, object]) -> Event:
        """Return a delta of the open block."""
        return named({"type": "content_block_delta", "index": self._index, "delta": delta})

    @override
    def add(self, kind: str, piece: str) -> list[Event]:
        """Add thinking or text; a refusal is text, and the stop reason says what it is."""
        self._refused = self._refused or kind == "refusal"
        events: list[Event] = []
        if self._open != kind:
            events = self._start(
                kind,
                {"type": "thinking", "thinking": "", "signature": ""}
                if kind == "thinking"
                else {"type": "text", "text": ""},
            )
        if kind == "thinking":
            return [*events, self._piece({"type": "thinking_delta", "thinking": piece})]
        return [*events, self._piece({"type": "text_delta", "text": piece})]

    @override
    def signed(self, block: dict[str, object]) -> list[Event]:
        """Add a signature to the open thinking, or a whole block that was not shown yet."""
        signature = text(block, "signature")
        if self._open == "thinking" and signature:
            return [self._piece({"type": "signature_delta", "signature": signature}), *self._stop()]
        if block.get("type") == "redacted_thinking":
            return [*self._start("redacted_thinking", block), *self._stop()]
        return []

    @override
    def call(self, call_id: str, name: str) -> list[Event]:
        """Start a tool call."""
        self._calls = True
        return self._start("tool_use", {"type": "tool_use", "id": call_id, "name": name, "input": {}})

    @override
    def arguments(self, piece: str) -> list[Event]:
        """Add to the tool call's input."""
        return [self._piece({"type": "input_json_delta", "partial_json": piece})]

    @override
    def complete(self) -> list[Event]:
        """Stop the block and the message."""
        reason, sequence = to_messages(
            self.finish, tools=self._calls, refused=self._refused, sequence=self.sequence
        )
        shown = as_messages(self.usage or Usage())
        return [
            *self._stop(),
            named(message_delta(reason, shown, sequence=sequence)),
            named({"type": "message_stop"}),
        ]

    @override
    def cut(self, reason: str = "budget", *, usage: Usage | None = None) -> list[Event]:
        """Stop with ``max_tokens``."""
        if self.over:
            return []
        events: list[Event] = []
        if not self.started:
            events = self.begin("msg_cut", self.asked, None)
        self.over = True
        shown = as_messages(usage or self.usage or Usage())
        return [
            *events,
            *self._stop(),
            named(message_delta("max_tokens", shown, extension={"ended_by": reason})),
            named({"type": "message_stop"}),
        ]

    @override
    def error(self, refusal: Refusal) -> list[Event]:
        """Write Anthropic's error event."""
        return [named(error_body(Surface.MESSAGES, refusal))]
