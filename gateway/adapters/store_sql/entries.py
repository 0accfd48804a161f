"""Appending ledger entries and reading them back. What is there is never changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields

from sqlalchemy import Connection, select

from gateway.adapters.store_sql.budgets import insert
from gateway.adapters.store_sql.periods import frontiers, hold
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.core.entries import Entry
from gateway.core.periods import bookable

_NAMES = tuple(field.name for field in fields(Entry))


def append(connection: Connection, entries: Iterable[Entry]) -> int:
    """Book entries that are not booked yet; return how many were new. Idempotent by id.

    What names a closed billing period is booked in the open one, about its own charge period.
    """
    hold(connection)
    closed = frontiers(connection)
    added = 0
    for entry in entries:
        period = bookable(entry.billing_period, closed.get(entry.tenant))
        values = {**asdict(entry), "billing_period": period}
        statement = insert(connection, ledger_entries).values(**values).on_conflict_do_nothing()
        # Asked by RETURNING: the row count of an insert that conflicts is not the same everywhere.
        added += connection.execute(statement.returning(ledger_entries.c.id)).first() is not None
    return added


def booked(connection: Connection, *, tenant: str, billing_period: str) -> list[Entry]:
    """Return the entries of a billing period, by id."""
    rows = connection.execute(
        select(*(ledger_entries.c[name] for name in _NAMES))
        .where(ledger_entries.c.tenant == tenant, ledger_entries.c.billing_period == billing_period)
        .order_by(ledger_entries.c.id)
    ).mappings()
    return [Entry(**row) for row in rows]
