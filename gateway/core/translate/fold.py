"""What a stream fold is: events in, events out, and an honest end at any point.

A fold turns the events of a vendor's dialect into those of the app's surface. It
always knows what the app has seen, so that a stream can be ended validly between
any two events: :meth:`Fold.cut` when a budget ends, :meth:`Fold.fail` when the
vendor or we fail. After its end a fold emits nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.core.errors import Code, Refusal
from gateway.core.shape import is_object, text
from gateway.core.values import Dialect, Event, Surface, Usage

DONE = Event(name=None, data=None, raw=b"data: [DONE]\n\n")
"""The sentinel that ends a chat stream."""


class Fold(Protocol):
    """One stream's translation."""

    @property
    def failed(self) -> Refusal | None:
        """Why the stream ended badly, if it did."""
        ...

    def step(self, event: Event) -> list[Event]:
        """Take one vendor event and return the surface's events, often one."""
        ...

    def end(self) -> list[Event]:
        """Return what is due when the vendor's stream is over.

        Without the vendor's own end, that is the surface's error event, and ``failed`` is set.
        """
        ...

    def cut(self, reason: str = "budget", *, usage: Usage | None = None) -> list[Event]:
        """End the stream as the surface ends at its token limit, saying why in ``borderpost``.

        ``usage`` is shown where the surface shows usage. A tool call that is not
        complete stays visibly incomplete.
        """
        ...

    def fail(self, refusal: Refusal) -> list[Event]:
        """End the stream with the surface's own error event."""
        ...


_KINDS: Mapping[Code, tuple[str, str]] = {
    Code.POLICY_REFUSED: ("permission_error", "permission_error"),
    Code.CONTENT_BLOCKED: ("permission_error", "permission_error"),
    Code.PERMISSION_DENIED: ("permission_error", "permission_error"),
    Code.INVALID_API_KEY: ("authentication_error", "authentication_error"),
    Code.BUDGET_EXCEEDED: ("insufficient_quota", "billing_error"),
    Code.BUDGET_CONTENTION: ("rate_limit_error", "rate_limit_error"),
    Code.RATE_LIMITED: ("rate_limit_error", "rate_limit_error"),
    Code.MODEL_NOT_FOUND: ("invalid_request_error", "not_found_error"),
    Code.ROUTE_NOT_FOUND: ("invalid_request_error", "not_found_error"),
    Code.TARGET_NOT_FOUND: ("invalid_request_error", "not_found_error"),
    Code.INVALID_JSON: ("invalid_request_error", "invalid_request_error"),
    Code.INVALID_REQUEST: ("invalid_request_error", "invalid_request_error"),
    Code.UNSUPPORTED_FEATURE: ("invalid_request_error", "invalid_request_error"),
    Code.UPSTREAM_TIMEOUT: ("server_error", "timeout_error"),
    Code.REQUEST_TIMEOUT: ("server_error", "timeout_error"),
    Code.PERMITTED_MODELS_UNAVAILABLE: ("server_error", "overloaded_error"),
    Code.SHUTTING_DOWN: ("server_error", "overloaded_error"),
    Code.BODY_TOO_LARGE: ("invalid_request_error", "invalid_request_error"),
}
"""Code → error type as OpenAI and as Anthropic name it; the rest are server errors."""


def error_body(surface: Surface, refusal: Refusal) -> dict[str, object]:
    """Return the error object of a surface, as it stands in a stream.

    A vendor's error keeps its identity here as in a plain answer; our code then stands beside it.
    """
    openai, anthropic = _KINDS.get(refusal.code, ("server_error", "api_error"))
    vendor = refusal.vendor or {}
    if surface in {Surface.MESSAGES, Surface.COUNT_TOKENS}:
        error: dict[str, object] = {"type": anthropic, "message": refusal.message, "code": refusal.code.value}
        kept: tuple[str, ...] = ("type",)
    else:
        error = {
            "message": refusal.message,
            "type": openai,
            "param": refusal.param,
            "code": refusal.code.value,
        }
        kept = ("type", "code", "param")
    error |= {name: vendor[name] for name in kept if name in vendor}
    if refusal.extension or vendor:
        error["borderpost"] = {"code": refusal.code.value, **refusal.extension}
    if surface in {Surface.MESSAGES, Surface.COUNT_TOKENS}:
        return {"type": "error", "error": error}
    return {"error": error}


GARBLED = Refusal(
    code=Code.UPSTREAM_GARBLED,
    message="the model's answer does not have the form of its own API; try again",
)

DIED = Refusal(
    code=Code.UPSTREAM_GARBLED,
    message="the model's answer ended before it was complete; what came so far may be kept, or try again",
)


def vendor_error(dialect: Dialect, data: Mapping[str, object]) -> Refusal | None:
    """Return the refusal for an error that a vendor sent in the middle of a stream.

    Only its type and code are kept: a message of a vendor may hold an address or content.
    """
    error = data.get("error")
    if dialect is Dialect.RESPONSES and data.get("type") == "error" and not is_object(error):
        error = data
    if not error or (dialect is Dialect.RESPONSES and data.get("type") != "error"):
        return None
    vendor: dict[str, object] = {}
    if is_object(error):
        for key in ("type", "code"):
            word = text(error, key)
            if word and word.replace("_", "").isalnum() and len(word) <= 64:
                vendor[key] = word
    words = f" (`{vendor.get('code') or vendor.get('type')}`)" if vendor else ""
    return Refusal(
        code=Code.UPSTREAM_UNAVAILABLE,
        message=f"the model's vendor reported an error while answering{words}; try again",
        vendor=vendor or None,
    )
