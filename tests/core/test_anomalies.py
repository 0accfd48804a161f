"""Days that stand out: found where anybody would, seldom where nothing happened, explained to the nano."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.anomalies import FEWEST_DAYS, Usage, distance, judge, reasons

UNIT = 10**9
LEAST = 5 * UNIT
WEEK = (1.1, 1.2, 1.2, 1.1, 1.0, 0.4, 0.5)


def day(calls, per_call=1_000, price=1_000, model="mini"):
    tokens = round(calls) * per_call
    return {model: Usage(calls=round(calls), tokens=tokens, nano=tokens * price)}


def history(days=56, *, seed="a", noise=0.1):
    chance = random.Random(seed)  # noqa: S311 (made-up data)
    return [day(100_000 * WEEK[n % 7] * chance.lognormvariate(0, noise)) for n in range(days)]


def test_five_times_the_usual_stands_out_and_says_why() -> None:
    past = history()
    found = judge(past, day(5 * 110_000), least_nano=LEAST)
    assert found is not None
    assert found.far > 4
    assert found.reasons.calls == found.reasons.total > 0
    assert "550,000 calls instead of" in found.reasons.words


@pytest.mark.parametrize("cause", ["calls", "tokens", "price", "mix"])
def test_each_reason_is_named_when_it_alone_changed(cause) -> None:
    past = [day(110_000) for _ in range(56)]
    changed = {
        "calls": day(400_000),
        "tokens": day(110_000, per_call=4_000),
        "price": day(110_000, price=4_000),
        "mix": {"large": Usage(calls=110_000, tokens=110_000_000, nano=110_000_000 * 4_000)},
    }[cause]
    found = judge(past, changed, least_nano=LEAST)
    assert found is not None
    parts = {name: getattr(found.reasons, name) for name in ("calls", "tokens", "mix", "price")}
    assert {name for name, nano in parts.items() if nano} == {cause}


def test_a_day_that_fell_away_stands_out_too() -> None:
    found = judge([day(110_000) for _ in range(56)], {}, least_nano=LEAST)
    assert found is not None
    assert found.far < -4
    assert found.reasons.total < 0


def test_a_quiet_sunday_is_no_anomaly() -> None:
    """Measured against Sundays, not against days."""
    past = [day(100_000 * WEEK[n % 7]) for n in range(55)]  # the next one is a Saturday's follower
    assert judge(past, day(100_000 * WEEK[55 % 7]), least_nano=LEAST) is None
    assert judge(past, day(100_000 * 1.2), least_nano=LEAST) is not None


@pytest.mark.parametrize("days", [0, 5, FEWEST_DAYS - 1])
def test_too_few_days_judge_nothing(days) -> None:
    assert judge(history(days), day(10**7), least_nano=LEAST) is None


def test_small_amounts_are_no_anomalies() -> None:
    past = [day(1) for _ in range(56)]
    assert judge(past, day(1_000), least_nano=LEAST) is None


def test_ordinary_days_are_seldom_called_odd() -> None:
    """Fixed seed, 2,800 days of 30 % noise: at most 5 of 1,000."""
    alarms = 0
    for number in range(100):
        days = history(84, seed=f"alarm{number}", noise=0.3)
        alarms += sum(judge(days[:at], days[at], least_nano=LEAST) is not None for at in range(56, 84))
    assert alarms <= 0.005 * 2_800


def test_one_wild_day_neither_hides_the_next_nor_raises_the_bar() -> None:
    past = history()
    usual, far = distance([sum(one.nano for one in each.values()) for each in past], 10**15)
    past[-7] = day(10_000_000)
    again, still = distance([sum(one.nano for one in each.values()) for each in past], 10**15)
    assert still > 0.7 * far
    assert again == pytest.approx(usual, rel=0.1)


used = st.builds(
    Usage,
    calls=st.integers(min_value=0, max_value=10**6),
    tokens=st.integers(min_value=0, max_value=10**10),
    nano=st.integers(min_value=0, max_value=10**15),
)
days = st.dictionaries(st.sampled_from(["mini", "large", "embed"]), used)


@given(st.lists(days, min_size=1, max_size=9), days)
def test_the_reasons_sum_to_the_difference(usual, now) -> None:
    """To the nano, whatever is zero, new or gone."""
    found = reasons(usual, now)
    mean = sum(one.nano for each in usual for one in each.values())
    exact = sum(one.nano for one in now.values()) * len(usual) - mean
    assert abs(found.total * len(usual) - exact) <= len(usual) / 2
