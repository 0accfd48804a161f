"""Plans within limits: all levels or none, rolling runs, and what goes from one window into the next."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.leasing import (
    CARRY_AFTER,
    Ask,
    Key,
    Past,
    Room,
    Run,
    due,
    enlarged,
    further,
    near,
    padding,
    plan,
    rows_of,
    take_over,
)
from gateway.core.values import Carry, Hold, Want
from gateway.core.windows import PARTS, calendar, instant, rfc3339, rolling
from tests.core.maple import at, want


def hold() -> Hold:
    """A hold of money and tokens."""
    return Hold(id="h", wants=(want(5_000, 10**9), want(700, 10**6, "app:teller:tokens", unit="tokens")))


AMOUNTS = st.integers(0, 30)
BUDGETS = ["org:m:CAD", "team:t:CAD", "app:a:CAD"]


@given(
    st.lists(st.dictionaries(st.sampled_from(BUDGETS), AMOUNTS, min_size=1), max_size=12),
    st.fixed_dictionaries({budget: st.integers(0, 200) for budget in BUDGETS}),
    st.fixed_dictionaries({budget: st.tuples(st.integers(0, 60), st.integers(0, 60)) for budget in BUDGETS}),
    st.booleans(),
)
def test_a_plan_takes_on_all_levels_or_none_and_never_passes_a_limit(
    asked: list[dict[str, int]],
    limits: dict[str, int],
    state: dict[str, tuple[int, int]],
    contended: bool,
) -> None:
    """Committed grows by exactly what was granted, only within the limit; who is refused takes nothing."""
    window = "w"
    rooms: dict[Key, Room] = {
        (budget, window): Room(committed=committed + free, free=free, contended=contended)
        for budget, (committed, free) in state.items()
    }
    before = {key: (room.committed, room.free) for key, room in rooms.items()}
    asks = [
        Ask(
            hold_id=str(n),
            wants=tuple(want(amount, limits[b], b, window=window) for b, amount in sorted(ask.items())),
        )
        for n, ask in enumerate(asked)
    ]
    verdicts = plan(asks, rooms)
    held = dict.fromkeys(rooms, 0)
    for ask, verdict in zip(asks, verdicts, strict=True):
        if verdict.blocked is None:
            for w in ask.wants:
                held[w.budget, w.window] += w.amount
    for key, room in rooms.items():
        committed, free = before[key]
        assert room.committed - committed == room.taken >= 0
        assert room.free == free + room.taken - held[key] >= 0
        if room.taken:
            assert room.committed <= limits[key[0]]
        if contended:
            assert room.taken == max(0, held[key] - free)


def test_slices_are_padded_far_from_the_limit_only() -> None:
    """Far away a lease covers further holds; near the limit it is exactly what is needed."""
    far: dict[Key, Room] = {("b", "w"): Room(committed=0, free=0, contended=False)}
    plan([Ask(hold_id="h", wants=(want(10, 10**6, "b", window="w"),))], far)
    assert far["b", "w"].taken == 100
    near: dict[Key, Room] = {("b", "w"): Room(committed=0, free=0, contended=False)}
    plan([Ask(hold_id="h", wants=(want(10, 199, "b", window="w"),))], near)
    assert near["b", "w"].taken == 10


def test_a_top_up_adds_to_the_levels_it_names() -> None:
    """The enlarged hold bears the sums, the further wants the additions only."""
    amounts = {"team:branch:CAD": 10}
    assert [w.amount for w in enlarged(hold(), amounts).wants] == [5_010, 700]
    assert [(w.budget, w.amount) for w in further(hold(), amounts)] == [("team:branch:CAD", 10)]


def test_a_soft_budget_is_counted_and_refuses_nothing() -> None:
    """A soft level never blocks, and what it takes is committed all the same."""
    rooms: dict[Key, Room] = {("b", "w"): Room(committed=90, free=0, contended=True)}
    (verdict,) = plan([Ask(hold_id="h", wants=(want(50, 100, "b", window="w", soft=True),))], rooms)
    assert verdict.blocked is None
    assert rooms["b", "w"].committed == 140


def test_a_rate_leases_a_quarter_and_money_a_hundredth() -> None:
    """The window of a rate is short: a worker may take more of it at once."""
    for rate, taken in ((True, 51), (False, 11)):
        rooms: dict[Key, Room] = {
            ("b", "w"): Room(committed=0, free=0, contended=False, rate=rate, factor=50)
        }
        plan([Ask(hold_id="h", wants=(want(1, 1000, "b", window="w"),))], rooms)
        assert rooms["b", "w"].taken == (taken if rate else 10)


def test_near_is_less_than_twenty_holds() -> None:
    """Below that nothing is leased beyond need, and what is freed goes back at once."""
    assert near(199, 10)
    assert not near(200, 10)
    assert padding(Room(committed=0, free=0, contended=False, limit=199, most=10)) == 0


def test_rows_are_locked_in_one_order() -> None:
    """Each row once, sorted, whatever the order of the levels."""
    assert rows_of([want(1, 2, "b"), want(1, 2, "a"), want(1, 2, "b")]) == [
        ("a", "2026-11-01T04:00:00Z"),
        ("b", "2026-11-01T04:00:00Z"),
    ]


# -------------------------------------------------------------------------------- rolling

HOUR = 3600 * 10**9
DAY = 24 * HOUR


@given(
    st.lists(st.tuples(st.integers(0, 60 * HOUR), st.integers(1, 60)), min_size=1, max_size=60),
    st.integers(50, 200),
)
def test_no_interval_of_the_length_holds_more_than_the_limit(
    calls: list[tuple[int, int]], limit: int
) -> None:
    """Whatever comes in whatever order, clocks that go back included: no 24 hours hold more."""
    begun = at("2026-11-23T00:00:00")
    run = Run(part=DAY // PARTS)
    taken: list[tuple[int, int]] = []
    for after, amount in calls:
        part = rolling(DAY, begun + after)
        number = run.number(part.id)
        room = Room(committed=run.committed.get(number, 0), free=0, contended=True, run=run, number=number)
        (verdict,) = plan(
            [Ask(hold_id="h", wants=(want(amount, limit, "b", window=part.id, length=DAY),))],
            {("b", part.id): room},
        )
        if verdict.blocked is None:
            taken.append((begun + after, amount))
    for start, _ in taken:
        within = sum(amount for moment, amount in taken if start <= moment < start + DAY)
        assert within <= limit


def test_a_rolling_budget_is_free_again_when_the_spend_is_old() -> None:
    """What was spent counts for 24 h and at most one part more; then it fits again, as was said."""
    begun = at("2026-11-23T12:30:00")
    part = rolling(DAY, begun)
    run = Run(part=DAY // PARTS)
    run.committed[run.number(part.id)] = 100
    later = rolling(DAY, begun + 10 * HOUR)
    frees = run.frees(run.number(later.id), 1, 100)
    assert frees == part.start + DAY + HOUR
    assert run.most(run.number(rolling(DAY, frees - 1).id)) == 100
    assert run.most(run.number(rolling(DAY, frees).id)) == 0
    assert run.frees(run.number(later.id), 101, 100) is None


def test_a_batch_over_two_parts_shares_the_limit() -> None:
    """Holds of this part and top-ups of the last in one batch do not both get the rest."""
    run = Run(part=DAY // PARTS)
    parts = [rolling(DAY, at("2026-11-23T12:30:00") + hours * HOUR) for hours in (0, 1)]
    rooms = {
        ("b", part.id): Room(committed=0, free=0, contended=True, run=run, number=run.number(part.id))
        for part in parts
    }
    asks = [Ask(hold_id=part.id, wants=(want(60, 100, "b", window=part.id, length=DAY),)) for part in parts]
    assert [verdict.blocked for verdict in plan(asks, rooms)] == [None, ("b", parts[1].id)]


# --------------------------------------------------------------------------- carrying over

BERLIN = "Europe/Berlin"


def month(number: int) -> str:
    """The id of a month of 2026 in Berlin."""
    return calendar("month", BERLIN, at(f"2026-{number:02}-15T12:00:00")).id


def past(number: int, committed: int, *, base: int = 100, carried: int | None = None) -> Past:
    """One month."""
    return Past(window=month(number), base=base, committed=committed, carried=carried)


def test_what_was_not_used_goes_on_and_is_gone_from_where_it_was() -> None:
    """100 a month, 30 spent: the next has 170, and the old one no more than its 30."""
    old, new = past(1, 30, carried=0), past(2, 0)
    take_over([old, new], Carry(per="month", timezone=BERLIN, at_most=None))
    assert (new.carried, new.extra) == (70, 70)
    assert (old.passed, old.unused) == (70, 0)


def test_what_goes_on_is_capped() -> None:
    """At most 20 go on; the rest stays where it was, for late calls, and is lost after."""
    old, new = past(1, 30, carried=0), past(2, 0)
    take_over([old, new], Carry(per="month", timezone=BERLIN, at_most=20))
    assert (new.carried, old.passed, old.unused) == (20, 20, 50)


def test_months_without_a_call_count_too() -> None:
    """Nobody called in February and March: April has what January, February and March left."""
    old, new = past(1, 30, carried=0), past(4, 0)
    take_over([old, new], Carry(per="month", timezone=BERLIN, at_most=None))
    assert new.carried == 70 + 100 + 100
    old, new = past(1, 30, carried=0), past(4, 0)
    take_over([old, new], Carry(per="month", timezone=BERLIN, at_most=150))
    assert new.carried == 150


def test_an_overrun_is_not_carried_as_a_debt() -> None:
    """What was spent beyond the limit leaves nothing to carry, and takes nothing from the next."""
    old, new = past(1, 130, carried=0), past(2, 0)
    take_over([old, new], Carry(per="month", timezone=BERLIN, at_most=None))
    assert (new.carried, old.passed) == (0, 0)


def test_a_new_budget_takes_over_nothing() -> None:
    """Before its first window it was not there; what an old row's limit was nobody knows."""
    new = past(5, 0)
    take_over([new], Carry(per="month", timezone=BERLIN, at_most=None))
    assert new.carried == 0
    unknown, new = replace(past(1, 0, carried=0), base=None), past(2, 0)
    take_over([unknown, new], Carry(per="month", timezone=BERLIN, at_most=None))
    assert new.carried == 0


@given(
    st.lists(st.integers(0, 130), min_size=1, max_size=10),
    st.lists(st.booleans(), min_size=10, max_size=10),
    st.none() | st.integers(0, 250),
)
def test_nothing_is_spent_twice_over_any_run_of_months(
    spent: list[int], used: list[bool], at_most: int | None
) -> None:
    """Over months in a row, what each may spend beyond its own limit came out of the ones before."""
    carry = Carry(per="month", timezone=BERLIN, at_most=at_most)
    months: list[Past] = []
    for number, (wish, is_used) in enumerate(zip(spent, used, strict=False), start=1):
        if not is_used and number != 1:
            continue
        fresh = past(number, 0)
        months.append(fresh)
        take_over(months[-2:], carry)
        fresh.committed = min(wish, fresh.unused)
    if months:
        first, final = months[0], months[-1]
        span = 1 + whole(first, final)
        assert sum(each.committed for each in months) <= 100 * span
        for each in months:
            assert each.committed + each.passed <= 100 + (each.carried or 0)
            assert at_most is None or (each.carried or 0) <= at_most


def whole(first: Past, last: Past) -> int:
    """How many months after the first the last one is."""
    return sum(month(number) > first.window and month(number) <= last.window for number in range(1, 13))


def test_carrying_over_waits_for_slices_to_come_back() -> None:
    """Not in the first minute: until then a window has its own limit only."""
    one: Want = want(1, 100, window=month(2), carry=Carry(per="month", timezone=BERLIN, at_most=None))
    start = instant(month(2))
    assert not due(one, start + CARRY_AFTER - 1)
    assert due(one, start + CARRY_AFTER)
    assert not due(want(1, 100), start + CARRY_AFTER)
    assert rfc3339(start) == month(2)
