"""The statements of the shared windows, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.budget_rooms import standings
from gateway.adapters.store_sql.budgets import (
    Fenced,
    Level,
    Synced,
    Writer,
    contended,
    release,
    shrink,
    sync,
)
from gateway.adapters.store_sql.tables import slices, writers
from gateway.core.leasing import Ask
from tests.adapters.store_sql.databases import committed_is_the_sum_of_granted, opened, sqlite_url
from tests.core.maple import want

ME = Writer(id="w1", place="CA-QC")
KEY = ("team:branch:CAD", "2026-11-01T04:00:00Z")
NOW_US = 1_000_000_000


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Both databases."""
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        yield made


def ask(
    store: Store, *amounts: int, writer: Writer = ME, limit: int = 1000, floor: int = 0, give: bool = False
) -> Synced:
    """Sync one window for a batch of holds."""
    level = Level(want=want(0, limit), floor=floor, give=give)
    asks = [Ask(hold_id=f"h{n}", wants=(want(amount, limit),)) for n, amount in enumerate(amounts)]
    with store.write() as connection:
        made = sync(connection, writer, [level], asks, now_us=NOW_US)
    assert committed_is_the_sum_of_granted(store)
    return made


def stood(connection: Connection, *, me: str = "w1") -> tuple[int, int, int]:
    """Where the window stands: committed, spent by others, spent by one writer."""
    ((row,),) = standings(connection, [want(0, 1000)], me=me).values()
    return row.committed, row.others, row.own


def test_a_batch_is_answered_in_order(store: Store) -> None:
    """Who came first is served first; a smaller one behind may still fit."""
    made = ask(store, 600, 600, 400)
    assert [verdict.blocked for verdict in made.verdicts] == [None, KEY, None]
    assert made.granted[KEY] == made.committed[KEY] == 1000
    assert made.blocked["h1"].want.amount == 600


def test_an_overrun_is_granted_whatever_the_limit(store: Store) -> None:
    """Spend beyond the slice grows the window, so that others see it."""
    ask(store, 1000)
    assert ask(store, floor=1500).committed[KEY] == 1500
    refused = ask(store, 1, writer=Writer(id="w2", place="p"))
    assert refused.verdicts[0].blocked == KEY


def test_giving_back_leaves_what_is_spent_and_held(store: Store) -> None:
    """The slice shrinks to its floor."""
    ask(store, 1000)
    made = ask(store, floor=300, give=True)
    assert (made.granted[KEY], made.committed[KEY]) == (300, 300)


def test_a_refusal_flags_the_window_for_a_while(store: Store) -> None:
    """Others give back what they do not use, and lease no more than they need."""
    ask(store, 1000, limit=10**6)
    ask(store, 10**7, limit=10**6)
    with store.read() as connection:
        assert contended(connection, [KEY], now_us=NOW_US + 1) == {KEY}
        assert contended(connection, [KEY], now_us=NOW_US + 6_000_000) == set()
    before = ask(store, writer=Writer(id="w2", place="p")).committed[KEY]
    after = ask(store, 10, limit=10**6, writer=Writer(id="w2", place="p")).committed[KEY]
    assert after - before == 10


def test_a_released_writer_is_fenced(store: Store) -> None:
    """Once its journal was read it gets nothing more; releasing again changes nothing."""
    ask(store, 500)
    with store.write() as connection:
        connection.execute(slices.update().values(spent=200))
    for _ in range(2):
        with store.write() as connection:
            release(connection, ME, by="w2", now_us=NOW_US)
    with store.read() as connection:
        assert stood(connection) == (200, 0, 200)
        row = connection.execute(select(writers.c.state, writers.c.closed_by)).one()
    assert tuple(row) == ("closed", "w2")
    assert committed_is_the_sum_of_granted(store)
    with pytest.raises(Fenced):
        ask(store, 1)


def test_late_spend_of_a_closed_writer_grows_its_slice(store: Store) -> None:
    """A row that comes after the release still counts against the window."""
    ask(store, 500)
    with store.write() as connection:
        release(connection, ME, by="w2", now_us=NOW_US)
        connection.execute(slices.update().values(spent=70))
        shrink(connection, ME.id)
    with store.read() as connection:
        assert stood(connection) == (70, 0, 70)
    assert committed_is_the_sum_of_granted(store)
