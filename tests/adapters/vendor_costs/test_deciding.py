"""Decisions: recorded with their reason, booked once, never into a closed month.

What a booking does to the month's report stands in tests/reports/test_bills.py.
"""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from gateway.adapters.store_sql import vendor_costs as rows
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.adapters.vendor_costs.deciding import Case, Decider, accept, adjust, reason_of
from tests.adapters.vendor_costs.bank import DAY, OCTOBER, call
from tests.people import book, database, sqlite

CASE = Case(
    exception="x1",
    tenant="maple",
    vendor="microsoft",
    month="2026-10",
    start_us=OCTOBER,
    end_us=OCTOBER + DAY,
    model="gpt-4.1-mini",
    models=["gpt-4.1-mini"],
    currency="USD",
    open_nano=900,
    booked_nano=200,
    estimate_nano=0,
    cause="price",
    spend_currency="CAD",
    spend_nano=980,
)
WHO = Decider(by="fin", at_us=5, reason="because")


@pytest.fixture
def store(tmp_path):
    with database(sqlite(tmp_path)) as store:
        with store.write() as connection:
            book(
                connection,
                call("a", 1, {"input": 100}),
                call("b", 2, {"input": 300}, app="hackathon", team="lab"),
            )
        yield store


def booked(connection):
    return connection.scalar(select(func.count()).select_from(ledger_entries))


def test_accepting_records_and_books_nothing(store) -> None:
    with store.write() as connection:
        accept(connection, CASE, WHO)
        assert booked(connection) == 0
        (one,) = rows.decisions(connection, tenant="maple", month="2026-10").values()
    assert (one.action, one.open_nano, one.reason, one.decided_by) == ("accept", 900, "because", "fin")


def test_only_what_was_not_booked_before_is_booked_and_only_once(store) -> None:
    with store.write() as connection:
        made = adjust(connection, CASE, WHO)
        assert sum(entry.nano for entry in made) == 700
        assert sum(entry.spend_nano for entry in made) == 980
        assert [(entry.app, entry.nano) for entry in made] == [("teller", 175), ("hackathon", 525)]
        adjust(connection, CASE, WHO)
        assert booked(connection) == 2


@pytest.mark.parametrize(
    ("text", "plain"), [("  why\n not ", "why not"), ("a\x1b[31mb", "a [31mb"), ("abc", "abc")]
)
def test_a_reason_is_recorded_as_plain_text(text, plain) -> None:
    assert reason_of(text) == plain


@pytest.mark.parametrize("text", ["", "  ", "no", "x" * 501])
def test_a_reason_that_says_nothing_is_refused(text) -> None:
    with pytest.raises(ValueError, match="3 to 500 signs"):
        reason_of(text)
