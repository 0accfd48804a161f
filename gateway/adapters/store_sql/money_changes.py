"""The record of changes of budgets and prices: when, from what to what, by whom, approved by whom."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sqlalchemy import Connection, insert, select

from gateway.adapters.store_sql.periods import hold
from gateway.adapters.store_sql.tables_books import money_changes


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyChange:
    """One change that came into force. The first of an installation has no ``changes``: it began so."""

    tenant: str
    bundle: str
    replaces: str
    money: str
    at_us: int
    author: str  # "" unknown
    by: str
    approved_by: str  # JSON array
    changes: str  # JSON array of sentences


_COLUMNS = tuple(money_changes.c[item.name] for item in fields(MoneyChange))


def last(connection: Connection, tenant: str, *, to_add: bool = False) -> MoneyChange | None:
    """Return the newest change; with ``to_add`` nobody else adds one before this transaction ends."""
    if to_add:
        hold(connection, closing=True)
    query = (
        select(*_COLUMNS).where(money_changes.c.tenant == tenant).order_by(money_changes.c.id.desc()).limit(1)
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else MoneyChange(**row)


def add(connection: Connection, change: MoneyChange) -> None:
    """Record a change."""
    connection.execute(
        insert(money_changes).values(**{item.name: getattr(change, item.name) for item in fields(change)})
    )


def listed(connection: Connection, tenant: str) -> list[MoneyChange]:
    """Return every change, oldest first."""
    query = select(*_COLUMNS).where(money_changes.c.tenant == tenant).order_by(money_changes.c.id)
    return [MoneyChange(**row) for row in connection.execute(query).mappings()]
