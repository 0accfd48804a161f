"""Budgets by lease: holds are taken in memory from slices of the shared windows.

INVARIANT: settled + held ≤ limit at every instant over all workers. A worker admits
against what the database granted it (granted − spent − held, per level, all levels
or none); Σ granted is committed, and committed passes no limit. What a worker has
been granted counts as held until it gives it back or its journal has been read.

One sync at a time talks to the database: it carries every hold that waits, in order,
and everything to give back. While it is under way its windows are frozen, so that
nobody overtakes who waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.adapters.slices import FACTOR, FACTOR_MOST, Exceeded, Slice, Slices
from gateway.adapters.store_sql.budget_rooms import make, standings, sweep_rates
from gateway.adapters.store_sql.budgets import Blocked, Fenced, Synced, Writer, contended, sync
from gateway.adapters.store_sql.engine import Store, StoreUnavailable
from gateway.core.budget import refuse, unavailable
from gateway.core.errors import Code, Refusal
from gateway.core.leasing import Ask, Key, enlarged, further
from gateway.core.values import Hold, Want
from gateway.core.windows import NEVER
from gateway.ports import Standing

_IDLE_TICKS = 10
_BATCH = 500
_EXCEEDED_S = 2.0
_FULL_S = 0.1
_ANSWER_S = 5.0
"""Seconds that a call waits for the database before it counts as away."""

_SWEEP_TICKS = 60


@dataclass(slots=True)
class _Waiting:
    ask: Ask
    future: asyncio.Future[Refusal | None]


class LeasedBudgets:
    """Implements :class:`gateway.ports.Budgets` over a Store. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        writer: str,
        *,
        place: str = "",
        host: str = "",
        renew_s: float = 1.0,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._writer = Writer(id=writer, place=place, host=host)
        self._renew_s = renew_s
        self._now = now
        self._slices = Slices()
        self._ticks = 0
        self._holds: dict[str, Hold] = {}
        self._reserving: dict[str, asyncio.Future[Refusal | None]] = {}
        self._queue: list[_Waiting] = []
        self._syncing: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._dirty = False
        self.reachable = True
        """Whether the last sync reached the store, for ``/status``."""

    # ------------------------------------------------------------------- port

    async def reserve(self, hold_id: str, wants: tuple[Want, ...]) -> Hold | Refusal:
        """Hold every amount on every level, or nothing; see :class:`gateway.ports.Budgets`."""
        existing = self._holds.get(hold_id)
        if existing is not None:
            return existing
        hold = Hold(id=hold_id, wants=wants)
        if not self._slices.take(wants):
            refusal = self._known_exceeded(wants) or await self._wait_once(hold_id, wants)
            if refusal is not None:
                return refusal
            # Where the same id was asked for twice at once, the first may be settled by now.
            return self._holds.get(hold_id, hold)
        self._holds[hold_id] = hold
        return hold

    async def _wait_once(self, hold_id: str, wants: tuple[Want, ...]) -> Refusal | None:
        """Wait in the queue, or for the same hold that waits there already."""
        first = self._reserving.get(hold_id)
        if first is not None:
            return await asyncio.shield(first)
        first = self._reserving[hold_id] = asyncio.get_running_loop().create_future()
        refusal: Refusal | None = unavailable()  # if this is cancelled, the others ask again
        try:
            refusal = await self._wait(hold_id, wants)
            if refusal is None:
                self._holds[hold_id] = Hold(id=hold_id, wants=wants)
            return refusal
        finally:
            del self._reserving[hold_id]
            first.set_result(refusal)

    async def top_up(self, hold: Hold, amounts: Mapping[str, int]) -> Hold | Refusal:
        """Enlarge a hold on every level or not at all. A settled hold cannot be enlarged."""
        current = self._holds.get(hold.id)
        if current is None:
            raise ValueError(f"hold `{hold.id}` is settled: reserve anew")
        more = further(current, amounts)
        if not self._slices.take(more):
            refusal = self._known_exceeded(more) or await self._wait(f"{hold.id}+", more)
            if refusal is not None:
                return refusal
        latest = self._holds.get(hold.id)
        if latest is None:  # settled while this waited
            self._slices.release(more)
            raise ValueError(f"hold `{hold.id}` is settled: reserve anew")
        larger = enlarged(latest, amounts)
        self._holds[hold.id] = larger
        return larger

    def settle(self, hold: Hold, actual: Mapping[str, int]) -> None:
        """Turn a hold into spend, in memory, once; a second settle does nothing.

        Spend beyond the hold is booked all the same and told to the store at once.
        """
        current = self._holds.pop(hold.id, None)
        if current is None:
            return
        for want in current.wants:
            if self._slices.settle(want, actual.get(want.budget, 0)):
                self._dirty = True
        if self._dirty:
            self._kick()

    async def standing(self, budgets: Sequence[Want]) -> list[Standing]:
        """Return where windows stand over all workers. Raises StoreUnavailable, a BudgetsUnavailable."""
        writer = self._writer.id
        try:
            async with asyncio.timeout(_ANSWER_S):
                found = await self._store.ask(lambda connection: standings(connection, budgets, me=writer))
        except TimeoutError:
            raise StoreUnavailable("the database does not answer in time") from None
        return [self._slices.standing(w, found.get((w.budget, w.window), ())) for w in budgets]

    def left(self, want: Want) -> int | None:
        """Return what nobody has leased, as of the last sync, and what this worker has to spare."""
        part = self._slices.parts.get((want.budget, want.window))
        return None if part is None or part.new else max(0, part.left) + max(0, part.free)

    # ---------------------------------------------------------------- waiting

    async def _wait(self, hold_id: str, wants: tuple[Want, ...]) -> Refusal | None:
        """Queue for the next sync; return None once held, or why not."""
        parts = [self._slices.part(want) for want in wants]
        waiting = _Waiting(Ask(hold_id=hold_id, wants=wants), asyncio.get_running_loop().create_future())
        for part in parts:
            part.frozen += 1
        self._queue.append(waiting)
        self._kick()
        try:
            # A database that hangs must not hang a call: the sync goes on, this hold does not wait.
            async with asyncio.timeout(_ANSWER_S):
                return await self._answer(waiting)
        except TimeoutError:
            self.reachable = False
            return unavailable()
        finally:
            for part in parts:
                part.frozen -= 1

    async def _answer(self, waiting: _Waiting) -> Refusal | None:
        future = waiting.future
        try:
            return await future
        except asyncio.CancelledError:
            # INVARIANT: who goes away holds nothing, also when the answer came just before.
            if future.done() and not future.cancelled() and future.result() is None:
                self._slices.release(waiting.ask.wants)
            raise

    def _kick(self) -> None:
        if self._syncing is None:
            self._syncing = asyncio.get_running_loop().create_task(self._sync_all())

    async def _sync_all(self) -> None:
        """Sync until nobody waits and nothing is to be told."""
        try:
            # Holds that come in the same turn of the loop share one statement.
            await asyncio.sleep(0)
            while self._queue or self._dirty:
                self._serve()
                batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
                batch = [waiting for waiting in batch if not waiting.future.done()]
                self._dirty = False
                if not await self._sync(batch) and not self._queue:
                    break
        finally:
            self._syncing = None
            if self._queue:
                self._kick()

    def _serve(self) -> None:
        """Hold for those who came while a sync was under way, in order, from what it brought.

        Without this a line would never end at a high rate: who comes while others wait waits too.
        """
        served = 0
        for waiting in self._queue:
            if not waiting.future.done():
                if not self._slices.take(waiting.ask.wants, in_turn=True):
                    break
                waiting.future.set_result(None)
            served += 1
        del self._queue[:served]

    async def _sync(self, batch: list[_Waiting]) -> bool:
        asks = [waiting.ask for waiting in batch]
        known = self._slices.parts
        keys = {(want.budget, want.window) for ask in asks for want in ask.wants}
        keys |= {key for key, part in known.items() if part.give or part.free < 0}
        if not keys:
            return True
        parts = {key: known[key] for key in keys}
        levels = [part.level() for part in parts.values()]
        fresh = [part.want for part in parts.values() if part.new]
        giving = [part for part in parts.values() if part.give]
        for part in parts.values():
            part.frozen += 1
            part.give = False  # a settle may ask again while this is under way
        now_us = self._now() // 1000
        writer = self._writer
        try:
            if fresh and self._store.dialect != "sqlite":
                await self._store.run(lambda c: make(c, fresh))
            synced = await self._store.run(lambda c: sync(c, writer, levels, asks, now_us=now_us))
        except (StoreUnavailable, Fenced) as why:
            self.reachable = False
            if isinstance(why, Fenced):
                self._slices.drop()
            self._fail(batch, parts, giving, fenced=isinstance(why, Fenced))
            return False
        except BaseException:
            self._fail(batch, parts, giving, fenced=True)
            raise
        finally:
            for part in parts.values():
                part.frozen -= 1
        self.reachable = True
        self._apply(batch, parts, synced)
        return True

    def _fail(
        self, batch: list[_Waiting], parts: Mapping[Key, Slice], giving: list[Slice], *, fenced: bool
    ) -> None:
        """The database is away: holds are served from slices if they fit, else refused."""
        for part in parts.values():
            part.unsure = True
        for part in giving:
            # Whether it was given back is not known: it is not ours until the next sync
            # says so. INVARIANT: memory never believes in more than the store granted.
            part.granted = min(part.granted, part.spent + part.held)
        now = self._now()
        for waiting in batch:
            if waiting.future.done():
                continue
            wants = waiting.ask.wants
            fits = not fenced and self._slices.alone(wants, now)
            if fits:
                self._slices.hold(wants)
            waiting.future.set_result(None if fits else unavailable())

    def _apply(self, batch: list[_Waiting], parts: Mapping[Key, Slice], synced: Synced) -> None:
        for key in parts:
            part = self._slices.learn(key, synced)
            self._pace(part)
            if part.free < 0:  # it overran further while the sync was under way
                self._dirty = True
        for waiting, verdict in zip(batch, synced.verdicts, strict=True):
            if waiting.future.done():  # gone while it waited: what was leased for it is free now
                self._dirty = self._give_back(waiting.ask.wants) or self._dirty
                continue
            if verdict.blocked is None:
                self._slices.hold(waiting.ask.wants)
                waiting.future.set_result(None)
            else:
                waiting.future.set_result(self._refusal(synced.blocked[verdict.hold_id]))

    def _pace(self, part: Slice) -> None:
        """Lease more at once where leases come fast: a few statements per second at any rate."""
        now = time.monotonic()
        if now - part.leased < self._renew_s:
            part.factor = min(2 * part.factor, FACTOR_MOST)
        else:
            part.factor = max(part.factor // 2, FACTOR)
        part.leased = now

    def _give_back(self, wants: tuple[Want, ...]) -> bool:
        for want in wants:
            self._slices.part(want).give = True
        return bool(wants)

    def _refusal(self, blocked: Blocked) -> Refusal:
        want = blocked.want
        part = self._slices.part(want)
        now = self._now()
        stands = self._slices.standing(want, blocked.stands)
        held = max(0, blocked.committed - stands.spent)
        refusal = refuse(
            want, spent=stands.spent, held=held, now=now, extra=blocked.extra, frees=blocked.frees
        )
        known_s = 0.0
        if want.resets == NEVER:
            known_s = _FULL_S
        elif want.rate and stands.spent + want.amount > want.limit:
            known_s = (want.resets - now) / 1e9
        elif refusal.code is Code.BUDGET_EXCEEDED:
            known_s = _EXCEEDED_S
        if known_s > 0:
            # By a clock that never goes back: what is remembered must end.
            until = time.monotonic() + known_s
            part.exceeded = Exceeded(
                want.limit, want.amount, stands.spent, held, blocked.extra, blocked.frees, until
            )
        return refusal

    def _known_exceeded(self, wants: tuple[Want, ...]) -> Refusal | None:
        for want in wants:
            part = self._slices.parts.get((want.budget, want.window))
            known = part.exceeded if part is not None else None
            if (
                known is not None
                and time.monotonic() < known.until
                and want.limit == known.limit
                and want.amount >= known.amount
            ):
                return refuse(
                    want,
                    spent=known.spent,
                    held=known.held,
                    now=self._now(),
                    extra=known.extra,
                    frees=known.frees,
                )
        return None

    # -------------------------------------------------------------- renewal

    def start(self) -> None:
        """Begin to return what is not used. Call on the event loop that reserves."""
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._renew_s)
            with contextlib.suppress(StoreUnavailable):
                await self.renew()

    async def renew(self) -> None:
        """Give back what is idle, out of date, or wanted by others; once per second."""
        now = self._now()
        parts = self._slices.parts
        flagged: set[Key] = set()
        candidates = [key for key, part in parts.items() if part.free > 0]
        if candidates:
            flagged = await self._store.ask(lambda c: contended(c, candidates, now_us=now // 1000))
        for key, part in list(parts.items()):
            part.idle = 0 if part.used else part.idle + 1
            part.used = False
            if part.unsure or (
                part.free > 0 and (part.over(now) or key in flagged or part.idle >= _IDLE_TICKS)
            ):
                part.give = True
                self._dirty = True
            if part.free < 0:
                self._dirty = True
        self._slices.forget(now, idle=_IDLE_TICKS)
        if self._dirty:
            self._kick()
        self._ticks += 1
        if self._ticks % _SWEEP_TICKS == 0 and self._slices.rates:
            await self._store.run(lambda c: sweep_rates(c, now_us=now // 1000))

    async def flush(self) -> None:
        """Give back all that is free and wait until it is done or the store is found away."""
        for part in self._slices.parts.values():
            if part.free > 0 or part.unsure:
                part.give = True
        self._dirty = True
        self._kick()
        while self._syncing is not None:
            await asyncio.shield(self._syncing)

    async def close(self) -> None:
        """Stop renewing and give back what is free. Holds that are open stay held."""
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
            self._ticking = None
        await self.flush()

    # ----------------------------------------------------------------- status

    @property
    def held(self) -> int:
        """How many holds are open in this worker."""
        return len(self._holds)

    def room(self) -> dict[str, int]:
        """Return what may still be held without the store, per budget, for ``/status``."""
        parts = self._slices.parts
        return {key[0]: max(0, part.free) for key, part in parts.items() if not part.want.rate}
