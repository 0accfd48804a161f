"""Statements that put journal entries into the tables, exactly once.

The cursor of a writer moves in the same transaction as the rows and the spend of
its slices, so that rebuilt spend = ledger = counter whatever dies when.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter

from sqlalchemy import BindParameter, Connection, Dialect, Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from gateway.adapters.store_sql import rollups
from gateway.adapters.store_sql.budgets import Writer, insert, shrink
from gateway.adapters.store_sql.periods import stamp
from gateway.adapters.store_sql.tables import budget_windows, cursors, ledger, records, slices, writers
from gateway.core.fold import Booking, Fact, Other, Recorded, Row, Spend
from gateway.core.record import Entry

Handler = Callable[[Connection, Entry], None]
"""Projects the entries of one kind for another room, within the transaction."""


class CursorMoved(Exception):
    """Somebody else projected this writer. ``seq`` is where it stands now."""

    def __init__(self, seq: int) -> None:
        super().__init__(f"the cursor stands at {seq}")
        self.seq = seq


def cursor(connection: Connection, writer: str) -> int:
    """Return the last entry of a writer that is in the tables, 0 before the first."""
    found = connection.execute(select(cursors.c.seq).where(cursors.c.writer == writer)).scalar_one_or_none()
    return int(found or 0)


def apply(
    connection: Connection,
    writer: Writer,
    facts: Sequence[Fact],
    *,
    seen: int,
    last: int,
    handlers: Mapping[str, Handler],
    now_us: int,
    read_us: int | None = None,
) -> None:
    """Insert what entries ``seen``+1 .. ``last`` say and move the cursor to ``last``.

    ``read_us`` is an instant after which the journal held nothing more, if it was read to its end.
    Raises CursorMoved if the cursor is not at ``seen``.
    """
    connection.execute(
        insert(connection, cursors)
        .values(writer=writer.id, seq=0, updated_us=now_us)
        .on_conflict_do_nothing()
    )
    moved = connection.execute(
        update(cursors)
        .where(cursors.c.writer == writer.id, cursors.c.seq == seen)
        .values(seq=last, updated_us=now_us, **({} if read_us is None else {"read_us": read_us}))
    )
    if moved.rowcount != 1:
        raise CursorMoved(cursor(connection, writer.id))
    if seen == 0:
        _make_writer(connection, writer, now_us=now_us)
    book(connection, facts)
    for fact in facts:
        if isinstance(fact, Other) and fact.entry.kind in handlers:
            handlers[fact.entry.kind](connection, fact.entry)


def nothing_new(connection: Connection, writer: str, *, seen: int, read_us: int) -> None:
    """Note that a journal held nothing after entry ``seen`` at an instant: its period can be closed."""
    connection.execute(
        update(cursors).where(cursors.c.writer == writer, cursors.c.seq == seen).values(read_us=read_us)
    )


def book(connection: Connection, facts: Iterable[Fact]) -> int:
    """Insert ledger and records rows and the spend of the slices; return the ledger rows inserted.

    A row that is there already is left alone and spends nothing: an attempt may be
    booked twice by adopters that died in between, and the first one stands.
    """
    own = [fact for fact in facts if isinstance(fact, Booking) and not fact.adopted]
    adopted = [fact for fact in facts if isinstance(fact, Booking) and fact.adopted]
    recorded = [fact.row for fact in facts if isinstance(fact, Recorded)]
    if own or adopted:
        stamp(connection, [fact.row for fact in (*own, *adopted)])
    if own:
        _insert_all(connection, ledger, [fact.row for fact in own])
    # Asked by RETURNING: the row count of an insert that conflicts is not the same everywhere.
    told = insert(connection, ledger).on_conflict_do_nothing().returning(ledger.c.attempt_id)
    fresh = [fact for fact in adopted if connection.execute(told, fact.row).first() is not None]
    if recorded:
        _insert_all(connection, records, recorded)
    _spend(connection, [*own, *fresh])
    for owner in sorted({fact.owner for fact in fresh}):
        _shrink_if_closed(connection, owner)
    rollups.add(connection, [fact.row for fact in (*own, *fresh)])
    return len(own) + len(fresh)


def _insert_all(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows that bear every column, or leave what is there.

    Compiled once, bound by us: every call of the gateway passes here, and building the
    parameters row by row would cost more than the insert. SQLite gets many rows in one
    statement: its driver lets go of the interpreter and takes it back at each, and that
    would cost the event loop as much as the rows.
    """
    compiled = _compiled(connection.dialect, table)
    if compiled.positiontup is None:
        connection.exec_driver_sql(compiled.string, list(rows))
        return
    values = itemgetter(*compiled.positiontup)
    start = 0
    while start < len(rows):
        size = min(_MOST_ROWS, 1 << (len(rows) - start).bit_length() - 1)  # few statements, all of them kept
        part = rows[start : start + size]
        statement = _rows_of(connection.dialect, table, size)
        connection.exec_driver_sql(statement, tuple(chain.from_iterable(map(values, part))))
        start += size


_MOST_ROWS = 64


@lru_cache(maxsize=32)
def _rows_of(dialect: Dialect, table: Table, size: int) -> str:
    """Return the insert of so many rows at once, for a driver whose parameters are `?`."""
    compiled = _compiled(dialect, table)
    row = f"({', '.join('?' * len(compiled.positiontup or ()))})"
    before, found, after = compiled.string.partition(row)
    if not found:
        raise ValueError(f"the insert into `{table.name}` is not as expected")
    return before + ", ".join([row] * size) + after


@lru_cache(maxsize=8)
def _compiled(dialect: Dialect, table: Table) -> SQLCompiler:
    into = sqlite.insert(table) if dialect.name == "sqlite" else postgresql.insert(table)
    names: dict[str, BindParameter[object]] = {c.name: bindparam(c.name) for c in table.columns}
    compiled = into.values(names).on_conflict_do_nothing().compile(dialect=dialect)
    if not isinstance(compiled, SQLCompiler):
        raise TypeError(f"`{dialect.name}` compiles no SQL")
    return compiled


def _spend(connection: Connection, bookings: Iterable[Booking]) -> None:
    """Add what was spent to the slices of the writers that held it."""
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    known: dict[tuple[str, str, str], Spend] = {}
    for booking in bookings:
        for spend in booking.spends:
            if spend.amount:
                key = (booking.owner, spend.budget, spend.window)
                sums[key] += spend.amount
                known[key] = spend
    for key, amount in sorted(sums.items()):
        owner, budget, window = key
        changed = connection.execute(_ADD, {"o": owner, "b": budget, "w": window, "a": amount})
        if changed.rowcount == 0:
            # Spend without a slice: nothing was leased here, so release grows the window.
            spend = known[key]
            connection.execute(
                insert(connection, budget_windows)
                .values(budget=budget, window=window, unit=spend.unit, resets_us=spend.resets_us, committed=0)
                .on_conflict_do_nothing()
            )
            connection.execute(
                insert(connection, slices).values(
                    writer=owner, budget=budget, window=window, granted=0, spent=amount
                )
            )


_ADD = (
    update(slices)
    .where(
        slices.c.writer == bindparam("o"),
        slices.c.budget == bindparam("b"),
        slices.c.window == bindparam("w"),
    )
    .values(spent=slices.c.spent + bindparam("a"))
)


def _shrink_if_closed(connection: Connection, owner: str) -> None:
    state = connection.execute(select(writers.c.state).where(writers.c.id == owner)).scalar_one_or_none()
    if state == "closed":
        shrink(connection, owner)


def _make_writer(connection: Connection, writer: Writer, *, now_us: int) -> None:
    connection.execute(
        insert(connection, writers)
        .values(id=writer.id, place=writer.place, host=writer.host, state="open", opened_us=now_us)
        .on_conflict_do_nothing()
    )


def booked(connection: Connection, attempts: Sequence[str]) -> set[str]:
    """Return which of the attempts have a ledger row."""
    found: set[str] = set()
    for start in range(0, len(attempts), 500):
        part = attempts[start : start + 500]
        found |= set(
            connection.execute(select(ledger.c.attempt_id).where(ledger.c.attempt_id.in_(part))).scalars()
        )
    return found


def recorded(connection: Connection, calls: Sequence[str]) -> set[str]:
    """Return which of the calls have a record."""
    found: set[str] = set()
    for start in range(0, len(calls), 500):
        part = calls[start : start + 500]
        found |= set(
            connection.execute(select(records.c.call_id).where(records.c.call_id.in_(part))).scalars()
        )
    return found


def closed(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Return which of the writers are closed."""
    if not ids:
        return set()
    rows = connection.execute(select(writers.c.id).where(writers.c.state == "closed", writers.c.id.in_(ids)))
    return set(rows.scalars())
