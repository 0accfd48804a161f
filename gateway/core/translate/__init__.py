"""The app's surface and the vendor's dialect, each in the other's words.

Chat is the hub: what has no translation of its own goes through it (responses →
chat → messages). Where surface and dialect are the same shape, nothing is touched
but the model, the token limit and what metering needs; unknown fields pass. What
the other side cannot say honestly is refused with its parameter, never dropped
into silence. ``docs/reference/surfaces.md`` holds the tables.

Inputs are never mutated. Bodies that fold and translate are those that leave: the
redacted request, and the reply before its tokens are restored.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.errors import Refusal
from gateway.core.shape import is_whole, obj
from gateway.core.translate.chat_to_messages import chat_request_as_messages
from gateway.core.translate.fold import DONE, GARBLED, Fold, error_body
from gateway.core.translate.identity import ChatFold, MessagesFold, ResponsesFold
from gateway.core.translate.messages_to_chat import messages_request_as_chat
from gateway.core.translate.reasons import UnsayableError, unsupported
from gateway.core.translate.replies import chat_from_messages, messages_from_chat, responses_from_chat
from gateway.core.translate.responses_to_chat import responses_request_as_chat
from gateway.core.translate.stream_to_chat import MessagesToChat
from gateway.core.translate.stream_to_messages import ChatToMessages
from gateway.core.translate.stream_to_responses import ChatToResponses
from gateway.core.values import Body, Dialect, Event, Surface, Usage

__all__ = ["DONE", "Fold", "error_body", "reply", "request", "stream_fold", "supports"]

_ROOTS: Mapping[Dialect, str] = {
    Dialect.CHAT: "choices",
    Dialect.MESSAGES: "content",
    Dialect.RESPONSES: "output",
    Dialect.EMBEDDINGS: "data",
}

_TRANSLATED = frozenset(
    {
        (Surface.CHAT, Dialect.MESSAGES),
        (Surface.MESSAGES, Dialect.CHAT),
        (Surface.RESPONSES, Dialect.CHAT),
        (Surface.RESPONSES, Dialect.MESSAGES),
    }
)


def supports(surface: Surface, dialect: Dialect) -> bool:
    """Say whether a surface can be served by an upstream of this dialect."""
    return surface.value == dialect.value or (surface, dialect) in _TRANSLATED


def request(
    body: Body,
    surface: Surface,
    dialect: Dialect,
    *,
    model: str,
    output_cap: int | None,
    stream: bool,
    max_field: str | None = None,
) -> dict[str, object] | Refusal:
    """Return the request body for an upstream.

    ``output_cap`` is the limit per choice, in tokens, that is sent (None: as the app
    asked). ``max_field`` names the chat field for it where a vendor takes only one of
    ``max_tokens`` and ``max_completion_tokens``; by default the app's own, else
    ``max_tokens``. Refuses (UNSUPPORTED_FEATURE with ``param``) what the dialect cannot say.
    """
    if surface.value == dialect.value:
        return _same(body, surface, model=model, output_cap=output_cap, stream=stream, max_field=max_field)
    field = max_field or "max_tokens"
    try:
        match surface, dialect:
            case Surface.CHAT, Dialect.MESSAGES:
                return chat_request_as_messages(body, model=model, output_cap=output_cap, stream=stream)
            case Surface.MESSAGES, Dialect.CHAT:
                return messages_request_as_chat(
                    body, model=model, output_cap=output_cap, stream=stream, max_field=field
                )
            case Surface.RESPONSES, Dialect.CHAT:
                return responses_request_as_chat(
                    body, model=model, output_cap=output_cap, stream=stream, max_field=field
                )
            case Surface.RESPONSES, Dialect.MESSAGES:
                chat = responses_request_as_chat(
                    body, model=model, output_cap=output_cap, stream=stream, max_field=field
                )
                return chat_request_as_messages(chat, model=model, output_cap=output_cap, stream=stream)
            case _:
                return unsupported(
                    "model", f"`{surface.value}` cannot be served by the model that may answer"
                )
    except UnsayableError as error:
        return error.refusal


def _same(
    body: Body,
    surface: Surface,
    *,
    model: str,
    output_cap: int | None,
    stream: bool,
    max_field: str | None,
) -> dict[str, object]:
    """Return the body with only what the gateway must set."""
    out = dict(body)
    out["model"] = model
    if bool(out.get("stream")) != stream:
        out["stream"] = stream
    match surface:
        case Surface.CHAT:
            if output_cap is not None:
                named = [key for key in ("max_completion_tokens", "max_tokens") if out.get(key) is not None]
                for key in named:
                    del out[key]
                for key in [max_field] if max_field else named or ["max_tokens"]:
                    out[key] = output_cap
            if stream:
                out["stream_options"] = {**(obj(body, "stream_options") or {}), "include_usage": True}
        case Surface.MESSAGES:
            if output_cap is not None:
                out["max_tokens"] = output_cap
        case Surface.RESPONSES:
            if output_cap is not None:
                out["max_output_tokens"] = output_cap
            out["store"] = False
        case Surface.EMBEDDINGS | Surface.COUNT_TOKENS:
            pass
    return out


def reply(
    body: Mapping[str, object],
    dialect: Dialect,
    surface: Surface,
    *,
    asked_model: str,
    created: int = 0,
    asked: Body | None = None,
) -> dict[str, object] | Refusal:
    """Return a plain reply in the surface's shape; UPSTREAM_GARBLED where it has not the dialect's.

    ``created`` (seconds since the epoch) dates replies of a dialect that sends no
    date; ``asked`` is the request, of which a response repeats some fields.
    """
    root = _ROOTS.get(dialect)
    sound = is_whole(body.get("input_tokens")) if root is None else isinstance(body.get(root), list)
    if not sound:
        return GARBLED
    if surface.value == dialect.value:
        return dict(body)
    match surface, dialect:
        case Surface.CHAT, Dialect.MESSAGES:
            return chat_from_messages(body, asked_model=asked_model, created=created)
        case Surface.MESSAGES, Dialect.CHAT:
            return messages_from_chat(body, asked_model=asked_model)
        case Surface.RESPONSES, Dialect.CHAT:
            return responses_from_chat(body, asked_model=asked_model, created=created, asked=asked)
        case Surface.RESPONSES, Dialect.MESSAGES:
            chat = chat_from_messages(body, asked_model=asked_model, created=created)
            return responses_from_chat(chat, asked_model=asked_model, created=created, asked=asked)
        case _:
            return GARBLED


class _Chain:
    """Two folds in a row; the app sees the second, so the second ends the stream."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: Fold, second: Fold) -> None:
        """Feed the first fold's events to the second."""
        self._first = first
        self._second = second

    @property
    def failed(self) -> Refusal | None:
        """Why the stream ended badly: the first fold's reason is the nearer one."""
        return self._first.failed or self._second.failed

    def _pass(self, events: list[Event]) -> list[Event]:
        """Feed events on; a failure goes on as the refusal that it is."""
        if self._first.failed is not None and self._second.failed is None:
            return self._second.fail(self._first.failed)
        return [out for event in events for out in self._second.step(event)]

    def step(self, event: Event) -> list[Event]:
        """Take one vendor event."""
        return self._pass(self._first.step(event))

    def end(self) -> list[Event]:
        """End both."""
        return [*self._pass(self._first.end()), *self._second.end()]

    def cut(self, reason: str = "budget", *, usage: Usage | None = None) -> list[Event]:
        """End as at a token limit."""
        return self._second.cut(reason, usage=usage)

    def fail(self, refusal: Refusal) -> list[Event]:
        """End with an error."""
        return self._second.fail(refusal)


def stream_fold(
    dialect: Dialect,
    surface: Surface,
    *,
    asked_model: str,
    app_wants_usage: bool,
    created: int = 0,
    asked: Body | None = None,
) -> Fold:
    """Return the fold for one stream. Raises ValueError where :func:`supports` is false.

    ``app_wants_usage`` concerns the chat surface only (``stream_options.include_usage``).
    """
    match surface, dialect:
        case Surface.CHAT, Dialect.CHAT:
            return ChatFold(asked_model=asked_model, app_wants_usage=app_wants_usage, created=created)
        case Surface.MESSAGES, Dialect.MESSAGES:
            return MessagesFold(asked_model=asked_model)
        case Surface.RESPONSES, Dialect.RESPONSES:
            return ResponsesFold(asked_model=asked_model, created=created)
        case Surface.CHAT, Dialect.MESSAGES:
            return MessagesToChat(asked_model=asked_model, app_wants_usage=app_wants_usage, created=created)
        case Surface.MESSAGES, Dialect.CHAT:
            return ChatToMessages(asked_model=asked_model)
        case Surface.RESPONSES, Dialect.CHAT:
            return ChatToResponses(asked_model=asked_model, created=created, asked=asked)
        case Surface.RESPONSES, Dialect.MESSAGES:
            return _Chain(
                MessagesToChat(asked_model=asked_model, app_wants_usage=True, created=created),
                ChatToResponses(asked_model=asked_model, created=created, asked=asked),
            )
        case _:
            msg = f"no stream from `{dialect.value}` to `{surface.value}`"
            raise ValueError(msg)
