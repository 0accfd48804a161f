"""Sealed content at rest: what a copy of the database shows, and what destroying one key does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from gateway.adapters.clock import SetClock
from gateway.adapters.content_store import SqlContentStore, seal, unseal
from gateway.adapters.keyring import FileKeyRing
from gateway.adapters.memory_journal import MemoryJournal
from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.tables import content, content_keys
from gateway.ports import ContentUnavailable, JournalUnavailable, Subject
from tests.people import NOW, database, sqlite

JANE = Subject(tenant="maple", name="conversation:1")
PAUL = Subject(tenant="maple", name="conversation:2")
LATER = NOW + 10**12


def opened(store: Store, folder: Path, journal: MemoryJournal | None = None) -> SqlContentStore:
    """A node in Quebec."""
    return SqlContentStore(
        store, FileKeyRing(folder), SetClock(NOW), journal or MemoryJournal(), place="CA-QC"
    )


async def test_the_database_shows_no_content_and_no_key(tmp_path: Path) -> None:
    """A copy of it, without the root key, is noise."""
    with database(sqlite(tmp_path)) as store:
        await opened(store, tmp_path).put(JANE, "k", {"a": b"what jane said"}, expires=LATER)
    found = b"".join(path.read_bytes() for path in tmp_path.glob("bank.db*"))  # noqa: ASYNC240 (a test)
    assert b"what jane said" not in found


async def test_a_restored_row_stays_shut_once_the_key_is_destroyed(tmp_path: Path) -> None:
    """Crypto-erasure: rows that come back from a backup of the content cannot be read."""
    with database(sqlite(tmp_path)) as store:
        kept = opened(store, tmp_path)
        await kept.put(JANE, "k", {"a": b"secret"}, expires=LATER)
        with store.read() as connection:
            backup = [dict(row) for row in connection.execute(select(content)).mappings()]
        await kept.erase(JANE, by="x")
        with store.write() as connection:
            connection.execute(insert(content), backup)
        assert await kept.get(JANE, "k", "a") is None
        assert await kept.all(JANE, "k") == {}
        with store.read() as connection:
            (tombstone,) = connection.execute(select(content_keys)).mappings()
        assert (tombstone["wrapped"], tombstone["erased_by"]) == (None, "x")


async def test_a_row_cannot_pass_for_another(tmp_path: Path) -> None:
    """Moved to another name, or another subject's key put in its place: it does not open."""
    with database(sqlite(tmp_path)) as store:
        kept = opened(store, tmp_path)
        await kept.put(JANE, "k", {"a": b"one"}, expires=LATER)
        with store.write() as connection:
            connection.execute(update(content).values(name="b"))
        with pytest.raises(ContentUnavailable):
            await kept.get(JANE, "k", "b")
        await kept.put(PAUL, "k", {"a": b"two"}, expires=LATER)
        with store.write() as connection:
            other = connection.scalar(
                select(content_keys.c.wrapped).where(content_keys.c.subject == PAUL.name)
            )
            connection.execute(delete(content).where(content.c.subject == JANE.name))
            connection.execute(
                update(content_keys).where(content_keys.c.subject == JANE.name).values(wrapped=other)
            )
        with pytest.raises(ContentUnavailable):
            await kept.put(JANE, "k", {"a": b"x"}, expires=LATER)


async def test_without_the_database_nothing_is_kept_or_read(tmp_path: Path) -> None:
    """Said as such, never as nothing there."""
    kept = opened(Store(f"sqlite:///{tmp_path}/no/such/folder/x.db"), tmp_path)
    with pytest.raises(ContentUnavailable):
        await kept.all(JANE, "k")
    with pytest.raises(ContentUnavailable):
        await kept.put(JANE, "k", {"a": b"1"}, expires=LATER)


async def test_an_erasure_that_the_journal_missed_is_journalled_by_its_repeat(tmp_path: Path) -> None:
    """Gone first, then said: a crash in between leaves content gone, and the repeat says so."""
    journal = MemoryJournal()
    with database(sqlite(tmp_path)) as store:
        kept = opened(store, tmp_path, journal)
        await kept.put(JANE, "k", {"a": b"1"}, expires=LATER)
        journal.failing = True
        with pytest.raises(JournalUnavailable):
            await kept.erase(JANE, by="x")
        journal.failing = False
        assert await kept.get(JANE, "k", "a") is None
        assert await kept.erase(JANE, by="x") == 0
    assert journal.entries[-1].kind == "content.erased"


@given(st.binary(max_size=200), st.binary(max_size=40), st.integers(min_value=0), st.integers(1, 255))
def test_a_seal_opens_where_it_was_made_and_unaltered_only(
    plain: bytes, bound: bytes, at: int, flip: int
) -> None:
    """Any byte, the nonce included."""
    key = b"k" * 32
    sealed = bytearray(seal(key, plain, bound))
    assert unseal(key, bytes(sealed), bound) == plain
    with pytest.raises(ContentUnavailable):
        unseal(key, bytes(sealed), bound + b"x")
    sealed[at % len(sealed)] ^= flip
    with pytest.raises(ContentUnavailable):
        unseal(key, bytes(sealed), bound)
