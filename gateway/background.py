"""What runs beside the calls: polling policies, adopting dead writers, sweeping, healing; and the last words.

Each part is one loop, started by :func:`beside` and ended with the worker. INVARIANT: a database that is
away ends none of them, it is asked again; a part that ends by a fault is told in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.adapters.adoption import Adoption
from gateway.adapters.idempotency import SqlIdempotency
from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.projector import Projector
from gateway.adapters.store_sql import Store, StoreUnavailable
from gateway.adapters.store_sql.schema import check, migrate
from gateway.core.record import Entry
from gateway.core.snapshot import Snapshot
from gateway.pipeline import Pipeline
from gateway.policy.problems import Problem
from gateway.policy.stored import Keeper
from gateway.policy.watch import PolicySource
from gateway.ports import (
    Clock,
    ContentStore,
    ContentUnavailable,
    Journal,
    JournalUnavailable,
    Telemetry,
)

log = logging.getLogger("gateway.background")

POLICY_POLL_S: Final = 1.0
ADOPT_EVERY_S: Final = 3.0
HEAL_EVERY_S: Final = 1.0
LAST_WORDS_S: Final = 2.0
GIVE_BACK_S: Final = 5.0
SWEEP_S: Final = 60.0
SWEEP_CONTENT_S: Final = 300.0


def beside(stack: contextlib.AsyncExitStack, name: str, work: Awaitable[None]) -> None:
    """Run work beside the calls until the worker stops; say so if it ends by a fault."""
    task = asyncio.ensure_future(work)

    def ended(done: asyncio.Future[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            log.error("stopped by a fault", extra={"part": name, "error": type(done.exception()).__name__})

    task.add_done_callback(ended)

    async def cancel() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):  # boundary: it was told above
            await task

    stack.push_async_callback(cancel)


# ------------------------------------------------------------------ the database's schema


async def schema_ready(store: Store) -> bool:
    """Bring SQLite up to date, check PostgreSQL; False while the database is away."""
    try:
        await store.call(lambda: migrate(store) if store.dialect == "sqlite" else check(store))
    except StoreUnavailable:
        log.warning("the database is away; starting without it")
        return False
    return True


class Healing:
    """Waits for a database that was away at boot and brings its schema up to date."""

    def __init__(self, store: Store, *, ready: bool, every_s: float = HEAL_EVERY_S) -> None:
        """Start with what was found at boot."""
        self._store = store
        self._every_s = every_s
        self._done = asyncio.Event()
        self.why: str | None = None
        if ready:
            self._done.set()
        else:
            self.why = "the database has not answered since the start"

    async def run(self) -> None:
        """Try until the schema is there."""
        while not self._done.is_set():
            await asyncio.sleep(self._every_s)
            if await schema_ready(self._store):
                self.why = None
                self._done.set()

    async def then(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work once the schema is there."""
        await self._done.wait()
        await work()


# ------------------------------------------------------------------ policies


async def poll_policies(
    source: PolicySource,
    keeper: Keeper,
    clock: Clock,
    healing: Healing,
    journal: Journal,
    *,
    every_s: float = POLICY_POLL_S,
) -> None:
    """Look for a new bundle for ever; keep each one in force, and journal what it changes of money."""
    while True:
        if healing.why is None:
            with contextlib.suppress(StoreUnavailable, JournalUnavailable):
                changed = await keeper.keep(now=clock.now())
                if changed is not None:
                    await journal.append(*changed.entry)
        await asyncio.sleep(every_s)
        await reload(source, clock)


async def reload(source: PolicySource, clock: Clock) -> None:
    """Look for a new bundle now."""
    told(await asyncio.to_thread(source.poll, now=clock.now()))


def told(found: Snapshot | tuple[Problem, ...] | None) -> None:
    """Log what a look at the policies found: a new one in force, or why it was not taken."""
    if isinstance(found, Snapshot):
        log.info("policy in force", extra={"snapshot": found.hash, "version": found.policy_version})
    elif found:
        log.error("policy not taken; the last good one stays", extra={"why": str(found[0])})


# ------------------------------------------------------------------ the journal's way into the database


async def adopt(store: Store, adoption: Adoption, *, every_s: float = ADOPT_EVERY_S) -> None:
    """Adopt the journals of dead writers for ever."""
    while True:
        # A database or a disk that is away does not end adoption: what is not finished is found again.
        with contextlib.suppress(StoreUnavailable, JournalUnavailable):
            for done in await store.call(adoption.sweep):
                log.info(
                    "writer adopted",
                    extra={"writer": done.writer, "entries": done.entries, "abandoned": done.abandoned},
                )
        await asyncio.sleep(every_s)


def not_adopted(writer: str, why: str) -> None:
    """Say that a dead writer's journal cannot be read; what it holds stays held."""
    log.error("writer not adopted", extra={"writer": writer, "why": why})


def not_projected(telemetry: Telemetry, entry: Entry, why: str) -> None:
    """Alarm an entry that no table takes; it stays in the journal."""
    telemetry.count("entry_not_projected", kind=entry.kind)
    log.error("entry not projected", extra={"seq": entry.seq, "kind": entry.kind, "error": why})


# ------------------------------------------------------------------ what expires


async def sweep(idempotency: SqlIdempotency, *, every_s: float = SWEEP_S) -> None:
    """Delete the idempotency keys that have expired, for ever."""
    while True:
        await asyncio.sleep(every_s)
        with contextlib.suppress(StoreUnavailable):
            await idempotency.sweep()


async def sweep_content(content: ContentStore, *, every_s: float = SWEEP_CONTENT_S) -> None:
    """Delete content that has expired, every few minutes."""
    while True:
        with contextlib.suppress(ContentUnavailable):
            await content.sweep()
        await asyncio.sleep(every_s)


# ------------------------------------------------------------------ the end


async def last_words(
    pipeline: Pipeline,
    budgets: LeasedBudgets,
    projector: Projector,
    adoption: Adoption,
    store: Store,
    *,
    most_s: float = GIVE_BACK_S,
) -> None:
    """End calls in flight, ship the journal, give slices back; the journal keeps what fails."""
    await pipeline.drain(LAST_WORDS_S)
    with contextlib.suppress(StoreUnavailable, TimeoutError):
        async with asyncio.timeout(most_s):
            projector.stop()
            await budgets.close()
            await store.call(lambda: adoption.retire(projector))
