"""The journal on disk: one directory per writer, one canonical JSON entry per line.

A writer is one life of one process: the directory ``<root>/<place>/<writer id>/``
is claimed by a file lock that dies with the process, so that another worker can
tell a dead writer from a slow one and adopt it (``adapters/adoption.py``). Each
entry bears the SHA-256 of the line before it; ``adapters/journal_read.py`` verifies.

``durability="process"``: an entry is written before ``append`` returns (it survives
``kill -9``) and synced within ``sync_ms`` off the event loop. ``"host"``: ``append``
returns once a group sync has it (it survives power loss).

INVARIANT: the file never holds a line that is not the whole next entry of the chain,
but for a torn last line that a dying machine may leave.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.adapters.journal_read import Report, verify
from gateway.core.canonical import GENESIS, NotCanonical, digest, encode
from gateway.core.record import BUILT, VERSION
from gateway.ports import JournalUnavailable

__all__ = ["FileJournal", "JournalUnavailable", "NotCanonical", "Report", "try_lock", "verify"]

SEGMENT_BYTES = 64 * 1024 * 1024
_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


@dataclass(slots=True)
class _Waiter:
    """An append of host durability that waits for the sync of its entry."""

    seq: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]


class FileJournal:
    """The journal of this process. Make one with :meth:`claim`; end it with :meth:`close`."""

    def __init__(
        self,
        folder: Path,
        lock: int,
        *,
        durability: str,
        sync_ms: int,
        segment_bytes: int,
        now: Callable[[], int],
    ) -> None:
        self.folder = folder
        self.writer = folder.name
        self._lock_fd = lock
        self._host = durability == "host"
        self._sync_s = sync_ms / 1000
        self._segment_bytes = segment_bytes
        self._now = now
        self._guard = threading.Lock()
        self._seq = 0
        self._prev = GENESIS
        self._segment = 0
        self._size = 0
        self._fd = -1
        self._broken: str | None = None
        self._synced = 0
        self._waiters: list[_Waiter] = []
        self._retired: list[int] = []  # full segments, to be synced and closed off the loop
        self._wake = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._sync_loop, name="journal-sync", daemon=True)

    @classmethod
    def claim(
        cls,
        root: Path,
        *,
        place: str,
        durability: str = "process",
        sync_ms: int = 50,
        segment_bytes: int = SEGMENT_BYTES,
        now: Callable[[], int] = time.time_ns,
        version: str = "",
    ) -> FileJournal:
        """Make a new writer under ``root/place`` and write its ``writer.open``.

        ``now`` returns nanoseconds. Raises JournalUnavailable if the folder cannot be
        made, locked or written, ValueError on an unknown durability or a place that
        is no safe folder name.
        """
        if durability not in {"process", "host"}:
            raise ValueError(f"unknown durability `{durability}`: use process or host")
        if not _PLACE.fullmatch(place):
            raise ValueError(f"place `{place}` cannot name a folder: use letters, digits, - and _")
        try:
            folder, lock = _claimed(root / place, now())
        except OSError as error:
            raise JournalUnavailable(f"the journal folder cannot be claimed: {error.strerror}") from error
        journal = cls(
            folder, lock, durability=durability, sync_ms=sync_ms, segment_bytes=segment_bytes, now=now
        )
        journal.write("writer.open", {"place": place, "durability": durability, "version": version})
        journal._thread.start()
        return journal

    @property
    def seq(self) -> int:
        """The sequence number of the last entry."""
        return self._seq

    @property
    def broken(self) -> str | None:
        """Why nothing can be written any more, or None."""
        return self._broken

    async def append(self, kind: str, data: Mapping[str, object]) -> int:
        """Append one entry; see :class:`gateway.ports.Journal`."""
        seq = self.write(kind, data)
        if self._host:
            loop = asyncio.get_running_loop()
            waiter = _Waiter(seq, loop, loop.create_future())
            with self._guard:
                self._waiters.append(waiter)
            self._wake.set()
            await waiter.future
        return seq

    def write(self, kind: str, data: Mapping[str, object]) -> int:
        """Append one entry with process durability and return its number; from any thread.

        Raises JournalUnavailable on any failure of the disk, and NotCanonical for data
        that has no canonical form (a bug of the caller, kept out of the chain).
        """
        with self._guard:
            if self._broken is not None:
                raise JournalUnavailable(self._broken)
            seq = self._seq + 1
            line = encode(
                {
                    "v": VERSION,
                    "writer": self.writer,
                    "seq": seq,
                    "t": self._now() // 1000,
                    "kind": kind,
                    "data": data,
                    "prev": self._prev,
                },
                sure=kind in BUILT,
            )
            if self._fd < 0 or self._size >= self._segment_bytes:
                self._rotate()
            self._put(line + b"\n")
            self._seq = seq
            self._prev = digest(line)
            return seq

    def _put(self, line: bytes) -> None:
        """Write a whole line or nothing."""
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            # A failed write wrote nothing: the chain stands, and a later append may work.
            raise JournalUnavailable(f"the journal cannot be written: {error.strerror}") from error
        if written == len(line):
            self._size += written
            return
        try:
            os.ftruncate(self._fd, self._size)
        except OSError as error:
            self._broken = "the journal holds half an entry that cannot be taken back"
            raise JournalUnavailable(self._broken) from error
        raise JournalUnavailable("the journal cannot be written: the disk is full")

    def _rotate(self) -> None:
        path = self.folder / f"{self._segment + 1:08d}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            fd = os.open(path, flags, 0o640)
        except OSError as error:
            raise JournalUnavailable(f"no new journal segment can be made: {error.strerror}") from error
        if self._fd >= 0:
            self._retired.append(self._fd)
        self._fd, self._size = fd, 0
        self._segment += 1

    # ------------------------------------------------------------------- sync

    def _sync_loop(self) -> None:
        """Sync in groups, away from the event loop, until closed."""
        while not self._stop:
            if self._host:
                self._wake.wait()
                self._wake.clear()
            else:
                self._wake.wait(self._sync_s)
            self._sync()

    def _sync(self) -> None:
        with self._guard:
            seq, fd, retired, self._retired = self._seq, self._fd, self._retired, []
            waiters, self._waiters = self._waiters, []
        failure: str | None = None
        if seq != self._synced or retired:
            try:
                for old in retired:
                    os.fsync(old)
                    os.close(old)
                os.fsync(fd)
                if retired or self._synced == 0:
                    _sync_folder(self.folder)
                self._synced = seq
            except OSError as error:
                # INVARIANT: after a failed sync nothing more is promised. The kernel may
                # have dropped the pages, so trying again would lie.
                failure = f"the journal cannot be synced: {error.strerror}"
                self._broken = failure
        for waiter in waiters:
            waiter.loop.call_soon_threadsafe(_answer, waiter.future, failure)

    def close(self) -> None:
        """Sync, give up the lock and end. The folder stays for the projector of others."""
        if self._stop:
            return
        self._stop = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._sync()
        with self._guard:
            self._broken = self._broken or "the journal is closed"
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
        os.close(self._lock_fd)


def _answer(future: asyncio.Future[None], failure: str | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(JournalUnavailable(failure))


def _claimed(parent: Path, now: int) -> tuple[Path, int]:
    """Make a writer's folder, locked before it can be seen.

    INVARIANT: a folder without a leading dot is locked by its owner or its owner is
    dead: it is renamed into sight only once the lock is held.
    """
    parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    stamp = datetime.fromtimestamp(now // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%S")
    name = f"{stamp}-{secrets.token_hex(6)}"
    hidden = parent / f".{name}"
    hidden.mkdir(mode=0o750)
    lock = os.open(hidden / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    hidden.rename(parent / name)
    _sync_folder(parent)
    return parent / name, lock


def try_lock(folder: Path) -> int | None:
    """Take the lock of a writer's folder: its descriptor, or None while its owner lives."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
