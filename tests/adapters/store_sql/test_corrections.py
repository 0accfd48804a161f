"""What was booked late about a period, and one attempt with what corrects it: found whole, and once."""

from __future__ import annotations

import pytest

from gateway.adapters.store_sql import corrections as rows
from tests.bookkeeping import add, at, closed, come, database, entry

OCT, AFTER = at("2026-10-15 12:00"), at("2026-11-02 09:00")
START, END = at("2026-10-01 00:00") // 1000, at("2026-11-01 00:00") // 1000


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    with database(request.param, request, tmp_path) as made:
        yield made


@pytest.fixture
def late(store):
    """October with one attempt, closed; then a late attempt and a correction of it, and November's own."""
    come(store, ("a1", OCT))
    closed(store, "2026-10", now=AFTER)
    come(store, ("late", OCT), ("n1", AFTER))
    add(
        store,
        entry("fix", "2026-11", start=OCT, cad="2.50", kind="correction", refers="a1", reason="wrong price"),
        entry("own", "2026-11", start=AFTER),
    )
    return store


def test_a_closed_period_knows_what_was_booked_about_it_afterwards(late):
    """Late attempts and entries, by their names; what is about another month is not there."""
    with late.read() as connection:
        found = rows.about(connection, tenant="maple", period="2026-10", start_us=START, end_us=END)
        assert found == ["attempt:late", "entry:fix"]
        assert rows.about(connection, tenant="birch", period="2026-10", start_us=START, end_us=END) == []


def test_the_next_period_shows_what_it_holds_of_earlier_ones(late):
    """With why, and no amount in another currency than the organisation's."""
    with late.read() as connection:
        found = rows.earlier(connection, tenant="maple", period="2026-11", start_us=END, currency="CAD")
        other = rows.earlier(connection, tenant="maple", period="2026-11", start_us=END, currency="EUR")
    assert [(item.kind, item.start_us, item.reason) for item in found] == [
        ("late attempt", OCT // 1000, "arrived after its month was closed"),
        ("correction", OCT // 1000, "wrong price"),
    ]
    assert found[1].nano == 2_500_000_000
    assert found[0].nano > 0
    assert [item.nano for item in other] == [0, 0]


def test_rows_are_found_by_name_and_an_attempt_with_its_entries(late):
    """A name that nothing has is left out; another organisation's attempt is not there."""
    with late.read() as connection:
        found = rows.named(connection, ["attempt:a1", "entry:fix", "attempt:nobody"])
        assert {name: table for name, (table, _) in found.items()} == {
            "attempt:a1": "ledger", "entry:fix": "ledger_entries",
        }  # fmt: skip
        row = rows.attempt(connection, "maple", "a1")
        assert row is not None
        assert rows.attempt(connection, "birch", "a1") is None
        told = rows.entries_about(connection, "maple", "a1")
        assert [one["id"] for one in told] == ["fix"]
        assert rows.known(row, told).spend_nano == int(row["spend_nano"]) + 2_500_000_000


def test_what_an_attempt_costs_is_its_row_and_its_entries():
    """Estimates apart."""
    row = {"currency": "USD", "nano": 10, "spend_nano": 14, "estimated": True}
    taken = {"currency": "USD", "nano": -10, "spend_nano": -14, "estimated": True}
    real = {"currency": "USD", "nano": 4, "spend_nano": 5, "estimated": False}
    found = rows.known(row, [taken, real])
    assert (found.nano, found.spend_nano, found.estimated_nano, found.estimated_spend_nano) == (4, 5, 0, 0)
