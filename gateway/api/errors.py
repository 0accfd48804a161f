"""The one table from code to status and vendor-shaped type, and the error bodies.

Only allow-listed text reaches a caller: a :class:`Refusal`'s message, its
extension, and for a vendor's error the scrubbed fields that the upstream adapter
kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from gateway.core.errors import Code, Refusal
from gateway.core.values import Surface

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Row:
    """How one code is answered: HTTP status, OpenAI error type, Anthropic error type."""

    status: int
    openai: str
    anthropic: str


TABLE: dict[Code, Row] = {
    Code.POLICY_REFUSED: Row(403, "permission_error", "permission_error"),
    Code.CONTENT_BLOCKED: Row(403, "permission_error", "permission_error"),
    Code.BUDGET_EXCEEDED: Row(402, "insufficient_quota", "billing_error"),
    Code.BUDGET_CONTENTION: Row(429, "rate_limit_error", "rate_limit_error"),
    Code.BUDGET_UNAVAILABLE: Row(503, "server_error", "api_error"),
    Code.STORE_UNAVAILABLE: Row(503, "server_error", "api_error"),
    Code.PRICE_UNKNOWN: Row(403, "permission_error", "permission_error"),
    Code.RATE_LIMITED: Row(429, "rate_limit_error", "rate_limit_error"),
    Code.DETECTOR_UNAVAILABLE: Row(503, "server_error", "api_error"),
    Code.PERMITTED_MODELS_UNAVAILABLE: Row(503, "server_error", "overloaded_error"),
    Code.JOURNAL_UNAVAILABLE: Row(503, "server_error", "api_error"),
    Code.STORE_UNAVAILABLE: Row(503, "server_error", "api_error"),
    Code.SHUTTING_DOWN: Row(503, "server_error", "overloaded_error"),
    Code.INVALID_JSON: Row(400, "invalid_request_error", "invalid_request_error"),
    Code.INVALID_REQUEST: Row(400, "invalid_request_error", "invalid_request_error"),
    Code.UNSUPPORTED_FEATURE: Row(400, "invalid_request_error", "invalid_request_error"),
    Code.INVALID_API_KEY: Row(401, "authentication_error", "authentication_error"),
    Code.PERMISSION_DENIED: Row(403, "permission_error", "permission_error"),
    Code.MODEL_NOT_FOUND: Row(404, "invalid_request_error", "not_found_error"),
    Code.ROUTE_NOT_FOUND: Row(404, "invalid_request_error", "not_found_error"),
    Code.METHOD_NOT_ALLOWED: Row(405, "invalid_request_error", "invalid_request_error"),
    Code.TARGET_NOT_FOUND: Row(404, "invalid_request_error", "not_found_error"),
    Code.REQUEST_TIMEOUT: Row(408, "invalid_request_error", "invalid_request_error"),
    Code.IDEMPOTENCY_CONFLICT: Row(409, "invalid_request_error", "invalid_request_error"),
    Code.PERIOD_NOT_CLOSED: Row(409, "invalid_request_error", "invalid_request_error"),
    Code.BODY_TOO_LARGE: Row(413, "invalid_request_error", "request_too_large"),
    Code.UNSUPPORTED_MEDIA_TYPE: Row(415, "invalid_request_error", "invalid_request_error"),
    Code.UPSTREAM_REJECTED: Row(502, "upstream_error", "api_error"),
    Code.UPSTREAM_TIMEOUT: Row(504, "timeout_error", "api_error"),
    Code.UPSTREAM_UNAVAILABLE: Row(503, "server_error", "overloaded_error"),
    Code.UPSTREAM_GARBLED: Row(502, "server_error", "api_error"),
    Code.INTERNAL: Row(500, "server_error", "api_error"),
}

INTERNAL = Refusal(
    code=Code.INTERNAL,
    message="The gateway failed on this call. Quote the request id to the platform team.",
)


def status_of(refusal: Refusal) -> int:
    """Return the HTTP status: the vendor's own for its errors, else the table's."""
    if refusal.status is not None:
        return refusal.status
    return TABLE[refusal.code].status


def error_object(refusal: Refusal) -> dict[str, object]:
    """Return the OpenAI-shaped ``error`` object."""
    error: dict[str, object] = {
        "message": refusal.message,
        "type": TABLE[refusal.code].openai,
        "param": refusal.param,
        "code": refusal.code.value,
    }
    if refusal.vendor is not None:
        error |= {k: refusal.vendor[k] for k in ("type", "code", "param") if k in refusal.vendor}
    if refusal.extension or refusal.vendor is not None:
        error["borderpost"] = {"code": refusal.code.value, **refusal.extension}
    return error


def error_body(refusal: Refusal, surface: Surface | None, request_id: str) -> dict[str, object]:
    """Return the whole error body in the surface's shape."""
    if surface in (Surface.MESSAGES, Surface.COUNT_TOKENS):
        error: dict[str, object] = {
            "type": TABLE[refusal.code].anthropic,
            "message": refusal.message,
        }
        if refusal.vendor is not None and "type" in refusal.vendor:
            error["type"] = refusal.vendor["type"]
        error["borderpost"] = {"code": refusal.code.value, **refusal.extension}
        return {"type": "error", "error": error, "request_id": request_id}
    return {"error": error_object(refusal)}


def error_headers(refusal: Refusal, request_id: str) -> Headers:
    """Return the headers of an error answer: retry advice and the request id."""
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"x-request-id", request_id.encode("ascii")),
        (b"request-id", request_id.encode("ascii")),
    ]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", str(refusal.retry_after).encode("ascii")))
    if refusal.retry is not None:
        headers.append((b"x-should-retry", b"true" if refusal.retry else b"false"))
    if refusal.code is Code.RATE_LIMITED and refusal.extension.get("unit") == "requests per minute":
        limit = refusal.extension.get("limit")
        wait = refusal.retry_after or 0
        headers += pace_headers(limit if isinstance(limit, int) else 0, 0, wait * 1_000_000_000)
    return headers


def pace_headers(limit: int, left: int, resets_in: int) -> Headers:
    """Return the headers that OpenAI's SDKs know: requests of this minute, and when it ends (ns)."""
    seconds = max(0, -(-resets_in // 1_000_000_000))
    return [
        (b"x-ratelimit-limit-requests", str(limit).encode("ascii")),
        (b"x-ratelimit-remaining-requests", str(left).encode("ascii")),
        (b"x-ratelimit-reset-requests", f"{seconds}s".encode("ascii")),
    ]


def render(refusal: Refusal, surface: Surface | None, request_id: str) -> tuple[int, Headers, bytes]:
    """Return status, headers and body bytes of an error answer."""
    body = orjson.dumps(error_body(refusal, surface, request_id))
    return status_of(refusal), error_headers(refusal, request_id), body
