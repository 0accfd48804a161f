"""Imports, lines and decisions come back as they went in."""

from __future__ import annotations

import os
from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.adapters.store_sql import vendor_costs as rows
from gateway.adapters.store_sql.vendor_costs import Decision, Import
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.adapters.vendor_costs.bank import DAY, OCTOBER, line

ONE = Import(
    tenant="maple",
    id="a" * 64,
    vendor="microsoft",
    source="azure",
    file="f.csv",
    covers_start_us=OCTOBER,
    covers_end_us=OCTOBER + DAY,
    currency="USD",
    places=4,
    line_count=2,
    total_nano=5,
    invoice="",
    invoice_nano=None,
    supersedes="",
    imported_us=1,
    imported_by="fin",
)
DECISION = Decision(
    tenant="maple",
    exception="x1",
    vendor="microsoft",
    month="2026-10",
    start_us=OCTOBER,
    model="m",
    currency="USD",
    open_nano=-5,
    action="accept",
    reason="because",
    decided_us=2,
    decided_by="fin",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = sqlite_url(tmp_path)
    if request.param == "postgresql":
        url = os.environ.get("BORDERPOST_TEST_POSTGRES", "")
        if not url:
            pytest.skip("BORDERPOST_TEST_POSTGRES names no PostgreSQL")
    with opened(url) as store:
        yield store


def test_lines_come_back_exact_and_in_order(store) -> None:
    """More than one batch; a count beyond any double; a text longer than its column."""
    made = [line(n % 31, "input", 10**15 + n, number=n, sku="é" * 600) for n in range(1_203)]
    made[7] = replace(made[7], quantity=None, amount=None, currency="")
    with store.write() as connection:
        rows.add_lines(connection, tenant="maple", import_id=ONE.id, vendor="microsoft", lines=made)
    with store.read() as connection:
        found = list(rows.lines(connection, tenant="maple", month="2026-10", import_ids=[ONE.id]))
        assert list(rows.lines(connection, tenant="birch", month="2026-10", import_ids=[ONE.id])) == []
        assert rows.accounts(connection, tenant="maple", import_id=ONE.id) == {"a"}
        assert rows.months(connection, tenant="maple", import_ids=[ONE.id]) == {"2026-10"}
    assert [one.file_row for one in found] == [one.row for one in made]
    assert [one.quantity for one in found] == [one.quantity for one in made]
    assert found[0].nano == 440_000_000_000_000_000
    assert found[7].nano is None
    assert len(found[0].sku) == 512


def test_an_amount_that_does_not_fit_is_an_error_not_another_amount(store) -> None:
    bad = [replace(line(0, "input", 1, number=1), amount=Decimal(10) ** 12)]

    def insert():
        with store.write() as connection:
            rows.add_lines(connection, tenant="maple", import_id=ONE.id, vendor="microsoft", lines=bad)

    with pytest.raises(ValueError, match="does not fit"):
        insert()
    with store.read() as connection:
        assert list(rows.lines(connection, tenant="maple", month="2026-10", import_ids=[ONE.id])) == []


def test_imports_are_found_by_the_start_of_their_id_and_superseded_ones_do_not_count(store) -> None:
    newer = replace(ONE, id="b" * 64, supersedes=ONE.id, imported_us=2)
    with store.write() as connection:
        rows.add(connection, ONE)
        rows.add(connection, newer)
    with store.read() as connection:
        known = rows.imports(connection, "maple")
        assert known == [ONE, newer]
        assert rows.active(known) == [newer]
        assert rows.find(connection, "maple", "a" * 12) == ONE
        assert rows.find(connection, "maple", "a" * 11) is None
        assert rows.find(connection, "birch", ONE.id) is None


def test_the_newest_decision_counts_and_the_older_ones_stay(store) -> None:
    later = replace(DECISION, action="adjust", decided_us=3)
    with store.write() as connection:
        rows.decide(connection, DECISION)
        rows.decide(connection, later)
    with store.read() as connection:
        assert rows.decisions(connection, tenant="maple", month="2026-10") == {"x1": later}
        assert rows.decisions(connection, tenant="maple", month="2026-11") == {}
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM vendor_decisions").scalar() == 2
