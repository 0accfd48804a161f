"""``borderpost books sums``: wrong sums are told with both numbers, and made right when asked."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from gateway.adapters.store_sql import rollups
from gateway.adapters.store_sql.tables_rollups import rollups as sums
from tests.cli.desk import Desk
from tests.people import book, row


@pytest.fixture
def desk(tmp_path):
    """A bank with two attempts in its ledger."""
    made = Desk(tmp_path)
    store = made.store()
    with store.write() as connection:
        book(connection, row("a/1", tenant="maple-bank"), row("b/1", tenant="maple-bank"))
    store.close()
    return made


def test_sums_that_agree_are_said_to(desk):
    """Status 0, with how much was looked at."""
    found = desk.run("books", "sums")
    assert found.exit_code == 0, found.output
    assert found.output == "1 days of UTC, every sum is that of its rows\n"


def test_sums_that_differ_are_told_and_rebuilt(desk):
    """Status 1 and the fix; after it they agree."""
    store = desk.store()
    with store.write() as connection:
        connection.execute(update(sums).values(spend_nano=7))
    found = desk.run("books", "sums")
    assert found.exit_code == 1
    assert "spend_nano 7, rows 2785000000" in found.output
    assert "2 sums differ" in found.output
    assert "books sums --rebuild" in found.output
    mended = desk.run("books", "sums", "--rebuild")
    assert mended.exit_code == 0
    assert "made anew" in mended.output
    assert desk.run("books", "sums").exit_code == 0
    with store.read() as connection:
        assert rollups.tenants(connection) == ["maple-bank"]
    store.close()


def test_only_the_first_of_many_are_listed(desk):
    """A broken table does not scroll the fix away."""
    store = desk.store()
    with store.write() as connection:
        connection.execute(update(sums).values(dict.fromkeys(rollups.MEASURES, 3)))
    store.close()
    lines = desk.run("books", "sums").output.splitlines()
    assert len(lines) == 23
    assert lines[20].startswith("and ")
