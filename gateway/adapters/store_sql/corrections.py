"""Statements behind corrections: what was booked late about a period, and one attempt with what corrects it.

INVARIANT: these only read. A correction is a new entry (``entries``); no row that stands is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.core.books import Known, Row


def about(connection: Connection, *, tenant: str, period: str, start_us: int, end_us: int) -> list[str]:
    """Return the ids of rows about a closed period that were booked after it: late ones, and entries."""
    late = connection.execute(
        select(ledger.c.attempt_id).where(
            ledger.c.tenant == tenant,
            ledger.c.billing_period > period,
            ledger.c.started_us >= start_us,
            ledger.c.started_us < end_us,
        )
    ).scalars()
    entries = connection.execute(
        select(ledger_entries.c.id).where(
            ledger_entries.c.tenant == tenant,
            ledger_entries.c.billing_period > period,
            ledger_entries.c.start_us >= start_us,
            ledger_entries.c.start_us < end_us,
        )
    ).scalars()
    return sorted([*(f"attempt:{name}" for name in late), *(f"entry:{name}" for name in entries)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A row of a period that is about an earlier one. ``nano`` in the organisation's currency."""

    start_us: int
    kind: str  # "late attempt", or an entry's
    cost_centre: str
    team: str
    reason: str
    nano: int


def earlier(
    connection: Connection, *, tenant: str, period: str, start_us: int, currency: str
) -> list[Earlier]:
    """Return what a period holds of earlier ones: late attempts, and entries about an earlier time."""
    late = select(
        ledger.c.started_us, ledger.c.cost_centre, ledger.c.team, ledger.c.spend_currency, ledger.c.spend_nano
    ).where(ledger.c.tenant == tenant, ledger.c.billing_period == period, ledger.c.started_us < start_us)
    entries = select(
        ledger_entries.c.start_us,
        ledger_entries.c.kind,
        ledger_entries.c.cost_centre,
        ledger_entries.c.team,
        ledger_entries.c.reason,
        ledger_entries.c.spend_currency,
        ledger_entries.c.spend_nano,
    ).where(
        ledger_entries.c.tenant == tenant,
        ledger_entries.c.billing_period == period,
        ledger_entries.c.start_us < start_us,
    )
    return [
        *(
            Earlier(
                start_us=row.started_us,
                kind="late attempt",
                cost_centre=row.cost_centre or "",
                team=row.team,
                reason="arrived after its month was closed",
                nano=int(row.spend_nano or 0) if row.spend_currency == currency else 0,
            )
            for row in connection.execute(late)
        ),
        *(
            Earlier(
                start_us=row.start_us,
                kind=row.kind,
                cost_centre=row.cost_centre or "",
                team=row.team,
                reason=row.reason,
                nano=int(row.spend_nano) if row.spend_currency == currency else 0,
            )
            for row in connection.execute(entries)
        ),
    ]


def named(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, Row]]:
    """Return rows by ``attempt:…`` and ``entry:…``: (table, row)."""
    found: dict[str, tuple[str, Row]] = {}
    for prefix, table, key in (
        ("attempt:", ledger, ledger.c.attempt_id),
        ("entry:", ledger_entries, ledger_entries.c.id),
    ):
        wanted = [name.removeprefix(prefix) for name in ids if name.startswith(prefix)]
        for start in range(0, len(wanted), 500):
            part = connection.execute(select(table).where(key.in_(wanted[start : start + 500]))).mappings()
            for row in part:
                found[f"{prefix}{row[key.name]}"] = (table.name, dict(row))
    return found


def attempt(connection: Connection, tenant: str, attempt_id: str) -> Row | None:
    """Return the ledger row of an attempt."""
    row = (
        connection.execute(select(ledger).where(ledger.c.tenant == tenant, ledger.c.attempt_id == attempt_id))
        .mappings()
        .one_or_none()
    )
    return None if row is None else dict(row)


def entries_about(connection: Connection, tenant: str, refers: str) -> list[Row]:
    """Return the entries that refer to an attempt, in the order in which they were booked."""
    found = connection.execute(
        select(ledger_entries)
        .where(ledger_entries.c.tenant == tenant, ledger_entries.c.refers == refers)
        .order_by(ledger_entries.c.created_us, ledger_entries.c.id)
    ).mappings()
    return [dict(row) for row in found]


def known(row: Row, entries: Sequence[Row]) -> Known:
    """Return what an attempt costs with all that was booked about it."""
    all_ = [row, *entries]

    def total(column: str, *, estimated: bool) -> int:
        return sum(int(item[column] or 0) for item in all_ if item["estimated"] or not estimated)

    return Known(
        currency=str(row["currency"] or ""),
        nano=total("nano", estimated=False),
        spend_nano=total("spend_nano", estimated=False),
        estimated_nano=total("nano", estimated=True),
        estimated_spend_nano=total("spend_nano", estimated=True),
    )
