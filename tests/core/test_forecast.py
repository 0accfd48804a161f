"""The forecast: exact where nothing varies, honest where much does, silent where little is known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.forecast import FEWEST_DAYS, Forecast, NotEnough, month_end, student, weekday_factors

WEEK = (120, 120, 130, 120, 110, 40, 50)
UNIT = 10**9


def weeks(days, *, start=0):
    return [WEEK[(start + day) % 7] * UNIT for day in range(days)]


@pytest.mark.parametrize("start", range(7))
def test_a_week_that_repeats_is_forecast_to_its_end(start) -> None:
    """No noise: the point is the truth, on whatever weekday the history begins."""
    past = weeks(56, start=start)
    ahead = [WEEK[(start + 56 + day) % 7] * UNIT for day in range(21)]
    found = month_end(past, weekday=start, spent=1_000 * UNIT, today=0, days_left=20)
    assert isinstance(found, Forecast)
    truth = 1_000 * UNIT + sum(ahead)
    # Factors are drawn a little towards one: a few percent of a day, not of a month.
    assert abs(found.point - truth) < 0.03 * sum(ahead)
    assert found.low_95 <= found.low_80 <= found.point <= found.high_80 <= found.high_95


@pytest.mark.parametrize("days", [0, 1, FEWEST_DAYS - 1])
def test_too_few_days_are_never_a_number(days) -> None:
    """Also where a long silence stands before them: days before the first spend do not count."""
    for silence in (0, 100):
        found = month_end([0] * silence + weeks(days), weekday=0, spent=0, today=5, days_left=9)
        assert found == NotEnough(days=days, needed=FEWEST_DAYS)


def test_what_is_spent_is_never_forecast_away() -> None:
    found = month_end(weeks(56), weekday=0, spent=10**15, today=10**14, days_left=0)
    assert isinstance(found, Forecast)
    assert found.low_95 >= 10**15 + 10**14


@given(
    st.lists(st.integers(min_value=0, max_value=10**13), min_size=FEWEST_DAYS, max_size=90),
    st.integers(min_value=0, max_value=6),
    st.integers(min_value=0, max_value=10**14),
    st.integers(min_value=0, max_value=10**12),
    st.integers(min_value=0, max_value=30),
)
def test_whatever_the_days_were_the_ranges_nest(past, weekday, spent, today, left) -> None:
    found = month_end(past, weekday=weekday, spent=spent, today=today, days_left=left)
    if isinstance(found, NotEnough):
        assert found.days < FEWEST_DAYS
        return
    assert spent + today <= found.low_95 <= found.low_80 <= found.point <= found.high_80 <= found.high_95
    assert isinstance(found.point, int)


def test_the_ranges_hold_as_often_as_they_say() -> None:
    """400 months of ordinary noise, fixed seed: at least 80 and 95 of 100, and not nearly always."""
    chance = random.Random("coverage")  # noqa: S311 (made-up data)
    held_80 = held_95 = 0
    for _ in range(400):
        days = [round(100 * w * UNIT * chance.lognormvariate(0, 0.3)) for w in WEEK * 13][:86]
        found = month_end(days[:65], weekday=0, spent=sum(days[56:65]), today=0, days_left=20)
        assert isinstance(found, Forecast)
        truth = sum(days[56:86])
        held_80 += found.low_80 <= truth <= found.high_80
        held_95 += found.low_95 <= truth <= found.high_95
    assert 0.80 * 400 <= held_80 <= 0.94 * 400
    assert held_95 >= 0.95 * 400


def test_what_keeps_rising_is_carried_on() -> None:
    """Smoothing alone lags behind a rise; the forecast does not."""
    past = [(100 + 2 * day) * UNIT for day in range(56)]
    found = month_end(past, weekday=0, spent=0, today=0, days_left=9)
    assert isinstance(found, Forecast)
    truth = sum((100 + 2 * day) * UNIT for day in range(56, 66))
    assert abs(found.point - truth) < 0.03 * truth


def test_factors_average_one_and_are_never_nothing() -> None:
    factors = weekday_factors([10.0, 10.0, 10.0, 10.0, 10.0, 0.0, 0.0] * 8, 0)
    assert sum(factors) == pytest.approx(7)
    assert min(factors) > 0
    assert weekday_factors([0.0] * 20, 3) == [1.0] * 7


@pytest.mark.parametrize(
    ("share", "freedom", "exact"),
    [(0.80, 4, 1.5332), (0.95, 4, 2.7764), (0.80, 10, 1.3722), (0.95, 10, 2.2281), (0.95, 39, 2.0227)],
)
def test_students_t_is_the_tables(share, freedom, exact) -> None:
    assert student(share, freedom) == pytest.approx(exact, rel=0.004)
