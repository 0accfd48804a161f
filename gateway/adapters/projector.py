"""Ships a journal into the database, off the event loop, exactly once.

The journal is the truth: while the database is away nothing is lost, the lag grows
and is shown, and the projector tries again until it answers. It reads back the
same lines that an auditor reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.journal_read import Garbled, Tail
from gateway.adapters.store_sql.budgets import Writer
from gateway.adapters.store_sql.engine import Store, StoreUnavailable
from gateway.adapters.store_sql.projection import CursorMoved, Handler, apply, cursor, nothing_new
from gateway.core.fold import Booking, Fact, Fold, Other
from gateway.core.record import Entry

_BATCH = 1024
_SLICE = 64
_SLICE_BYTES = 1 << 17
_MANY = 100
_LONGER = 4
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0)
_TELL_US = 60_000_000

Skipped = Callable[[Entry, str], None]


class Projector:
    """Projects one writer's journal. ``step`` is synchronous; ``run`` calls it for ever."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        *,
        place: str = "",
        host: str = "",
        handlers: Mapping[str, Handler] | None = None,
        skipped: Skipped | None = None,
        interval_s: float = 0.25,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        """``handlers`` project other rooms' kinds; ``skipped`` hears of entries that no table took."""
        self._store = store
        self.writer = Writer(id=folder.name, place=place, host=host)
        self.fold = Fold()
        self.projected = 0
        """The last entry that is in the tables."""
        self.failures = 0
        """Failed tries in a row, for ``/status``."""
        self.skipped = 0
        """Entries that no table would take: bugs, kept in the journal."""
        self._tail = Tail(folder)
        self._handlers = handlers or {}
        self._on_skip = skipped
        self._interval_s = interval_s
        self._now = now
        self._placed = False
        self._pending: list[tuple[Entry, list[Fact]]] = []
        self._stop: asyncio.Event | None = None
        self._end_us: int | None = None  # when the end of the journal was seen by the last look
        self._told_us = 0
        self._one = threading.Lock()  # `drain` at the end may meet the last `step` of `run`

    def lag(self, last: int) -> int:
        """Return how many entries up to ``last`` are not in the tables."""
        return max(0, last - self.projected)

    def step(self) -> int:
        """Project the next batch; return how many entries were read.

        Raises StoreUnavailable (nothing moved: call again), Garbled when a line of the
        journal is no entry, OSError when it cannot be read.
        """
        with self._one:
            return self._step()

    def _step(self) -> int:
        if not self._placed:
            with self._store.read() as connection:
                self.projected = cursor(connection, self.writer.id)
            self._placed = True
        if not self._pending:
            # Folding changes the fold: what was folded is kept until the tables have it.
            self._pending = self._folded()
        fresh = [(e, facts) for e, facts in self._pending if e.seq > self.projected]
        read = len(self._pending)
        if fresh:
            self._ship(fresh)
        elif not read:
            self._nothing_new()
        self._pending = []
        return read

    def _folded(self) -> list[tuple[Entry, list[Fact]]]:
        """Read and fold the next batch, a slice at a time.

        What an entry held is dropped once it is folded (the entry stays as its own name): a whole
        batch of parsed entries is ten times its rows, and would push what calls need out of the
        processor's cache.
        """
        pending: list[tuple[Entry, list[Fact]]] = []
        before, self._end_us = self._now() // 1000, None
        while len(pending) < _BATCH:
            entries = self._tail.read(_SLICE, _SLICE_BYTES)
            pending += [(entry._replace(data={}), self.fold.step(entry)) for entry in entries]
            if len(entries) < _SLICE:
                self._end_us = before
                break
        return pending

    def _nothing_new(self) -> None:
        """Say now and then that the journal of an idle writer is read to its end, so that months close."""
        if self.projected and self._end_us is not None and self._end_us - self._told_us >= _TELL_US:
            told, self._told_us = self._end_us, self._end_us
            with contextlib.suppress(StoreUnavailable), self._store.write() as connection:
                nothing_new(connection, self.writer.id, seen=self.projected, read_us=told)

    def _ship(self, fresh: list[tuple[Entry, list[Fact]]]) -> None:
        try:
            self._apply([fact for _, facts in fresh for fact in facts], fresh[-1][0].seq)
        except StoreUnavailable:
            raise
        except CursorMoved as moved:
            # A commit whose answer was lost: the batch is in.
            self.projected = moved.seq
        except (SQLAlchemyError, ValueError, TypeError, LookupError):
            self._one_by_one(fresh)

    def _one_by_one(self, fresh: list[tuple[Entry, list[Fact]]]) -> None:
        """Find the entry that no table takes, and go on without it.

        INVARIANT: one entry that is wrong does not hold up the ledger; it stays in the
        journal, is counted, and is told.
        """
        for entry, facts in fresh:
            try:
                self._apply(facts, entry.seq)
            except StoreUnavailable:
                self._pending = [(e, f) for e, f in self._pending if e.seq >= entry.seq]
                raise
            except CursorMoved as moved:
                self.projected = moved.seq
            except (SQLAlchemyError, ValueError, TypeError, LookupError) as error:
                self.skipped += 1
                if self._on_skip is not None:
                    self._on_skip(entry, type(error).__name__)
                self._apply([fact for fact in facts if isinstance(fact, Booking)], entry.seq)

    def _apply(self, facts: list[Fact], last: int) -> None:
        if last <= self.projected:
            return
        known = [f for f in facts if not isinstance(f, Other) or f.entry.kind in self._handlers]
        with self._store.write() as connection:
            apply(
                connection,
                self.writer,
                known,
                seen=self.projected,
                last=last,
                handlers=self._handlers,
                now_us=self._now() // 1000,
                # After the last entry of a look that saw the end, nothing older is unread.
                read_us=self._end_us if last == self._pending[-1][0].seq else None,
            )
        self.projected = last

    def drain(self) -> None:
        """Project to the end of the journal. Raises as ``step``."""
        while self.step():
            pass

    async def run(self) -> None:
        """Project until :meth:`stop`, waiting and trying again while the database is away."""
        self._stop = asyncio.Event()
        while not self._stop.is_set():
            wait = self._interval_s
            try:
                read = await self._store.call(self.step)
                self.failures = 0
                wait = self._pause(read)
            except (StoreUnavailable, OSError, Garbled, SQLAlchemyError):
                wait = _BACKOFF_S[min(self.failures, len(_BACKOFF_S) - 1)]
                self.failures += 1
            if wait:
                try:
                    await asyncio.wait_for(self._stop.wait(), wait)
                except TimeoutError:
                    continue

    def _pause(self, read: int) -> float:
        """Return the seconds to wait after a batch.

        Under load fewer, larger batches: a transaction costs as much as dozens of rows, and the
        interpreter is wanted by calls. None where a whole batch waits already.
        """
        if read >= _BATCH:
            return 0.0
        return self._interval_s * (_LONGER if read >= _MANY else 1)

    def stop(self) -> None:
        """End ``run`` after its current batch."""
        if self._stop is not None:
            self._stop.set()
