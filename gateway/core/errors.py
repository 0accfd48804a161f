"""Every way in which a call can fail, each with one stable code.

In the core a refusal is a value (:class:`Refusal`); at the edges it is carried by
:class:`GatewayError`. Four families: Refused (we will not), BadCall (the caller's
mistake), UpstreamFailed (the vendor's), Broken (ours). ``gateway/api/errors.py``
holds the one table from code to status; ``docs/reference/errors.md`` lists all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Code(StrEnum):
    """Stable outcome codes: error bodies, records, metric labels and docs use these."""

    # Refused
    POLICY_REFUSED = "policy_refused"
    CONTENT_BLOCKED = "content_blocked"
    BUDGET_EXCEEDED = "budget_exceeded"
    BUDGET_CONTENTION = "budget_contention"
    BUDGET_UNAVAILABLE = "budget_unavailable"
    PRICE_UNKNOWN = "price_unknown"
    RATE_LIMITED = "rate_limited"
    DETECTOR_UNAVAILABLE = "detector_unavailable"
    PERMITTED_MODELS_UNAVAILABLE = "permitted_models_unavailable"
    JOURNAL_UNAVAILABLE = "journal_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    SHUTTING_DOWN = "shutting_down"
    # BadCall
    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_FEATURE = "unsupported_feature"
    INVALID_API_KEY = "invalid_api_key"
    PERMISSION_DENIED = "permission_denied"
    MODEL_NOT_FOUND = "model_not_found"
    ROUTE_NOT_FOUND = "route_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TARGET_NOT_FOUND = "target_not_found"
    REQUEST_TIMEOUT = "request_timeout"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    PERIOD_NOT_CLOSED = "period_not_closed"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    # UpstreamFailed
    UPSTREAM_REJECTED = "upstream_rejected"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    UPSTREAM_GARBLED = "upstream_garbled"
    # Broken
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a call goes no further. ``message`` is written for the caller.

    Messages say what happened and the fix, and hold no prompt text, key, upstream
    name or address. ``extension`` becomes the ``borderpost`` object of the error
    body. ``retry_after`` is in seconds; ``retry`` false sends ``x-should-retry:
    false``. For UPSTREAM_REJECTED, ``status`` and ``vendor`` carry the vendor's
    own status and scrubbed error object.
    """

    code: Code
    message: str
    param: str | None = None
    extension: Mapping[str, object] = field(default_factory=dict[str, object])
    retry_after: int | None = None
    retry: bool | None = None
    status: int | None = None
    vendor: Mapping[str, object] | None = None


class GatewayError(Exception):
    """Carries a :class:`Refusal` to the edge that answers."""

    def __init__(self, refusal: Refusal) -> None:
        """Keep the refusal; the exception's text is its code, never content."""
        super().__init__(refusal.code.value)
        self.refusal = refusal


class UpstreamFailed(GatewayError):
    """A try failed upstream.

    ``retryable`` allows another candidate. ``sent`` says that bytes may have
    reached the vendor, so that the attempt is booked at its hold unless usage came.
    """

    def __init__(self, refusal: Refusal, *, retryable: bool, sent: bool) -> None:
        """Keep the refusal and what the retry policy and the ledger must know."""
        super().__init__(refusal)
        self.retryable = retryable
        self.sent = sent
