"""Feedback as a value: what a rating says, and what ratings say together.

Owns the shape of one rating (strict, so that a typing error is not stored as an
opinion), the normalised score, and the interval that is shown beside every share
of good answers. Nothing here knows the store; comments are masked by the edge
before a :class:`Rating` is made.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from statistics import NormalDist
from typing import cast

from gateway.core.errors import Code, Refusal

THUMBS = "thumbs"
"""The one built-in key: up counts 1, down counts 0."""

MOST_COMMENT = 4_000
"""Characters of a comment at most."""

ENOUGH_RATINGS = 30
"""Below this many ratings, or with an interval wider than WIDE, a share is called `insufficient data`."""

WIDE = 0.20

_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}")
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")
_UP = frozenset({"up", "true", "1", "good", "positive", "+1"})
_DOWN = frozenset({"down", "false", "0", "bad", "negative", "-1"})
_RATER_KINDS = frozenset({"end_user", "developer", "reviewer", "judge", "code"})
_FIELDS = frozenset(
    {"target", "key", "value", "label", "comment", "rater", "rater_kind", "feedback_id", "occurred_at"}
)
_MOST_DIGITS = 15
_LATE_NS = 35 * 24 * 3600 * 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One checked rating. ``thumb`` is 1 up, 0 down, None for another key; ``value`` is decimal text.

    ``comment`` and ``rater`` are as sent: mask and pseudonymise them before anything is kept.
    ``occurred`` in nanoseconds.
    """

    target: str
    key: str
    value: str | None
    thumb: int | None
    label: str | None
    comment: str | None = field(repr=False)
    rater: str | None = field(repr=False)
    rater_kind: str
    feedback_id: str | None
    occurred: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A share with its 95 % interval, each between 0 and 1."""

    share: float
    low: float
    high: float
    enough: bool


def parse(body: object, *, now: int) -> Rating | Refusal:
    """Return the rating that a parsed body describes, or INVALID_REQUEST naming the field.

    Fields: ``target`` (required), ``key`` (``thumbs`` unless given), ``value``
    (``up|down|true|false|1|0`` for thumbs, else a number), ``label``, ``comment``, ``rater``,
    ``rater_kind``, ``feedback_id``, ``occurred_at`` (seconds since the Unix epoch, at most
    35 days ago). ``now`` in nanoseconds.
    """
    if not isinstance(body, Mapping):
        return _bad(None, "The body must be a JSON object with `target` and `value`.")
    return _parse(cast("Mapping[str, object]", body), now)


def too_late(issued_ms: int, *, now: int) -> bool:
    """Tell whether a reply is more than 35 days old: ratings of it are no longer taken."""
    return now - issued_ms * 1_000_000 > _LATE_NS


def pseudonym(key: bytes, rater: str) -> str:
    """Return a stable pseudonym of a rater: 128 bits of HMAC-SHA256 under the tenant's rater key, as hex."""
    return hmac.digest(key, rater.encode("utf-8", "replace"), "sha256")[:16].hex()


def wilson(up: int, total: int, *, confidence: float = 0.95) -> Interval | None:
    """Return the share ``up / total`` with its Wilson score interval; None without ratings.

    With z the normal quantile, p the share and n the total:
    (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    Raises ValueError unless 0 ≤ up ≤ total.
    """
    if not 0 <= up <= total:
        raise ValueError(f"`{up}` of `{total}` is no share")
    if total == 0:
        return None
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = up / total
    shrink = 1 + z * z / total
    middle = (share + z * z / (2 * total)) / shrink
    reach = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / shrink
    low, high = max(0.0, middle - reach), min(1.0, middle + reach)
    return Interval(share=share, low=low, high=high, enough=total >= ENOUGH_RATINGS and high - low <= WIDE)


def nano_per_good(nano: int, *, calls: int, up: int, total: int) -> int | None:
    """Return the cost per good answer in nano-units, rounded down; None where it cannot be said.

    All cost over (calls × share of good ratings): unrated answers are taken to be as good
    as rated ones, which is why the share's interval and the response rate stand beside it.
    """
    if up <= 0 or total <= 0 or calls <= 0:
        return None
    return nano * total // (calls * up)


def _parse(body: Mapping[str, object], now: int) -> Rating | Refusal:
    unknown = next((name for name in body if name not in _FIELDS), None)
    if unknown is not None:
        known = ", ".join(sorted(_FIELDS))
        return _bad(unknown[:64], f"This field is not known. Send only: {known}.")
    target = body.get("target")
    if not isinstance(target, str) or not 1 <= len(target) <= 256:
        return _bad("target", "`target` must be the id of a reply: its x-request-id, or the reply's own id.")
    key = body.get("key", THUMBS)
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        return _bad("key", "`key` must be lower-case letters, digits and _, at most 64, like `thumbs`.")
    texts = _texts(body)
    if isinstance(texts, Refusal):
        return texts
    kind = body.get("rater_kind", "end_user")
    if not isinstance(kind, str) or kind not in _RATER_KINDS:
        return _bad("rater_kind", f"`rater_kind` must be one of {', '.join(sorted(_RATER_KINDS))}.")
    raw = body.get("value")
    if raw is None and texts["comment"] is None and texts["label"] is None:
        return _bad("value", "Send a `value`, a `label` or a `comment`.")
    value = _value(key, raw) if raw is not None else (None, None)
    if isinstance(value, Refusal):
        return value
    occurred = _occurred(body.get("occurred_at"), now)
    if isinstance(occurred, Refusal):
        return occurred
    return Rating(
        target=target,
        key=key,
        value=value[0],
        thumb=value[1],
        label=texts["label"],
        comment=texts["comment"],
        rater=texts["rater"],
        rater_kind=kind,
        feedback_id=texts["feedback_id"],
        occurred=occurred,
    )


def _texts(body: Mapping[str, object]) -> dict[str, str | None] | Refusal:
    texts: dict[str, str | None] = {}
    for name, most in (("label", 128), ("comment", MOST_COMMENT), ("rater", 256), ("feedback_id", 80)):
        text = body.get(name)
        if text is not None and (not isinstance(text, str) or not 1 <= len(text) <= most):
            return _bad(name, f"`{name}` must be text of 1 to {most} characters.")
        texts[name] = text
    feedback_id, label = texts["feedback_id"], texts["label"]
    if feedback_id is not None and not _ID.fullmatch(feedback_id):
        return _bad("feedback_id", "`feedback_id` may hold letters, digits and _ . : - only, like a UUID.")
    if label is not None and not _LABEL.fullmatch(label):
        # A label is a word from a list, not free text: free text goes to `comment`, which is masked.
        return _bad("label", "`label` must be one word of letters, digits, _ and -; write text in `comment`.")
    return texts


def _value(key: str, raw: object) -> tuple[str, int | None] | Refusal:
    if key == THUMBS:
        word = ("true" if raw else "false") if isinstance(raw, bool) else str(raw).strip().lower()
        if isinstance(raw, bool | int | str) and word in _UP:
            return "1", 1
        if isinstance(raw, bool | int | str) and word in _DOWN:
            return "0", 0
        return _bad("value", "`value` of `thumbs` must be up or down (also true or false, 1 or 0).")
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return _bad("value", f"`value` of `{key}` must be a number.")
    text = repr(raw)
    if not _NUMBER.fullmatch(text):
        return _bad("value", f"`value` of `{key}` must be a number of at most {_MOST_DIGITS} digits.")
    return text, None


def _occurred(raw: object, now: int) -> int | Refusal:
    if raw is None:
        return now
    # Whole seconds: more exact would only help to link a person to a moment.
    if isinstance(raw, bool) or not isinstance(raw, int):
        return _bad("occurred_at", "`occurred_at` must be whole seconds since 1970-01-01 UTC.")
    occurred = raw * 1_000_000_000
    if not now - _LATE_NS <= occurred <= now + 300_000_000_000:
        return _bad("occurred_at", "`occurred_at` must lie within the last 35 days.")
    return occurred


def _bad(param: str | None, message: str) -> Refusal:
    return Refusal(code=Code.INVALID_REQUEST, message=message, param=param, retry=False)
