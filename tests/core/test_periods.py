"""Where a row is booked: in its month while that is open, in the first open one afterwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.periods import Frontier, bookable, bounds, following, late_in, preceding, status

OCTOBER = Frontier(period="2026-10", end_us=1000)


@given(st.integers(1970, 9998), st.integers(1, 12))
def test_months_follow_each_other(year: int, month: int) -> None:
    """The next one's previous one is the same; names sort by time."""
    name = f"{year:04d}-{month:02d}"
    assert preceding(following(name)) == name
    assert preceding(name) < name < following(name)


def test_the_year_turns() -> None:
    """December and January."""
    assert following("2026-12") == "2027-01"
    assert preceding("2027-01") == "2026-12"


def test_what_starts_before_the_frontier_and_comes_after_it_is_late() -> None:
    """The first instant of the open month is in time."""
    assert late_in(999, OCTOBER) == "2026-11"
    assert late_in(1000, OCTOBER) is None
    assert late_in(0, None) is None


def test_an_entry_about_a_closed_month_is_booked_in_the_open_one() -> None:
    """However long ago the month was closed."""
    assert bookable("2026-10", OCTOBER) == "2026-11"
    assert bookable("2025-01", OCTOBER) == "2026-11"
    assert bookable("2026-12", OCTOBER) == "2026-12"
    assert bookable("2025-01", None) == "2025-01"


@pytest.mark.parametrize("moved", [-300, 0, 300])
def test_no_instant_is_lost_when_the_time_zone_moves(moved: int) -> None:
    """The month after a closed one begins where that ended, whatever the calendar says now."""
    calendar = (1000 + moved, 5000 + moved)
    assert bounds("2026-11", calendar, OCTOBER) == (1000, 5000 + moved)
    assert bounds("2026-12", calendar, OCTOBER) == calendar
    assert bounds("2026-11", calendar, None) == calendar


def test_the_states_of_a_month() -> None:
    """Open while it runs, preliminary until closed, restated from the second statement on."""
    assert status(versions=0, closed=False, end_us=10, now_us=9) == "open"
    assert status(versions=0, closed=False, end_us=10, now_us=10) == "preliminary"
    assert status(versions=1, closed=True, end_us=10, now_us=11) == "closed"
    assert status(versions=2, closed=True, end_us=10, now_us=11) == "restated"
