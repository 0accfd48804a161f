"""Rows from facts: the cursor fences, an attempt is booked once, spend finds its slice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.budgets import Writer, release
from gateway.adapters.store_sql.projection import CursorMoved, apply, book, booked, closed, cursor, recorded
from gateway.adapters.store_sql.tables import budget_windows, ledger, slices
from gateway.core.fold import Fact, Fold
from gateway.core.prices import bound
from gateway.core.record import Entry, abandoned, abandoned_record, intent
from gateway.core.values import Charge
from tests.adapters.store_sql.databases import committed_is_the_sum_of_granted, opened, sqlite_url
from tests.core.maple import NOW, attempt, snapshot, want

MOST = bound(snapshot(), "here", input_tokens=10, output_tokens=10, at=NOW)
assert isinstance(MOST, Charge)
DEAD = Writer(id="w1", place="p")
ME = Writer(id="w2", place="p")


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Both databases, with the dead writer known."""
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        with made.write() as connection:
            apply(connection, DEAD, [], seen=0, last=1, handlers={}, now_us=1)
        yield made


def facts(seq: int = 5) -> list[Fact]:
    """An adopter's outcome and record of one attempt that held 100."""
    begun = intent(attempt(wants=(want(100, 10**9),)), bound=MOST)
    fold = Fold()
    made: list[Fact] = []
    for kind, data in (
        ("attempt.outcome", abandoned("w1", begun, ended=NOW)),
        ("call.record", abandoned_record(begun, None, ended=NOW)),
    ):
        made += fold.step(Entry(writer="w2", seq=seq, t=1, kind=kind, data=data, prev=""))
        seq += 1
    return made


def test_the_cursor_lets_only_the_next_entries_in(store: Store) -> None:
    """Who projects from the wrong place is told where the cursor stands, and changes nothing."""
    with store.write() as connection:
        apply(connection, ME, facts(), seen=0, last=6, handlers={}, now_us=1)
    with pytest.raises(CursorMoved) as caught, store.write() as connection:
        apply(connection, ME, facts(), seen=0, last=6, handlers={}, now_us=1)
    assert caught.value.seq == 6
    with store.read() as connection:
        assert cursor(connection, "w2") == 6
        assert cursor(connection, "nobody") == 0
        assert len(connection.execute(select(ledger.c.attempt_id)).all()) == 1


def test_an_attempt_is_booked_once_whoever_tells(store: Store) -> None:
    """Two adopters' entries of one attempt: the first row stands and spends."""
    with store.write() as connection:
        assert book(connection, facts(5)) == 1
        assert book(connection, facts(9)) == 0
        assert booked(connection, ["req_1.a1", "other"]) == {"req_1.a1"}
        assert recorded(connection, ["req_1", "other"]) == {"req_1"}
    with store.read() as connection:
        assert connection.execute(select(slices.c.writer, slices.c.spent)).all() == [("w1", 100)]


def test_spend_without_a_slice_counts_after_release(store: Store) -> None:
    """Nothing was leased for it: release grows the window to what was spent."""
    with store.write() as connection:
        book(connection, facts())
        release(connection, DEAD, by="w2", now_us=1)
        assert closed(connection, ["w1", "w2"]) == {"w1"}
        assert closed(connection, []) == set()
    with store.read() as connection:
        assert connection.execute(select(budget_windows.c.committed)).scalar_one() == 100
    assert committed_is_the_sum_of_granted(store)


def test_spend_that_comes_after_the_release_counts_too(store: Store) -> None:
    """A row for a closed writer grows its slice and the window."""
    with store.write() as connection:
        release(connection, DEAD, by="w2", now_us=1)
        book(connection, facts())
    with store.read() as connection:
        assert connection.execute(select(budget_windows.c.committed)).scalar_one() == 100
    assert committed_is_the_sum_of_granted(store)
