"""What becomes of a writer whose process is gone.

A worker that can take a dead writer's file lock owns its journal: it reads it to the
end, books every intent without an outcome at its hold (``abandoned``, estimated),
writes the missing records, and only then releases the rest of its slices. Slices
are never given back by time. Two adopters cannot both win: the lock decides.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.journal_file import FileJournal, try_lock
from gateway.adapters.journal_read import Garbled, segments
from gateway.adapters.projector import Projector
from gateway.adapters.store_sql.budgets import Writer, release
from gateway.adapters.store_sql.engine import Store, StoreUnavailable
from gateway.adapters.store_sql.projection import Handler, book, booked, closed, recorded
from gateway.core.canonical import GENESIS, digest
from gateway.core.fold import Fact, Fold
from gateway.core.record import Data, Entry, abandoned, abandoned_record
from gateway.ports import JournalUnavailable

_MARK = "adopted"  # file in a writer's folder: its rows are in and its slices released


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What one adoption did."""

    writer: str
    entries: int
    abandoned: int
    torn_bytes: int


class Adoption:
    """Adopts dead writers below ``root`` on behalf of ``journal``'s process."""

    def __init__(
        self,
        store: Store,
        root: Path,
        journal: FileJournal,
        *,
        handlers: Mapping[str, Handler] | None = None,
        now: Callable[[], int] = time.time_ns,
        failed: Callable[[str, str], None] | None = None,
    ) -> None:
        """``failed`` hears (writer, reason) of a journal that could not be adopted; it stays held."""
        self._store = store
        self._root = root
        self._journal = journal
        self._handlers = handlers or {}
        self._now = now
        self._failed = failed
        self._done: set[Path] = set()

    def sweep(self) -> list[Adopted]:
        """Adopt every dead writer that can be. Synchronous: call it on a thread.

        Raises StoreUnavailable and JournalUnavailable; what was not finished is found
        again by the next sweep.
        """
        done: list[Adopted] = []
        for folder in self._candidates():
            lock = try_lock(folder)
            if lock is None:
                continue
            try:
                adopted = self._adopt(folder)
            except (Garbled, OSError, KeyError, TypeError, ValueError) as error:
                # INVARIANT: a journal that cannot be read to its end keeps its slices held.
                if self._failed is not None:
                    self._failed(folder.name, f"{type(error).__name__}: {error}")
                continue
            finally:
                os.close(lock)
            self._done.add(folder)
            if adopted is not None:
                done.append(adopted)
        return done

    def _candidates(self) -> list[Path]:
        found: list[Path] = []
        if not self._root.is_dir():
            return found
        for place in sorted(self._root.iterdir()):
            if not place.is_dir() or place.name.startswith("."):
                continue
            for folder in sorted(place.iterdir()):
                if folder.name.startswith(".") or folder in self._done or folder == self._journal.folder:
                    continue
                if (folder / _MARK).exists():
                    self._done.add(folder)
                    continue
                found.append(folder)
        return found

    def _adopt(self, folder: Path) -> Adopted | None:
        if (folder / _MARK).exists():  # another adopter was faster
            return None
        writer = Writer(id=folder.name, place=folder.parent.name)
        torn = _set_aside(folder)
        dead = Projector(self._store, folder, place=writer.place, handlers=self._handlers, now=self._now)
        dead.drain()
        with self._store.read() as connection:
            if writer.id in closed(connection, [writer.id]):
                _mark(folder, self._journal.writer)
                return None
        seq, head = _end(folder)
        facts, count = self._book_open(writer, dead.fold)
        self._journal.write(
            "writer.adopted",
            {
                "writer": writer.id,
                "seq": seq,
                "head": head,
                "abandoned": count,
                "torn": torn[1] if torn else None,
                "torn_bytes": torn[0] if torn else 0,
            },
        )
        with self._store.write() as connection:
            # Windows are locked before sums, as by everyone else: no ring of waiting transactions.
            release(connection, writer, by=self._journal.writer, now_us=self._now() // 1000)
            book(connection, facts)
        _mark(folder, self._journal.writer)
        return Adopted(writer=writer.id, entries=seq, abandoned=count, torn_bytes=torn[0] if torn else 0)

    def _book_open(self, writer: Writer, fold: Fold) -> tuple[list[Fact], int]:
        """Append what the dead writer did not live to write, and return it as facts."""
        with self._store.read() as connection:
            have = booked(connection, list(fold.open))
            kept = recorded(connection, list(fold.unrecorded))
        now = self._now()
        own = Fold()
        facts: list[Fact] = []
        count = 0
        for attempt, begun in fold.open.items():
            if attempt not in have:
                facts += own.step(self._append("attempt.outcome", abandoned(writer.id, begun, ended=now)))
                count += 1
        for call, (begun, last) in fold.unrecorded.items():
            if call not in kept:
                facts += own.step(self._append("call.record", abandoned_record(begun, last, ended=now)))
        return facts, count

    def _append(self, kind: str, data: Data) -> Entry:
        seq = self._journal.write(kind, data)
        return Entry(
            writer=self._journal.writer, seq=seq, t=self._now() // 1000, kind=kind, data=data, prev=""
        )

    def retire(self, projector: Projector) -> bool:
        """End this process's own writer: project to the end and release its slices.

        Call with no hold open and nothing more to be journalled. False (and nothing
        done that adoption would not do) while the database is away or an attempt is open.
        """
        try:
            projector.drain()
            if projector.fold.open:
                return False
            self._journal.write("writer.closed", {"entries": self._journal.seq + 1})
            projector.drain()
            with self._store.write() as connection:
                release(connection, projector.writer, by=self._journal.writer, now_us=self._now() // 1000)
        except (StoreUnavailable, JournalUnavailable, Garbled, OSError):
            return False
        _mark(self._journal.folder, self._journal.writer)
        return True


def _set_aside(folder: Path) -> tuple[int, str] | None:
    """Cut a torn last line off into the file ``torn``; return its size and hash."""
    found = segments(folder)
    if not found:
        return None
    content = found[-1].read_bytes()
    whole = content.rfind(b"\n") + 1
    rest = content[whole:]
    if not rest:
        return None
    with (folder / "torn").open("ab") as file:
        file.write(rest)
        file.flush()
        os.fsync(file.fileno())
    with found[-1].open("r+b") as file:
        file.truncate(whole)
        os.fsync(file.fileno())
    return len(rest), hashlib.sha256(rest).hexdigest()


def _end(folder: Path) -> tuple[int, str]:
    """Return the number and hash of a writer's last line."""
    seq, head = 0, GENESIS
    for segment in segments(folder):
        with segment.open("rb") as file:
            for line in file:
                seq, head = seq + 1, digest(line[:-1])
    return seq, head


def _mark(folder: Path, by: str) -> None:
    temporary = folder / f".{_MARK}"
    temporary.write_text(f"{by}\n", encoding="ascii")
    temporary.rename(folder / _MARK)
