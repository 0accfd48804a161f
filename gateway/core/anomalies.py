"""Days on which somebody spent unlike themselves, and why.

The yardstick is robust: the median of the same weekday, and the median absolute deviation of all
days from theirs, so that one wild day neither hides the next nor raises the bar. A day stands out
when it is far out by that measure, and by an amount and a share that anybody would call large.

Why is said exactly: the difference from a usual day is split into calls, tokens per call, mix of
models and price, one after the other, so that the parts sum to it to the nano-unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import log
from statistics import median
from typing import Final

FEWEST_DAYS: Final = 21
"""Below so many whole days before it a day is not judged."""

WINDOW_DAYS: Final = 56
FAR: Final = 4.0
"""Robust standard deviations from the usual."""

LEAST_SHARE: Final = 0.5
"""Of the usual day, that the difference is at least."""

_NORMAL: Final = 1.4826  # of the median absolute deviation, for normal data: its standard deviation
_LEAST_SCALE: Final = 0.05
"""A series that never moves would call a cent far; no day counts as closer than a twentieth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one day held of one model: whole numbers, amounts in nano-units."""

    calls: int = 0
    tokens: int = 0
    nano: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Add another one."""
        return Usage(
            calls=self.calls + other.calls, tokens=self.tokens + other.tokens, nano=self.nano + other.nano
        )


Day = Mapping[str, Usage]
"""One day by model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """A difference from the usual, split. The four sum to it; the words are for people."""

    calls: int
    tokens: int
    mix: int
    price: int
    words: str

    @property
    def total(self) -> int:
        """The whole difference."""
        return self.calls + self.tokens + self.mix + self.price


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """A day that stands out. ``usual`` is the median of its weekday; ``far`` in robust deviations."""

    nano: int
    usual: int
    far: float
    reasons: Reasons


def judge(past: Sequence[Day], day: Day, *, least_nano: int) -> Anomaly | None:
    """Return why a day stands out against the days before it, or None: it does not, or too few are known.

    ``past``: the days before, oldest first, without gaps. ``least_nano``: a difference that anybody
    would call too small to look at.
    """
    known = past[-WINDOW_DAYS:]
    if len(known) < FEWEST_DAYS:
        return None
    sums = [_nano(one) for one in known]
    nano = _nano(day)
    usual, far = distance(sums, nano)
    if abs(far) < FAR or abs(nano - usual) < max(least_nano, LEAST_SHARE * usual):
        return None
    same = known[len(known) % 7 :: 7]
    return Anomaly(nano=nano, usual=round(usual), far=far, reasons=reasons(same, day))


def distance(past: Sequence[int], value: int) -> tuple[float, float]:
    """Return the usual value of the next day's weekday, and how far a value is from it, in deviations."""
    count = len(past)
    middles = [float(median(past[phase::7])) if count > phase else 0.0 for phase in range(7)]
    usual = middles[count % 7]
    everyday = float(median(past)) or 1.0
    deviations = [abs(_ratio(past[i], middles[i % 7], everyday)) for i in range(count)]
    # Medians of few days lie closer to them than the truth does: the usual correction for eight of them.
    few = 1 + 1.5 / max(1, count // 7)
    scale = max(_LEAST_SCALE, _NORMAL * few * float(median(deviations)))
    return usual, _ratio(value, usual, everyday) / scale


def _ratio(value: float, usual: float, everyday: float) -> float:
    """Return how many times the usual a value is, as a logarithm: twice and half are equally far.

    Both are held above a twentieth of an everyday day, so that nothing is infinitely far.
    """
    least = max(1.0, everyday / 20)
    return log(max(value, least) / max(usual, least))


def reasons(usual: Sequence[Day], day: Day) -> Reasons:
    """Split the difference of a day from the mean of usual days. The parts sum to it exactly."""
    count = max(1, len(usual))
    before: dict[str, tuple[Fraction, Fraction, Fraction]] = {}
    for one in usual:
        for model, used in one.items():
            calls, tokens, nano = before.get(model, (Fraction(0),) * 3)
            before[model] = (
                calls + Fraction(used.calls, count),
                tokens + Fraction(used.tokens, count),
                nano + Fraction(used.nano, count),
            )
    now = _sum(day)
    calls_0 = sum((one[0] for one in before.values()), Fraction(0))
    tokens_0 = sum((one[1] for one in before.values()), Fraction(0))
    nano_0 = sum((one[2] for one in before.values()), Fraction(0))
    per_call_0, per_call_1 = _over(tokens_0, calls_0), _over(Fraction(now.tokens), Fraction(now.calls))
    price_0 = _over(nano_0, tokens_0)
    # The day's tokens at the prices of before: of a model that is new, its own.
    at_old = sum(
        (
            used.tokens * (_over(before[model][2], before[model][1]) if _known(before, model) else _own(used))
            for model, used in day.items()
        ),
        Fraction(0),
    )
    by_calls = (now.calls - calls_0) * per_call_0 * price_0
    by_tokens = now.calls * (per_call_1 - per_call_0) * price_0
    by_mix = at_old - now.tokens * price_0
    whole = round(now.nano - nano_0)
    parts = [round(by_calls), round(by_tokens), round(by_mix)]
    price = whole - sum(parts)
    words = _words(
        calls=(calls_0, now.calls), per_call=(per_call_0, per_call_1), shifts=_shifts(before, tokens_0, day)
    )
    return Reasons(calls=parts[0], tokens=parts[1], mix=parts[2], price=price, words=words)


def _sum(day: Day) -> Usage:
    return sum(day.values(), Usage())


def _nano(day: Day) -> int:
    return sum(used.nano for used in day.values())


def _over(top: Fraction, bottom: Fraction) -> Fraction:
    return top / bottom if bottom else Fraction(0)


def _own(used: Usage) -> Fraction:
    return _over(Fraction(used.nano), Fraction(used.tokens))


def _known(before: Mapping[str, tuple[Fraction, Fraction, Fraction]], model: str) -> bool:
    return model in before and before[model][1] > 0


def _shifts(
    before: Mapping[str, tuple[Fraction, Fraction, Fraction]], tokens_0: Fraction, day: Day
) -> tuple[str, int, int]:
    """Return the model whose share of the tokens moved most, and both shares in percent."""
    tokens_1 = Fraction(_sum(day).tokens)
    moved = [
        (
            model,
            round(100 * _over(before[model][1], tokens_0)) if model in before else 0,
            round(100 * _over(Fraction(day[model].tokens), tokens_1)) if model in day else 0,
        )
        for model in sorted(before.keys() | day.keys())
    ]
    return max(moved, key=lambda one: abs(one[2] - one[1]), default=("", 0, 0))


def _words(
    *,
    calls: tuple[Fraction, int],
    per_call: tuple[Fraction, Fraction],
    shifts: tuple[str, int, int],
) -> str:
    """Return the figures behind the split."""
    said = [f"{calls[1]:,} calls instead of {round(calls[0]):,}"]
    said.append(f"{round(per_call[1]):,} tokens a call instead of {round(per_call[0]):,}")
    if abs(shifts[2] - shifts[1]) >= 5:
        said.append(f"{shifts[0]} {shifts[2]} % of the tokens instead of {shifts[1]} %")
    return ", ".join(said)
