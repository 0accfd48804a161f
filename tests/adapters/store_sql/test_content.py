"""The queries of sealed content: first come first served, expiry, erasure, and keys without content."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql import content as rows
from gateway.adapters.store_sql.content import Sealed, Wrapped
from gateway.ports import Subject
from tests.adapters.store_sql.databases import opened, sqlite_url

JANE = Subject(tenant="maple", name="conversation:1")


def piece(name: str, *, sealed: bytes = b"x", generation: int = 1) -> Sealed:
    """One piece in Quebec."""
    return Sealed(name=name, place="CA-QC", generation=generation, sealed=sealed)


@pytest.fixture
def store(tmp_path: Path):  # type: ignore[no-untyped-def]  # a generator of Store
    """An empty database."""
    with opened(sqlite_url(tmp_path)) as made:
        yield made


def test_a_key_is_kept_once_per_generation(store: Store) -> None:
    """The second maker gets the first one's key; after an erasure the next generation begins."""
    with store.write() as connection:
        first = Wrapped(generation=1, wrapped=b"one")
        assert rows.add_key(connection, JANE, place="CA-QC", key=first, now_us=1) == first
        late = Wrapped(generation=1, wrapped=b"two")
        assert rows.add_key(connection, JANE, place="CA-QC", key=late, now_us=2) == first
        assert rows.next_generation(connection, JANE, place="CA-QC") == 2
        rows.erase(connection, JANE, now_us=3, by="x")
        assert rows.keys(connection, JANE, place="CA-QC") == {}
        assert rows.next_generation(connection, JANE, place="CA-QC") == 2


def test_a_name_is_free_again_once_its_piece_expired(store: Store) -> None:
    """Until then the first to come stays."""
    with store.write() as connection:
        rows.add(connection, JANE, "k", [piece("a", sealed=b"1")], now_us=1, until_us=10)
        rows.add(connection, JANE, "k", [piece("a", sealed=b"2")], now_us=9, until_us=20)
        assert [one.sealed for one in rows.find(connection, JANE, "k", now_us=9)] == [b"1"]
        assert rows.find(connection, JANE, "k", now_us=10) == []
        rows.add(connection, JANE, "k", [piece("a", sealed=b"2")], now_us=10, until_us=20)
        assert [one.sealed for one in rows.find(connection, JANE, "k", now_us=11, name="a")] == [b"2"]


def test_a_sweep_removes_the_expired_and_idle_keys_and_keeps_tombstones(store: Store) -> None:
    """A key under which something is kept stays, and so does the trace of an erasure."""
    paul = Subject(tenant="maple", name="conversation:2")
    with store.write() as connection:
        for subject in (JANE, paul):
            rows.add_key(
                connection, subject, place="CA-QC", key=Wrapped(generation=1, wrapped=b"k"), now_us=1
            )
        rows.add(connection, JANE, "k", [piece("a"), piece("b")], now_us=1, until_us=50)
        rows.add(connection, JANE, "k", [piece("c")], now_us=1, until_us=500)
        assert rows.sweep(connection, now_us=100, idle_us=50) == 2
        assert rows.keys(connection, JANE, place="CA-QC") == {1: b"k"}
        assert rows.keys(connection, paul, place="CA-QC") == {}
        assert rows.erase(connection, JANE, now_us=101, by="x") == {"keys": 1, "pieces": 1, "tombstones": 1}
        rows.sweep(connection, now_us=1000, idle_us=0)
        assert rows.next_generation(connection, JANE, place="CA-QC") == 2
