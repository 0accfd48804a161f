"""The Journal port: one chain, on disk and in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.adapters.journal_file import FileJournal
from gateway.adapters.journal_read import Tail
from gateway.adapters.memory_journal import MemoryJournal
from gateway.core.canonical import GENESIS, NotCanonical, digest, encode
from gateway.core.record import Entry

Made = tuple[FileJournal | MemoryJournal, Callable[[], list[Entry]]]


@pytest.fixture(params=["memory", "process", "host"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    """A journal, and how to read back what is in it."""
    if request.param == "memory":
        twin = MemoryJournal()
        yield twin, lambda: twin.entries
        return
    journal = FileJournal.claim(tmp_path, place="CA-QC", durability=request.param, sync_ms=5)
    yield journal, lambda: Tail(journal.folder).read()
    journal.close()


async def test_entries_are_numbered_and_read_back(made: Made) -> None:
    """What was appended is what is read, in order, from the writer's opening on."""
    journal, read = made
    assert [await journal.append("x", {"n": n}) for n in range(3)] == [2, 3, 4]
    entries = read()
    assert [entry.seq for entry in entries] == [1, 2, 3, 4]
    assert [entry.kind for entry in entries] == ["writer.open", "x", "x", "x"]
    assert [entry.data for entry in entries[1:]] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert {entry.writer for entry in entries} == {journal.writer}


async def test_every_entry_continues_the_chain(made: Made) -> None:
    """Each bears the hash of the canonical line before it."""
    journal, read = made
    for n in range(3):
        await journal.append("x", {"n": n})
    prev = GENESIS
    for entry in read():
        assert entry.prev == prev
        prev = digest(
            encode(
                {
                    "v": 1,
                    "writer": entry.writer,
                    "seq": entry.seq,
                    "t": entry.t,
                    "kind": entry.kind,
                    "data": entry.data,
                    "prev": entry.prev,
                }
            )
        )


async def test_what_has_no_canonical_form_stays_out(made: Made) -> None:
    """A float is refused, and the chain goes on as if it had not been tried."""
    journal, read = made
    with pytest.raises(NotCanonical):
        await journal.append("x", {"cost": 0.1})
    assert await journal.append("x", {"cost": "0.1"}) == 2
    assert [entry.seq for entry in read()] == [1, 2]
