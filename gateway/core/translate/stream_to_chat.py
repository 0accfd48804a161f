"""A stream of Anthropic's events as a stream of chat chunks."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from gateway.core.errors import Refusal
from gateway.core.shape import is_object, is_whole, obj, text
from gateway.core.translate.fold import DIED, DONE, GARBLED, error_body, vendor_error
from gateway.core.translate.reasons import to_chat
from gateway.core.translate.usage import as_chat
from gateway.core.usage import messages_usage
from gateway.core.values import Dialect, Event, Surface, Usage


class MessagesToChat:
    """Reads messages events, emits chat chunks. ``[DONE]`` and usage come after the finish."""

    __slots__ = (
        "_asked", "_blocks", "_calls", "_created", "_finish", "_id", "_model", "_others", "_over", "_signed",
        "_started", "_usage", "_wants", "failed",
    )  # fmt: skip

    def __init__(self, *, asked_model: str, app_wants_usage: bool, created: int = 0) -> None:
        """Start; ``created`` is in seconds since the epoch, which Anthropic does not send."""
        self.failed: Refusal | None = None
        self._asked = asked_model
        self._wants = app_wants_usage
        self._created = created
        self._id = "chatcmpl-cut"
        self._model = asked_model
        self._started = False
        self._finish = False
        self._over = False
        self._blocks: dict[int, dict[str, object]] = {}
        self._calls = 0
        self._signed = 0  # official accumulators merge lists by `index`
        self._others = 0
        self._usage: dict[str, object] = {}

    def _chunk(self, **fields: object) -> Event:
        """Return a chunk of this stream."""
        data: dict[str, object] = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            **fields,
        }
        return Event(name=None, data=data)

    def _delta(self, delta: dict[str, object]) -> Event:
        """Return a chunk that adds to the one choice."""
        return self._chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}])

    def step(self, event: Event) -> list[Event]:
        """Take one event."""
        data = event.data
        if self._over or data is None:
            return []
        kind = data.get("type")
        if kind == "error":
            return self.fail(vendor_error(Dialect.MESSAGES, data) or DIED)
        if not self._started:
            return self._begin(data) if kind == "message_start" else []
        match kind:
            case "content_block_delta":
                return self._add(data)
            case "content_block_start":
                return self._open(data)
            case "content_block_stop":
                return self._close(data)
            case "message_delta":
                return self._stop(data)
            case "message_stop":
                return self.end()
            case _:
                return []

    def _begin(self, data: Mapping[str, object]) -> list[Event]:
        """Start the one choice with its role."""
        message = obj(data, "message") or {}
        self._started = True
        self._id = text(message, "id") or self._id
        self._model = text(message, "model") or self._asked
        self._usage = obj(message, "usage") or {}
        return [self._delta({"role": "assistant", "content": ""})]

    def _open(self, data: Mapping[str, object]) -> list[Event]:
        """Start a block."""
        block, index = obj(data, "content_block"), data.get("index")
        if block is None or not is_whole(index):
            return self.fail(GARBLED)
        kept = dict(block)
        self._blocks[index] = kept
        match block.get("type"):
            case "tool_use":
                kept["#"] = self._calls
                self._calls += 1
                function = {"name": block.get("name"), "arguments": ""}
                call = {"index": kept["#"], "id": block.get("id"), "type": "function", "function": function}
                return [self._delta({"tool_calls": [call]})]
            case "text" if block.get("text"):
                return [self._delta({"content": block["text"]})]
            case _:
                return []

    def _add(self, data: Mapping[str, object]) -> list[Event]:
        """Pass a delta on."""
        delta, index = data.get("delta"), data.get("index")
        block = self._blocks.get(index) if is_whole(index) else None
        if block is None or not is_object(delta):
            return self.fail(GARBLED)
        match delta.get("type"):
            case "text_delta":
                return [self._delta({"content": text(delta, "text") or ""})]
            case "input_json_delta" if "#" in block:
                piece = text(delta, "partial_json") or ""
                if not piece:
                    return []
                block["@"] = True
                call = {"index": block["#"], "function": {"arguments": piece}}
                return [self._delta({"tool_calls": [call]})]
            case "thinking_delta":
                piece = text(delta, "thinking") or ""
                block["thinking"] = (text(block, "thinking") or "") + piece
                return [self._delta({"reasoning_content": piece})]
            case "signature_delta":
                block["signature"] = text(delta, "signature") or ""
                return []
            case _:  # citations and deltas that chat has no field for
                return [self._delta({"borderpost": {"delta": delta}})]

    def _close(self, data: Mapping[str, object]) -> list[Event]:
        """Finish a block: a call without arguments is called with none; thinking shows its signature."""
        index = data.get("index")
        block = self._blocks.pop(index, None) if is_whole(index) else None
        if block is None:
            return self.fail(GARBLED)
        match block.get("type"):
            case "tool_use" if "@" not in block:
                packed = orjson.dumps(obj(block, "input") or {}).decode()
                return [
                    self._delta({"tool_calls": [{"index": block["#"], "function": {"arguments": packed}}]})
                ]
            case "thinking" | "redacted_thinking":
                self._signed += 1
                return [self._delta({"thinking_blocks": [{"index": self._signed - 1, **block}]})]
            case "text" | "tool_use":
                return []
            case _:
                self._others += 1
                return [self._delta({"borderpost": {"content": [{"index": self._others - 1, **block}]}})]

    def _stop(self, data: Mapping[str, object]) -> list[Event]:
        """Finish the choice."""
        usage = obj(data, "usage") or {}
        self._usage = {**self._usage, **{k: v for k, v in usage.items() if v is not None}}
        delta = obj(data, "delta") or {}
        reason, extension = to_chat(text(delta, "stop_reason"), text(delta, "stop_sequence"))
        if reason is None or self._finish:
            return []
        self._finish = True
        said: dict[str, object] = {}
        explanation = text(obj(delta, "stop_details") or {}, "explanation")
        if explanation:
            said["refusal"] = explanation
        choice: dict[str, object] = {"index": 0, "delta": said, "finish_reason": reason}
        if extension:
            choice["borderpost"] = extension
        return [self._chunk(choices=[choice])]

    def end(self) -> list[Event]:
        """Return usage where asked, and the sentinel; fail where the answer is unfinished."""
        if self._over:
            return []
        if not self._finish:
            return self.fail(DIED)
        self._over = True
        usage = messages_usage(self._usage)
        if self._wants and usage is not None:
            return [self._chunk(choices=[], usage=as_chat(usage)), DONE]
        return [DONE]

    def cut(self, reason: str = "budget", *, usage: Usage | None = None) -> list[Event]:
        """Finish with ``length``."""
        if self._over:
            return []
        self._over = True
        events: list[Event] = []
        if not self._finish:
            choice: dict[str, object] = {"index": 0, "delta": {}, "finish_reason": "length"}
            events.append(self._chunk(choices=[choice], borderpost={"ended_by": reason}))
        if self._wants and usage is not None:
            events.append(self._chunk(choices=[], usage=as_chat(usage)))
        return [*events, DONE]

    def fail(self, refusal: Refusal) -> list[Event]:
        """Send the error as OpenAI does in a stream."""
        if self._over:
            return []
        self._over = True
        self.failed = refusal
        return [Event(name=None, data=error_body(Surface.CHAT, refusal))]
