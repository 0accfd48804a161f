"""A stream of chat chunks as a stream of responses events."""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import override

from gateway.core.errors import Refusal
from gateway.core.translate.chat_to_messages import parse_arguments
from gateway.core.translate.from_chat import FromChat
from gateway.core.translate.identity import named
from gateway.core.translate.replies import responses_end, responses_head, text_part
from gateway.core.translate.usage import as_responses
from gateway.core.values import Event, Usage


class ChatToResponses(FromChat):
    """Writes one output item at a time, numbers every event, repeats the whole at the end."""

    def __init__(
        self, *, asked_model: str, created: int = 0, asked: Mapping[str, object] | None = None
    ) -> None:
        """Start; ``asked`` is the request, of which a response repeats some fields."""
        super().__init__(asked_model=asked_model)
        self._created = created
        self._asked_body = asked
        self._vendor_id = ""
        self._sequence = -1
        self._head: dict[str, object] = {}
        self._output: list[dict[str, object]] = []
        self._kind: str | None = None  # of the open item or part
        self._item: dict[str, object] | None = None
        self._parts: list[dict[str, object]] = []
        self._pieces: list[str] = []

    def _event(self, kind: str, **fields: object) -> Event:
        """Return a numbered event."""
        self._sequence += 1
        return named({"type": kind, **fields, "sequence_number": self._sequence})

    @override
    def begin(self, vendor_id: str, model: str, created: int | None) -> list[Event]:
        """Open the response."""
        self._vendor_id = vendor_id or "0"
        self._head = responses_head(
            f"resp_{self._vendor_id}",
            model,
            created if created is not None else self._created,
            self._asked_body,
        )
        return [
            self._event("response.created", response=self._head),
            self._event("response.in_progress", response=self._head),
        ]

    # ------------------------------------------------------------------ items

    @property
    def _at(self) -> dict[str, object]:
        """The fields that say which item an event is about."""
        return {"item_id": (self._item or {}).get("id"), "output_index": len(self._output)}

    @property
    def _in(self) -> dict[str, object]:
        """The fields that say which part of an item an event is about."""
        return {**self._at, "content_index": len(self._parts)}

    def _open(self, kind: str, item: dict[str, object]) -> list[Event]:
        """Open an item, which the output repeats when it is done."""
        self._item = item
        self._kind = kind
        self._parts = []
        self._pieces = []
        return [self._event("response.output_item.added", output_index=len(self._output), item=dict(item))]

    def _part(self, words: str) -> dict[str, object]:
        """Return the open part with these words."""
        match self._kind:
            case "refusal":
                return {"type": "refusal", "refusal": words}
            case "thinking":
                return {"type": "reasoning_text", "text": words}
            case _:
                return text_part(words)

    @override
    def add(self, kind: str, piece: str) -> list[Event]:
        """Add thinking, text or a refusal."""
        events: list[Event] = []
        if self._kind != kind:
            message = self._item is not None and self._item["type"] == "message"
            if kind != "thinking" and message:
                events += self._close_part()
                self._kind = kind
            else:
                events += self._close(whole=True)
                events += self._open(kind, self._new(kind))
            events.append(self._event("response.content_part.added", **self._in, part=self._part("")))
        self._pieces.append(piece)
        match kind:
            case "thinking":
                event = self._event("response.reasoning_text.delta", **self._in, delta=piece)
            case "refusal":
                event = self._event("response.refusal.delta", **self._in, delta=piece)
            case _:
                event = self._event("response.output_text.delta", **self._in, delta=piece, logprobs=[])
        return [*events, event]

    def _new(self, kind: str) -> dict[str, object]:
        """Return a new reasoning or message item."""
        number = len(self._output)
        if kind == "thinking":
            return {
                "id": f"rs_{self._vendor_id}_{number}",
                "type": "reasoning",
                "summary": [],
                "content": [],
                "status": "in_progress",
            }
        return {
            "id": f"msg_{self._vendor_id}_{number}",
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }

    @override
    def signed(self, block: dict[str, object]) -> list[Event]:
        """Leave a signature out: the responses surface has no field that could carry it back."""
        return []

    @override
    def call(self, call_id: str, name: str) -> list[Event]:
        """Open a tool call."""
        item: dict[str, object] = {
            "id": f"fc_{self._vendor_id}_{len(self._output) + (self._item is not None)}",
            "type": "function_call",
            "call_id": call_id,
            "name": name,
            "arguments": "",
            "status": "in_progress",
        }
        return [*self._close(whole=True), *self._open("call", item)]

    @override
    def arguments(self, piece: str) -> list[Event]:
        """Add to the call's arguments."""
        self._pieces.append(piece)
        return [self._event("response.function_call_arguments.delta", **self._at, delta=piece)]

    def _close_part(self) -> list[Event]:
        """Close the open part of a message or of reasoning."""
        words = "".join(self._pieces)
        part = self._part(words)
        match self._kind:
            case "thinking":
                done = self._event("response.reasoning_text.done", **self._in, text=words)
            case "refusal":
                done = self._event("response.refusal.done", **self._in, refusal=words)
            case _:
                done = self._event("response.output_text.done", **self._in, text=words, logprobs=[])
        events = [done, self._event("response.content_part.done", **self._in, part=part)]
        self._parts.append(part)
        self._pieces = []
        return events

    def _close(self, *, whole: bool) -> list[Event]:
        """Close the open item.

        INVARIANT: a tool call that is not whole gets no ``done`` event, so that no app
        runs it; it stands in the final output as ``incomplete``.
        """
        item = self._item
        if item is None:
            return []
        events: list[Event] = []
        status = "completed" if whole else "incomplete"
        if item["type"] == "function_call":
            packed = "".join(self._pieces)
            sound = whole and parse_arguments(packed) is not None
            item = {**item, "arguments": packed, "status": "completed" if sound else "incomplete"}
            if sound:
                name = item["name"]
                events.append(
                    self._event(
                        "response.function_call_arguments.done", **self._at, name=name, arguments=packed
                    )
                )
        else:
            events += self._close_part()
            item = {**item, "content": self._parts, "status": status}
            sound = True
        if sound:
            events.append(self._event("response.output_item.done", output_index=len(self._output), item=item))
        self._output.append(item)
        self._item = None
        self._kind = None
        return events

    # ------------------------------------------------------------------- ends

    @override
    def complete(self) -> list[Event]:
        """End as the finish says."""
        end = responses_end(self.finish)
        completed = end["status"] == "completed"
        events = self._close(whole=completed)
        response = self._final(end, self.usage)
        return [*events, self._event(f"response.{end['status']}", response=response)]

    def _final(self, end: dict[str, object], usage: Usage | None) -> dict[str, object]:
        """Return the response with all its output."""
        shown = as_responses(usage) if usage else None
        return {**self._head, **end, "output": self._output, "usage": shown}

    @override
    def cut(self, reason: str = "budget", *, usage: Usage | None = None) -> list[Event]:
        """End with ``response.incomplete``."""
        if self.over:
            return []
        events = [] if self.started else self.begin("cut", self.asked, None)
        self.over = True
        events += self._close(whole=False)
        end = {**responses_end("length"), "borderpost": {"ended_by": reason}}
        return [*events, self._event("response.incomplete", response=self._final(end, usage or self.usage))]

    @override
    def error(self, refusal: Refusal) -> list[Event]:
        """Write OpenAI's error event, and the failed response where one was begun."""
        fields: dict[str, object] = {"borderpost": dict(refusal.extension)} if refusal.extension else {}
        event = self._event(
            "error", code=refusal.code.value, message=refusal.message, param=refusal.param, **fields
        )
        if not self.started:
            return [event]
        if self._item is not None:
            self._close(whole=False)
            self._sequence = int(str((event.data or {})["sequence_number"]))
        end: dict[str, object] = {
            "status": "failed",
            "error": {"code": "server_error", "message": refusal.message},
        }
        return [event, self._event("response.failed", response=self._final(end, None))]
