"""The database's own refusals, and the frontier that all who book ask for."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DatabaseError

from gateway.adapters.store_sql.periods import frontier, frontiers, hold, stamp
from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_books import (
    closed_periods,
    ledger_entries,
    money_changes,
    period_marks,
    period_proposals,
    period_statements,
)
from tests.bookkeeping import add, at, closed, come, database, entry

OCT, NOV, AFTER = at("2026-10-15 12:00"), at("2026-11-15 12:00"), at("2026-11-02 09:00")
ONLY_GROW = (
    closed_periods, ledger_entries, money_changes, period_marks, period_proposals, period_statements,
)  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """October closed, with a row and an entry in it; one of each in November; a proposal and a change."""
    with database(request.param, request, tmp_path) as made:
        come(made, ("a1", OCT), ("a2", NOV))
        add(made, entry("gpu:1", "2026-10", start=OCT), entry("gpu:2", "2026-11", start=NOV))
        closed(made, "2026-10", now=AFTER)
        with made.write() as connection:
            connection.execute(
                insert(period_proposals).values(
                    tenant="maple", period="2026-10", sha256="0", at_us=1, by="fina", role="finance"
                )
            )
            connection.execute(
                insert(money_changes).values(
                    tenant="maple", bundle="b", replaces="", money="m", at_us=1, author="", by="x",
                    approved_by="[]", changes="[]",
                )
            )  # fmt: skip
        yield made


@pytest.mark.parametrize("table", ONLY_GROW, ids=lambda table: table.name)
def test_what_is_booked_is_never_changed_nor_deleted(store, table):
    """By anybody who writes through the database, also past us."""
    column = next(column for column in table.columns if column.name == "tenant")
    for statement in (update(table).values({column: "birch"}), delete(table)):
        with pytest.raises(DatabaseError, match="the books only grow"), store.write() as connection:
            connection.execute(statement)
    with store.read() as connection:
        assert connection.execute(select(column)).scalars().all()


def test_postgresql_refuses_to_truncate_too(store):
    """SQLite has no such statement."""
    if store.dialect == "postgresql":
        with pytest.raises(DatabaseError, match="the books only grow"), store.write() as connection:
            connection.execute(text("TRUNCATE ledger_entries"))


def test_attempts_of_a_closed_month_are_kept_as_they_are(store):
    """Those of the open month are not the closing's business."""
    mine, other = ledger.c.attempt_id == "a1", ledger.c.attempt_id == "a2"
    for statement in (update(ledger).where(mine).values(spend_nano=0), delete(ledger).where(mine)):
        with pytest.raises(DatabaseError, match="the books only grow"), store.write() as connection:
            connection.execute(statement)
    with store.write() as connection:
        assert connection.execute(update(ledger).where(other).values(spend_nano=7)).rowcount == 1
        assert connection.execute(delete(ledger).where(other)).rowcount == 1


def test_nothing_is_booked_into_a_closed_month_past_us(store):
    """A statement that names it is refused by the database itself."""
    values = {column.name: None for column in ledger_entries.columns}
    made = entry("gpu:9", "2026-10", start=OCT)
    values |= {name: getattr(made, name) for name in made.__slots__}
    with pytest.raises(DatabaseError, match="the period is closed"), store.write() as connection:
        connection.execute(insert(ledger_entries).values(values))


def test_the_frontier_is_the_last_closed_month_of_each_organisation(store):
    """Another organisation has none."""
    with store.read() as connection:
        found = frontiers(connection)
        assert frontier(connection, "birch") is None
    assert {tenant: item.period for tenant, item in found.items()} == {"maple": "2026-10"}
    closed(store, "2026-11", now=at("2026-12-02 09:00"))
    with store.read() as connection:
        assert frontier(connection, "maple") is not None
        assert frontiers(connection)["maple"].period == "2026-11"


def test_a_row_is_stamped_by_its_start_and_its_organisation(store):
    """Late in ours, in time elsewhere."""
    rows = [
        {"tenant": "maple", "started_us": OCT // 1000},
        {"tenant": "maple", "started_us": NOV // 1000},
        {"tenant": "birch", "started_us": OCT // 1000},
    ]
    with store.write() as connection:
        hold(connection)  # as often as one likes in a transaction
        stamp(connection, rows)
    assert [row["billing_period"] for row in rows] == ["2026-11", None, None]
