"""The end of a day: which of our hours a bill counts to which of its windows.

Vendors bill by UTC days, or by days of their own; calls around midnight are counted where they
began by one side and where they ended by the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Final

from gateway.core.variance import Hour, Ours, Theirs

Window = tuple[int, int]
Key = tuple[Window, str, str]  # window, model, meter

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
MOST_SHIFT_H: Final = 14
_WORTH_ASKING: Final = 1_000
"""Below one part in so many of all that is counted, nobody's days are shifted: calls around midnight are."""

_CLEARLY: Final = 10
"""A shifted day must leave at most a tenth of the difference, or it is no evidence."""


def day_window(at_us: int) -> Window:
    """Return the UTC day in which an instant lies."""
    start = at_us - at_us % DAY_US
    return start, start + DAY_US


class Windows:
    """Finds the window of an hour: the narrowest that the bill has of its model, else its UTC day."""

    def __init__(self) -> None:
        self._odd: dict[str, list[Window]] = defaultdict(list)
        self._found: dict[tuple[str, int], Window] = {}

    def add(self, model: str, window: Window) -> None:
        """Learn a window that the bill has of a model."""
        if window != day_window(window[0]) and window not in self._odd[model]:
            self._odd[model].append(window)

    def of(self, model: str, at_us: int) -> Window:
        """Return the window in which an instant of a model is compared."""
        key = (model, at_us)
        found = self._found.get(key)
        if found is None:
            fitting = [w for w in self._odd.get(model, ()) if w[0] <= at_us < w[1]]
            found = min(fitting, key=lambda w: (w[1] - w[0], w)) if fitting else day_window(at_us)
            self._found[key] = found
        return found


def our_cells(ours: Iterable[Hour], windows: Windows, covered: Window, shift_h: int) -> dict[Key, Ours]:
    """Sum our hours to the windows of the bill, the clock moved by so many hours."""
    cells: dict[Key, Ours] = defaultdict(Ours)
    for hour in ours:
        at = hour.start_us + shift_h * HOUR_US
        if covered[0] <= at < covered[1]:
            cells[windows.of(hour.model, at), hour.model, hour.meter].add(hour)
    return dict(cells)


def day_shift(theirs: Mapping[Key, Theirs], ours: Sequence[Hour], windows: Windows, covered: Window) -> int:
    """Return the hours by which our clock must move to fit the bill's days; 0 without clear evidence."""
    days = {window for window, _, _ in theirs}
    if len(days) < 3:
        return 0
    # Only meters that every line of the bill counts: a zero for a missing count would be no evidence.
    counted = {key: cell.quantity for key, cell in theirs.items() if cell.quantity is not None}
    if not counted:
        return 0
    pairs = {(model, meter) for _, model, meter in counted}
    hours = [hour for hour in ours if (hour.model, hour.meter) in pairs]

    def left(shift_h: int) -> Fraction:
        mine = our_cells(hours, windows, covered, shift_h)
        total = Fraction(0)
        for key in counted.keys() | mine.keys():
            cell = mine.get(key)
            total += abs(counted.get(key, Fraction(0)) - (cell.quantity if cell else 0))
        return total

    unmoved = left(0)
    if unmoved * _WORTH_ASKING <= sum(counted.values()):
        return 0
    best = min(range(-MOST_SHIFT_H, MOST_SHIFT_H + 1), key=lambda h: (left(h), abs(h)))
    return best if left(best) * _CLEARLY <= unmoved else 0


def straddling(
    theirs: Mapping[Key, Theirs], ours: Mapping[Key, Ours], hours: Sequence[Hour]
) -> dict[Key, Fraction]:
    """Return what calls around midnight moved between two days: from one day's quantity to the next one's.

    Bounded by what we had in the two hours around the boundary, so that it explains no more.
    """
    near: dict[tuple[str, str, int], int] = defaultdict(int)
    for hour in hours:
        for boundary in (hour.start_us, hour.start_us + HOUR_US):
            near[hour.model, hour.meter, boundary] += hour.quantity
    rest: dict[Key, Fraction] = {}
    for key, cell in theirs.items():
        mine = ours.get(key)
        if cell.quantity is not None and mine is not None:
            rest[key] = cell.quantity - cell.twice_quantity - mine.quantity
    found: dict[Key, Fraction] = defaultdict(Fraction)
    for key in sorted(rest):
        window, model, meter = key
        # The next window of the same model and meter that begins where this one ends.
        following = (window[1], window[1] + (window[1] - window[0]))
        after: Key = (following, model, meter)
        if after not in rest or rest[key] * rest[after] >= 0:
            continue
        most = Fraction(near[model, meter, window[1]])
        size = min(abs(rest[key]), abs(rest[after]), most)
        signed = size if rest[key] > 0 else -size
        found[key] += signed
        found[after] -= signed
        rest[key] -= signed
        rest[after] += signed
    return found
