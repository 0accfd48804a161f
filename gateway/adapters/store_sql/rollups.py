"""Sums of the ledger per hour and day, kept with the rows in the transaction that inserts them.

A report over months reads some thousand sums instead of ten million rows. What is added is read
back from the rows that were inserted, so a row that was there already is not added twice. By the
hour without the key, by the day with it. INVARIANT: the sums are what the rows sum to, in every
committed transaction; :func:`differences` says where they are not, :func:`rebuild` makes them so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    FromClause,
    ScalarSelect,
    Select,
    String,
    Subquery,
    and_,
    bindparam,
    case,
    cast,
    column,
    delete,
    exists,
    func,
    literal,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSON

from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_rollups import BUCKETS, MEASURES, SHARED, rollup_groups, rollups
from gateway.core.fold import Row

HOUR: Final = 3_600_000_000
DAY: Final = 24 * HOUR
SPANS: Final[Mapping[str, int]] = {"hour": HOUR, "day": DAY}
"""The spans of time that sums are kept for, in microseconds of UTC."""

DIMENSIONS: Final = (*SHARED, "key_id")
"""What groups are told apart by; ``key_id`` only by the day."""


def of_row(name: str, rows: FromClause = ledger) -> ColumnElement[str]:
    """Return a dimension of a ledger row as the sums name it: ``""`` where it is null."""
    found = rows.c.get(name)
    if found is None:
        return EMPTY
    return func.coalesce(found, EMPTY) if found.nullable else found


# Written out, so that PostgreSQL sees the same expression where it groups and where it selects.
EMPTY: Final = literal_column("''", String)


def is_last(rows: FromClause = ledger) -> ColumnElement[bool]:
    """Tell whether a row is the last attempt of its call: there the call counts."""
    later = ledger.alias()
    return ~exists().where(later.c.call_id == rows.c.call_id, later.c.number > rows.c.number)


def measures(rows: FromClause = ledger) -> dict[str, ColumnElement[int]]:
    """Return the sum behind each measure, over ledger rows."""
    plain = {name: total(rows.c[name]) for name in (*BUCKETS, "nano", "spend_nano")}
    return plain | {
        "calls": count(is_last(rows)),
        "attempts": func.count(),
        "served": count(rows.c.status == "served"),
        "failed": count(rows.c.status == "failed"),
        # A failed try without a charge was never billed; any other without one lacks a price.
        "unpriced": count(and_(rows.c.nano.is_(None), rows.c.status != "failed")),
        "priced": func.count(rows.c.nano),
        "estimates": count(rows.c.estimated),
        "overruns": count(rows.c.overrun),
        "list_nano": total(func.coalesce(rows.c.list_nano, rows.c.nano)),
        "contracted_nano": total(func.coalesce(rows.c.contracted_nano, rows.c.nano)),
        "estimated_nano": total(case((rows.c.estimated, rows.c.spend_nano), else_=0)),
    }


def total(expression: ColumnElement[int] | ColumnElement[int | None]) -> ColumnElement[int]:
    """Return a sum that is 0 over nothing."""
    return func.coalesce(func.sum(expression), 0)


def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """Return the number of rows that meet a condition."""
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


# ------------------------------------------------------------------------ adding


def add(connection: Connection, rows: Sequence[Row]) -> None:
    """Add rows that this transaction inserted to the sums.

    All of them in one call: where a call of theirs was counted before is taken back, once. Of rows
    that were there already, by another entry, nothing is added. What it costs follows from their
    number, not from the size of the ledger. Call it last in a transaction: its rows are the ones
    that other writers wait for, in one order.
    """
    if not rows:
        return
    told = {
        "ids": _listed(row["attempt_id"] for row in rows),
        "entries": _listed(f"{row['writer']} {row['seq']} {row['attempt_id']}" for row in rows),
    }
    outrun = list(connection.scalars(_outrun(connection.dialect.name), told))
    for span in SPANS:
        _execute(connection, _adding(connection.dialect.name, span), told)
        if outrun:
            nothing = dict.fromkeys(MEASURES, cast(literal(0), BigInteger))
            back = {**nothing, "calls": -func.count()}
            where = ledger.c.attempt_id.in_(outrun)
            _execute(connection, _statements(connection.dialect.name, span, where, back), {})


@lru_cache(maxsize=4)
def _adding(dialect: str, span: str) -> tuple[Executable, ...]:
    """Return the statements that add ``ids``: built once, since every batch of calls passes here."""
    return _statements(dialect, span, _ours(dialect, ledger), measures())


def _ours(dialect: str, rows: FromClause) -> ColumnElement[bool]:
    """Tell whether a row is of the batch: named in it, and booked by the very entry that names it."""
    entry = rows.c.writer.concat(" ").concat(cast(rows.c.seq, String)).concat(" ").concat(rows.c.attempt_id)
    return and_(rows.c.attempt_id.in_(_given(dialect, "ids")), entry.in_(_given(dialect, "entries")))


def _listed(texts: Iterable[object]) -> str:
    return orjson.dumps(list(texts)).decode()


def _execute(connection: Connection, statements: Iterable[Executable], told: Mapping[str, object]) -> None:
    for statement in statements:
        connection.execute(statement, told)


def _given(dialect: str, name: str) -> Select[tuple[str]]:
    """Return the texts of a parameter, a JSON array, as a query."""
    given = bindparam(name, type_=String)
    if dialect == "sqlite":
        found = func.json_each(given).table_valued(column("value", String))
    else:
        found = func.json_array_elements_text(cast(given, JSON)).table_valued(column("value", String))
    return select(found.c.value)


@lru_cache(maxsize=2)
def _outrun(dialect: str) -> Select[tuple[str]]:
    """Return the rows that were the last of their call before the batch came, and are no more."""
    new, old, between = ledger.alias("new"), ledger.alias("old"), ledger.alias("between")
    return (
        select(old.c.attempt_id)
        .distinct()
        .select_from(new.join(old, and_(old.c.call_id == new.c.call_id, old.c.number < new.c.number)))
        # Attempts are numbered from 1: nearly all are the first of their call, and outrun none.
        .where(_ours(dialect, new), new.c.number > 1, ~_ours(dialect, old))
        .where(
            ~exists().where(
                between.c.call_id == old.c.call_id,
                between.c.number > old.c.number,
                ~_ours(dialect, between),
            )
        )
    )


def _keyed(span: str) -> dict[str, ColumnElement[str]]:
    """Return what the sums of a span are told apart by, over ledger rows."""
    return {name: of_row(name) for name in SHARED} | {"key_id": ledger.c.key_id if span == "day" else EMPTY}


def _summed(span: str, where: ColumnElement[bool], sums: Mapping[str, ColumnElement[int]]) -> Subquery:
    """Return the sums of some rows by everything that groups are told apart by, and by hour or day."""
    keyed = _keyed(span)
    start = ledger.c.started_us - ledger.c.started_us % literal_column(str(SPANS[span]), BigInteger)
    by = [expression for expression in keyed.values() if expression is not EMPTY]
    return (
        select(
            *(expression.label(name) for name, expression in keyed.items()),
            start.label("start_us"),
            *(cast(sums[name], BigInteger).label(name) for name in MEASURES),
        )
        .where(where)
        .group_by(*by, start)
        .subquery("s")
    )


def _statements(
    dialect: str, span: str, where: ColumnElement[bool], sums: Mapping[str, ColumnElement[int]]
) -> tuple[Executable, ...]:
    """Return what makes the groups that some rows need, and what adds the rows to their sums."""
    into = sqlite.insert if dialect == "sqlite" else postgresql.insert
    keyed = _keyed(span)
    seen = select(*(keyed[name].label(name) for name in DIMENSIONS)).distinct().where(where).subquery("s")
    # Asked first: an insert that conflicts uses up a number on PostgreSQL.
    fresh = (
        select(literal(span, String), *(seen.c[name] for name in DIMENSIONS))
        .where(_group_of(span, seen).is_(None))
        .order_by(*(seen.c[name] for name in DIMENSIONS))
    )
    summed = _summed(span, where, sums)
    group = _group_of(span, summed).label("group_id")
    parts = (
        select(group, summed.c.start_us, *(summed.c[name] for name in MEASURES))
        .where(true())
        .order_by(group, summed.c.start_us)
    )
    added = into(rollups).from_select(["group_id", "start_us", *MEASURES], parts)
    return (
        into(rollup_groups).from_select(["span", *DIMENSIONS], fresh).on_conflict_do_nothing(),
        added.on_conflict_do_update(
            index_elements=["group_id", "start_us"],
            set_={name: rollups.c[name] + added.excluded[name] for name in MEASURES},
        ),
    )


def _group_of(span: str, rows: Subquery) -> ScalarSelect[int]:
    """Return the number of a row's group, or null. A look into the index, whatever is known of the table.

    Not a join: PostgreSQL, before it has counted a young table, would compare every row with every group.
    """
    return (
        select(rollup_groups.c.id)
        .where(rollup_groups.c.span == span, *(rollup_groups.c[name] == rows.c[name] for name in DIMENSIONS))
        .correlate(rows)
        .scalar_subquery()
    )


# ----------------------------------------------------------------------- reading


def kept(
    connection: Connection,
    *,
    span: str,
    groups: ColumnElement[bool],
    start_us: int,
    end_us: int,
) -> Iterator[Mapping[str, str | int]]:
    """Return each group's dimensions and its sums over ``start_us`` ≤ start < ``end_us``.

    ``groups`` chooses among ``rollup_groups``. Half-open, from and to whole hours (or days) of UTC.
    """
    chosen = select(rollup_groups.c.id).where(rollup_groups.c.span == span, groups)
    summed = (
        select(rollups.c.group_id, *(func.sum(rollups.c[name]).label(name) for name in MEASURES))
        .where(rollups.c.group_id.in_(chosen), rollups.c.start_us >= start_us, rollups.c.start_us < end_us)
        .group_by(rollups.c.group_id)
        .subquery()
    )
    rows = connection.execute(
        select(
            *(rollup_groups.c[name] for name in DIMENSIONS), *(summed.c[name] for name in MEASURES)
        ).select_from(summed.join(rollup_groups, rollup_groups.c.id == summed.c.group_id))
    )
    for row in rows.mappings():
        # int(): PostgreSQL sums BIGINT into its exact decimal type.
        yield {name: row[name] for name in DIMENSIONS} | {name: int(row[name]) for name in MEASURES}


# ------------------------------------------------------------ checking, rebuilding


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One sum that is not what the rows sum to: by what, of which group, from when."""

    span: str
    start_us: int
    group: tuple[str, ...]
    measure: str
    kept: int
    rows: int


def tenants(connection: Connection) -> list[str]:
    """Return whom the ledger or the sums know."""
    found = set(connection.scalars(select(rollup_groups.c.tenant).distinct()))
    found |= set(connection.scalars(select(ledger.c.tenant).distinct()))
    return sorted(found)


def days(connection: Connection, *, tenant: str) -> range:
    """Return the starts of the UTC days in which a tenant has rows or sums, in one range, in µs."""
    mine = rollups.c.group_id.in_(select(rollup_groups.c.id).where(rollup_groups.c.tenant == tenant))
    known = [
        *connection.execute(
            select(func.min(ledger.c.started_us), func.max(ledger.c.started_us)).where(
                ledger.c.tenant == tenant
            )
        ).one(),
        *connection.execute(
            select(func.min(rollups.c.start_us), func.max(rollups.c.start_us)).where(mine)
        ).one(),
    ]
    instants = [instant for instant in known if instant is not None]
    if not instants:
        return range(0)
    return range(min(instants) // DAY * DAY, max(instants) // DAY * DAY + 1, DAY)


def differences(connection: Connection, *, tenant: str, day_us: int) -> list[Difference]:
    """Return where the sums of one UTC day are not what its rows sum to."""
    _patient(connection)
    found: list[Difference] = []
    for span in SPANS:
        have = _stored(connection, span, tenant, day_us)
        want = _counted(connection, span, tenant, day_us)
        for key in sorted(have.keys() | want.keys()):
            before, after = have.get(key, _NOTHING), want.get(key, _NOTHING)
            found += [
                Difference(
                    span=span, start_us=key[0], group=key[1], measure=name, kept=before[at], rows=after[at]
                )
                for at, name in enumerate(MEASURES)
                if before[at] != after[at]
            ]
    return found


_NOTHING: Final = (0,) * len(MEASURES)
_Sums = dict[tuple[int, tuple[str, ...]], tuple[int, ...]]


def _stored(connection: Connection, span: str, tenant: str, day_us: int) -> _Sums:
    rows = connection.execute(
        select(
            rollups.c.start_us,
            *(rollup_groups.c[name] for name in DIMENSIONS),
            *(rollups.c[name] for name in MEASURES),
        )
        .join(rollup_groups, rollup_groups.c.id == rollups.c.group_id)
        .where(rollup_groups.c.span == span, rollup_groups.c.tenant == tenant)
        .where(rollups.c.start_us >= day_us, rollups.c.start_us < day_us + DAY)
    )
    edge = 1 + len(DIMENSIONS)
    return {(row[0], tuple(row[1:edge])): tuple(row[edge:]) for row in rows}


def _counted(connection: Connection, span: str, tenant: str, day_us: int) -> _Sums:
    summed = _summed(span, _day(tenant, day_us), measures())
    columns = (summed.c.start_us, *(summed.c[name] for name in (*DIMENSIONS, *MEASURES)))
    edge = 1 + len(DIMENSIONS)
    return {
        (row[0], tuple(row[1:edge])): tuple(int(value) for value in row[edge:])
        for row in connection.execute(select(*columns))
    }


def _day(tenant: str, day_us: int) -> ColumnElement[bool]:
    return and_(ledger.c.tenant == tenant, ledger.c.started_us >= day_us, ledger.c.started_us < day_us + DAY)


def _patient(connection: Connection) -> None:
    """Let a statement of this transaction take longer than one of a call may."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))


def rebuild(connection: Connection, *, tenant: str, day_us: int) -> None:
    """Make the sums of one UTC day anew from its rows. Needs a writing transaction.

    Day by day, so that calls go on meanwhile: what books rows waits for the end of one day's
    transaction, not of all.
    """
    _patient(connection)
    if connection.dialect.name == "postgresql":
        # Rows that others have inserted and not yet added are theirs to add, after us.
        connection.execute(text("LOCK TABLE rollups IN SHARE ROW EXCLUSIVE MODE"))
    mine = select(rollup_groups.c.id).where(rollup_groups.c.tenant == tenant)
    connection.execute(
        delete(rollups).where(
            rollups.c.group_id.in_(mine), rollups.c.start_us >= day_us, rollups.c.start_us < day_us + DAY
        )
    )
    for span in SPANS:
        where = _day(tenant, day_us)
        _execute(connection, _statements(connection.dialect.name, span, where, measures()), {})
