"""Calendar months in the organisation's time zone, as half-open instants in UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from gateway.core.budget import windows

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month: ``start_us`` ≤ t < ``end_us``, microseconds since the Unix epoch, UTC."""

    name: str  # 2026-11
    timezone: str
    start_us: int
    end_us: int


def month(name: str, timezone: str) -> Month:
    """Return a month such as ``2026-11`` in an IANA time zone. Raises ValueError on another form."""
    found = _MONTH.fullmatch(name)
    if found is None or not 1969 <= int(found[1]) <= 9998:
        raise ValueError(f"`{name}` is no month; write it like 2026-11")
    middle = datetime(int(found[1]), int(found[2]), 15, 12, tzinfo=UTC)
    # The same windows as the budgets', so that a month of spend is a month of budget.
    start, end = windows("month", timezone, int(middle.timestamp()) * 1_000_000_000)
    return Month(name=name, timezone=timezone, start_us=start // 1000, end_us=end // 1000)


def month_of(now: int, timezone: str) -> str:
    """Return the month, such as ``2026-11``, in which an instant (nanoseconds) lies."""
    return f"{_local(now, timezone):%Y-%m}"


def minute_of(now: int, timezone: str) -> str:
    """Return an instant (nanoseconds) as local date and minute: ``2026-11-23 14:00``."""
    return f"{_local(now, timezone):%Y-%m-%d %H:%M}"


def day_of(now: int, timezone: str) -> str:
    """Return an instant (nanoseconds) as a local date: ``2026-11-01``."""
    return f"{_local(now, timezone):%Y-%m-%d}"


def _local(now: int, timezone: str) -> datetime:
    return datetime.fromtimestamp(now // 1_000_000_000, tz=ZoneInfo(timezone))
