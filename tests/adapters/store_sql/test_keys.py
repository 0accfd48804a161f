"""The queries of keys on both databases: rows come back as they went in, and every change is counted."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from gateway.adapters.keys import mint
from gateway.adapters.store_sql import keys as rows
from tests.people import NOW, US, database, sqlite


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """A database of each kind; PostgreSQL's serves the whole module."""
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as opened:
        yield opened


def fresh(**options):
    return mint(tenant="maple", app="teller", now=NOW, by="ops", **options)[1]


def test_rows_come_back_whole(store):
    """Every field, in the order of making."""
    row = fresh(label="«till» 4", expires_us=US + 1, user="anne", place="CA-QC", kind="demo")
    with store.write() as connection:
        rows.add(connection, row)
        assert rows.one(connection, "maple", row.id) == row
        assert row in rows.all_keys(connection)
        assert row in rows.all_keys(connection, "maple")
        assert row not in rows.all_keys(connection, "birch")
        assert rows.one(connection, "birch", row.id) is None


def test_every_change_moves_the_counter_and_no_other(store):
    """Workers read one number; a revocation that changes nothing does not wake them."""
    row = fresh()
    with store.write() as connection:
        seen = [rows.version(connection)]
        rows.add(connection, row)
        seen.append(rows.version(connection))
        assert rows.revoke(connection, "maple", row.id, at_us=US, by="ops")
        seen.append(rows.version(connection))
        assert rows.revoke(connection, "maple", row.id, at_us=US + 5, by="ops")
        assert not rows.revoke(connection, "maple", "nobody", at_us=US, by="ops")
        seen.append(rows.version(connection))
    start = seen[0]
    assert seen == [start, start + 1, start + 2, start + 2]


def test_a_change_that_is_rolled_back_moves_nothing(store):
    """The counter is in the same transaction."""
    with store.read() as connection:
        before = rows.version(connection)

    def fail():
        with store.write() as connection:
            rows.add(connection, fresh())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.read() as connection:
        assert rows.version(connection) == before


def test_an_id_is_taken_once(store):
    """Two keys of one id could not be told apart."""
    row = fresh()
    with store.write() as connection:
        rows.add(connection, row)
    with store.write() as connection, pytest.raises(IntegrityError):
        rows.add(connection, row)
