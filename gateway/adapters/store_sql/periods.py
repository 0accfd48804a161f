"""Up to where the books are closed, asked by all who book; and the lock that makes closing one instant.

Who books takes the shared lock, who closes the exclusive one: a row is either in its month before the
month is closed, or is booked into the open one. SQLite has one writer anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, select, text

from gateway.adapters.store_sql.tables_books import closed_periods
from gateway.core.fold import Row
from gateway.core.periods import Frontier, late_in

_LOCK = 0x626F6F6B73  # any constant that no other lock on this database uses


def hold(connection: Connection, *, closing: bool = False) -> None:
    """Take the lock until the end of the transaction: shared to book, exclusive to close."""
    if connection.dialect.name == "postgresql":
        connection.execute(_EXCLUSIVE if closing else _SHARED)


_SHARED = text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")
_EXCLUSIVE = text(f"SELECT pg_advisory_xact_lock({_LOCK})")


def frontiers(connection: Connection) -> Mapping[str, Frontier]:
    """Return the last closed period of each organisation that has closed any."""
    rows = connection.execute(_CLOSED)
    return {tenant: Frontier(period=period, end_us=end_us) for tenant, period, end_us in rows}


_CLOSED = select(closed_periods.c.tenant, closed_periods.c.period, closed_periods.c.end_us).order_by(
    closed_periods.c.end_us  # the last one of an organisation wins
)


def frontier(connection: Connection, tenant: str) -> Frontier | None:
    """Return the last closed period of an organisation, or None."""
    return frontiers(connection).get(tenant)


def stamp(connection: Connection, rows: Iterable[Row]) -> None:
    """Give each ledger row its billing period: null in time, the open period if it is late.

    INVARIANT: nothing enters a closed period. Call it in the transaction that inserts the rows.
    """
    hold(connection)
    known = frontiers(connection)
    for row in rows:
        row["billing_period"] = late_in(int(row["started_us"] or 0), known.get(str(row["tenant"])))
