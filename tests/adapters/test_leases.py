"""Leases: few statements, exact limits over processes, and nothing lost when the database is away."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, update

from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.store_sql import Store, StoreUnavailable
from gateway.adapters.store_sql.budgets import Writer, release
from gateway.adapters.store_sql.tables import budget_windows
from gateway.core.errors import Code, Refusal
from gateway.core.values import Hold, Want
from gateway.ports import BudgetsUnavailable
from tests.adapters.store_sql.databases import committed_is_the_sum_of_granted, opened, sqlite_url
from tests.core.maple import NOW, want

T = TypeVar("T")
WIDE = 10**12


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A fresh SQLite store that counts its transactions and can be taken away."""
    with opened(sqlite_url(tmp_path)) as made:
        yield made


class Counting(Store):
    """A store that counts its writing transactions, fails them while ``away``, waits for ``gate``."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.runs = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = ""  # before | after: where the connection is lost

    async def run(self, work: Callable[[Connection], T]) -> T:
        self.runs += 1
        await self.gate.wait()
        if self.away == "before":
            raise StoreUnavailable
        made = await super().run(work)
        if self.away == "after":  # committed, but nobody heard of it
            raise StoreUnavailable
        return made


@pytest.fixture
def counting(store: Store, tmp_path: Path) -> Iterator[Counting]:
    """The same database through a store that counts."""
    made = Counting(sqlite_url(tmp_path))
    yield made
    made.close()


async def spend(budgets: LeasedBudgets, hold_id: str, wants: tuple[Want, ...], actual: int) -> None:
    """Reserve and settle one call."""
    hold = await budgets.reserve(hold_id, wants)
    assert isinstance(hold, Hold)
    budgets.settle(hold, {w.budget: actual for w in wants})


async def test_the_steady_state_asks_the_database_seldom(counting: Counting) -> None:
    """A thousand calls cost a handful of transactions, not a thousand."""
    budgets = LeasedBudgets(counting, "w1")
    for n in range(1000):
        await spend(budgets, f"h{n}", (want(1000, WIDE), want(1000, 10 * WIDE, "org:m:CAD")), 800)
    assert counting.runs <= 12


async def test_a_line_ends(counting: Counting) -> None:
    """Many at once, without a pause: who came while others waited is served from what they were brought."""
    budgets = LeasedBudgets(counting, "w1", renew_s=3600)
    wants = (want(1000, WIDE), want(1000, 10 * WIDE, "org:m:CAD"))

    async def caller(number: int) -> None:
        for n in range(100):
            await spend(budgets, f"{number}.{n}", wants, 800)
            await asyncio.sleep(0)

    await asyncio.gather(*(caller(number) for number in range(32)))
    assert counting.runs <= 20


async def test_rates_ask_the_database_seldom_too(counting: Counting) -> None:
    """A thousand calls under a rate of requests and of calls at once: a handful of transactions."""
    budgets = LeasedBudgets(counting, "w1", now=lambda: NOW)
    rates = (
        want(1, 20_000, "rate:app:a:requests", window="2026-11-23T14:00:00Z", rate=True),
        want(1, 200, "rate:app:a:concurrent", window="now", resets=2**62, rate=True),
    )
    for n in range(1000):
        hold = await budgets.reserve(f"h{n}", rates)
        assert isinstance(hold, Hold)
        budgets.settle(hold, {"rate:app:a:requests": 1})
    assert counting.runs <= 12
    small = (want(1, 60, "rate:app:b:requests", window="2026-11-23T14:00:00Z", rate=True),)
    runs = counting.runs
    for n in range(40):
        await spend(budgets, f"s{n}", small, 1)
    assert counting.runs - runs <= 12


async def test_calls_that_come_together_share_a_transaction(counting: Counting) -> None:
    """A burst is one batch, near the limit too."""
    budgets = LeasedBudgets(counting, "w1")
    made = await asyncio.gather(*(budgets.reserve(f"h{n}", (want(100, 1000),)) for n in range(200)))
    assert sum(isinstance(one, Hold) for one in made) == 10
    assert counting.runs == 1


async def test_an_exhausted_budget_is_refused_from_memory(counting: Counting) -> None:
    """An app that hammers a spent budget does not hammer the database."""
    budgets = LeasedBudgets(counting, "w1")
    await spend(budgets, "h", (want(100, 100),), 100)
    runs = counting.runs
    for n in range(50):
        made = await budgets.reserve(f"r{n}", (want(100, 100),))
        assert isinstance(made, Refusal)
        assert made.code is Code.BUDGET_EXCEEDED
    assert counting.runs - runs <= 2


async def test_without_the_database_slices_are_spent_then_refused(counting: Counting) -> None:
    """The outage is bridged by what was leased; then 503, and all by itself again when it is back."""
    budgets = LeasedBudgets(counting, "w1")
    await spend(budgets, "first", (want(100, WIDE),), 100)
    counting.away = "before"
    served = 0
    while isinstance(hold := await budgets.reserve(f"h{served}", (want(100, WIDE),)), Hold):
        served += 1
        budgets.settle(hold, {"team:branch:CAD": 100})
    assert served == 9
    assert hold.code is Code.BUDGET_UNAVAILABLE
    assert not budgets.reachable
    counting.away = ""
    assert isinstance(await budgets.reserve("again", (want(100, WIDE),)), Hold)
    assert budgets.reachable


async def test_a_lost_answer_is_repaired_by_the_next(counting: Counting, store: Store) -> None:
    """A commit that nobody heard of neither leaks the slice nor is believed in twice."""
    budgets = LeasedBudgets(counting, "w1")
    await spend(budgets, "first", (want(100, WIDE),), 100)
    counting.away = "after"
    await budgets.flush()  # given back, but we do not know
    assert isinstance(await budgets.reserve("h1", (want(100, WIDE),)), Refusal)
    counting.away = ""
    assert isinstance(await budgets.reserve("h2", (want(100, WIDE),)), Hold)
    assert committed_is_the_sum_of_granted(store)
    await budgets.close()
    (stands,) = await budgets.standing((want(0, WIDE),))
    assert (stands.spent, stands.held) == (100, 100)


async def test_a_lease_that_nobody_heard_of_is_given_back(counting: Counting) -> None:
    """The answer to a lease was lost and no further call came: renewal returns what was granted."""
    budgets = LeasedBudgets(counting, "w1")
    counting.away = "after"
    assert isinstance(await budgets.reserve("h", (want(1, 1000),)), Refusal)
    counting.away = ""
    await budgets.renew()
    await budgets.flush()
    other = LeasedBudgets(counting, "w2")
    assert isinstance(await other.reserve("all", (want(1000, 1000),)), Hold)


async def test_unused_slices_come_back_to_who_waits(store: Store) -> None:
    """One worker's slack does not starve another for longer than a renewal."""
    one, two = LeasedBudgets(store, "w1"), LeasedBudgets(store, "w2")
    wants = (want(100, 10_000),)
    await spend(one, "a", wants, 100)
    (stands,) = await one.standing(wants)
    assert stands.held > 0  # slack, counted as held
    big = (want(9_900, 10_000),)
    refused = await two.reserve("b", big)
    assert isinstance(refused, Refusal)
    assert refused.code is Code.BUDGET_CONTENTION
    await one.renew()
    await one.flush()
    assert isinstance(await two.reserve("c", big), Hold)


async def test_near_the_limit_what_is_freed_is_given_back_at_once(store: Store) -> None:
    """A small budget over two workers neither overshoots nor starves."""
    one, two = LeasedBudgets(store, "w1"), LeasedBudgets(store, "w2")
    wants = (want(100, 300),)
    held = [await one.reserve(f"h{n}", wants) for n in range(3)]
    assert isinstance(await two.reserve("x", wants), Refusal)
    assert isinstance(held[0], Hold)
    one.settle(held[0], {"team:branch:CAD": 0})
    for _ in range(100):
        made = await two.reserve("y", wants)
        if isinstance(made, Hold):
            break
        await asyncio.sleep(0.01)
    assert isinstance(made, Hold)


async def test_what_is_being_given_back_is_not_held(counting: Counting, store: Store) -> None:
    """While the database is told that a slice is free, nobody takes from it: the limit would break."""
    budgets = LeasedBudgets(counting, "w1")
    wants = (want(10, 10_000),)
    await spend(budgets, "a", wants, 10)
    assert budgets.room()["team:branch:CAD"] >= 10
    counting.gate.clear()
    giving = asyncio.ensure_future(budgets.flush())
    await asyncio.sleep(0.01)
    waiting = asyncio.ensure_future(budgets.reserve("b", wants))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    counting.gate.set()
    assert isinstance(await waiting, Hold)
    await giving
    assert committed_is_the_sum_of_granted(store)


async def test_where_windows_stand_cannot_be_asked_of_nobody(tmp_path: Path) -> None:
    """The database is away: the port says so by its own name."""
    missing = Store(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    with pytest.raises(BudgetsUnavailable):
        await LeasedBudgets(missing, "w1").standing((want(1, 1),))
    missing.close()


async def test_idle_slices_come_back(store: Store) -> None:
    """Who has not called for a while holds nothing."""
    budgets = LeasedBudgets(store, "w1")
    await spend(budgets, "a", (want(100, WIDE),), 40)
    for _ in range(12):
        await budgets.renew()
    await budgets.flush()
    (stands,) = await budgets.standing((want(0, WIDE),))
    assert (stands.spent, stands.held) == (40, 0)


async def test_windows_that_are_over_are_forgotten(store: Store) -> None:
    """A worker that runs for years does not remember every day."""
    now = NOW
    budgets = LeasedBudgets(store, "w1", now=lambda: now)
    await spend(budgets, "a", (want(100, WIDE, resets=NOW + 10),), 40)
    now += 20
    await budgets.renew()
    await budgets.flush()
    await budgets.renew()
    assert budgets.room() == {}
    assert committed_is_the_sum_of_granted(store)


async def test_a_clock_that_goes_back_spends_nothing_twice(store: Store) -> None:
    """A day ends and is forgotten; the clock is set back into it: what was spent of it is still spent."""
    now = NOW
    budgets = LeasedBudgets(store, "w1", now=lambda: now)
    await spend(budgets, "a", (want(60, 100, resets=NOW + 10),), 60)
    now += 20
    await budgets.renew()
    await budgets.flush()
    await budgets.renew()
    now -= 20
    assert isinstance(await budgets.reserve("b", (want(41, 100, resets=NOW + 10),)), Refusal)
    assert isinstance(await budgets.reserve("c", (want(40, 100, resets=NOW + 10),)), Hold)
    assert committed_is_the_sum_of_granted(store)


async def test_a_closed_writer_gets_nothing_more(store: Store) -> None:
    """Fenced: who was adopted while it still ran cannot lease again."""
    budgets = LeasedBudgets(store, "w1")
    with store.write() as connection:
        release(connection, Writer(id="w1", place="p"), by="w2", now_us=1)
    made = await budgets.reserve("h", (want(1, 10),))
    assert isinstance(made, Refusal)
    assert made.code is Code.BUDGET_UNAVAILABLE


async def test_a_restored_database_is_believed(store: Store) -> None:
    """What the store says was granted wins over what memory thought."""
    budgets = LeasedBudgets(store, "w1")
    hold = await budgets.reserve("h", (want(100, 10**6),))
    assert isinstance(hold, Hold)
    with store.write() as connection:
        connection.execute(update(budget_windows).values(committed=10**6))
    refused = await budgets.reserve("big", (want(10**4, 10**6),))
    assert isinstance(refused, Refusal)


async def test_who_goes_away_after_the_answer_holds_nothing(store: Store) -> None:
    """Cancelled in the very moment in which the hold was granted: it is released."""
    budgets = LeasedBudgets(store, "w1")
    answer = budgets._apply

    def and_then_it_goes(*arguments: object) -> None:
        answer(*arguments)  # type: ignore[arg-type]  # handed on as they are
        task.cancel()

    budgets._apply = and_then_it_goes  # type: ignore[method-assign]  # the moment is inside
    task = asyncio.ensure_future(budgets.reserve("h", (want(300, 300),)))
    (made,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(made, asyncio.CancelledError)
    del budgets._apply
    await budgets.flush()
    (stands,) = await budgets.standing((want(0, 300),))
    assert (stands.spent, stands.held) == (0, 0)
    assert isinstance(await budgets.reserve("next", (want(300, 300),)), Hold)


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_two_processes_race_for_three(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """200 racing holds in two operating-system processes on a cap that fits 3: exactly 3 pass."""
    url = sqlite_url(tmp_path) if database == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as store:
        command = [sys.executable, "-m", "tests.adapters.worker", url, str(tmp_path / "j"), "race"]
        children = [
            subprocess.Popen(
                [*command, "100", "100", "300"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            )
            for _ in range(2)
        ]  # fmt: skip
        said = [_line(child) for child in children]
        assert said == ["ready", "ready"]
        for child in children:
            _tell(child)
        answers = [_line(child).split() for child in children]
        assert sum(int(answer[0]) for answer in answers) == 3
        assert {answer[1] for answer in answers if len(answer) > 1} == {"budget_contention"}
        assert committed_is_the_sum_of_granted(store)
        for child in children:
            _tell(child)
            child.communicate(timeout=10)


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def _tell(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()
