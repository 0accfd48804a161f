"""The journal on disk: whole lines whatever fails, and a lock that dies with its process."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.journal_file import FileJournal, try_lock, verify
from gateway.adapters.journal_read import Tail, segments
from gateway.ports import JournalUnavailable


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[FileJournal]:
    """A journal with small segments."""
    made = FileJournal.claim(tmp_path, place="CA-QC", segment_bytes=2000, sync_ms=5)
    yield made
    made.close()


def test_segments_rotate_and_the_chain_goes_on(journal: FileJournal) -> None:
    """Files stay small; the first entry of the next continues the last of the one before."""
    for n in range(40):
        journal.write("x", {"n": n})
    assert len(segments(journal.folder)) > 3
    assert verify(journal.folder).ok
    assert [e.seq for e in Tail(journal.folder).read()] == list(range(1, 42))


def test_a_full_disk_refuses_and_the_chain_stays(
    journal: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC and half-written lines are JournalUnavailable; when there is room again it goes on."""
    journal.write("x", {"n": 1})
    plain = os.write

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def half(fd: int, data: bytes) -> int:
        return plain(fd, data[: len(data) // 2])

    for broken in (full, half):
        monkeypatch.setattr("gateway.adapters.journal_file.os.write", broken)
        with pytest.raises(JournalUnavailable):
            journal.write("x", {"n": 2})
    monkeypatch.undo()
    assert journal.write("x", {"n": 3}) == 3
    report = verify(journal.folder)
    assert report.ok
    assert report.entries == 3


async def test_a_failed_sync_ends_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After fsync failed nothing more is promised: who waits is told, later appends are refused."""
    journal = FileJournal.claim(tmp_path, place="p", durability="host")

    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("gateway.adapters.journal_file.os.fsync", fails)
    with pytest.raises(JournalUnavailable):
        await journal.append("x", {})
    with pytest.raises(JournalUnavailable):
        await journal.append("x", {})
    assert journal.broken
    monkeypatch.undo()
    journal.close()


async def test_host_durability_waits_for_the_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``append`` returns only after an fsync that began after the write; one sync serves many."""
    journal = FileJournal.claim(tmp_path, place="p", durability="host")
    synced: list[int] = []
    plain = os.fsync

    def counted(fd: int) -> None:
        plain(fd)
        synced.append(fd)

    monkeypatch.setattr("gateway.adapters.journal_file.os.fsync", counted)
    await journal.append("x", {})
    assert synced
    synced.clear()
    await asyncio.gather(*(journal.append("x", {"n": n}) for n in range(50)))
    assert 1 <= len(synced) <= 25
    monkeypatch.undo()
    journal.close()


def test_the_lock_tells_the_living_from_the_dead(tmp_path: Path) -> None:
    """While its process lives nobody takes a writer's lock; afterwards exactly one does."""
    journal = FileJournal.claim(tmp_path, place="p")
    assert try_lock(journal.folder) is None
    journal.close()
    first = try_lock(journal.folder)
    assert first is not None
    assert try_lock(journal.folder) is None
    os.close(first)


def test_a_writer_is_never_used_twice(tmp_path: Path) -> None:
    """Two claims at the same instant are two writers."""
    one = FileJournal.claim(tmp_path, place="p", now=lambda: 0)
    two = FileJournal.claim(tmp_path, place="p", now=lambda: 0)
    assert one.writer != two.writer
    one.close()
    two.close()


@pytest.mark.parametrize("place", ["", "../up", "a/b", ".hidden", "a" * 40])
def test_a_place_cannot_lead_out_of_the_folder(tmp_path: Path, place: str) -> None:
    """The place names a folder, so it is checked as one."""
    with pytest.raises(ValueError, match="place"):
        FileJournal.claim(tmp_path, place=place)


def test_an_unknown_durability_is_an_error(tmp_path: Path) -> None:
    """A typo is not taken for the weaker mode."""
    with pytest.raises(ValueError, match="hosts"):
        FileJournal.claim(tmp_path, place="p", durability="hosts")


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """No place to write is JournalUnavailable, so that the caller fails closed."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(JournalUnavailable):
        FileJournal.claim(tmp_path / "file", place="p")


def test_a_closed_journal_refuses(tmp_path: Path) -> None:
    """Nothing is written once the lock is given up."""
    journal = FileJournal.claim(tmp_path, place="p")
    journal.close()
    journal.close()
    with pytest.raises(JournalUnavailable):
        journal.write("x", {})


KILLED = """
import sys, time
from pathlib import Path
from gateway.adapters.journal_file import FileJournal
journal = FileJournal.claim(Path(sys.argv[1]), place="p", sync_ms=10_000)
for n in range(500):
    journal.write("x", {"n": n})
print("written", flush=True)
time.sleep(60)
"""


def test_what_was_appended_survives_kill_9(tmp_path: Path) -> None:
    """Process durability: written before append returns, no sync needed."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "written\n"
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=10)
    report = verify(tmp_path)
    assert report.ok
    assert report.entries == 501
    assert report.writers[0].end == "open"


def test_retired_segments_are_synced_and_closed(tmp_path: Path) -> None:
    """Rotation leaves no descriptor behind."""
    journal = FileJournal.claim(tmp_path, place="p", segment_bytes=500, sync_ms=1)
    for n in range(20):
        journal.write("x", {"n": n})
    held = []
    for _ in range(200):
        held = [
            link
            for fd in Path("/proc/self/fd").iterdir()
            if (link := _target(fd)) and link.startswith(str(journal.folder)) and link.endswith(".jsonl")
        ]
        if len(held) == 1:
            break
        time.sleep(0.01)
    assert len(held) == 1
    journal.close()


def _target(fd: Path) -> str | None:
    try:
        return str(fd.readlink())
    except OSError:
        return None
