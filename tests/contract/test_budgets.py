"""The Budgets port: what every adapter promises, on memory, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.memory_budgets import MemoryBudgets, MemoryWindows
from gateway.adapters.store_sql import Store
from gateway.core.errors import Code, Refusal
from gateway.core.values import Hold, Want
from gateway.ports import Budgets
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.core.maple import want

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
