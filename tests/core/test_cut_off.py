"""Windows and shifts of a day."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cut_off import DAY_US, HOUR_US, Windows, day_shift, day_window, our_cells, straddling
from gateway.core.variance import Hour, Ours, Theirs

START = 1_793_491_200_000_000


def hour(at, quantity=100, model="m"):
    return Hour(
        start_us=START + at * HOUR_US, model=model, meter="input", quantity=quantity, nano=quantity, rows=1
    )


@given(st.integers(min_value=0, max_value=2**52))
def test_every_instant_is_in_its_day(at) -> None:
    start, end = day_window(at)
    assert start <= at < end
    assert (end - start, start % DAY_US) == (DAY_US, 0)


def test_an_hour_goes_to_the_narrowest_window_of_its_model() -> None:
    windows = Windows()
    month, local = (START, START + 30 * DAY_US), (START + 5 * HOUR_US, START + DAY_US + 5 * HOUR_US)
    windows.add("m", month)
    windows.add("m", local)
    assert windows.of("m", START + 6 * HOUR_US) == local
    assert windows.of("m", START) == month
    assert windows.of("other", START) == day_window(START)


@given(st.lists(st.integers(min_value=-30, max_value=200), unique=True, max_size=60), st.integers(-14, 14))
def test_no_hour_is_lost_or_counted_twice(hours, shift) -> None:
    covered = (START, START + 7 * DAY_US)
    cells = our_cells([hour(at) for at in hours], Windows(), covered, shift)
    inside = [at for at in hours if 0 <= at + shift < 7 * 24]
    assert sum(cell.quantity for cell in cells.values()) == 100 * len(inside)


def test_a_shift_needs_clear_evidence() -> None:
    """Half a difference explained is no shift; three days are the least."""
    ours = [hour(at, 100 + at * 7919 % 997) for at in range(-24, 24 * 6)]
    covered = (START, START + 5 * DAY_US)
    shifted = our_cells(ours, Windows(), covered, -6)
    theirs = {key: Theirs(quantity=Fraction(cell.quantity), nano=0) for key, cell in shifted.items()}
    assert day_shift(theirs, ours, Windows(), covered) == -6
    two = dict(sorted(theirs.items())[:2])
    assert day_shift(two, ours, Windows(), (START, START + 2 * DAY_US)) == 0
    off = {key: Theirs(quantity=(cell.quantity or 0) * 2, nano=0) for key, cell in theirs.items()}
    assert day_shift(off, ours, Windows(), covered) == 0


def test_a_trifle_shifts_nobody() -> None:
    ours = [hour(at) for at in range(-24, 24 * 6)]
    covered = (START, START + 5 * DAY_US)
    theirs = {
        key: Theirs(quantity=Fraction(cell.quantity - 1), nano=0)
        for key, cell in our_cells(ours, Windows(), covered, 0).items()
    }
    assert day_shift(theirs, ours, Windows(), covered) == 0


def test_straddling_is_bounded_by_the_hours_around_midnight() -> None:
    first, second = day_window(START), day_window(START + DAY_US)
    ours = {(first, "m", "input"): Ours(quantity=1_000), (second, "m", "input"): Ours(quantity=1_000)}
    theirs = {
        (first, "m", "input"): Theirs(quantity=Fraction(600), nano=0),
        (second, "m", "input"): Theirs(quantity=Fraction(1_400), nano=0),
    }
    found = straddling(theirs, ours, [hour(23, 150), hour(24, 50), hour(30, 9_999)])
    assert found == {(first, "m", "input"): -200, (second, "m", "input"): 200}
