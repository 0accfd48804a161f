"""Appending ledger entries and reading them back. What is there is never changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields

from sqlalchemy import Connection, select

from gateway.adapters.store_sql.budgets import insert
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.core.entries import Entry

_NAMES = tuple(field.name for field in fields(Entry))


def append(connection: Connection, entries: Iterable[Entry]) -> int:
    """Book entries that are not booked yet; return how many were new. Idempotent by id."""
    added = 0
    for entry in entries:
        statement = insert(connection, ledger_entries).values(**asdict(entry)).on_conflict_do_nothing()
        added += connection.execute(statement).rowcount
    return added


def booked(connection: Connection, *, tenant: str, billing_period: str) -> list[Entry]:
    """Return the entries of a billing period, by id."""
    rows = connection.execute(
        select(*(ledger_entries.c[name] for name in _NAMES))
        .where(ledger_entries.c.tenant == tenant, ledger_entries.c.billing_period == billing_period)
        .order_by(ledger_entries.c.id)
    ).mappings()
    return [Entry(**row) for row in rows]
