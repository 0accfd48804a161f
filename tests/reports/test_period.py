"""Months of the organisation, as half-open instants, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reports.period import day_of, minute_of, month, month_of
from tests.people import NOW, TORONTO

ZONES = [TORONTO, "UTC", "Asia/Kolkata", "Pacific/Apia", "America/St_Johns", "Africa/Cairo"]


def utc(us):
    return f"{datetime.fromtimestamp(us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%S}"


def test_a_month_of_toronto_is_not_a_month_of_utc():
    """November starts in summer time and ends in winter time: an hour longer than thirty days."""
    november = month("2026-11", TORONTO)
    assert (utc(november.start_us), utc(november.end_us)) == ("2026-11-01T04:00:00", "2026-12-01T05:00:00")
    assert utc(month("2026-12", TORONTO).end_us) == "2027-01-01T05:00:00"


@pytest.mark.parametrize("zone", ZONES)
def test_months_leave_no_gap_and_no_overlap(zone):
    """Ten years, each month ends where the next begins."""
    names = [f"{year}-{number:02d}" for year in range(2020, 2030) for number in range(1, 13)]
    for one, two in pairwise(month(name, zone) for name in names):
        assert one.end_us == two.start_us


@given(st.integers(min_value=0, max_value=4_000_000_000), st.sampled_from(ZONES))
def test_an_instant_lies_in_its_own_month(second, zone):
    """`month_of` and `month` agree."""
    found = month(month_of(second * 10**9, zone), zone)
    assert found.start_us <= second * 10**6 < found.end_us


@pytest.mark.parametrize(
    "name", ["2026-13", "2026-00", "2026-1", "26-11", "2026-11-01", "", "november", "0000-01"]
)
def test_what_is_no_month_is_refused(name):
    """The message shows how to write one."""
    with pytest.raises(ValueError, match="2026-11"):
        month(name, TORONTO)


def test_instants_are_shown_in_local_time():
    """Finance reads its own clock."""
    assert minute_of(NOW, TORONTO) == "2026-11-23 14:00"
    assert day_of(NOW, "Pacific/Auckland") == "2026-11-24"
