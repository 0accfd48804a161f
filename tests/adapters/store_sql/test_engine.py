"""The store: whole transactions, one writer on SQLite, and absence that has one name."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError

from gateway.adapters.store_sql import Store, StoreUnavailable
from gateway.adapters.store_sql.tables import counters
from tests.adapters.store_sql.databases import opened, sqlite_url


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Both databases."""
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        yield made


def value(store: Store) -> int | None:
    """The counter of these tests."""
    with store.read() as connection:
        return connection.execute(select(counters.c.value)).scalar_one_or_none()


def test_a_block_that_fails_writes_nothing(store: Store) -> None:
    """All of a transaction or none of it."""
    with pytest.raises(RuntimeError), store.write() as connection:  # noqa: PT012 (the block is the test)
        connection.execute(counters.insert(), {"name": "n", "value": 1})
        raise RuntimeError
    assert value(store) is None


async def test_racing_read_modify_writes_lose_nothing(store: Store) -> None:
    """Sixty increments that read first: all are counted, none fails half way."""
    with store.write() as connection:
        connection.execute(counters.insert(), {"name": "n", "value": 0})

    def increment(connection: object) -> None:
        found = connection.execute(select(counters.c.value).with_for_update()).scalar_one()
        connection.execute(update(counters).values(value=found + 1))

    await asyncio.gather(*(store.run(increment) for _ in range(60)))
    assert value(store) == 60


async def test_work_runs_off_the_event_loop(store: Store) -> None:
    """The loop's thread never waits for the database."""
    where = await store.ask(lambda _: threading.current_thread().name)
    assert where.startswith("store")
    assert await store.call(lambda: 7) == 7


def test_a_bug_is_not_taken_for_an_outage(store: Store) -> None:
    """A broken constraint is raised as itself."""
    with pytest.raises(IntegrityError), store.write() as connection:
        connection.execute(text("INSERT INTO counters (name) VALUES ('x')"))


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Connection refused is StoreUnavailable, and its text names no address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = Store(f"postgresql://nobody@127.0.0.1:{port}/none")
    with pytest.raises(StoreUnavailable) as caught, store.read():
        pass
    assert "127.0.0.1" not in str(caught.value)
    store.close()


def test_a_connection_that_died_is_replaced(postgres_url: str) -> None:
    """The server restarted: the next transaction works without a restart of ours."""
    with opened(postgres_url) as store:
        with store.read() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        other = Store(postgres_url)
        with other.write() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        other.close()
        with store.read() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_server_that_goes_away_in_between_is_unavailable(postgres_url: str) -> None:
    """Killed within a transaction: StoreUnavailable, and nothing of it is there."""
    with opened(postgres_url) as store:
        other = Store(postgres_url)
        with pytest.raises(StoreUnavailable), store.write() as connection:  # noqa: PT012 (as above)
            connection.execute(counters.insert(), {"name": "n", "value": 1})
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with other.write() as second:
                second.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            connection.execute(text("SELECT 1"))
        other.close()
        assert value(store) is None


def test_other_databases_are_refused() -> None:
    """Only what we test on."""
    with pytest.raises(ValueError, match="mysql"):
        Store("mysql://localhost/x")


def test_sqlite_keeps_a_log_beside_the_file(tmp_path: Path) -> None:
    """WAL: readers do not wait for the writer."""
    with opened(sqlite_url(tmp_path)) as store, store.read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
