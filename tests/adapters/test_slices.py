"""One worker's parts of the windows: all levels or none, and never more than was granted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.slices import FACTOR, Slice, Slices
from gateway.adapters.store_sql.budget_rooms import Stand
from gateway.adapters.store_sql.budgets import Synced
from gateway.core.values import Want
from tests.core.maple import NOW, want

KEY = ("team:branch:CAD", "2026-11-01T04:00:00Z")


def granted(amount: int, *, left: int = 10**6, of: Want | None = None) -> Slices:
    """A worker that was granted something."""
    asked = of or want(0, 10**6)
    slices = Slices()
    slices.part(asked)
    slices.learn((asked.budget, asked.window), told(amount, left, (asked.budget, asked.window)))
    return slices


def told(amount: int, left: int, key: tuple[str, str] = KEY) -> Synced:
    """What the store says."""
    return Synced(granted={key: amount}, committed={key: amount}, left={key: left})


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 40), min_size=1), max_size=20),
    st.fixed_dictionaries({name: st.integers(0, 60) for name in "abc"}),
)
def test_a_hold_takes_on_all_levels_or_none(asked: list[dict[str, int]], grants: dict[str, int]) -> None:
    """What is held never passes what was granted on any level, and a refused hold leaves nothing."""
    slices = Slices()
    for name, amount in grants.items():
        slices.part(want(0, 1000, name)).granted = amount
    held = dict.fromkeys(grants, 0)
    for each in asked:
        fits = all(held[name] + amount <= grants[name] for name, amount in each.items())
        took = slices.take([want(amount, 1000, name) for name, amount in each.items()])
        assert took == fits
        for name, amount in each.items() if took else ():
            held[name] += amount
    assert {key[0]: part.held for key, part in slices.parts.items()} == held


def test_a_lowered_limit_gives_back_what_is_free() -> None:
    """The next hold asks the store, under the new limit; a raised one asks for more when it needs it."""
    slices = granted(100)
    assert slices.take([want(10, 10**6)])
    assert not slices.take([want(10, 500)])
    assert slices.parts[KEY].give
    slices = granted(100)
    assert slices.take([want(10, 10**7)])
    assert not slices.parts[KEY].give


def test_a_budget_that_is_soft_no_more_asks_anew() -> None:
    """What was taken under a soft budget was bound by nothing."""
    slices = granted(100, of=want(0, 10**6, soft=True))
    assert not slices.take([want(10, 50)])
    assert slices.parts[KEY].give


def test_settling_near_the_limit_is_told_at_once() -> None:
    """Somebody may be waiting for just what was freed; far from the limit it is kept."""
    slices = granted(100, left=199)
    assert slices.take([want(10, 10**6)])
    assert slices.settle(want(10, 10**6), 3)
    assert slices.parts[KEY].give
    slices = granted(100, left=200)
    assert slices.take([want(10, 10**6)])
    assert not slices.settle(want(10, 10**6), 3)
    assert slices.take([want(10, 10**6)])
    assert slices.settle(want(10, 10**6), 500)  # beyond what was granted: booked, and told


def rate(amount: int, *, window: str = "2026-11-23T14:00:00Z", resets: int = NOW + 60 * 10**9) -> Want:
    """A want of a rate."""
    return want(amount, 100, "rate:app:teller:requests", window=window, resets=resets, rate=True)


def test_a_rate_goes_on_while_the_store_is_away() -> None:
    """With what this worker was granted in the last minute in which it could ask, and no more."""
    slices = granted(30, of=rate(0))
    later = rate(1, window="2026-11-23T14:01:00Z", resets=NOW + 120 * 10**9)
    passed = 0
    while slices.alone([later], NOW + 61 * 10**9):
        slices.hold([later])
        passed += 1
    assert passed == 30
    assert not slices.alone([rate(1, window="x", resets=NOW)], NOW + 1)  # a minute that is over


def test_money_does_not_go_on_without_the_store() -> None:
    """A budget's slice is all that there is; one level without room refuses the hold."""
    slices = granted(30)
    assert slices.alone([want(30, 10**6)], NOW)
    assert not slices.alone([want(31, 10**6)], NOW)
    assert not slices.alone([want(1, 10**6), want(1, 10**6, "org:m:CAD")], NOW)


def test_a_closed_writer_keeps_nothing_free() -> None:
    """What it holds it holds; the rest is somebody else's."""
    slices = granted(100)
    assert slices.take([want(10, 10**6)])
    slices.drop()
    assert slices.parts[KEY].free == 0
    assert not slices.take([want(1, 10**6)])


def test_what_is_over_or_never_used_is_forgotten() -> None:
    """A worker that runs for years does not remember every minute of every user."""
    slices = granted(5, of=rate(0))
    part = next(iter(slices.parts.values()))
    assert slices.take([rate(5)])
    slices.forget(NOW + 61 * 10**9, idle=3)
    assert slices.parts  # still held
    slices.settle(rate(5), 5)
    slices.forget(NOW + 61 * 10**9, idle=3)
    assert not slices.parts
    assert part.over(NOW + 60 * 10**9)
    slices = Slices()
    slices.part(want(0, 10)).idle = 3
    slices.forget(NOW, idle=3)
    assert not slices.parts


def test_where_a_window_stands_counts_what_is_not_told_yet() -> None:
    """Own spend from memory, that of others from the tables; an overrun that nobody heard of too."""
    slices = granted(100)
    assert slices.take([want(40, 10**6)])
    slices.settle(want(40, 10**6), 25)
    row = Stand(window=KEY[1], committed=300, others=120, own=7, extra=50, carried=60)
    stands = slices.standing(want(0, 1000), [row])
    assert (stands.spent, stands.held, stands.limit, stands.carried) == (145, 155, 1050, 60)
    slices.parts[KEY].spent = 130
    stands = slices.standing(want(0, 1000), [row])
    assert (stands.spent, stands.held) == (250, 80)
    nothing = Slices().standing(want(0, 1000, soft=True), ())
    assert (nothing.spent, nothing.held, nothing.soft) == (0, 0, True)


def test_a_slice_starts_with_ten_holds_worth() -> None:
    """One that is needed and nine more."""
    assert Slice(want=want(0, 1)).level().factor == FACTOR == 9


def test_a_clock_that_goes_back_finds_what_was_spent() -> None:
    """A window that was forgotten and is asked again is not fresh: what was granted of it is spent."""
    slices = granted(100, of=rate(0))
    assert slices.take([rate(100)])
    slices.settle(rate(100), 100)
    slices.forget(NOW + 61 * 10**9, idle=3)
    assert not slices.parts
    part = slices.part(rate(0))
    assert part.level().floor == 100
    slices.learn(
        ("rate:app:teller:requests", part.want.window),
        told(100, 0, ("rate:app:teller:requests", part.want.window)),
    )
    assert not slices.take([rate(1)])
