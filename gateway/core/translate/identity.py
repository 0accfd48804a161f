"""Folds where surface and dialect are the same: bytes pass, and the end is known.

INVARIANT: an event that is not dropped is the very object that came in, ``raw``
bytes included. These folds only watch, so that a stream can be cut or failed
validly; they run once per event of most streams and stay cheap.
"""

from __future__ import annotations

from gateway.core.errors import Refusal
from gateway.core.shape import is_array, is_object, is_whole, obj, text
from gateway.core.translate.fold import DIED, DONE, error_body, vendor_error
from gateway.core.translate.usage import as_chat, as_messages, as_responses
from gateway.core.values import Dialect, Event, Surface, Usage


class ChatFold:
    """Chat chunks to chat chunks; drops the usage chunk that the app did not ask for."""

    __slots__ = ("_asked", "_created", "_finished", "_head", "_model", "_open", "_over", "_wants", "failed")

    def __init__(self, *, asked_model: str, app_wants_usage: bool, created: int = 0) -> None:
        """Start; ``asked_model`` and ``created`` (seconds) are used only where nothing came yet."""
        self.failed: Refusal | None = None
        self._asked = asked_model
        self._created = created
        self._wants = app_wants_usage
        self._head: dict[str, object] | None = None
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self._over = False

    def step(self, event: Event) -> list[Event]:
        """Pass one event on, remembering which choices are open."""
        if self._over:
            return []
        data = event.data
        if data is None:
            return self._done(event)
        choices = data.get("choices")
        if is_array(choices) and choices:
            if self._head is None:
                self._head = data
            for choice in choices:
                if is_object(choice):
                    index = choice.get("index")
                    at = index if is_whole(index) else 0
                    if not choice.get("finish_reason"):  # some vendors send an empty word while it is open
                        self._open.add(at)
                    else:
                        self._finished.add(at)
            return [event]
        if "error" in data and (refusal := vendor_error(Dialect.CHAT, data)):
            return self.fail(refusal)
        if data.get("usage") is not None and not self._wants:
            return []
        return [event]

    def _done(self, event: Event) -> list[Event]:
        """End with the vendor's sentinel, which is no end while a choice is unfinished."""
        if self._open - self._finished or not self._finished:
            return self.fail(DIED)
        self._over = True
        return [event]

    def end(self) -> list[Event]:
        """Add the sentinel where a vendor leaves it out; fail where the answer is unfinished."""
        return [] if self._over else self._done(DONE)

    def cut(self, reason: str = "budget", *, usage: Usage | None = None) -> list[Event]:
        """Finish every open choice with ``length``."""
        if self._over:
            return []
        self._over = True
        head = self._head or {}
        still = sorted(self._open - self._finished) or ([] if self._finished else [0])
        base: dict[str, object] = {
            "id": text(head, "id") or "chatcmpl-cut",
            "object": "chat.completion.chunk",
            "created": head.get("created", self._created),
            "model": text(head, "model") or self._asked,
        }
        events: list[Event] = []
        if still:
            choices: list[object] = [
                {"index": index, "delta": {}, "finish_reason": "length"} for index in still
            ]
            events.append(
                Event(name=None, data={**base, "choices": choices, "borderpost": {"ended_by": reason}})
            )
        if self._wants and usage is not None:
            events.append(Event(name=None, data={**base, "choices": [], "usage": as_chat(usage)}))
        return [*events, DONE]

    def fail(self, refusal: Refusal) -> list[Event]:
        """Send the error as OpenAI does in a stream: an ``error`` object as data."""
        if self._over:
            return []
        self._over = True
        self.failed = refusal
        return [Event(name=None, data=error_body(Surface.CHAT, refusal))]


class MessagesFold:
    """Messages events to messages events."""

    __slots__ = ("_asked", "_open", "_over", "_started", "_stopping", "_usage", "failed")

    def __init__(self, *, asked_model: str) -> None:
        """Start; ``asked_model`` is used only where nothing came yet."""
        self.failed: Refusal | None = None
        self._asked = asked_model
        self._open: dict[int, None] = {}
        self._started = False
        self._stopping = False
        self._over = False
        self._usage: dict[str, object] = {}

    def step(self, event: Event) -> list[Event]:
        """Pass one event on, remembering which blocks are open."""
        data = event.data
        if self._over or data is None:
            return []
        match data.get("type"):
            case "content_block_delta":
                pass
            case "content_block_start":
                if is_whole(index := data.get("index")):
                    self._open[index] = None
            case "content_block_stop":
                if is_whole(index := data.get("index")):
                    self._open.pop(index, None)
            case "message_start":
                self._started = True
                self._usage = obj(obj(data, "message") or {}, "usage") or {}
            case "message_delta":
                self._stopping = True
            case "message_stop":
                if not self._stopping:
                    return self.fail(DIED)
                self._over = True
            case "error":
                return self.fail(vendor_error(Dialect.MESSAGES, data) or DIED)
            case _:
                pass
        return [event]

    def end(self) -> list[Event]:
        """Add ``message_stop`` where only it is missing; fail where the answer is unfinished."""
        if self._over:
            return []
        if not self._stopping:
            return self.fail(DIED)
        self._over = True
        return [_named({"type": "message_stop"})]

    def cut(self, reason: str = "budget", *, usage: Usage | None = None) -> list[Event]:
        """Close the open blocks and stop with ``max_tokens``."""
        if self._over:
            return []
        self._over = True
        events = [] if self._started else [_named(message_start("msg_cut", self._asked, {}))]
        events.extend(_named({"type": "content_block_stop", "index": index}) for index in self._open)
        if not self._stopping:
            shown = as_messages(usage) if usage else {"output_tokens": self._usage.get("output_tokens", 0)}
            events.append(_named(message_delta("max_tokens", shown, extension={"ended_by": reason})))
        return [*events, _named({"type": "message_stop"})]

    def fail(self, refusal: Refusal) -> list[Event]:
        """Send Anthropic's ``error`` event."""
        if self._over:
            return []
        self._over = True
        self.failed = refusal
        return [_named(error_body(Surface.MESSAGES, refusal))]


def message_start(message_id: str, model: str, usage: dict[str, object]) -> dict[str, object]:
    """Return the event that opens a message; its usage is a placeholder until the end."""
    return {
        "type": "message_start",
        "message": {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0, **usage},
        },
    }


def message_delta(
    reason: str | None,
    usage: dict[str, object],
    *,
    sequence: str | None = None,
    extension: dict[str, object] | None = None,
) -> dict[str, object]:
    """Return the event that says why a message stopped and what it used in all."""
    event: dict[str, object] = {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": sequence},
        "usage": usage,
    }
    if extension:
        event["borderpost"] = extension
    return event


def _named(data: dict[str, object]) -> Event:
    """Return an event that is named after its type, as both vendors do."""
    return Event(name=str(data["type"]), data=data)


named = _named


class ResponsesFold:
    """Responses events to responses events; keeps what was shown, since the end repeats it all."""

    __slots__ = (
        "_asked",
        "_created",
        "_done",
        "_items",
        "_over",
        "_response",
        "_sequence",
        "_texts",
        "failed",
    )

    def __init__(self, *, asked_model: str, created: int = 0) -> None:
        """Start; ``asked_model`` and ``created`` (seconds) are used only where nothing came yet."""
        self.failed: Refusal | None = None
        self._asked = asked_model
        self._created = created
        self._response: dict[str, object] | None = None
        self._items: dict[int, dict[str, object]] = {}
        self._done: set[int] = set()
        self._texts: dict[tuple[int, str, int], list[str]] = {}
        self._sequence = -1
        self._over = False

    def step(self, event: Event) -> list[Event]:
        """Pass one event on, remembering the output so far."""
        data = event.data
        if self._over or data is None:
            return []
        if is_whole(number := data.get("sequence_number")):
            self._sequence = number
        kind = data.get("type")
        delta = data.get("delta")
        if isinstance(delta, str):
            self._add(str(kind), data, delta)
            return [event]
        match kind:
            case "response.output_item.added" | "response.output_item.done":
                if is_whole(index := data.get("output_index")) and is_object(item := data.get("item")):
                    self._items[index] = item
                    if kind == "response.output_item.done":
                        self._done.add(index)
                        self._texts = {key: value for key, value in self._texts.items() if key[0] != index}
            case "response.function_call_arguments.done" if is_whole(index := data.get("output_index")):
                # The app may run the call from here on: it is whole, whatever comes.
                if (item := self._items.get(index)) is not None:
                    self._items[index] = {**item, "arguments": data.get("arguments"), "status": "completed"}
                    self._done.add(index)
            case "response.created" | "response.in_progress":
                self._response = obj(data, "response") or self._response
            case "response.completed" | "response.incomplete" | "response.failed":
                self._over = True
            case "error":
                return self.fail(vendor_error(Dialect.RESPONSES, data) or DIED)
            case _:
                pass
        return [event]

    def _add(self, kind: str, data: dict[str, object], delta: str) -> None:
        """Remember a delta of text, refusal, tool arguments or reasoning."""
        if is_whole(index := data.get("output_index")):
            part = data.get("content_index", data.get("summary_index"))
            self._texts.setdefault((index, kind, part if is_whole(part) else 0), []).append(delta)

    def end(self) -> list[Event]:
        """Fail where the vendor's terminal event never came."""
        return [] if self._over else self.fail(DIED)

    def cut(self, reason: str = "budget", *, usage: Usage | None = None) -> list[Event]:
        """End with ``response.incomplete``; unfinished items say so."""
        if self._over:
            return []
        self._over = True
        events: list[Event] = []
        if self._response is None:
            self._response = empty_response("resp_cut", self._asked, self._created)
            events.append(self._next("response.created", self._response))
        response = {
            **self._response,
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "output": self._shown(),
            "usage": as_responses(usage) if usage else None,
            "borderpost": {"ended_by": reason},
        }
        return [*events, self._next("response.incomplete", response)]

    def _shown(self) -> list[dict[str, object]]:
        """Return the items as the app has seen them, the unfinished ones as incomplete."""
        shown: list[dict[str, object]] = []
        for index, item in sorted(self._items.items()):
            texts = {key[1:]: "".join(words) for key, words in self._texts.items() if key[0] == index}
            shown.append(item if index in self._done else partial_item(item, texts))
        return shown

    def _next(self, kind: str, response: dict[str, object]) -> Event:
        """Return an event about the whole response, with the next number."""
        self._sequence += 1
        return named({"type": kind, "response": response, "sequence_number": self._sequence})

    def fail(self, refusal: Refusal) -> list[Event]:
        """Send OpenAI's ``error`` event, then ``response.failed`` where a response was begun."""
        if self._over:
            return []
        self._over = True
        self.failed = refusal
        self._sequence += 1
        error: dict[str, object] = {
            "type": "error",
            "code": refusal.code.value,
            "message": refusal.message,
            "param": refusal.param,
            "sequence_number": self._sequence,
        }
        if refusal.extension:
            error["borderpost"] = dict(refusal.extension)
        if self._response is None:
            return [named(error)]
        response = {
            **self._response,
            "status": "failed",
            "error": {"code": "server_error", "message": refusal.message},
            "output": self._shown(),
        }
        return [named(error), self._next("response.failed", response)]


def partial_item(item: dict[str, object], texts: dict[tuple[str, int], str]) -> dict[str, object]:
    """Return an output item with the text that arrived for it, marked incomplete."""
    shown: dict[str, object] = {**item, "status": "incomplete"}
    match item.get("type"):
        case "message":
            parts: dict[int, dict[str, object]] = {}
            for (kind, index), words in sorted(texts.items()):
                if kind == "response.refusal.delta":
                    parts[index] = {"type": "refusal", "refusal": words}
                elif kind == "response.output_text.delta":
                    parts[index] = {"type": "output_text", "annotations": [], "text": words}
            shown["content"] = [part for _, part in sorted(parts.items())]
        case "function_call":
            shown["arguments"] = "".join(texts.values())
        case "custom_tool_call":
            shown["input"] = "".join(texts.values())
        case "reasoning":
            for (kind, _), words in sorted(texts.items()):
                if kind == "response.reasoning_text.delta":
                    shown["content"] = [{"type": "reasoning_text", "text": words}]
                elif kind == "response.reasoning_summary_text.delta":
                    shown["summary"] = [{"type": "summary_text", "text": words}]
        case _:
            pass
    return shown


def empty_response(response_id: str, model: str, created: int) -> dict[str, object]:
    """Return a response object as it stands when nothing was said yet."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "store": False,
        "usage": None,
    }
