"""When a budget's window begins and ends: calendar, rolling, one-off, and the minutes of rates.

All pure. A window is half-open (start ≤ t < end) in nanoseconds of UTC, and its id is its start
in RFC 3339, so that ids of one budget sort by time.

* **Calendar** windows are local periods of an IANA zone: days of 23 or 25 hours around clock
  changes, months of 28 to 31 days, with no gap and no overlap.
* A **rolling** budget (``last: 24h``) is kept in :data:`PARTS` parts of equal length. What may be
  spent is what the current part and the :data:`PARTS` before it leave, which is one part more
  than the length: every interval of that length lies within such a run, so the limit holds for
  *every* interval, and a run is at most 1/24 longer than it had to be.
* A **one-off** budget has one window, from the first local midnight to the last one.
* **Rates** are kept per minute of UTC; calls at once in one window without end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

CALENDAR = ("day", "week", "month", "quarter", "year")
ROLLING = "last"
ONCE = "once"
MINUTE = "minute"
NOW = "now"
"""The words of :attr:`~gateway.core.snapshot.BudgetLimit.per`. ``now`` is calls at once."""

PARTS = 24
"""Into how many parts the length of a rolling budget is cut."""

NEVER = 2**62
"""The end of a window without end."""

SECOND = 1_000_000_000
_QUARTER_HOUR = 900 * SECOND
_MINUTE = 60 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window of a budget: ``start`` ≤ t < ``end``, and its id."""

    id: str
    start: int
    end: int


def windows(per: str, timezone: str, at: int) -> tuple[int, int]:
    """Return the half-open calendar window (start, end) that holds the instant, in ns.

    Windows are local calendar periods of the IANA zone (``day``, ``week`` from
    Monday, ``month``, ``quarter``, ``year``), so days have 23 or 25 hours around
    clock changes, with no gap and no overlap. Raises ValueError on another ``per``
    and ZoneInfoNotFoundError on an unknown zone.
    """
    found = calendar(per, timezone, at)
    return found.start, found.end


def rfc3339(at: int) -> str:
    """Return an instant as RFC 3339 UTC, to the second."""
    return datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=4_096)
def instant(text: str) -> int:
    """Return the instant (ns) of a window's id. Raises ValueError on other text."""
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()) * SECOND


def calendar(per: str, timezone: str, at: int) -> Window:
    """Return the calendar window that holds the instant; see :func:`windows`."""
    found = _of_quarter(per, timezone, at // _QUARTER_HOUR)
    if found.start <= at < found.end:
        return found
    # Zones whose offsets were not whole quarter hours (before 1972).
    return _calendar(per, timezone, at)


def rolling(length: int, at: int) -> Window:
    """Return the part of a rolling budget of ``length`` ns that holds the instant."""
    part = length // PARTS
    start = at - at % part
    return Window(id=rfc3339(start), start=start, end=start + part)


def once(opens: int, closes: int) -> Window:
    """Return the window of a one-off budget."""
    return Window(id=rfc3339(opens), start=opens, end=closes)


def minute(at: int) -> Window:
    """Return the minute of UTC that holds the instant."""
    start = at - at % _MINUTE
    return Window(id=rfc3339(start), start=start, end=start + _MINUTE)


ENDLESS = Window(id=NOW, start=0, end=NEVER)
"""The window of what is counted while it lasts: calls at once."""


def whole_between(per: str, timezone: str, earlier: int, later: int) -> int:
    """Return how many whole calendar windows lie between two window starts, neither included."""
    count, start = -1, earlier
    while start < later:
        start = calendar(per, timezone, start).end
        count += 1
    return max(0, count)


def first_instant(day: date, timezone: str) -> int:
    """Return the instant (ns) at which a local day begins."""
    return _instant(datetime.combine(day, time.min), ZoneInfo(timezone))


@lru_cache(maxsize=256)
def _of_quarter(per: str, timezone: str, quarter: int) -> Window:
    return _calendar(per, timezone, quarter * _QUARTER_HOUR)


def _calendar(per: str, timezone: str, at: int) -> Window:
    zone = ZoneInfo(timezone)
    day = datetime.fromtimestamp(at // SECOND, zone).replace(tzinfo=None)
    day = day.replace(hour=0, minute=0, second=0, microsecond=0)
    match per:
        case "day":
            first, last = day, day + timedelta(days=1)
        case "week":
            first = day - timedelta(days=day.weekday())
            last = first + timedelta(days=7)
        case "month":
            first = day.replace(day=1)
            last = _months_on(first, 1)
        case "quarter":
            first = day.replace(month=3 * ((day.month - 1) // 3) + 1, day=1)
            last = _months_on(first, 3)
        case "year":
            first = day.replace(month=1, day=1)
            last = _months_on(first, 12)
        case _:
            raise ValueError(f"unknown window `{per}`: use {', '.join(CALENDAR[:-1])} or {CALENDAR[-1]}")
    start, end = _instant(first, zone), _instant(last, zone)
    if at < start:
        # Clocks that jumped over midnight (23:30 to 00:30): the moments before the
        # reading of midnight still belong to the window before.
        return _calendar(per, timezone, start - _QUARTER_HOUR - (start - at))
    return Window(id=rfc3339(start), start=start, end=end)


def _months_on(first: datetime, months: int) -> datetime:
    month = first.month - 1 + months
    return first.replace(year=first.year + month // 12, month=month % 12 + 1)


def _instant(midnight: datetime, zone: ZoneInfo) -> int:
    """Return the first instant of a local day.

    ``fold=0``: a midnight that exists twice means its first time; one that does not
    exist is read with the offset before, which is the change of clocks itself.
    """
    return int(midnight.replace(tzinfo=zone, fold=0).timestamp()) * SECOND
