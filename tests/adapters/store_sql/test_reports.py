"""The sums behind reports, on both databases: whole numbers, whole periods, one tenant."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, insert

from gateway.adapters.store_sql import reports as rows
from gateway.adapters.store_sql.tables import budget_windows, feedback, ledger, slices, writers
from tests.people import US, book, database, row, sqlite

START, END = US - 1_000_000_000, US + 1_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request, tmp_path):
    """A transaction on empty tables of each kind of database."""
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as store, store.write() as opened:
        for table in (ledger, feedback, slices, budget_windows, writers):
            opened.execute(delete(table))
        yield opened


def sums(connection, *by, tenant="maple"):
    return rows.spend(connection, tenant=tenant, start_us=START, end_us=END, by=by, currency="CAD")


def test_sums_are_exact_where_a_float_is_not(connection):
    """Above 2**53 a double drops the last unit; int64 does not."""
    big = 2**60
    book(connection, row("a/1", nano=big + 1, spend_nano=big + 1), row("b/1", nano=1, spend_nano=1))
    [found] = sums(connection)
    assert (found.nano, found.spend_nano) == (big + 2, big + 2)
    assert isinstance(found.nano, int)


def test_the_period_is_half_open_and_the_tenants_own(connection):
    """The first instant counts, the first of the next period does not; nor does another tenant's."""
    book(
        connection,
        row("a/1", started_us=START),
        row("b/1", started_us=END),
        row("c/1", started_us=START - 1),
        row("d/1", tenant="birch"),
    )
    [found] = sums(connection)
    assert found.attempts == 1


def test_a_call_counts_once_where_its_last_attempt_went(connection):
    """A fallback is two attempts of one call."""
    book(
        connection,
        row("a/1", number=1, deployment="us", status="failed", currency=None, nano=None, spend_nano=None),
        row("a/2", number=2, deployment="ca"),
        row("b/1", number=1, deployment="ca"),
    )
    found = {item.group: (item.calls, item.attempts) for item in sums(connection, "deployment")}
    assert found == {("us",): (0, 1), ("ca",): (2, 2)}


def test_what_lacks_a_price_or_a_rate_is_counted_apart(connection):
    """A failed try without a charge was never billed; a served one without is a hole to be seen."""
    bare = {"currency": None, "nano": None, "spend_currency": None, "spend_nano": None}
    book(
        connection,
        row("a/1", **bare),
        row("b/1", status="failed", **bare),
        row("c/1", currency="EUR", spend_currency=None, spend_nano=None),
        row("d/1"),
    )
    found = sums(connection)
    assert sum(item.unpriced for item in found) == 1
    assert sum(item.unconverted for item in found) == 1
    assert sum(item.spend_nano for item in found) == 1_392_500_000


def test_estimates_are_summed_apart_and_within_spend(connection):
    """They are spend too."""
    book(connection, row("a/1", estimated=True), row("b/1"))
    [found] = sums(connection)
    assert (found.spend_nano, found.estimated_nano) == (2_785_000_000, 1_392_500_000)


def test_no_cost_centre_is_a_group_of_its_own(connection):
    """Unallocated spend is a row, not a gap."""
    book(connection, row("a/1", cost_centre=None), row("b/1"))
    assert {item.group for item in sums(connection, "cost_centre")} == {(None,), ("4410",)}


def test_tokens_are_the_disjoint_buckets(connection):
    """Input is all of its buckets, output too."""
    book(
        connection,
        row("a/1", input=1, cache_read=2, cache_write_5m=4, input_image=8, output=16, output_audio=32),
    )
    [found] = sums(connection)
    assert (found.tokens_in, found.tokens_out) == (15, 48)


def test_held_is_what_open_windows_grant_beyond_what_is_spent(connection):
    """Over all writers; a window that has ended holds nothing."""
    for writer in ("w1", "w2"):
        connection.execute(insert(writers).values(id=writer, place="CA", host="h", state="open", opened_us=0))
    for window, resets in (("2026-10", US - 1), ("2026-11", US + 1)):
        connection.execute(
            insert(budget_windows).values(
                budget="org:maple:CAD", window=window, unit="CAD", resets_us=resets, committed=300
            )
        )
        for writer in ("w1", "w2"):
            connection.execute(
                insert(slices).values(
                    writer=writer, budget="org:maple:CAD", window=window, granted=150, spent=100
                )
            )
    assert rows.held(connection, budgets=["org:maple:CAD"], now_us=US) == 100
    assert rows.held(connection, budgets=["team:branch:CAD"], now_us=US) == 0
    assert rows.held(connection, budgets=[], now_us=US) == 0
