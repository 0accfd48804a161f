"""Usage by local day over many days: what forecasts and anomalies are made of.

All days of one length are one query over the sums by the hour; only the hours that a local midnight cuts
are read from the rows. INVARIANT: the numbers of a day are those that
:func:`~gateway.adapters.store_sql.reports.spend` has for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, Connection, FromClause, func, literal_column, select

from gateway.adapters.store_sql.reports import GROUPINGS
from gateway.adapters.store_sql.rollups import EMPTY, HOUR, count, is_last, of_row, total
from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.adapters.store_sql.tables_rollups import BUCKETS, rollup_groups, rollups
from gateway.core.anomalies import Usage
from gateway.core.budget import windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One local day, or what of it lies in the span, and its usage by group. What is empty is ``""``."""

    start_us: int
    end_us: int
    usage: Mapping[tuple[str, ...], Usage]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Successive days of one length, numbered from ``first`` on; the span may cut the first and the last."""

    first: int
    origin_us: int  # midnight of the first, whether or not the span begins there
    width_us: int
    days: list[tuple[int, int]]

    @property
    def span(self) -> tuple[int, int]:
        return self.days[0][0], self.days[-1][1]

    def number(self, at_us: ColumnElement[int]) -> ColumnElement[int]:
        """Return which day of the run an instant of the span is of."""
        return (at_us - _whole(self.origin_us)) // _whole(self.width_us)


_NAMES = {name: column for name, column in GROUPINGS.items() if name not in {"key", "charge_kind"}}
"""What days can be grouped by: what the sums by the hour are told apart by."""

_Part = tuple[int, tuple[str, ...], str, int, int, int]
"""Day, group, currency of the amount, calls, tokens, nano-units."""

_TOKENS = tuple(name for name in BUCKETS if name != "reasoning")  # which is a part of the output


def by_day(
    connection: Connection,
    *,
    tenant: str,
    start_us: int,
    end_us: int,
    timezone: str,
    by: Sequence[str],
    currency: str,
) -> list[Day]:
    """Return calls, tokens and spend in ``currency`` of every local day of a span, by group.

    Days of the IANA zone, of 23 or 25 hours where the clock changes; empty days are there too, the
    first and last are cut to the span. Raises KeyError on an unknown grouping.
    """
    names = [_NAMES[name] for name in by]
    found: list[dict[tuple[str, ...], list[int]]] = []
    spans: list[tuple[int, int]] = []
    for run in _runs(timezone, start_us, end_us):
        spans += run.days
        found += [defaultdict(lambda: [0, 0, 0]) for _ in run.days]
        for part in _parts(connection, tenant, run, names):
            number, group, paid_in, calls, tokens, nano = part
            sums = found[number][group]
            sums[0] += calls
            sums[1] += tokens
            if paid_in == currency:
                sums[2] += nano
    return [
        Day(
            start_us=since,
            end_us=until,
            usage={group: Usage(calls=c, tokens=t, nano=n) for group, (c, t, n) in day.items()},
        )
        for (since, until), day in zip(spans, found, strict=True)
    ]


def _runs(timezone: str, start_us: int, end_us: int) -> Iterator[_Run]:
    at, number, run = start_us, 0, None
    while at < end_us:
        midnight, following = (instant // 1000 for instant in windows("day", timezone, at * 1000))
        day = (at, min(following, end_us))
        if run is not None and following - midnight == run.width_us:
            run.days.append(day)
        else:
            if run is not None:
                yield run
            run = _Run(first=number, origin_us=midnight, width_us=following - midnight, days=[day])
        at, number = day[1], number + 1
    if run is not None:
        yield run


def _parts(connection: Connection, tenant: str, run: _Run, names: Sequence[str]) -> Iterator[_Part]:
    yield from _kept(connection, tenant, run, names)
    for number, (since, until) in enumerate(run.days, run.first):
        first, last = _up(since), until // HOUR * HOUR
        for edge in [(since, first), (last, until)] if first < last else [(since, until)]:
            if edge[0] < edge[1]:
                yield from _rows(connection, tenant, number, edge, names)
    yield from _entries(connection, tenant, run, names)


def _kept(connection: Connection, tenant: str, run: _Run, names: Sequence[str]) -> Iterator[_Part]:
    """Yield the sums of the whole hours of each day."""
    start, until = run.span[0], run.span[1]
    since_midnight = (rollups.c.start_us - _whole(run.origin_us)) % _whole(run.width_us)
    number = run.number(rollups.c.start_us)
    summed = (
        select(
            rollups.c.group_id,
            number.label("day"),
            func.sum(rollups.c.calls).label("calls"),
            sum((func.sum(rollups.c[name]) for name in _TOKENS[1:]), func.sum(rollups.c[_TOKENS[0]])).label(
                "tokens"
            ),
            func.sum(rollups.c.spend_nano).label("nano"),
        )
        .where(
            rollups.c.group_id.in_(
                select(rollup_groups.c.id).where(
                    rollup_groups.c.span == "hour", rollup_groups.c.tenant == tenant
                )
            )
        )
        .where(rollups.c.start_us >= _up(start), rollups.c.start_us < until // HOUR * HOUR)
        # An hour that a midnight cuts is of two days.
        .where(since_midnight <= _whole(run.width_us - HOUR))
        .group_by(rollups.c.group_id, number)
    )
    groups = {
        row[0]: (tuple(row[2:]), row[1])
        for row in connection.execute(
            select(rollup_groups.c.id, rollup_groups.c.spend_currency, *_named(names, rollup_groups)).where(
                rollup_groups.c.span == "hour", rollup_groups.c.tenant == tenant
            )
        )
    }
    for group, day, calls, tokens, nano in connection.execute(summed):
        # int(): PostgreSQL sums BIGINT into its exact decimal type.
        yield run.first + day, *groups[group], int(calls), int(tokens), int(nano)


def _rows(
    connection: Connection, tenant: str, number: int, edge: tuple[int, int], names: Sequence[str]
) -> Iterator[_Part]:
    """Yield the sums of the rows of a part of an hour."""
    keyed = [of_row("spend_currency"), *_named(names, ledger)]
    query = (
        select(
            count(is_last()),
            sum((total(ledger.c[name]) for name in _TOKENS[1:]), total(ledger.c[_TOKENS[0]])),
            total(ledger.c.spend_nano),
            *keyed,
        )
        .where(ledger.c.tenant == tenant, ledger.c.started_us >= edge[0], ledger.c.started_us < edge[1])
        .group_by(*(each for each in keyed if each is not EMPTY))
    )
    for row in connection.execute(query):
        yield number, tuple(row[4:]), row[3], int(row[0]), int(row[1]), int(row[2])


def _entries(connection: Connection, tenant: str, run: _Run, names: Sequence[str]) -> Iterator[_Part]:
    """Yield the sums of ledger entries, which are no calls and no tokens."""
    entry = ledger_entries.c
    number = run.number(entry.start_us)
    keyed = [of_row("spend_currency", ledger_entries), *_named(names, ledger_entries)]
    query = (
        select(number, total(entry.spend_nano), *keyed)
        .where(entry.tenant == tenant, entry.start_us >= run.span[0], entry.start_us < run.span[1])
        .group_by(number, *(each for each in keyed if each is not EMPTY))
    )
    for row in connection.execute(query):
        yield run.first + row[0], tuple(row[3:]), row[2], 0, 0, int(row[1])


def _named(names: Sequence[str], rows: FromClause) -> list[ColumnElement[str]]:
    return [of_row(name, rows) for name in names]


def _up(at_us: int) -> int:
    return -(-at_us // HOUR) * HOUR


def _whole(number: int) -> ColumnElement[int]:
    """Return a number written out, so that a database sees the same expression where it groups by it."""
    return literal_column(str(number), BigInteger)
