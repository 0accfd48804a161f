"""Statements behind the books: the rows of a period, closing it, what it said.

INVARIANT: what these write only grows; no row of a closed period is ever asked to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import ColumnElement, Connection, and_, func, select, tuple_
from typing_extensions import override

from gateway.adapters.store_sql.tables import cursors, ledger, writers
from gateway.adapters.store_sql.tables_books import (
    closed_periods,
    ledger_entries,
    period_marks,
    period_proposals,
    period_statements,
)
from gateway.core.books import MARK, Row
from gateway.core.budget import rfc3339
from gateway.core.periods import SETTLE_US

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "ledger": tuple(str(column.name) for column in ledger.columns),
    "ledger_entries": tuple(str(column.name) for column in ledger_entries.columns),
}
"""What a hash covers: every column there is when the period is closed. Its statement names them."""

_PAGE = 2_000
_MARKS = 8_192  # rows to a row of marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A closed period as it is stored."""

    tenant: str
    period: str
    timezone: str
    start_us: int
    end_us: int
    closed_us: int
    closed_by: str
    role: str
    reason: str
    unread: str  # JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A frozen statement as it is stored. ``statement`` is canonical JSON."""

    tenant: str
    period: str
    version: int
    sha256: str
    statement: str
    made_us: int
    made_by: str
    signer: str
    public: bytes | None
    signature: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """What a month waits for: a writer whose journal may hold more of it, or capacity that is not booked.

    ``host`` and ``place`` are a writer's; empty for capacity.
    """

    writer: str
    host: str
    place: str
    why: str

    @override
    def __str__(self) -> str:
        """Return it in words."""
        if not self.place:
            return f"{self.writer}: {self.why}"
        return f"`{self.writer}` on {self.host or 'a host'} ({self.place}): {self.why}"


# ------------------------------------------------------------------------------ rows


def rows(
    connection: Connection,
    *,
    tenant: str,
    period: str,
    start_us: int,
    end_us: int,
    columns: Mapping[str, Sequence[str]] = COLUMNS,
) -> Iterator[tuple[str, Row]]:
    """Yield every row of a period as (table, row) in the order of the hash, a page at a time."""
    in_time = and_(
        ledger.c.tenant == tenant,
        ledger.c.billing_period.is_(None),
        ledger.c.started_us >= start_us,
        ledger.c.started_us < end_us,
    )
    late = and_(ledger.c.tenant == tenant, ledger.c.billing_period == period)
    for condition in (in_time, late):
        yield from _attempts(connection, condition, columns["ledger"])
    mine = and_(ledger_entries.c.tenant == tenant, ledger_entries.c.billing_period == period)
    last, key = "", _bytes(connection, ledger_entries.c.id)
    names = _with(columns["ledger_entries"], "id")
    while True:
        page = connection.execute(
            select(*(ledger_entries.c[name] for name in names))
            .where(mine, key > last)
            .order_by(key)
            .limit(_PAGE)
        )
        found = [dict(zip(names, row, strict=True)) for row in page]
        yield from (("ledger_entries", row) for row in found)
        if len(found) < _PAGE:
            return
        last = str(found[-1]["id"])


def _attempts(
    connection: Connection, condition: ColumnElement[bool], columns: Sequence[str]
) -> Iterator[tuple[str, Row]]:
    names = _with(columns, "attempt_id", "started_us")
    ident = _bytes(connection, ledger.c.attempt_id)
    after: tuple[int, str] | None = None
    while True:
        query = select(*(ledger.c[name] for name in names)).where(condition)
        if after is not None:
            # Said twice: the first half finds its place in the index.
            query = query.where(ledger.c.started_us >= after[0], tuple_(ledger.c.started_us, ident) > after)
        page = connection.execute(query.order_by(ledger.c.started_us, ident).limit(_PAGE))
        found = [dict(zip(names, row, strict=True)) for row in page]
        yield from (("ledger", row) for row in found)
        if len(found) < _PAGE:
            return
        after = (int(found[-1]["started_us"]), str(found[-1]["attempt_id"]))


def _with(columns: Sequence[str], *more: str) -> list[str]:
    return [*columns, *(name for name in more if name not in columns)]


def _bytes(connection: Connection, column: ColumnElement[str]) -> ColumnElement[str]:
    """Order by bytes on both databases: the hash must not hang on a server's language."""
    return column.collate("C") if connection.dialect.name == "postgresql" else column


def ident(table: str, row: Row) -> str:
    """Return the id of a row."""
    return str(row["attempt_id" if table == "ledger" else "id"])


def earliest_open(connection: Connection, *, tenant: str, after_us: int) -> int | None:
    """Return the start of the first row in time from an instant on, or None if there is none."""
    first = connection.scalar(
        select(func.min(ledger.c.started_us)).where(
            ledger.c.tenant == tenant, ledger.c.started_us >= after_us
        )
    )
    return None if first is None else int(first)


def earliest_entry(connection: Connection, *, tenant: str, after: str) -> str | None:
    """Return the first billing period after another one that has entries."""
    found = connection.scalar(
        select(func.min(ledger_entries.c.billing_period)).where(
            ledger_entries.c.tenant == tenant, ledger_entries.c.billing_period > after
        )
    )
    return None if found is None else str(found)


# --------------------------------------------------------------------------- closing


def closed(connection: Connection, tenant: str, period: str) -> Closed | None:
    """Return a closed period, or None."""
    row = (
        connection.execute(
            select(closed_periods).where(closed_periods.c.tenant == tenant, closed_periods.c.period == period)
        )
        .mappings()
        .one_or_none()
    )
    return None if row is None else Closed(**row)


def all_closed(connection: Connection, tenant: str) -> list[Closed]:
    """Return every closed period of an organisation, oldest first."""
    found = connection.execute(
        select(closed_periods).where(closed_periods.c.tenant == tenant).order_by(closed_periods.c.period)
    ).mappings()
    return [Closed(**row) for row in found]


def close(connection: Connection, item: Closed) -> None:
    """Close a period: from the end of this transaction on, nothing is booked in it."""
    connection.execute(closed_periods.insert().values(**_values(item)))


def state(connection: Connection, statement: Statement, marks: bytes = b"") -> None:
    """Keep a statement and the marks of the rows that it covers."""
    connection.execute(period_statements.insert().values(**_values(statement)))
    size = _MARKS * MARK
    parts = [marks[start : start + size] for start in range(0, len(marks), size)]
    if parts:
        connection.execute(
            period_marks.insert(),
            [
                {
                    "tenant": statement.tenant,
                    "period": statement.period,
                    "version": statement.version,
                    "number": number,
                    "marks": part,
                }
                for number, part in enumerate(parts)
            ],
        )


def statements(connection: Connection, tenant: str, period: str) -> list[Statement]:
    """Return every version of a period's statement, first to last."""
    mine = (period_statements.c.tenant == tenant, period_statements.c.period == period)
    found = connection.execute(
        select(period_statements).where(*mine).order_by(period_statements.c.version)
    ).mappings()
    return [Statement(**row) for row in found]


def marks(connection: Connection, tenant: str, period: str, version: int) -> bytes:
    """Return the marks of a closed period's rows."""
    parts = connection.execute(
        select(period_marks.c.marks)
        .where(
            period_marks.c.tenant == tenant,
            period_marks.c.period == period,
            period_marks.c.version == version,
        )
        .order_by(period_marks.c.number)
    ).scalars()
    return b"".join(parts)


def propose(
    connection: Connection, *, tenant: str, period: str, sha256: str, at_us: int, by: str, role: str
) -> None:
    """Note that somebody asks for this content to be closed."""
    connection.execute(
        period_proposals.insert().values(
            tenant=tenant, period=period, sha256=sha256, at_us=at_us, by=by, role=role
        )
    )


def proposals(connection: Connection, tenant: str, period: str) -> list[tuple[str, str]]:
    """Return who asked for which content to be closed, in order."""
    found = connection.execute(
        select(period_proposals.c.by, period_proposals.c.sha256)
        .where(period_proposals.c.tenant == tenant, period_proposals.c.period == period)
        .order_by(period_proposals.c.id)
    )
    return [(str(by), str(sha256)) for by, sha256 in found]


def _values(item: Closed | Statement) -> dict[str, object]:
    return {name: getattr(item, name) for name in item.__slots__}


def unread(connection: Connection, end_us: int) -> list[Unread]:
    """Return the writers whose journals may hold more of a period than the ledger does.

    A writer that was closed was read to its end. One that is open was read far enough if its journal
    held nothing more at an instant at which no attempt of the period could run any more.
    """
    found = connection.execute(
        select(writers.c.id, writers.c.host, writers.c.place, cursors.c.read_us)
        .join(cursors, cursors.c.writer == writers.c.id, isouter=True)
        .where(
            writers.c.state == "open",
            writers.c.opened_us < end_us + SETTLE_US,
            func.coalesce(cursors.c.read_us, 0) < end_us + SETTLE_US,
        )
        .order_by(writers.c.id)
    )
    return [
        Unread(
            writer=writer,
            host=host,
            place=place,
            why="its journal was never read to its end"
            if read_us is None
            else f"its journal was last read to its end at {rfc3339(int(read_us) * 1000)}",
        )
        for writer, host, place, read_us in found
    ]


def read_up_to(connection: Connection) -> dict[str, int]:
    """Return how far each writer's journal is in the tables."""
    found = connection.execute(select(cursors.c.writer, cursors.c.seq))
    return {str(writer): int(seq) for writer, seq in found}


def unread_json(items: Sequence[Unread]) -> str:
    """Return unread writers as stored."""
    data = [
        {"writer": item.writer, "host": item.host, "place": item.place, "why": item.why} for item in items
    ]
    return orjson.dumps(data).decode()
