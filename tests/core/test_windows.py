"""Windows: no gap, no overlap, whatever clocks do; rolling parts that bound every interval."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.windows import ENDLESS as ENDLESS_WINDOW
from gateway.core.windows import (
    NEVER,
    PARTS,
    calendar,
    first_instant,
    instant,
    minute,
    once,
    rfc3339,
    rolling,
    whole_between,
    windows,
)
from tests.core.maple import NOW, at

HOUR = 3600 * 10**9
ZONES = [
    "America/Toronto",
    "Europe/Berlin",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "America/Havana",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "UTC",
]
PERS = ["day", "week", "month", "quarter", "year"]


@given(
    st.sampled_from(ZONES),
    st.sampled_from(PERS),
    st.integers(at("1975-01-01") // 10**9, at("2040-01-01") // 10**9),
)
def test_windows_tile_time(zone: str, per: str, second: int) -> None:
    """Each instant is in one window, and the next begins where it ends: no gap, no overlap."""
    instant = second * 10**9
    start, end = windows(per, zone, instant)
    assert start <= instant < end
    assert windows(per, zone, start) == (start, end)
    assert windows(per, zone, end - 1) == (start, end)
    assert windows(per, zone, end)[0] == end


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00:00", 25),
        ("America/Toronto", "2026-11-01T12:00:00", 25),
        ("America/Sao_Paulo", "2018-11-04T12:00:00", 23),  # midnight does not exist
        ("America/Havana", "2026-11-01T12:00:00", 25),  # midnight exists twice
        ("Asia/Kolkata", "2026-02-28T12:00:00", 24),
    ],
)
def test_days_around_clock_changes(zone: str, day: str, hours: int) -> None:
    """A local day has 23 or 25 hours where clocks change."""
    start, end = windows("day", zone, at(day))
    assert end - start == hours * HOUR


@pytest.mark.parametrize(
    ("per", "instant", "start", "end"),
    [
        ("month", "2024-02-29T12:00:00", "2024-02-01T05:00:00", "2024-03-01T05:00:00"),
        ("month", "2026-11-23T14:00:00", "2026-11-01T04:00:00", "2026-12-01T05:00:00"),
        ("quarter", "2026-11-23T14:00:00", "2026-10-01T04:00:00", "2027-01-01T05:00:00"),
        ("year", "2026-11-23T14:00:00", "2026-01-01T05:00:00", "2027-01-01T05:00:00"),
        ("week", "2026-11-23T14:00:00", "2026-11-23T05:00:00", "2026-11-30T05:00:00"),
        ("month", "2026-12-01T04:59:59", "2026-11-01T04:00:00", "2026-12-01T05:00:00"),
    ],
)
def test_windows_by_hand(per: str, instant: str, start: str, end: str) -> None:
    """Toronto's calendar, by hand, a leap day and the last second of a month included."""
    assert windows(per, "America/Toronto", at(instant)) == (at(start), at(end))


def test_an_unknown_window_is_an_error() -> None:
    """A typo in ``per`` is not taken for some window."""
    with pytest.raises(ValueError, match="fortnight"):
        windows("fortnight", "UTC", NOW)


@given(
    st.sampled_from(["Europe/Berlin", "Asia/Kolkata", "America/Sao_Paulo", "Australia/Lord_Howe"]),
    st.sampled_from(PERS),
    st.integers(1980, 2038),
    st.integers(1, 12),
)
def test_windows_begin_at_local_midnight(zone: str, per: str, year: int, month: int) -> None:
    """A window begins where its local day begins: half hours, leap days and month ends included."""
    middle = at(f"{year}-{month:02}-27T12:00:00")
    start, _ = windows(per, zone, middle)
    local = datetime.fromtimestamp(start // 10**9, ZoneInfo(zone))
    before = datetime.fromtimestamp(start // 10**9 - 1, ZoneInfo(zone))
    assert (local.hour, local.minute) in {(0, 0), (1, 0), (0, 30)}  # midnight, or the clock change at it
    assert before.date() < local.date()


@pytest.mark.parametrize(
    ("zone", "month", "days", "hours"),
    [
        ("Europe/Berlin", "2026-03", 31, 31 * 24 - 1),
        ("Europe/Berlin", "2026-10", 31, 31 * 24 + 1),
        ("Asia/Kolkata", "2024-02", 29, 29 * 24),
        ("Asia/Kolkata", "2100-02", 28, 28 * 24),
        ("Australia/Lord_Howe", "2026-10", 31, 31 * 24 - 0.5),  # half an hour forward
        ("Australia/Lord_Howe", "2026-04", 30, 30 * 24 + 0.5),
        ("America/Sao_Paulo", "2018-11", 30, 30 * 24 - 1),
    ],
)
def test_months_are_as_long_as_their_days(zone: str, month: str, days: int, hours: float) -> None:
    """The days of a month tile it, 23, 23.5, 24.5 or 25 hours long as they may be."""
    start, end = windows("month", zone, at(f"{month}-15T12:00:00"))
    assert end - start == hours * HOUR
    seen, count = start, 0
    while seen < end:
        first, seen = windows("day", zone, seen)
        assert windows("day", zone, first)[0] == first
        count += 1
    assert (seen, count) == (end, days)


@given(st.sampled_from(ZONES), st.sampled_from(PERS), st.integers(0, 60), st.integers(10**9, 2 * 10**9))
def test_whole_windows_between_two(zone: str, per: str, steps: int, second: int) -> None:
    """Counting windows is walking them."""
    start = calendar(per, zone, second * 10**9).start
    later = start
    for _ in range(steps):
        later = calendar(per, zone, later).end
    assert whole_between(per, zone, start, later) == max(0, steps - 1)


@given(st.integers(0, 2 * 10**18))
def test_ids_are_their_starts(moment: int) -> None:
    """An id names an instant to the second, and sorts by time."""
    whole = moment - moment % 10**9
    assert instant(rfc3339(whole)) == whole
    assert rfc3339(whole) < rfc3339(whole + 10**9)


LENGTHS = st.sampled_from([1, 2, 24, 7 * 24, 30 * 24, 366 * 24]).map(lambda hours: hours * HOUR)


@given(LENGTHS, st.integers(0, 2 * 10**18), st.integers(0, 10**18))
def test_every_interval_lies_in_a_run_of_parts(length: int, start: int, offset: int) -> None:
    """Whatever is spent within one length of time lies in the last part and the 24 before it."""
    late = start + offset % length  # within [start, start + length)
    first, last = rolling(length, start), rolling(length, late)
    part = length // PARTS
    assert first.end - first.start == part
    assert first.start <= start < first.end
    assert 0 <= (last.start - first.start) // part <= PARTS


@given(LENGTHS, st.integers(0, 2 * 10**18))
def test_parts_follow_each_other(length: int, moment: int) -> None:
    """No gap, no overlap, and ids to the whole second."""
    found = rolling(length, moment)
    assert rolling(length, found.end).start == found.end
    assert instant(found.id) == found.start


def test_a_minute_a_time_once_and_what_never_ends() -> None:
    """Rates are kept per minute of UTC; calls at once in one window; a one-off budget has one."""
    found = minute(at("2026-11-23T14:00:59") + 5)
    assert (found.id, found.end - found.start) == ("2026-11-23T14:00:00Z", 60 * 10**9)
    opens, closes = (first_instant(date(2026, 11, day), "America/Toronto") for day in (1, 2))
    assert (opens, closes) == (at("2026-11-01T04:00:00"), at("2026-11-02T05:00:00"))  # 25 hours
    assert once(opens, closes).id == "2026-11-01T04:00:00Z"
    assert ENDLESS_WINDOW.end == NEVER
