"""Capacity that is paid by time, not by use: what a stretch of it costs, and who bears that.

An Azure Provisioned deployment, a single-tenant vault or a rented GPU costs the same
whether it is used or not; its calls are free. The amount of each closed window is split
over those who used it, by weighted tokens or by requests; where the capacity is declared,
what nobody used is a share of its own. INVARIANT: shares add up to the amount, the
windows of a month to the month, to the last nano-unit (largest remainder).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

_SECOND = 1_000_000_000
_HOUR = 3_600 * _SECOND
BILLION = 1_000_000_000
_TOGETHER = 10**12  # weights are compared as whole numbers of this part

IDLE = ("", "", None)
"""The user of what nobody used: no team, no app, no cost centre."""

User = tuple[str, str, str | None]
"""Who used it: team, app, cost centre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """What a reservation costs and how it is split.

    ``nano`` is the price of all ``units`` together per ``per`` (hour or month), in the
    currency of the price. ``capacity`` is what it can serve in an hour, in weighted tokens
    or requests; None: unknown, and then only a window without any use is idle.
    """

    nano: int
    per: str  # hour | month
    split: str  # tokens | requests
    weights: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])  # bucket → weight, else 1
    capacity: Decimal | None = None
    window: str = "day"  # hour | day | month: how finely it is split
    unit: str = ""  # what is reserved: PTU, GPU, cluster …
    units: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What one user used in a window. ``buckets`` are tokens by bucket."""

    user: User
    requests: int
    buckets: Mapping[str, int]

    @property
    def tokens(self) -> int:
        """All tokens; reasoning is a sub-count of output."""
        return sum(count for bucket, count in self.buckets.items() if bucket != "reasoning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one user bears of a window. ``ratio_ppb`` in parts per billion of the amount."""

    user: User
    nano: int
    spend_nano: int
    ratio_ppb: int
    tokens: int


# --------------------------------------------------------------------- amounts


def amount(reserved: Reserved, start: int, end: int, *, valid_from: int, timezone: str) -> int:
    """Return what the half-open stretch costs, in nano-units.

    Rounded as a difference of running totals, so that any windows that fill a month
    add up to the month exactly. Months are calendar months of the zone; one that is
    reserved in part is paid in part.
    """
    return _total(reserved, end, valid_from, timezone) - _total(reserved, start, valid_from, timezone)


def _total(reserved: Reserved, at: int, valid_from: int, timezone: str) -> int:
    """Return what was paid from the start of the reservation to the instant."""
    if at <= valid_from:
        return 0
    if reserved.per == "hour":
        return reserved.nano * (at - valid_from) // _HOUR
    paid = Fraction(0)
    cursor = valid_from
    while cursor < at:
        first, last = window("month", timezone, cursor)
        paid += Fraction(reserved.nano * (min(at, last) - cursor), last - first)
        cursor = last
    return int(paid)


def window(per: str, timezone: str, at: int) -> tuple[int, int]:
    """Return the half-open hour, day or month of the zone that holds the instant, in ns."""
    if per == "hour":
        start = at - at % _HOUR
        return start, start + _HOUR
    zone = ZoneInfo(timezone)
    day = datetime.fromtimestamp(at // _SECOND, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if per == "day":
        return _instant(day, zone), _instant(day + timedelta(days=1), zone)
    first = day.replace(day=1)
    return _instant(first, zone), _instant((first + timedelta(days=32)).replace(day=1), zone)


def _instant(midnight: datetime, zone: ZoneInfo) -> int:
    return int(midnight.replace(tzinfo=zone, fold=0).timestamp()) * _SECOND


def windows(
    reserved: Reserved, *, valid_from: int, valid_to: int | None, timezone: str, since: int, closed: int
) -> Iterable[tuple[int, int]]:
    """Yield the windows that ended by ``closed`` and begin at ``since`` or later, oldest first.

    The first and the last are cut to the validity of the price.
    """
    end = closed if valid_to is None else min(closed, valid_to)
    cursor = max(valid_from, since)
    while cursor < end:
        start, until = window(reserved.window, timezone, cursor)
        if valid_to is not None:
            until = min(until, valid_to)
        if until > closed:
            return
        if start >= since or start < valid_from:
            yield max(start, valid_from), until
        cursor = until


# ---------------------------------------------------------------------- shares


def shares(
    reserved: Reserved, uses: Sequence[Use], *, start: int, end: int, nano: int, spend_nano: int
) -> list[Share]:
    """Split the amount of a window; idle capacity comes first and is always there, also as zero.

    ``spend_nano`` is the same amount in the organisation's currency. Without use all of it
    is idle. More was used than declared as capacity: nothing is idle.
    """
    ordered = sorted(uses, key=lambda use: (use.user[0], use.user[1], use.user[2] or ""))
    weights = [_weight(reserved, use) for use in ordered]
    used = sum(weights, Decimal(0))
    spare = Decimal(0)
    if reserved.capacity is not None:
        hours = Decimal(end - start) / _HOUR
        spare = max(Decimal(0), reserved.capacity * hours - used)
    if used == 0:
        spare = Decimal(1)
    parts = [int(weight * _TOGETHER) for weight in (spare, *weights)]
    users = [(IDLE, 0), *((use.user, use.tokens) for use in ordered)]
    nanos, spends, ratios = (split(total, parts) for total in (nano, spend_nano, BILLION))
    return [
        Share(user=user, nano=part, spend_nano=spend, ratio_ppb=ratio, tokens=tokens)
        for (user, tokens), part, spend, ratio in zip(users, nanos, spends, ratios, strict=True)
    ]


def _weight(reserved: Reserved, use: Use) -> Decimal:
    if reserved.split == "requests":
        return Decimal(use.requests)
    one = Decimal(1)
    # Reasoning is part of the output; it weighs apart only where it has a weight of its own.
    apart = use.buckets.get("reasoning", 0) if "reasoning" in reserved.weights else 0
    total = apart * reserved.weights.get("reasoning", one)
    for bucket, count in use.buckets.items():
        if bucket != "reasoning":
            own = count - apart if bucket == "output" else count
            total += own * reserved.weights.get(bucket, one)
    return total


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Split a whole number by weights with the largest remainder; ties go to the earlier one.

    The parts add up to ``total``; none is negative. Weights that are all zero: the first bears it.
    """
    whole = sum(weights)
    if whole == 0:
        return [total, *([0] * (len(weights) - 1))]
    parts = [total * weight // whole for weight in weights]
    rests = [total * weight % whole for weight in weights]
    for index in sorted(range(len(weights)), key=lambda i: (-rests[i], i))[: total - sum(parts)]:
        parts[index] += 1
    return parts


# ----------------------------------------------------------------------- names


def origin(price_id: str, start: int) -> str:
    """Return the name of the charge of one window, of which the entries are shares."""
    return f"reserved:{price_id}:{datetime.fromtimestamp(start // _SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"


def entry_id(charged: str, user: User) -> str:
    """Return the id of one user's share: booking it twice books it once."""
    team, app, centre = user
    return f"{charged}:{team}:{app}:{centre or ''}"
