"""The queries of kept replies on both databases; the behaviour is in ``tests/contract``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete

from gateway.adapters.store_sql import idempotency as rows
from gateway.adapters.store_sql.idempotency import Slot
from gateway.adapters.store_sql.tables import idempotency
from tests.people import US, database, sqlite


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """A database of each kind."""
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as opened:
        with opened.write() as connection:
            connection.execute(delete(idempotency))
        yield opened


def test_of_racing_transactions_one_takes_the_slot(store):
    """Eight threads, eight transactions, one None: the primary key decides."""
    slot = Slot(tenant="maple", key_id="k", key_hash="race")

    def take(number):
        with store.write() as connection:
            return rows.claim(connection, slot, digest="d", owner=f"o{number}", now_us=US, until_us=US + 1000)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(take, range(8)))
    assert found.count(None) == 1
    assert all(kept.state == "running" for kept in found if kept is not None)


def test_only_the_owner_finishes_or_frees(store):
    """A run that lost its slot changes nothing."""
    slot = Slot(tenant="maple", key_id="k", key_hash="owner")
    with store.write() as connection:
        rows.claim(connection, slot, digest="d", owner="mine", now_us=US, until_us=US + 1000)
        rows.free(connection, slot, owner="theirs")
        args = {"state": "done", "status": 200, "sealed": b"x", "until_us": US + 5000}
        assert not rows.finish(connection, slot, owner="theirs", **args)
        assert rows.finish(connection, slot, owner="mine", **args)
        kept = rows.claim(connection, slot, digest="d", owner="next", now_us=US, until_us=US + 1000)
        assert (kept.state, kept.sealed) == ("done", b"x")
        assert rows.sweep(connection, now_us=US + 4999) == 0
        assert rows.sweep(connection, now_us=US + 5000) == 1
