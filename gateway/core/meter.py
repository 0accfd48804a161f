"""What an attempt used, from what the vendor's reply reports as it passes.

:mod:`gateway.core.usage` reads the vendors' conventions. A count that it does not
trust is no count: the meter reports no usage, sets ``garbled``, and the attempt is
booked at its hold. Before the call, :mod:`gateway.core.bound` says what an attempt
can use at most; its functions are re-exported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.core.bound import asked_output, input_bound, input_estimate
from gateway.core.shape import is_array, is_object, is_whole, obj, objs, text
from gateway.core.usage import chat_usage, embeddings_usage, messages_usage, responses_usage, timings_usage
from gateway.core.values import Dialect, Event, Usage

__all__ = ["Meter", "asked_output", "input_bound", "input_estimate"]


def _bytes(value: object, *, keys: bool = False) -> int:
    """Return the UTF-8 bytes of every string leaf (and key): no tokenizer makes more tokens of it.

    Without recursion: a vendor's reply nests as deep as it likes.
    """
    size = 0
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            size += len(node) if node.isascii() else len(node.encode("utf-8", "surrogatepass"))
        elif is_object(node):
            stack.extend(node.values())
            if keys:
                stack.extend(node)
        elif is_array(node):
            stack.extend(node)
    return size


FRAME = 16
"""Tokens that open and close a message, a block or a tool call and stand in no text."""


class Meter:
    """Reads one attempt's reply as it passes: :meth:`see` each event, or :meth:`see_body` once.

    ``usage`` stays None until the vendor's final count came. ``output_bytes`` is an
    upper bound, in tokens, of the output *shown* so far; reasoning that a vendor
    hides is in ``usage`` only. ``finish`` is the vendor's own word.
    """

    __slots__ = (
        "_partial",
        "_read",
        "_read_body",
        "finish",
        "garbled",
        "output_bytes",
        "reported_place",
        "usage",
        "vendor_id",
        "vendor_model",
    )

    def __init__(self, dialect: Dialect) -> None:
        """Make a meter for replies in this dialect."""
        self.usage: Usage | None = None
        self.output_bytes = 0
        self.vendor_id: str | None = None
        self.vendor_model: str | None = None
        self.finish: str | None = None
        self.reported_place: str | None = None
        self.garbled = False
        self._partial: dict[str, object] = {}
        self._read, self._read_body = self._readers(dialect)

    def _readers(self, dialect: Dialect) -> tuple[_Reader, _Reader]:
        """Return how an event and how a plain reply of this dialect are read."""
        match dialect:
            case Dialect.CHAT:
                return self._chat_chunk, self._chat_body
            case Dialect.MESSAGES:
                return self._messages_event, self._messages_body
            case Dialect.RESPONSES:
                return self._responses_event, self._responses_body
            case Dialect.EMBEDDINGS:
                return self._embeddings_body, self._embeddings_body
            case Dialect.COUNT_TOKENS:
                return self._count_body, self._count_body

    def see(self, event: Event) -> None:
        """Read one event of a streamed reply."""
        if event.data is not None:
            self._read(event.data)
        elif self.usage is None and self._partial:  # `[DONE]` after usage on running chunks
            self._take(chat_usage(self._partial))

    def see_body(self, body: Mapping[str, object]) -> None:
        """Read a plain reply."""
        self._read_body(body)

    def _take(self, usage: Usage | None) -> None:
        """Keep a final count, or note that it cannot be trusted."""
        self.usage = usage
        self.garbled = usage is None

    def _name(self, body: Mapping[str, object]) -> None:
        """Keep the vendor's own id and model."""
        if self.vendor_id is None:
            self.vendor_id = text(body, "id") or None
            self.vendor_model = text(body, "model") or None

    # ---------------------------------------------------------------- chat

    def _chat_chunk(self, data: Mapping[str, object]) -> None:
        """Read a chunk. The hot path: once per event of a stream."""
        choices = data.get("choices")
        if is_array(choices):
            for choice in choices:
                if not is_object(choice):
                    continue
                delta = choice.get("delta")
                if is_object(delta):
                    self._add(delta)
                finish = choice.get("finish_reason")
                if finish and isinstance(finish, str):
                    self.finish = finish
        if self.vendor_id is None or self.vendor_model is None:
            self._name(data)
        usage = data.get("usage")
        if usage is None:
            usage = (obj(data, "x_groq") or {}).get("usage") if "x_groq" in data else None
        if usage is not None:
            if self.finish is not None or not choices:
                self._take(chat_usage(usage, data))
            elif is_object(usage):
                self._partial = usage
        elif "timings" in data and self.usage is None and self.finish is not None:
            self._take(timings_usage(data["timings"]))

    def _add(self, delta: dict[str, object]) -> None:
        """Count what a chat delta or message shows, whatever its fields are called."""
        for key, value in delta.items():
            if isinstance(value, str):
                if key != "role":
                    self.output_bytes += len(value) if value.isascii() else _bytes(value)
            elif value and not (key == "thinking_blocks" and delta.get("reasoning_content")):
                self.output_bytes += _bytes(value)

    def _chat_body(self, body: Mapping[str, object]) -> None:
        """Read a plain chat completion."""
        self._name(body)
        for choice in objs(body, "choices"):
            self._add(obj(choice, "message") or {})
            self.output_bytes += FRAME
            self.finish = text(choice, "finish_reason") or self.finish
        if body.get("usage") is not None:
            self._take(chat_usage(body["usage"], body))
        elif "timings" in body:
            self._take(timings_usage(body["timings"]))

    # ------------------------------------------------------------ messages

    def _messages_event(self, data: Mapping[str, object]) -> None:
        """Read an event. ``message_start`` carries a placeholder output: not a count."""
        match data.get("type"):
            case "content_block_delta":
                delta = data.get("delta")
                if is_object(delta):
                    for key in ("text", "partial_json", "thinking"):
                        value = delta.get(key)
                        if isinstance(value, str):
                            self.output_bytes += len(value) if value.isascii() else _bytes(value)
            case "content_block_start":
                block = obj(data, "content_block") or {}
                self.output_bytes += FRAME + _bytes(block.get("name")) + _bytes(block.get("text"))
            case "message_start":
                message = obj(data, "message") or {}
                self._name(message)
                self._merge(message)
            case "message_delta":
                self.finish = text(obj(data, "delta") or {}, "stop_reason") or self.finish
                self._merge(data)
                if self.finish is not None and is_object(data.get("usage")):
                    self._take(messages_usage(self._partial))
            case _:
                pass

    def _merge(self, holder: Mapping[str, object]) -> None:
        """Lay a usage object over the last one: counts are cumulative, null means unchanged."""
        usage = obj(holder, "usage") or {}
        self._partial = {**self._partial, **{k: v for k, v in usage.items() if v is not None}}
        geo = text(usage, "inference_geo")
        if geo and geo != "not_available":
            self.reported_place = geo

    def _messages_body(self, body: Mapping[str, object]) -> None:
        """Read a plain message."""
        self._name(body)
        for block in objs(body, "content"):
            shown = [block.get(key) for key in ("text", "thinking", "name")]
            self.output_bytes += FRAME + _bytes(shown) + _bytes(block.get("input"), keys=True)
        self.finish = text(body, "stop_reason") or self.finish
        if body.get("usage") is not None:
            self._merge(body)
            self._take(messages_usage(self._partial))

    # ----------------------------------------------------------- responses

    def _responses_event(self, data: Mapping[str, object]) -> None:
        """Read an event; only terminal events carry usage."""
        kind = text(data, "type")
        delta = data.get("delta")
        if isinstance(delta, str):
            self.output_bytes += len(delta) if delta.isascii() else _bytes(delta)
        elif kind == "response.output_item.added":
            self.output_bytes += FRAME + _bytes((obj(data, "item") or {}).get("name"))
        elif kind in {"response.completed", "response.incomplete", "response.failed"}:
            self._responses_end(obj(data, "response") or {})
        elif kind == "response.created":
            self._name(obj(data, "response") or {})

    def _responses_end(self, response: Mapping[str, object]) -> None:
        """Read the response that a terminal event or a plain reply holds."""
        self._name(response)
        reason = text(obj(response, "incomplete_details") or {}, "reason")
        self.finish = reason or text(response, "status") or self.finish
        if response.get("usage") is not None:
            self._take(responses_usage(response["usage"], response))

    def _responses_body(self, body: Mapping[str, object]) -> None:
        """Read a plain response."""
        for item in objs(body, "output"):
            shown = {k: v for k, v in item.items() if k != "encrypted_content"}
            self.output_bytes += FRAME + _bytes(shown)
        self._responses_end(body)

    # -------------------------------------------------------------- others

    def _embeddings_body(self, body: Mapping[str, object]) -> None:
        """Read an embeddings reply: input only."""
        self.vendor_id = text(body, "id") or None
        self.vendor_model = text(body, "model") or None
        if body.get("usage") is not None:
            self._take(embeddings_usage(body["usage"], body))

    def _count_body(self, body: Mapping[str, object]) -> None:
        """Read a token count, which costs nothing."""
        self._take(Usage() if is_whole(body.get("input_tokens")) else None)


_Reader = Callable[[Mapping[str, object]], None]
