"""Who used a reserved deployment in a window, and the shares of its amount that were booked.

INVARIANT: a window is booked once and whole. Its idle share is appended first, also when it is
zero; whoever finds it there already leaves the window alone, so that two replicas that counted
the use a moment apart cannot each book a part.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from gateway.adapters.store_sql import entries
from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.core.entries import Entry
from gateway.core.record import BUCKETS
from gateway.core.reserved import Use


def uses(connection: Connection, *, tenant: str, deployment: str, start_us: int, end_us: int) -> list[Use]:
    """Return what each team, app and cost centre used of a deployment, by the start of the attempt."""
    who = (ledger.c.team, ledger.c.app, ledger.c.cost_centre)
    query = (
        select(*who, func.count().label("requests"), *(func.sum(ledger.c[b]).label(b) for b in BUCKETS))
        .where(
            ledger.c.tenant == tenant,
            ledger.c.deployment == deployment,
            ledger.c.started_us >= start_us,
            ledger.c.started_us < end_us,
        )
        .group_by(*who)
    )
    return [
        Use(
            user=(row["team"], row["app"], row["cost_centre"]),
            requests=int(row["requests"]),
            buckets={bucket: int(row[bucket]) for bucket in BUCKETS if row[bucket]},
        )
        for row in connection.execute(query).mappings()
    ]


def booked(connection: Connection, *, tenant: str, deployment: str, since_us: int) -> set[str]:
    """Return the charges (their origins) of which shares are booked, from an instant on."""
    query = select(ledger_entries.c.origin).where(
        ledger_entries.c.tenant == tenant,
        ledger_entries.c.kind == "reserved",
        ledger_entries.c.deployment == deployment,
        ledger_entries.c.start_us >= since_us,
    )
    return set(connection.execute(query.distinct()).scalars())


def book(connection: Connection, shares: Sequence[Entry]) -> int:
    """Append the shares of one window, the idle one first; 0 if somebody booked it before."""
    if not entries.append(connection, shares[:1]):
        return 0
    return 1 + entries.append(connection, shares[1:])
