"""The Budgets port: what every adapter promises, on memory, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.memory_budgets import MemoryBudgets, MemoryWindows
from gateway.adapters.store_sql import Store
from gateway.core.errors import Code, Refusal
from gateway.core.values import Carry, Hold, Want
from gateway.core.windows import ENDLESS, calendar, minute, rolling
from gateway.ports import Budgets
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.core.maple import NOW, at, want

Workers = Callable[[], Budgets]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store | None]:
    """The shared state of the workers: none for the twin."""
    if request.param == "memory":
        yield None
        return
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        yield made


@pytest.fixture
async def worker(store: Store | None) -> AsyncIterator[Workers]:
    """Makes workers that share the windows."""
    windows = MemoryWindows()
    leased: list[LeasedBudgets] = []

    def make() -> Budgets:
        if store is None:
            return MemoryBudgets(windows)
        leased.append(LeasedBudgets(store, f"w{len(leased)}"))
        return leased[-1]

    yield make
    for each in leased:
        await each.close()


def levels(amount: int, limit: int) -> tuple[Want, ...]:
    """Org, team and app, the team the tightest."""
    return (
        want(amount, 10 * limit, "org:maple:CAD"),
        want(amount, limit, "team:branch:CAD"),
        want(amount, 5 * limit, "app:teller:CAD"),
    )


def all_of(wants: tuple[Want, ...], amount: int) -> dict[str, int]:
    """The same spend on every level."""
    return {w.budget: amount for w in wants}


async def test_holds_up_to_the_limit_and_no_further(worker: Workers) -> None:
    """200 racing holds on a cap that fits 3: exactly 3 pass; the rest may try again soon."""
    budgets, wants = worker(), levels(100, 300)
    made = await asyncio.gather(*(budgets.reserve(f"h{n}", wants) for n in range(200)))
    assert sum(isinstance(one, Hold) for one in made) == 3
    refused = [one for one in made if isinstance(one, Refusal)]
    assert {one.code for one in refused} == {Code.BUDGET_CONTENTION}
    assert all(one.retry_after in {1, 2} for one in refused)


async def test_two_workers_share_one_limit(worker: Workers) -> None:
    """Racing on two workers lets through what fits once, not twice."""
    one, two = worker(), worker()
    wants = levels(100, 300)
    made = await asyncio.gather(
        *(
            budgets.reserve(f"{n}{name}", wants)
            for n in range(50)
            for name, budgets in (("a", one), ("b", two))
        )
    )
    assert sum(isinstance(each, Hold) for each in made) == 3


async def test_all_levels_or_none(worker: Workers) -> None:
    """A hold that the team cannot take leaves nothing on the org."""
    budgets = worker()
    refused = await budgets.reserve("h", levels(301, 300))
    assert isinstance(refused, Refusal)
    stands = await budgets.standing(levels(1, 300))
    assert [(s.spent, s.held) for s in stands] == [(0, 0)] * 3


async def test_settling_spends_and_frees(worker: Workers) -> None:
    """A hold becomes its actual spend; what was not used may be held again."""
    budgets, wants = worker(), levels(300, 300)
    hold = await budgets.reserve("h1", wants)
    assert isinstance(hold, Hold)
    budgets.settle(hold, all_of(wants, 40))
    again = await budgets.reserve("h2", levels(260, 300))
    assert isinstance(again, Hold)
    stands = await budgets.standing(wants)
    assert [(s.spent, s.held) for s in stands] == [(40, 260)] * 3


async def test_what_is_spent_is_exceeded_not_contended(worker: Workers) -> None:
    """402 once spend leaves no room: with the limit, the spend and the reset, and no retry."""
    budgets, wants = worker(), levels(100, 300)
    for n in range(3):
        hold = await budgets.reserve(f"h{n}", wants)
        assert isinstance(hold, Hold)
        budgets.settle(hold, all_of(wants, 100))
    for _ in range(2):  # from the store, then from what is known
        made = await budgets.reserve("late", wants)
        assert isinstance(made, Refusal)
        assert made.code is Code.BUDGET_EXCEEDED
        assert made.retry is False
        assert made.extension["scope"] == "team `branch`"
        assert made.extension["spent"] == "0.0000003"
    small = await budgets.reserve("nothing", levels(0, 300))
    assert isinstance(small, Hold)


async def test_a_hold_settles_once(worker: Workers) -> None:
    """A second settle changes nothing."""
    budgets, wants = worker(), levels(100, 300)
    hold = await budgets.reserve("h", wants)
    assert isinstance(hold, Hold)
    budgets.settle(hold, all_of(wants, 70))
    budgets.settle(hold, all_of(wants, 70))
    assert [s.spent for s in await budgets.standing(wants)] == [70] * 3


async def test_reserving_is_idempotent_by_id(worker: Workers) -> None:
    """The same id holds once, also when asked twice at once."""
    budgets, wants = worker(), levels(100, 300)
    made = await asyncio.gather(*(budgets.reserve("h", wants) for _ in range(3)))
    assert all(isinstance(one, Hold) for one in made)
    assert [s.held for s in await budgets.standing(wants)][1] == 100
    hold = made[0]
    assert isinstance(hold, Hold)
    budgets.settle(hold, all_of(wants, 1))
    assert [s.spent for s in await budgets.standing(wants)] == [1] * 3


async def test_an_overrun_is_booked_all_the_same(worker: Workers) -> None:
    """The vendor billed beyond the bound: the spend counts, and the budget is exceeded."""
    budgets, wants = worker(), levels(100, 300)
    hold = await budgets.reserve("h", wants)
    assert isinstance(hold, Hold)
    budgets.settle(hold, all_of(wants, 350))
    stands = await budgets.standing(wants)
    assert [s.spent for s in stands] == [350] * 3
    made = await budgets.reserve("next", wants)
    assert isinstance(made, Refusal)
    assert made.code is Code.BUDGET_EXCEEDED


async def test_top_up_enlarges_within_the_limit(worker: Workers) -> None:
    """A stream's hold grows while it fits, on every level, and is released whole."""
    budgets, wants = worker(), levels(100, 300)
    hold = await budgets.reserve("h", wants)
    assert isinstance(hold, Hold)
    larger = await budgets.top_up(hold, all_of(wants, 200))
    assert isinstance(larger, Hold)
    assert [w.amount for w in larger.wants] == [300] * 3
    refused = await budgets.top_up(larger, all_of(wants, 1))
    assert isinstance(refused, Refusal)
    budgets.settle(larger, all_of(wants, 0))
    assert [(s.spent, s.held) for s in await budgets.standing(wants)][1][0] == 0
    assert isinstance(await budgets.reserve("all", levels(300, 300)), Hold)


async def test_a_settled_hold_cannot_grow(worker: Workers) -> None:
    """Topping up what was settled is a bug of the caller, said so."""
    budgets, wants = worker(), levels(100, 300)
    hold = await budgets.reserve("h", wants)
    assert isinstance(hold, Hold)
    budgets.settle(hold, all_of(wants, 1))
    with pytest.raises(ValueError, match="settled"):
        await budgets.top_up(hold, all_of(wants, 1))


async def test_lowering_the_limit_stops_new_holds(worker: Workers) -> None:
    """Finance lowers a limit below what is spent: the next call is refused, slice or not."""
    budgets = worker()
    high = levels(100, 10**6)
    hold = await budgets.reserve("h", high)
    assert isinstance(hold, Hold)
    budgets.settle(hold, all_of(high, 100))
    assert isinstance(await budgets.reserve("next", levels(1, 100)), Refusal)


async def test_nothing_to_hold_is_held_at_once(worker: Workers) -> None:
    """An app without budgets goes through."""
    hold = await worker().reserve("h", ())
    assert isinstance(hold, Hold)


async def test_who_goes_away_while_waiting_holds_nothing(worker: Workers) -> None:
    """A cancelled reserve leaves the whole limit to others."""
    budgets = worker()
    task = asyncio.ensure_future(budgets.reserve("gone", levels(300, 300)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled():  # the twin answers at once
        hold = task.result()
        assert isinstance(hold, Hold)
        budgets.settle(hold, {})
    assert isinstance(await budgets.reserve("next", levels(300, 300)), Hold)


# ------------------------------------------------------------- kinds of windows, and rates

DAY = 24 * 3600 * 10**9
BERLIN = "Europe/Berlin"


@pytest.fixture
def at_time(store: Store | None) -> Callable[[list[int]], Workers]:
    """Makes workers whose clock is the first item of a list."""
    windows = MemoryWindows()
    made: list[LeasedBudgets] = []

    def workers(clock: list[int]) -> Workers:
        def make() -> Budgets:
            if store is None:
                return MemoryBudgets(windows, now=lambda: clock[0])
            made.append(LeasedBudgets(store, f"w{len(made)}", now=lambda: clock[0]))
            return made[-1]

        return make

    return workers


async def given_back(*workers: Budgets) -> None:
    """A second passes: what is not used is given back."""
    for worker in workers:
        if isinstance(worker, LeasedBudgets):
            await worker.renew()
            await worker.flush()


def rolled(amount: int, limit: int, moment: int) -> tuple[Want, ...]:
    """A want of any 24 hours."""
    part = rolling(DAY, moment)
    return (want(amount, limit, "app:teller:tokens:last-24h", window=part.id, resets=part.end, length=DAY),)


async def test_a_rolling_budget_holds_over_every_day_and_frees_what_is_old(
    at_time: Callable[[list[int]], Workers],
) -> None:
    """Two workers over three days: no 24 hours hold more than the limit, and old spend comes free."""
    clock = [NOW]
    make = at_time(clock)
    workers = [make(), make()]
    taken: list[tuple[int, int]] = []
    for hour in range(0, 72, 3):
        clock[0] = NOW + hour * 3600 * 10**9
        worker = workers[hour % 2]
        made = await worker.reserve(f"h{hour}", rolled(30, 100, clock[0]))
        if isinstance(made, Hold):
            worker.settle(made, all_of(made.wants, 30))
            taken.append((clock[0], 30))
        else:
            # Whether others spent or hold it is told by the journal, which nobody ships here.
            assert made.code in {Code.BUDGET_EXCEEDED, Code.BUDGET_CONTENTION}
            assert made.retry_after is not None
            assert made.retry_after <= 25 * 3600
        await given_back(*workers)
    for start, _ in taken:
        assert sum(amount for moment, amount in taken if start <= moment < start + DAY) <= 100
    assert len(taken) >= 8  # three a day, a part more than a day apart


async def test_a_top_up_of_an_older_part_counts_for_those_after_it(
    at_time: Callable[[list[int]], Workers],
) -> None:
    """A stream of this morning that is enlarged at noon takes from the same 24 hours."""
    clock = [NOW]
    worker = at_time(clock)()
    early = await worker.reserve("early", rolled(10, 100, NOW))
    assert isinstance(early, Hold)
    clock[0] = NOW + 5 * 3600 * 10**9
    late = await worker.reserve("late", rolled(60, 100, clock[0]))
    assert isinstance(late, Hold)
    assert isinstance(await worker.top_up(early, {"app:teller:tokens:last-24h": 31}), Refusal)
    assert isinstance(await worker.top_up(early, {"app:teller:tokens:last-24h": 30}), Hold)
    (stands,) = await worker.standing(rolled(0, 100, clock[0]))
    assert (stands.spent, stands.held) == (0, 100)


def monthly(amount: int, month: int, *, limit: int = 100, at_most: int | None = None) -> tuple[Want, ...]:
    """A want of a month of 2026 in Berlin, whose budget carries over."""
    found = calendar("month", BERLIN, middle_of(month))
    carry = Carry(per="month", timezone=BERLIN, at_most=at_most)
    return (want(amount, limit, "team:branch:CAD", window=found.id, resets=found.end, carry=carry),)


def middle_of(month: int) -> int:
    """Noon of the 15th."""
    return at(f"2026-{month:02}-15T12:00:00")


async def test_what_was_not_used_goes_on_and_stays_decided(at_time: Callable[[list[int]], Workers]) -> None:
    """70 of January are February's; a call of January that settles late takes nothing back from it."""
    clock = [middle_of(1)]
    make = at_time(clock)
    one, two = make(), make()
    spent = await one.reserve("a", monthly(20, 1))
    late = await one.reserve("b", monthly(10, 1))
    assert isinstance(spent, Hold)
    assert isinstance(late, Hold)
    one.settle(spent, all_of(spent.wants, 20))
    await given_back(one, two)
    clock[0] = middle_of(2)
    big = await two.reserve("c", monthly(170, 2))
    assert isinstance(big, Hold)
    refused = await two.reserve("d", monthly(1, 2))
    assert isinstance(refused, Refusal)
    assert refused.extension["carried_over"] == "0.00000007"
    one.settle(late, all_of(late.wants, 1))  # nine less than it held
    await given_back(one, two)
    (stands,) = await two.standing(monthly(0, 2))
    assert (stands.limit, stands.carried) == (170, 70)
    # And January has nothing left that could be spent twice, but what the late call let go.
    assert isinstance(await one.reserve("e", monthly(10, 1)), Refusal)
    assert isinstance(await one.reserve("f", monthly(9, 1)), Hold)


async def test_what_goes_on_is_capped_and_counts_empty_months(
    at_time: Callable[[list[int]], Workers],
) -> None:
    """Used in January and then in May only: at most 150 go on, and never more."""
    clock = [middle_of(1)]
    worker = at_time(clock)()
    hold = await worker.reserve("a", monthly(60, 1, at_most=150))
    assert isinstance(hold, Hold)
    worker.settle(hold, all_of(hold.wants, 60))
    await given_back(worker)
    clock[0] = middle_of(5)
    (foreseen,) = await worker.standing(monthly(0, 5, at_most=150))
    assert (foreseen.limit, foreseen.carried) == (250, 150)
    assert isinstance(await worker.reserve("b", monthly(251, 5, at_most=150)), Refusal)
    assert isinstance(await worker.reserve("c", monthly(250, 5, at_most=150)), Hold)


async def test_a_clock_behind_spends_nothing_twice(at_time: Callable[[list[int]], Workers]) -> None:
    """March took over all of February; a worker that still believes in February gets nothing there."""
    clock = [middle_of(1)]
    make = at_time(clock)
    one, two = make(), make()
    hold = await one.reserve("a", monthly(100, 1))
    assert isinstance(hold, Hold)
    one.settle(hold, all_of(hold.wants, 100))
    await given_back(one)
    clock[0] = middle_of(3)
    assert isinstance(await one.reserve("b", monthly(200, 3)), Hold)
    clock[0] = middle_of(2)
    assert isinstance(await two.reserve("c", monthly(1, 2)), Refusal)


async def test_carrying_over_waits_a_minute(at_time: Callable[[list[int]], Workers]) -> None:
    """In the first minute a window has its own limit; then what came back goes on too."""
    clock = [middle_of(1)]
    make = at_time(clock)
    worker, other = make(), make()  # a refusal for spend is remembered for a moment by who got it
    hold = await worker.reserve("a", monthly(40, 1))
    assert isinstance(hold, Hold)
    worker.settle(hold, all_of(hold.wants, 40))
    await given_back(worker)
    clock[0] = calendar("month", BERLIN, middle_of(2)).start + 59 * 10**9
    assert isinstance(await worker.reserve("b", monthly(101, 2)), Refusal)
    clock[0] += 3 * 10**9
    assert isinstance(await other.reserve("c", monthly(160, 2)), Hold)


async def test_a_soft_budget_refuses_nothing_and_says_where_it_stands(worker: Workers) -> None:
    """It is spent beyond its limit, and whoever alerts can read it."""
    budgets = worker()
    wants = (want(100, 150, soft=True), want(100, 10**6, "org:maple:CAD"))
    for n in range(5):
        hold = await budgets.reserve(f"h{n}", wants)
        assert isinstance(hold, Hold)
        budgets.settle(hold, all_of(wants, 100))
    soft, hard = await budgets.standing(wants)
    assert (soft.spent, soft.limit, soft.soft) == (500, 150, True)
    assert (hard.spent, hard.soft) == (500, False)


MINUTE = 60 * 10**9


def a_request(limit: int, moment: int, amount: int = 1) -> tuple[Want, ...]:
    """A want of requests in a minute."""
    found = minute(moment)
    return (
        want(
            amount, limit, "rate:app:teller:requests",
            unit="requests", window=found.id, resets=found.end, rate=True,
        ),
    )  # fmt: skip


async def test_a_rate_holds_over_workers_and_is_new_each_minute(
    at_time: Callable[[list[int]], Workers],
) -> None:
    """Racing on three workers: as many as the rate says pass in a minute, and as many in the next."""
    clock = [NOW]
    make = at_time(clock)
    workers = [make(), make(), make()]
    for _ in range(3):
        passed = 0
        for turn in range(12):
            made = await asyncio.gather(
                *(
                    each.reserve(f"{clock[0]}.{turn}.{n}", a_request(10, clock[0]))
                    for n, each in enumerate(workers)
                )
            )
            for each, one in zip(workers, made, strict=True):
                if isinstance(one, Hold):
                    each.settle(one, all_of(one.wants, 1))
                    passed += 1
                else:
                    assert one.code is Code.RATE_LIMITED
                    assert one.retry_after is not None
                    assert 1 <= one.retry_after <= 60
            await given_back(*workers)
        assert passed == 10
        clock[0] += MINUTE


def a_place(limit: int) -> tuple[Want, ...]:
    """A want of a place among calls at once."""
    return (
        want(
            1, limit, "rate:key:k1:concurrent",
            unit="concurrent", window=ENDLESS.id, resets=ENDLESS.end, rate=True,
        ),
    )  # fmt: skip


async def test_calls_at_once_hold_over_workers_and_come_back(worker: Workers) -> None:
    """Four at once over two workers; each that ends makes room for another, on either worker."""
    one, two = worker(), worker()
    made = await asyncio.gather(
        *(each.reserve(f"{n}{name}", a_place(4)) for n in range(6) for name, each in (("a", one), ("b", two)))
    )
    holds = [each for each in made if isinstance(each, Hold)]
    assert len(holds) == 4
    assert {each.code for each in made if isinstance(each, Refusal)} == {Code.RATE_LIMITED}
    for hold in holds:
        owner = one if hold.id.endswith("a") else two
        owner.settle(hold, all_of(hold.wants, 0))
    await given_back(one, two)
    again = 0
    for attempt in range(500):  # that all were taken is remembered for a moment
        again += isinstance(await two.reserve(f"again{attempt}", a_place(4)), Hold)
        if again == 4:
            break
        await asyncio.sleep(0.01)
    assert again == 4
    assert isinstance(await one.reserve("fifth", a_place(4)), Refusal)


async def test_a_lowered_limit_below_what_is_spent_refuses_with_the_numbers(worker: Workers) -> None:
    """Finance lowers the month below what is gone: 402 with the new limit and the old spend."""
    budgets = worker()
    high = (want(100, 10**6),)
    hold = await budgets.reserve("h", high)
    assert isinstance(hold, Hold)
    budgets.settle(hold, all_of(high, 100))
    made = await budgets.reserve("next", (want(1, 60),))
    assert isinstance(made, Refusal)
    assert made.code is Code.BUDGET_EXCEEDED
    assert (made.extension["limit"], made.extension["spent"]) == ("0.00000006", "0.0000001")
    assert isinstance(await budgets.reserve("raised", (want(1, 101),)), Hold)


async def test_an_overdraft_lets_a_running_stream_finish_and_nothing_begin(worker: Workers) -> None:
    """Beyond the limit by a hold of its own with a raised limit; others stay held to the limit."""
    one, other = worker(), worker()
    base = want(80 * 10**9, 100 * 10**9)
    first = await one.reserve("s", (base,))
    assert isinstance(first, Hold)
    lent = replace(base, limit=base.limit + 40 * 10**9, amount=50 * 10**9)
    extra = await one.reserve("s+overdraft", (lent,))
    assert isinstance(extra, Hold)
    for each in (one, other):
        refused = await each.reserve(f"new-{id(each)}", (replace(base, amount=1),))
        assert isinstance(refused, Refusal)
    too_much = await one.top_up(extra, {base.budget: 20 * 10**9})
    assert isinstance(too_much, Refusal)
    one.settle(first, {base.budget: 80 * 10**9})
    one.settle(extra, {base.budget: 45 * 10**9})
    (stands,) = await one.standing([base])
    assert (stands.spent, stands.limit) == (125 * 10**9, 100 * 10**9)
    refused = await one.reserve("after", (replace(base, amount=1),))
    assert isinstance(refused, Refusal)
    assert refused.code is Code.BUDGET_EXCEEDED
    assert refused.extension["overdrawn"] == "25.00"
