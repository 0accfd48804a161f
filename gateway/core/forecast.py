"""Where a month will end, with a range: simple exponential smoothing with weekday factors.

The method, stated so that finance can follow it: each weekday's factor is its share of an average
day over the last eight weeks, drawn towards one where there are few such days; the level is an
exponentially weighted mean of the days freed of their factors, its weight chosen by the smallest
one-day error. The range follows from the method's own one-day errors, carried over the days that
are left (an error of the level stays in every later day), and from how well the factors are known. Where
the weeks rose or fell nearly one by one, a robust line takes the level's place for two weeks more.

Estimates are floats in here and whole nano-units outside; no amount that is booked passes through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, median
from typing import Final

FEWEST_DAYS: Final = 14
"""Below so many whole days nothing is forecast: the answer is "insufficient data", never a number."""

WINDOW_DAYS: Final = 56
_WEIGHTS: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
_DRAWN: Final = 1.0
"""Days at the average that each weekday is taken to have had besides its own."""

_DRIFT_DAYS: Final = 14
"""A rise is carried on for so many days, then the level stays: what rises does not rise for ever."""

_USED_UP: Final = 3
"""Degrees of freedom that the level, its weight and the factors use up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The end of a period in nano-units: the point, and ranges that hold it 80 and 95 times of 100."""

    point: int
    low_80: int
    high_80: int
    low_95: int
    high_95: int
    days: int  # whole days that it rests on
    weight: float  # of the newest day in the level


@dataclass(frozen=True, slots=True, kw_only=True)
class NotEnough:
    """Insufficient data: ``days`` whole days are there, ``needed`` would be."""

    days: int
    needed: int = FEWEST_DAYS


def month_end(
    past: Sequence[int], *, weekday: int, spent: int, today: int, days_left: int
) -> Forecast | NotEnough:
    """Forecast what a period will have cost at its end.

    ``past``: spend of whole days up to yesterday, oldest first, the first one on ``weekday`` (0 is
    Monday). ``spent``: of the period before today; ``today``: so far. ``days_left``: after today.
    """
    first = next((number for number, day in enumerate(past) if day), len(past))
    known = past[max(first, len(past) - WINDOW_DAYS) :]
    start = (weekday + len(past) - len(known)) % 7
    if len(known) < FEWEST_DAYS:
        return NotEnough(days=len(known))
    days = [float(day) for day in known]
    factors = weekday_factors(days, start)
    plain = [day / factors[(start + number) % 7] for number, day in enumerate(days)]
    weight = min(_WEIGHTS, key=lambda one: _squares(plain, one))
    errors, level = _smoothed(plain, weight)
    ahead = [(start + len(days) + step) % 7 for step in range(days_left + 1)]
    drift = _drift(plain)
    level, rise = drift or (level, 0.0)
    levels = [max(0.0, level + rise * min(step + 1, _DRIFT_DAYS)) for step in range(days_left + 1)]
    expected = [each * factors[day] for each, day in zip(levels, ahead, strict=True)]
    # Of today no less is expected than what is spent already.
    rest = max(float(today), expected[0]) + sum(expected[1:])
    scored = errors[len(errors) // 4 :]
    freedom = max(4, len(scored) - _USED_UP)
    variance = sum(error * error for error in scored) / freedom
    spread = sqrt(
        variance * _carried([factors[day] for day in ahead], weight)
        + _factors_unknown(ahead, days, start, variance)
    )
    floor = spent + today

    def at(share: float) -> tuple[int, int]:
        reach = student(share, freedom) * spread
        return max(floor, round(spent + rest - reach)), max(floor, round(spent + rest + reach))

    (low_80, high_80), (low_95, high_95) = at(0.80), at(0.95)
    return Forecast(
        point=max(floor, round(spent + rest)),
        low_80=low_80,
        high_80=high_80,
        low_95=low_95,
        high_95=high_95,
        days=len(known),
        weight=weight,
    )


def weekday_factors(days: Sequence[float], weekday: int) -> list[float]:
    """Return each weekday's share of an average day, 1 on average; never less than a twentieth."""
    mean = sum(days) / len(days)
    if mean <= 0:
        return [1.0] * 7
    factors: list[float] = []
    for day in range(7):
        own = [value for number, value in enumerate(days) if (weekday + number) % 7 == day]
        factors.append(max(0.05, (sum(own) + _DRAWN * mean) / ((len(own) + _DRAWN) * mean)))
    average = sum(factors) / 7
    return [factor / average for factor in factors]


def _smoothed(plain: Sequence[float], weight: float) -> tuple[list[float], float]:
    """Return the one-day errors and the last level. The level begins at the mean of the first week."""
    level = sum(plain[:7]) / len(plain[:7])
    errors: list[float] = []
    for value in plain:
        error = value - level
        errors.append(error)
        level += weight * error
    return errors, level


def _drift(plain: Sequence[float]) -> tuple[float, float] | None:
    """Return today's level and what a day adds to it, where the weeks rose, or fell, nearly one by one.

    Theil-Sen's line through the weekly means, where Kendall's test puts chance below one in
    twenty: smoothing lags behind what keeps rising. None otherwise.
    """
    weeks = [sum(plain[at - 7 : at]) / 7 for at in range(len(plain), 6, -7)][::-1]
    pairs = [(i, j) for i in range(len(weeks)) for j in range(i + 1, len(weeks))]
    rises = sum((weeks[j] > weeks[i]) - (weeks[j] < weeks[i]) for i, j in pairs)
    n = len(weeks)
    if n < 5 or abs(rises) <= 1.96 * sqrt(n * (n - 1) * (2 * n + 5) / 18):
        return None
    slope = median((weeks[j] - weeks[i]) / (7 * (j - i)) for i, j in pairs)
    last = median(week + slope * 7 * (n - 1 - number) for number, week in enumerate(weeks))
    return last + 3 * slope, slope  # a week's mean is its middle's


def _squares(plain: Sequence[float], weight: float) -> float:
    errors, _ = _smoothed(plain, weight)
    return sum(error * error for error in errors[7:])


def _carried(factors: Sequence[float], weight: float) -> float:
    """Return the variance of the sum of days ahead, in one-day errors: each stays in the level after it."""
    total = 0.0
    after = 0.0
    for factor in reversed(factors):
        total += (factor + weight * after) ** 2
        after += factor
    return total


def _factors_unknown(ahead: Sequence[int], days: Sequence[float], start: int, variance: float) -> float:
    """Return what the weekday factors add to the variance: each is a mean over the days it was seen on."""
    seen = [0] * 7
    for number in range(len(days)):
        seen[(start + number) % 7] += 1
    counts = [ahead.count(day) for day in range(7)]
    return sum(variance * count * count / (seen[day] + _DRAWN) for day, count in enumerate(counts))


def student(share: float, freedom: int) -> float:
    """Return how far a range of this share reaches, in standard deviations: Student's t.

    By Hill's expansion around the normal; within 0.3 % from four degrees of freedom on.
    """
    z = NormalDist().inv_cdf(0.5 + share / 2)
    n = float(freedom)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3
