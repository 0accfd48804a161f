"""Promise 5 as a machine: workers that hold, top up, settle, crash and are adopted, in any order.

An oracle keeps what really was held and spent. At each step settled + held ≤ committed ≤ limit (but
for overruns), committed = Σ granted; and at the end the rebuilt spend is the oracle's.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection, func, select

from gateway.adapters.adoption import Adoption
from gateway.adapters.journal_file import FileJournal, verify
from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.projector import Projector
from gateway.adapters.store_sql import Store, StoreUnavailable
from gateway.adapters.store_sql.schema import migrate
from gateway.adapters.store_sql.tables import budget_windows, ledger, slices
from gateway.core.budget import Settlement
from gateway.core.errors import Code
from gateway.core.record import call_record, intent, outcome, top_up
from gateway.core.values import Attempt, Charge, Hold, Usage
from tests.core.maple import NOW, attempt, call, want

T = TypeVar("T")
TEAM, ORG = "team:branch:CAD", "org:maple:CAD"
LIMITS = {TEAM: 1000, ORG: 1400}
FREE = Charge(nano=0, currency="USD", lines=())


class Moody(Store):
    """A database that loses the connection before or after a commit when told to."""

    mood = ""

    async def run(self, work: Callable[[Connection], T]) -> T:
        mood, self.mood = self.mood, ""
        if mood == "before":
            raise StoreUnavailable
        made = await super().run(work)
        if mood == "after":
            raise StoreUnavailable
        return made


@dataclass
class Try:
    """One open attempt as the oracle knows it."""

    tried: Attempt
    amount: int
    journalled: bool
    levels: tuple[str, ...]


@dataclass
class Worker:
    """One process: everything in it dies together."""

    journal: FileJournal
    store: Moody
    budgets: LeasedBudgets
    projector: Projector
    adoption: Adoption
    open: dict[str, Try] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    """Three workers at most, one database, one journal folder."""

    template: ClassVar[Path | None] = None

    @initialize()
    def begin(self) -> None:
        """A fresh database and the first worker."""
        self.folder = Path(tempfile.mkdtemp())
        if Machine.template is None:
            Machine.template = Path(tempfile.mkdtemp()) / "empty.db"
            made = Store(f"sqlite:///{Machine.template}")
            migrate(made)
            made.close()
        shutil.copy(Machine.template, self.folder / "state.db")
        self.loop = asyncio.new_event_loop()
        self.store = Store(f"sqlite:///{self.folder / 'state.db'}")
        self.workers: list[Worker] = []
        self.dead: list[Worker] = []
        self.spent = dict.fromkeys(LIMITS, 0)
        self.overrun = dict.fromkeys(LIMITS, 0)
        self.calls = 0
        self.attempts: set[str] = set()
        self.spawn()

    def do(self, work: Any) -> Any:
        """Run a coroutine to its end, and what it set off."""

        async def settled() -> Any:
            made = await work
            for worker in self.workers:
                while worker.budgets._syncing is not None:
                    await asyncio.shield(worker.budgets._syncing)
            return made

        return self.loop.run_until_complete(settled())

    def pick(self, data: st.DataObject) -> Worker:
        """Any living worker."""
        return data.draw(st.sampled_from(self.workers))

    @precondition(lambda self: len(self.workers) < 3)
    @rule()
    def spawn(self) -> None:
        """Another worker starts."""
        journal = FileJournal.claim(self.folder / "j", place="p", sync_ms=10_000)
        store = Moody(f"sqlite:///{self.folder / 'state.db'}")
        self.workers.append(
            Worker(
                journal,
                store,
                LeasedBudgets(store, journal.writer),
                Projector(store, journal.folder),
                Adoption(store, self.folder / "j", journal),
            )
        )

    def held(self) -> dict[str, int]:
        """What is really held, the dead's attempts included until they are adopted."""
        total = dict.fromkeys(LIMITS, 0)
        for worker in [*self.workers, *self.dead]:
            for one in worker.open.values():
                for level in one.levels:
                    total[level] += one.amount
        return total

    @rule(data=st.data(), amount=st.integers(1, 60) | st.integers(1, 700), journalled=st.booleans())
    def reserve(self, data: st.DataObject, amount: int, *, journalled: bool) -> None:
        """Hold; what is refused as exceeded really was spent."""
        worker = self.pick(data)
        worker.store.mood = data.draw(st.sampled_from(["", "", "", "", "before", "after"]))
        levels = data.draw(st.sampled_from([(TEAM, ORG), (ORG,)]))
        self.calls += 1
        name = f"req_{self.calls}"
        wants = tuple(want(amount, LIMITS[level], level) for level in levels)
        made = self.do(worker.budgets.reserve(f"{name}.a1", wants))
        worker.store.mood = ""
        if not isinstance(made, Hold):
            if made.code is Code.BUDGET_EXCEEDED:
                assert any(self.spent[level] + amount > LIMITS[level] for level in levels)
            return
        tried = replace(attempt(f"{name}.a1", wants), hold=made)
        worker.open[name] = Try(tried, amount, journalled, levels)
        if journalled:
            worker.journal.write("attempt.intent", intent(tried, bound=FREE))
            self.attempts.add(tried.id)

    @precondition(lambda self: any(worker.open for worker in self.workers))
    @rule(data=st.data(), more=st.integers(1, 100))
    def enlarge(self, data: st.DataObject, more: int) -> None:
        """Top up; the enlarged hold is journalled before it is used."""
        worker = data.draw(st.sampled_from([w for w in self.workers if w.open]))
        name = data.draw(st.sampled_from(sorted(worker.open)))
        one = worker.open[name]
        made = self.do(worker.budgets.top_up(one.tried.hold, dict.fromkeys(one.levels, more)))
        if isinstance(made, Hold):
            one.tried = replace(one.tried, hold=made)
            one.amount += more
            if one.journalled:
                worker.journal.write("attempt.top_up", top_up(one.tried, made, bound=FREE))

    @precondition(lambda self: any(worker.open for worker in self.workers))
    @rule(data=st.data(), share=st.integers(0, 100) | st.just(130))
    def settle(self, data: st.DataObject, share: int) -> None:
        """End an attempt: its outcome is journalled, the hold becomes spend, sometimes beyond it."""
        worker = data.draw(st.sampled_from([w for w in self.workers if w.open]))
        name = data.draw(st.sampled_from(sorted(worker.open)))
        one = worker.open.pop(name)
        actual = one.amount * share // 100 if one.journalled else 0
        booked = dict.fromkeys(one.levels, actual)

        async def end() -> None:
            worker.budgets.settle(one.tried.hold, booked)

        if one.journalled:
            usage = Usage(input=1)
            settled = Settlement(charge=FREE, spends=booked, estimated=False, overrun=share > 100)
            last = outcome(
                one.tried, status="served", code=None, usage=usage, settled=settled, vendor_id=None,
                vendor_model=None, reported_place=None, ended=NOW,
            )  # fmt: skip
            worker.journal.write(
                "call.record",
                call_record(
                    call(name), alias="chat", ended=NOW, outcome="served", status=200, decision=None,
                    rules=[], labels=[], masked={}, masked_reply={}, attempts=1, snapshot="a" * 64,
                    attempt=last,
                ),
            )  # fmt: skip
        for level in one.levels:
            self.spent[level] += actual
            self.overrun[level] += max(0, actual - one.amount)
        self.do(end())

    @rule(data=st.data())
    def project(self, data: st.DataObject) -> None:
        """A worker's entries reach the tables."""
        self.pick(data).projector.drain()

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        """A second passes for one worker."""
        self.do(self.pick(data).budgets.renew())

    @precondition(lambda self: len(self.workers) > 1)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """Kill -9: the lock goes, memory goes, the journal stays."""
        worker = self.pick(data)
        self.workers.remove(worker)
        worker.journal.close()
        worker.store.close()
        self.dead.append(worker)

    @precondition(lambda self: self.dead)
    @rule(data=st.data())
    def adopt(self, data: st.DataObject) -> None:
        """Some worker adopts the dead: what was journalled is spent at its hold, the rest is free."""
        self.pick(data).adoption.sweep()
        for worker in self.dead:
            for one in worker.open.values():
                if one.journalled:
                    for level in one.levels:
                        self.spent[level] += one.amount
        self.dead.clear()

    @rule(data=st.data())
    def what_is_left_can_be_held(self, data: st.DataObject) -> None:
        """Once the living gave back their slack and no dead hold any, all that fits is granted."""
        if self.dead:
            return
        for worker in self.workers:
            self.do(worker.budgets.flush())
        held = self.held()
        left = min(LIMITS[level] - self.spent[level] - held[level] for level in LIMITS)
        if left <= 0:
            return
        budgets = self.pick(data).budgets
        wants = tuple(want(left, LIMITS[level], level) for level in LIMITS)
        self.calls += 1
        made = self.do(budgets.reserve(f"all_{self.calls}", wants))
        assert isinstance(made, Hold), made

        async def end() -> None:
            budgets.settle(made, {})

        self.do(end())

    @invariant()
    def never_over(self) -> None:
        """Settled + held ≤ committed ≤ limit, and committed = Σ granted."""
        if not hasattr(self, "store"):
            return
        committed, granted = self.rows()
        held = self.held()
        for level, limit in LIMITS.items():
            assert committed.get(level, 0) == granted.get(level, 0)
            assert self.spent[level] + held[level] <= committed.get(level, 0)
            assert committed.get(level, 0) <= limit + self.overrun[level]

    def rows(self) -> tuple[dict[str, int], dict[str, int]]:
        """Committed and Σ granted per budget."""
        with self.store.read() as connection:
            windows = connection.execute(select(budget_windows.c.budget, budget_windows.c.committed)).all()
            parts = connection.execute(
                select(slices.c.budget, func.sum(slices.c.granted)).group_by(slices.c.budget)
            ).all()
        return {row[0]: row[1] for row in windows}, {row[0]: int(row[1]) for row in parts}

    def teardown(self) -> None:
        """Everybody dies and is adopted: rebuilt spend is the oracle's, and nothing is held."""
        if not hasattr(self, "store"):
            return
        for worker in self.workers:
            worker.journal.close()
            worker.store.close()
        self.dead += self.workers
        for worker in self.dead:
            for one in worker.open.values():
                if one.journalled:
                    for level in one.levels:
                        self.spent[level] += one.amount
        journal = FileJournal.claim(self.folder / "j", place="p", sync_ms=10_000)
        Adoption(self.store, self.folder / "j", journal).sweep()
        Projector(self.store, journal.folder).drain()
        committed, granted = self.rows()
        with self.store.read() as connection:
            sums = connection.execute(
                select(slices.c.budget, func.sum(slices.c.spent)).group_by(slices.c.budget)
            ).all()
            rebuilt = {row[0]: int(row[1]) for row in sums}
            booked = set(connection.execute(select(ledger.c.attempt_id)).scalars())
        for level in LIMITS:
            assert rebuilt.get(level, 0) == self.spent[level]
            assert committed.get(level, 0) == granted.get(level, 0) == self.spent[level]
        assert booked == self.attempts
        assert verify(self.folder / "j").ok
        journal.close()
        self.store.close()
        self.loop.close()
        shutil.rmtree(self.folder)


TestLeases = Machine.TestCase
# Not shrunk: steps are slow, and a failure prints them all.
TestLeases.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
