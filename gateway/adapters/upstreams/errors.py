"""Vendors' errors: their identity kept, their secrets and addresses dropped.

Owns the way from a vendor's failure to :class:`~gateway.core.errors.UpstreamFailed`.
An app sees the vendor's status, ``type``, ``code``, ``param`` and message, so that its
SDK reacts as it would to the vendor. It never sees our keys, the upstream's host, the
deployment's name or our organisation. A vendor that refuses *our* credentials, model id
or bill is our failure and must not look like the app's.

Which failures another deployment may mend (``retryable``) and which may have been billed
(``sent``) is decided here, in one table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import orjson

from gateway.adapters.transport import Failure, TransportFailed
from gateway.core.errors import Code, Refusal, UpstreamFailed
from gateway.core.redact import mask_text

OURS = frozenset({401, 402, 403, 404, 405, 407})
"""Statuses that speak of our credentials, bill, model id or path: never shown as the app's."""

TRY_ELSEWHERE = frozenset({408, 409, 425, 429})
"""4xx that another deployment, or the same one later, may answer."""

BILLED_NOTHING = frozenset({501, 503, 529})
"""5xx that say that no work was begun."""

_FAILURES: Mapping[Failure, tuple[Code, str]] = {
    Failure.CONNECT: (Code.UPSTREAM_UNAVAILABLE, "The model's vendor could not be reached."),
    Failure.TIMEOUT: (Code.UPSTREAM_TIMEOUT, "The model's vendor did not answer in time."),
    Failure.BROKEN: (Code.UPSTREAM_UNAVAILABLE, "The model's vendor broke the connection off."),
}

MESSAGE_LIMIT = 600
_SHORT = 8
_MAX_WAIT_S = 3600

_HOST = (
    r"\b(?:[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\.)+"
    r"(?:com|net|org|io|ai|ca|eu|us|uk|de|fr|cloud|dev|app|co|internal|local|svc|corp|lan|cn)(?:\.[a-z]{2,})?"
)
_SCRUBS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), put)
    for pattern, put in (
        (r"\b[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>)\]}]+", "[address]"),
        (r"\barn:aws[a-z-]*:[^\s\"',]+", "[resource]"),
        (r"\b(?:bearer|basic)\s+[^\s\"',]+", "[key]"),
        (r"\b(?:sk|pk|rk|key|xai|gsk|r8|hf)[-_][\w*.-]{6,}", "[key]"),
        (r"\bA(?:KIA|SIA|IZA)[\w*-]{8,}", "[key]"),
        (r"\b(?:org|proj|user|acct|account|tenant|subscription|req|asst)[-_][\w*-]{6,}", "[id]"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "[id]"),
        (r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "[address]"),
        (r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b", "[address]"),
        (r"\[?\b(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{0,4}\b\]?(?::\d+)?", "[address]"),
        (r"\blocalhost(?::\d+)?\b", "[address]"),
        (rf"{_HOST}(?::\d+)?(?:/[^\s\"']*)?\b", "[address]"),
        (r"\b[\w*-]*\*{3,}[\w*-]*", "[key]"),
        (r"\b[A-Za-z0-9+/_-]{40,}={0,2}", "[key]"),
    )
)
_WORD = re.compile(r"[\w][\w.\[\]\-]{0,119}")


def scrub(text: str, secret_words: tuple[str, ...] = ()) -> str:
    """Return a vendor's text without addresses, keys and ids.

    ``secret_words`` are exact strings to drop: the deployment's model id, our key.
    """
    for word in secret_words:
        if len(word) > _SHORT:
            text = text.replace(word, "[upstream]")
        elif word:  # a deployment called `ca` does not stand in every card
            text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", "[upstream]", text)
    for pattern, put in _SCRUBS:
        text = pattern.sub(put, text)
    # A vendor may repeat what it was sent, or make it up: what patterns know is masked in errors too.
    text, _ = mask_text(" ".join(text.split()))
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"


def error_object(body: bytes) -> Mapping[str, object]:
    """Return the error object of a vendor's body, whatever its shape; empty for none."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(parsed, list) and parsed:  # Gemini wraps a stream's error in a list
        parsed = parsed[0]
    match parsed:
        case {"error": dict() as error}:
            return error
        case {"error": str(message)}:
            return {"message": message}
        case {"detail": str(message)}:
            return {"message": message}
        case dict():
            return parsed
        case _:
            return {}


def identity(error: Mapping[str, object], secret_words: tuple[str, ...]) -> dict[str, object]:
    """Return the allow-listed fields of a vendor's error, scrubbed."""
    kept: dict[str, object] = {}
    for name in ("type", "code", "param"):
        value = error.get(name, error.get("status") if name == "type" else None)
        if isinstance(value, str) and _WORD.fullmatch(value) and not _hides(value, secret_words):
            kept[name] = value
        elif isinstance(value, int) and not isinstance(value, bool):
            kept[name] = str(value)
    message = error.get("message", error.get("Message"))
    if isinstance(message, str) and message:
        kept["message"] = scrub(message, secret_words)
    return kept


def _hides(value: str, secret_words: tuple[str, ...]) -> bool:
    return any(word and word in value for word in secret_words) or scrub(value) != value


def rejected(
    status: int, headers: Mapping[str, str], body: bytes, *, secret_words: tuple[str, ...] = ()
) -> UpstreamFailed:
    """Return the failure for a vendor's error status.

    ``headers`` is case-insensitive. 2xx and 3xx do not belong here but for redirects, which
    are never followed.
    """
    if status < 400:
        return garbled("The model's vendor redirected the call; redirects are not followed.")
    wait = retry_after(headers)
    vendor = identity(error_object(body), secret_words)
    named = headers.get("x-amzn-errortype", "").partition(":")[0]
    if "type" not in vendor and _WORD.fullmatch(named):
        vendor["type"] = named
    if status in OURS:
        refusal = Refusal(
            code=Code.UPSTREAM_REJECTED,
            status=502,
            message="The model's vendor did not accept the gateway's own credentials or settings "
            f"(its status was {status}). Your key and request are fine. Ask the platform team.",
            vendor={"type": "api_error", "code": "upstream_rejected"},
            retry=False,
        )
        return UpstreamFailed(refusal, retryable=True, sent=False)
    message = vendor.get("message")
    refusal = Refusal(
        code=Code.UPSTREAM_REJECTED,
        status=status,
        message=message if isinstance(message, str) else f"The model's vendor answered {status}.",
        param=_text(vendor.get("param")),
        vendor=vendor,
        retry_after=wait,
    )
    if status < 500:
        return UpstreamFailed(refusal, retryable=status in TRY_ELSEWHERE, sent=False)
    return UpstreamFailed(refusal, retryable=True, sent=status not in BILLED_NOTHING)


def said_mid_stream(
    error: Mapping[str, object], *, begun: bool, secret_words: tuple[str, ...] = ()
) -> UpstreamFailed:
    """Return the failure for an error event inside a stream.

    ``begun`` says that events were passed on before: then no other deployment may be tried.
    """
    vendor = identity(error, secret_words)
    kind, message = vendor.get("type"), vendor.get("message")
    status = 529 if kind == "overloaded_error" else 429 if kind == "rate_limit_error" else 502
    refusal = Refusal(
        code=Code.UPSTREAM_REJECTED,
        status=status,
        message=message if isinstance(message, str) else "The model's vendor failed during its answer.",
        vendor=vendor,
    )
    return UpstreamFailed(refusal, retryable=not begun, sent=True)


def failed(failure: TransportFailed, *, begun: bool = False) -> UpstreamFailed:
    """Return the failure for a transport's failure; ``begun`` as in :func:`said_mid_stream`."""
    said = _FAILURES.get(failure.failure)
    if said is None:
        return garbled("The model's vendor sent an answer that is none.", begun=begun, sent=failure.sent)
    code, message = said
    return UpstreamFailed(Refusal(code=code, message=message), retryable=not begun, sent=failure.sent)


def garbled(message: str, *, begun: bool = False, sent: bool = True) -> UpstreamFailed:
    """Return the failure for an answer that cannot be understood."""
    refusal = Refusal(code=Code.UPSTREAM_GARBLED, message=message)
    return UpstreamFailed(refusal, retryable=not begun, sent=sent)


def retry_after(headers: Mapping[str, str]) -> int | None:
    """Return the vendor's wish in whole seconds (rounded up), None for none or nonsense."""
    millis = headers.get("retry-after-ms", "")
    if millis.isascii() and millis.isdigit():
        return min(-(-int(millis) // 1000), _MAX_WAIT_S)
    wish = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", wish, re.ASCII):
        whole, _, part = wish.partition(".")
        return min(int(whole) + (1 if part.strip("0") else 0), _MAX_WAIT_S)
    try:
        # A date is held against the vendor's own clock, which it sends along.
        until, now = parsedate_to_datetime(wish), parsedate_to_datetime(headers.get("date", ""))
        return max(0, min(int((until - now).total_seconds()), _MAX_WAIT_S))
    except (ValueError, TypeError):
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
