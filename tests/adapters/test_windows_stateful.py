"""Every kind of window as a machine: workers that hold, top up, settle late, crash and are adopted,
while clocks jump and finance changes limits.

The oracle is a list of attempts. A calendar budget is checked by window, a rolling one by every
interval, one that carries over by what all its windows together were worth, calls at once by
counting; and at the end the rebuilt spend of every window is the oracle's.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import func, select

from gateway.adapters.adoption import Adoption
from gateway.adapters.journal_file import FileJournal, verify
from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.projector import Projector
from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.schema import migrate
from gateway.adapters.store_sql.tables import budget_windows, slices
from gateway.core.budget import Settlement
from gateway.core.errors import Refusal
from gateway.core.record import call_record, intent, outcome, top_up
from gateway.core.snapshot import BudgetLimit
from gateway.core.values import Attempt, Carry, Charge, Hold, Usage, Want
from gateway.core.wants import want_of
from gateway.core.windows import instant, whole_between
from tests.core.maple import NOW, attempt, call, limit

SECOND = 10**9
HOUR = 3600 * SECOND
DAY = 24 * HOUR
ZONE = "America/Toronto"
FREE = Charge(nano=0, currency="USD", lines=())

MONTH = limit("team", "branch", "tokens", 1000)
ROLLING = replace(limit("app", "teller", "tokens", 600, "last"), length=DAY)
CARRIES = replace(
    limit("org", "maple", "tokens", 300, "day"), carry=Carry(per="day", timezone=ZONE, at_most=None)
)
SOFT = replace(limit("data", "client", "tokens", 50), soft=True)
PLACES = replace(limit("key", "k1", "concurrent", 6, "now"), id="rate:key:k1:concurrent")
BUDGETS = (CARRIES, MONTH, ROLLING, SOFT)


@dataclass
class Try:
    """One attempt as the oracle knows it: what counts of it is its spend, or its hold while it runs."""

    tried: Attempt
    started: int
    amount: int
    journalled: bool
    place: Hold | None
    levels: tuple[str, ...]
    spent: int | None = None

    @property
    def counts(self) -> int:
        """What it takes of every budget."""
        return self.amount if self.spent is None else self.spent

    def limit_of(self, budget: str) -> int:
        """Under which limit it was taken."""
        return next(want.limit for want in self.tried.hold.wants if want.budget == budget)

    def window(self, budget: str) -> str:
        """Which window of a budget it counts in."""
        return next(want.window for want in self.tried.hold.wants if want.budget == budget)


@dataclass
class Worker:
    """One process: everything in it dies together."""

    journal: FileJournal
    store: Store
    budgets: LeasedBudgets
    projector: Projector
    adoption: Adoption
    open: dict[str, Try] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    """Three workers at most, one database, one clock that jumps."""

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
        self.clock = NOW
        self.limits: dict[str, BudgetLimit] = {each.id: each for each in BUDGETS}
        self.store = Store(f"sqlite:///{self.folder / 'state.db'}")
        self.workers: list[Worker] = []
        self.dead: list[Worker] = []
        self.tries: list[Try] = []
        self.overrun: dict[str, int] = dict.fromkeys(self.limits, 0)
        self.calls = 0
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
        store = Store(f"sqlite:///{self.folder / 'state.db'}")
        self.workers.append(
            Worker(
                journal,
                store,
                LeasedBudgets(store, journal.writer, now=lambda: self.clock),
                Projector(store, journal.folder),
                Adoption(store, self.folder / "j", journal),
            )
        )

    @rule(
        by=st.sampled_from(
            [SECOND, 30 * SECOND, 61 * SECOND, HOUR, 5 * HOUR, DAY, 3 * DAY, 31 * DAY, -HOUR, -DAY, -31 * DAY]
        )
    )
    def jump(self, by: int) -> None:
        """Time passes, or a clock is set, forwards or back: windows roll under open calls."""
        self.clock += by

    @rule(share=st.sampled_from([0, 50, 90, 100, 150]))
    def finance_changes_the_month(self, share: int) -> None:
        """A limit is lowered, below what is spent too, or raised."""
        self.limits[MONTH.id] = replace(MONTH, limit=MONTH.limit * share // 100)

    @rule(data=st.data(), amount=st.integers(1, 10) | st.integers(1, 300), journalled=st.booleans())
    def reserve(self, data: st.DataObject, amount: int, *, journalled: bool) -> None:
        """A call takes its place, then its hold on some of the levels."""
        worker = self.pick(data)
        names = data.draw(
            st.sets(st.sampled_from(sorted(self.limits)), min_size=1).map(lambda found: tuple(sorted(found)))
        )
        self.calls += 1
        name = f"req_{self.calls}"
        place = self.do(worker.budgets.reserve(f"{name}.in", (want_of(PLACES, at=self.clock, amount=1),)))
        if isinstance(place, Refusal):
            assert place.extension["unit"] == "concurrent"
            return
        wants = self.wants(names, amount)
        made = self.do(worker.budgets.reserve(f"{name}.a1", wants))
        if isinstance(made, Refusal):
            assert made.extension["scope"] != "data `client`"  # a soft budget refuses nothing
            self.settle_place(worker, place)
            return
        tried = replace(attempt(f"{name}.a1", wants), hold=made)
        one = Try(tried, self.clock, amount, journalled, place, names)
        worker.open[name] = one
        self.tries.append(one)
        self.was_allowed(one)
        if journalled:
            worker.journal.write("attempt.intent", intent(tried, bound=FREE))

    @rule(data=st.data(), budget=st.sampled_from([MONTH.id, ROLLING.id, CARRIES.id]))
    def one_more_than_what_is_left_is_refused(self, data: st.DataObject, budget: str) -> None:
        """By the plainest reading of the budget, whatever slices, clocks and limits did."""
        worker = self.pick(data)
        amount = max(1, self.left(budget, self.clock) + 1)
        made = self.do(worker.budgets.reserve(f"over_{self.calls}", self.wants((budget,), amount)))
        self.calls += 1
        assert isinstance(made, Refusal)

    @precondition(lambda self: any(worker.open for worker in self.workers))
    @rule(data=st.data())
    def a_late_top_up_beyond_what_is_left_is_refused(self, data: st.DataObject) -> None:
        """It counts in the window in which its call began."""
        worker = data.draw(st.sampled_from([w for w in self.workers if w.open]))
        name = data.draw(st.sampled_from(sorted(worker.open)))
        one = worker.open[name]
        budget = data.draw(st.sampled_from(one.levels))
        if budget == SOFT.id or self.limits[budget].limit != one.limit_of(budget):
            return  # a hold keeps the limit under which it was taken
        more = max(1, self.left(budget, one.started) + 1)
        made = self.do(worker.budgets.top_up(one.tried.hold, {budget: more}))
        assert isinstance(made, Refusal)

    def left(self, budget: str, moment: int) -> int:
        """What a call of this moment may take of a budget, as finance would work it out."""
        if budget == MONTH.id:
            limited = self.limits[budget]
            return limited.limit - self.gone(budget, want_of(limited, at=moment).window)
        if budget == ROLLING.id:
            own = [(each.started, each.counts) for each in self.tries if budget in each.levels]
            starts = [start for start, _ in own if moment - DAY < start <= moment] + [moment]
            most = max(sum(a for at, a in own if start <= at < start + DAY) for start in starts)
            return ROLLING.limit - most
        asked = [window for name, window in self.rows(budget_windows.c.committed) if name == budget]
        today = want_of(CARRIES, at=moment).window
        first = min([*asked, today])
        days = 1 if first == today else 2 + whole_between("day", ZONE, instant(first), instant(today))
        gone = sum(
            each.counts for each in self.tries if budget in each.levels and each.window(budget) <= today
        )
        return CARRIES.limit * days - gone

    def wants(self, names: tuple[str, ...], amount: int) -> tuple[Want, ...]:
        """What is asked of the windows that count now."""
        return tuple(want_of(self.limits[name], at=self.clock, amount=amount) for name in names)

    def settle_place(self, worker: Worker, place: Hold) -> None:
        """A call ends: its place is somebody else's."""

        async def end() -> None:
            worker.budgets.settle(place, {want.budget: 0 for want in place.wants})

        self.do(end())

    @precondition(lambda self: any(worker.open for worker in self.workers))
    @rule(data=st.data(), more=st.integers(1, 100))
    def enlarge(self, data: st.DataObject, more: int) -> None:
        """A stream is topped up, maybe long after its window ended."""
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
        """A call ends, maybe long after its window; its spend counts where it began."""
        worker = data.draw(st.sampled_from([w for w in self.workers if w.open]))
        name = data.draw(st.sampled_from(sorted(worker.open)))
        one = worker.open.pop(name)
        one.spent = one.amount * share // 100 if one.journalled else 0
        booked = dict.fromkeys(one.levels, one.spent)
        for budget in one.levels:
            self.overrun[budget] += max(0, one.spent - one.amount)
        if one.journalled:
            settled = Settlement(charge=FREE, spends=booked, estimated=False, overrun=share > 100)
            last = outcome(
                one.tried, status="served", code=None, usage=Usage(input=1), settled=settled, vendor_id=None,
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

        async def end() -> None:
            worker.budgets.settle(one.tried.hold, booked)

        self.do(end())
        assert one.place is not None
        self.settle_place(worker, one.place)
        one.place = None

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
        self.bury()

    def bury(self) -> None:
        """What adoption does, as the oracle knows it."""
        for worker in self.dead:
            for one in worker.open.values():
                one.spent = one.amount if one.journalled else 0
                one.place = None
        self.dead.clear()

    # ------------------------------------------------------------------ the oracle

    def was_allowed(self, one: Try) -> None:
        """Whoever is let in is within the limit of that moment, late and changed limits included."""
        for budget in one.levels:
            found = self.limits[budget]
            if found.soft or found.carry is not None or found.length:
                continue
            window = one.window(budget)
            assert self.gone(budget, window) <= found.limit + self.overrun[budget]

    def gone(self, budget: str, window: str) -> int:
        """What is spent and held in one window."""
        return sum(
            each.counts for each in self.tries if budget in each.levels and each.window(budget) == window
        )

    @invariant()
    def no_interval_holds_more_than_the_limit(self) -> None:
        """Any 24 hours, from any call on."""
        if not hasattr(self, "store"):
            return
        own = sorted((each.started, each.counts) for each in self.tries if ROLLING.id in each.levels)
        for start, _ in own:
            within = sum(amount for moment, amount in own if start <= moment < start + DAY)
            assert within <= ROLLING.limit + self.overrun[ROLLING.id]

    @invariant()
    def what_is_carried_was_left(self) -> None:
        """Up to any day, no more is gone than all days until then were worth."""
        if not hasattr(self, "store"):
            return
        days: dict[str, int] = defaultdict(int)
        for each in self.tries:
            if CARRIES.id in each.levels:
                days[each.window(CARRIES.id)] += each.counts
        # From the first day on which anybody asked, were it in vain: since then it was there.
        asked = [window for budget, window in self.rows(budget_windows.c.committed) if budget == CARRIES.id]
        total = 0
        for day in sorted(days):
            total += days[day]
            first = min(asked)
            count = 1 if day == first else 2 + whole_between("day", ZONE, instant(first), instant(day))
            assert total <= CARRIES.limit * count + self.overrun[CARRIES.id]

    @invariant()
    def no_more_calls_at_once_than_places(self) -> None:
        """The dead's places count until they are adopted."""
        if hasattr(self, "store"):
            assert sum(each.place is not None for each in self.tries) <= PLACES.limit

    @invariant()
    def committed_is_what_was_granted(self) -> None:
        """And covers all that is spent and held, window by window."""
        if not hasattr(self, "store"):
            return
        committed, granted = self.rows(budget_windows.c.committed), self.rows(slices.c.granted)
        for key, amount in committed.items():
            assert amount == granted.get(key, 0)
        for each in self.tries:
            for budget in each.levels:
                window = each.window(budget)
                assert self.gone(budget, window) <= committed[budget, window]

    def rows(self, column: Any) -> dict[tuple[str, str], int]:
        """A sum by budget and window."""
        table = column.table
        with self.store.read() as connection:
            found = connection.execute(
                select(table.c.budget, table.c.window, func.sum(column)).group_by(
                    table.c.budget, table.c.window
                )
            ).all()
        return {(budget, window): int(total) for budget, window, total in found}

    def teardown(self) -> None:
        """Everybody dies and is adopted: rebuilt spend is the oracle's in every window."""
        if not hasattr(self, "store"):
            return
        for worker in self.workers:
            worker.journal.close()
            worker.store.close()
        self.dead += self.workers
        self.bury()
        journal = FileJournal.claim(self.folder / "j", place="p", sync_ms=10_000)
        Adoption(self.store, self.folder / "j", journal).sweep()
        Projector(self.store, journal.folder).drain()
        committed, spent = self.rows(budget_windows.c.committed), self.rows(slices.c.spent)
        for (budget, window), amount in committed.items():
            wanted = 0 if budget == PLACES.id else self.gone(budget, window)
            assert amount == spent.get((budget, window), 0) == wanted
        assert verify(self.folder / "j").ok
        journal.close()
        self.store.close()
        self.loop.close()
        shutil.rmtree(self.folder)


TestWindows = Machine.TestCase
# Not shrunk: steps are slow, and a failure prints them all.
TestWindows.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
