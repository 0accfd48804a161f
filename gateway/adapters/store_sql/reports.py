"""The one query layer of reports: sums of integers over attempts and ledger entries.

Sums come from the roll-ups where these hold whole hours, and from the rows at ragged ends (midnight in
Kolkata is no whole hour of UTC), so a month of ten million rows is read in a moment and is exact.

INVARIANT: no rounding, no division and no float here. Every report of a period is made of these
sums, so that any two groupings have the same total. All queries of one report belong into one
:meth:`~gateway.adapters.store_sql.engine.Store.read`: it sees one instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from gateway.adapters.store_sql.rollups import EMPTY, SPANS, count, kept, measures, of_row, total
from gateway.adapters.store_sql.tables import budget_windows, keys, ledger, slices
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.adapters.store_sql.tables_rollups import BUCKETS, MEASURES, rollup_groups
from gateway.core.entries import Entry

USAGE = "usage"
"""The ``charge_kind`` of attempts; entries have their own: adjust, correction, reserved, gpu."""

GROUPINGS: Mapping[str, str] = {
    "cost_centre": "cost_centre",
    "team": "team",
    "app": "app",
    "key": "key_id",
    "alias": "alias",
    "deployment": "deployment",
    "model": "model",
    "vendor": "vendor",
    "place": "place",
    "surface": "surface",
    "charge_kind": "charge_kind",
}
"""What spend can be grouped by, and the column behind each."""

_NULLS = frozenset({"cost_centre"})
_FOREVER = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What a report covers: ``start_us`` ≤ t < ``end_us``, and which rows belong to it.

    With ``billing`` (2026-11) it is an accounting period: attempts that started in it and were booked in
    time, late ones that were booked in it instead of their own closed month, entries booked in it. Without,
    it is a span of time: what started then, wherever it was booked.
    """

    start_us: int
    end_us: int
    billing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """The sums of one group of attempts and entries in one price currency.

    ``nano``, ``list_nano`` and ``contracted_nano`` are in ``currency`` (None: the group's attempts
    carry no price); ``spend_nano`` and ``estimated_nano`` are in the organisation's currency.
    ``served`` and ``failed`` count attempts; ``entries`` what is no attempt.
    """

    group: tuple[str | None, ...]
    currency: str | None
    calls: int = 0
    attempts: int = 0
    served: int = 0
    failed: int = 0
    unpriced: int = 0
    unconverted: int = 0
    estimates: int = 0
    overruns: int = 0
    entries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cache_read: int = 0
    nano: int = 0
    list_nano: int = 0
    contracted_nano: int = 0
    spend_nano: int = 0
    estimated_nano: int = 0


_NUMBERS = tuple(item.name for item in fields(Sums) if item.name not in {"group", "currency"})
_INPUT = tuple(name for name in BUCKETS if name not in {"output", "output_audio", "reasoning"})
_OUTPUT = ("output", "output_audio")


# --------------------------------------------------------------------------- spend


def spend(
    connection: Connection,
    *,
    tenant: str,
    start_us: int,
    end_us: int,
    by: Sequence[str],
    currency: str,
    billing: str = "",
    where: Mapping[str, str | None] | None = None,
) -> list[Sums]:
    """Return the sums of a period (see :class:`Period`) by group and price currency.

    A call is counted once, where its last attempt went. ``currency`` is the organisation's;
    ``where`` keeps to groups with these values. Raises KeyError on an unknown grouping.
    """
    period = Period(start_us=start_us, end_us=end_us, billing=billing)
    dimensions = [GROUPINGS[name] for name in by]
    wanted = {GROUPINGS[name]: value or "" for name, value in (where or {}).items()}
    found: dict[tuple[tuple[str, ...], str], dict[str, int]] = {}
    if wanted.get("charge_kind", USAGE) == USAGE:
        for row in _attempts(connection, tenant, period, dimensions, wanted):
            _put(found, row, dimensions, _of_attempts(row, currency))
    for row in _entries(connection, tenant, period, dimensions, wanted):
        _put(found, row, dimensions, _of_entries(row, currency))
    return [
        Sums(
            group=tuple(
                None if not value and name in _NULLS else value
                for name, value in zip(dimensions, group, strict=True)
            ),
            currency=price or None,
            **numbers,
        )
        for (group, price), numbers in found.items()
        if any(numbers.values())  # else all of it was taken off again
    ]


_Row = Mapping[str, str | int]


def _put(
    found: dict[tuple[tuple[str, ...], str], dict[str, int]],
    row: _Row,
    dimensions: Sequence[str],
    numbers: Mapping[str, int],
) -> None:
    group = tuple(str(row[name]) for name in dimensions)
    into = found.setdefault((group, str(row["currency"])), dict.fromkeys(_NUMBERS, 0))
    for name, number in numbers.items():
        into[name] += number


def _of_attempts(row: _Row, currency: str) -> dict[str, int]:
    ours = row["spend_currency"] == currency
    number = {name: int(row[name]) for name in MEASURES}
    return {
        **{name: number[name] for name in _NUMBERS if name in number},
        "unconverted": 0 if ours else number["priced"],
        "spend_nano": number["spend_nano"] if ours else 0,
        "estimated_nano": number["estimated_nano"] if ours else 0,
        "tokens_in": sum(number[name] for name in _INPUT),
        "tokens_out": sum(number[name] for name in _OUTPUT),
    }


def _of_entries(row: _Row, currency: str) -> dict[str, int]:
    ours = row["spend_currency"] == currency
    nano = int(row["nano"])
    return {
        "entries": int(row["entries"]),
        "unconverted": 0 if ours else int(row["entries"]),
        "estimates": int(row["estimates"]),
        "nano": nano,
        "list_nano": nano,
        "contracted_nano": nano,
        "spend_nano": int(row["spend_nano"]) if ours else 0,
        "estimated_nano": int(row["estimated_nano"]) if ours else 0,
    }


def _attempts(
    connection: Connection, tenant: str, period: Period, dimensions: Sequence[str], wanted: Mapping[str, str]
) -> Iterator[_Row]:
    """Yield partial sums of the attempts of a period: from roll-ups, and from rows at ragged ends."""
    span = "day" if "key_id" in {*dimensions, *wanted} else "hour"
    width = SPANS[span]
    # To the nearer side: what the sums hold too much is read from the rows, and taken off.
    first, last = ((at + width // 2) // width * width for at in (period.start_us, period.end_us))
    edges = [(1, period.start_us, first), (-1, first, period.start_us)]
    edges += [(1, last, period.end_us), (-1, period.end_us, last)]
    if first >= last:
        first = last = 0
        edges = [(1, period.start_us, period.end_us)]
    chosen = _chosen(tenant, wanted)
    in_time = and_(chosen, rollup_groups.c.billing_period == "") if period.billing else chosen
    if first < last:
        yield from _marked(kept(connection, span=span, groups=in_time, start_us=first, end_us=last))
    for sign, start_us, end_us in edges:
        if start_us < end_us:
            edge = Period(start_us=start_us, end_us=end_us, billing=period.billing)
            rows = _rows(connection, tenant, edge, dimensions, wanted)
            yield from _marked(rows if sign > 0 else map(_taken_off, rows))
    if period.billing:
        late = and_(chosen, rollup_groups.c.billing_period == period.billing)
        yield from _marked(kept(connection, span=span, groups=late, start_us=-_FOREVER, end_us=_FOREVER))


def _marked(rows: Iterable[_Row]) -> Iterator[_Row]:
    for row in rows:
        yield {**row, "charge_kind": USAGE}


def _taken_off(row: _Row) -> _Row:
    return {**row, **{name: -int(row[name]) for name in MEASURES}}


def _chosen(tenant: str, wanted: Mapping[str, str]) -> ColumnElement[bool]:
    named = [rollup_groups.c[name] == value for name, value in wanted.items() if name != "charge_kind"]
    return and_(rollup_groups.c.tenant == tenant, *named)


def _rows(
    connection: Connection, tenant: str, period: Period, dimensions: Sequence[str], wanted: Mapping[str, str]
) -> Iterator[_Row]:
    """Yield the sums of the ledger's own rows that started in a period and were booked in time."""
    names = [name for name in dict.fromkeys((*dimensions, "currency", "spend_currency")) if name in ledger.c]
    keyed = {name: of_row(name).label(f"d_{name}") for name in names}
    sums = measures()
    query = (
        select(*keyed.values(), *(sums[name].label(name) for name in MEASURES))
        .where(ledger.c.tenant == tenant)
        .where(ledger.c.started_us >= period.start_us, ledger.c.started_us < period.end_us)
        .where(*(of_row(name) == value for name, value in wanted.items() if name != "charge_kind"))
        .group_by(*keyed.values())
    )
    if period.billing:
        query = query.where(ledger.c.billing_period.is_(None))
    for row in connection.execute(query).mappings():
        # int(): PostgreSQL sums BIGINT into its exact decimal type.
        yield {name: row[f"d_{name}"] for name in names} | {name: int(row[name]) for name in MEASURES}


def _entries(
    connection: Connection, tenant: str, period: Period, dimensions: Sequence[str], wanted: Mapping[str, str]
) -> Iterator[_Row]:
    """Yield the sums of ledger entries; what an entry does not have (a key, a surface) is ``""``."""
    entry = ledger_entries.c
    columns = {"charge_kind": entry.kind}
    known: dict[str, ColumnElement[str]] = {}
    for name in {*dimensions, *wanted, "currency", "spend_currency"}:
        column = columns.get(name, entry.get(name))
        known[name] = EMPTY if column is None else func.coalesce(column, EMPTY)
    keyed = {name: known[name].label(f"d_{name}") for name in (*dimensions, "currency", "spend_currency")}
    query = (
        select(
            *keyed.values(),
            func.count().label("entries"),
            count(entry.estimated).label("estimates"),
            total(entry.nano).label("nano"),
            total(entry.spend_nano).label("spend_nano"),
            total(case((entry.estimated, entry.spend_nano), else_=0)).label("estimated_nano"),
        )
        .where(entry.tenant == tenant, _within(period))
        .where(*(known[name] == value for name, value in wanted.items()))
        .group_by(*(known[name] for name in keyed if known[name] is not EMPTY))
    )
    numbers = ("entries", "estimates", "nano", "spend_nano", "estimated_nano")
    for row in connection.execute(query).mappings():
        yield {name: row[f"d_{name}"] for name in keyed} | {name: int(row[name]) for name in numbers}


def _within(period: Period) -> ColumnElement[bool]:
    entry = ledger_entries.c
    if period.billing:
        return entry.billing_period == period.billing
    return and_(entry.start_us >= period.start_us, entry.start_us < period.end_us)


# ---------------------------------------------------------------------- row by row


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One row of the ledger, whole. Its columns are described in ``tables.py``."""

    attempt_id: str
    call_id: str
    number: int
    started_us: int
    ended_us: int
    tenant: str
    team: str
    app: str
    key_id: str
    cost_centre: str | None
    alias: str
    deployment: str
    vendor: str
    place: str
    model: str
    vendor_model: str | None
    vendor_id: str | None
    surface: str
    status: str
    code: str | None
    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    reasoning: int
    input_audio: int
    output_audio: int
    input_image: int
    units: str  # JSON of rarer buckets
    currency: str | None
    nano: int | None
    list_nano: int | None
    contracted_nano: int | None
    spend_currency: str | None
    spend_nano: int | None
    estimated: bool
    overrun: bool
    at_most: bool
    tier: str
    served_place: str
    band: int
    snapshot: str
    price_ids: str
    lines: str  # JSON of the charge lines
    billing_period: str | None


_PAGE = 2_000


def attempts(connection: Connection, *, tenant: str, period: Period) -> Iterator[LedgerRow]:
    """Yield every attempt of a period by start, in constant memory; late ones first."""
    names = [item.name for item in fields(LedgerRow)]
    within = and_(ledger.c.started_us >= period.start_us, ledger.c.started_us < period.end_us)
    parts = [within]
    if period.billing:
        # Two walks, each along its index.
        parts = [ledger.c.billing_period == period.billing, and_(within, ledger.c.billing_period.is_(None))]
    for part in parts:
        query = (
            select(*(ledger.c[name] for name in names))
            .where(ledger.c.tenant == tenant, part)
            .order_by(ledger.c.started_us, ledger.c.attempt_id)
            .execution_options(yield_per=_PAGE)
        )
        for row in connection.execute(query).mappings():
            yield LedgerRow(**row)


def entries(connection: Connection, *, tenant: str, period: Period) -> Iterator[Entry]:
    """Yield every ledger entry of a period by start and id, in constant memory."""
    names = [item.name for item in fields(Entry)]
    query = (
        select(*(ledger_entries.c[name] for name in names))
        .where(ledger_entries.c.tenant == tenant, _within(period))
        .order_by(ledger_entries.c.start_us, ledger_entries.c.id)
        .execution_options(yield_per=_PAGE)
    )
    for row in connection.execute(query).mappings():
        yield Entry(**row)


# ---------------------------------------------------------------------------- budgets


def held(connection: Connection, *, budgets: Sequence[str], now_us: int) -> int:
    """Return what open windows of these budgets hold for calls in flight: granted less spent."""
    query = (
        select(total(slices.c.granted - slices.c.spent))
        .join(
            budget_windows,
            and_(budget_windows.c.budget == slices.c.budget, budget_windows.c.window == slices.c.window),
        )
        .where(slices.c.budget.in_(budgets), budget_windows.c.resets_us > now_us)
    )
    return max(0, int(connection.scalar(query) or 0))


def budgets_like(connection: Connection, before: str, after: str, window: str) -> list[str]:
    """Return the budgets of a template (``key:*:CAD``) that have such a window, by id."""
    budget = budget_windows.c.budget
    found = connection.scalars(
        select(budget)
        .where(budget.startswith(before, autoescape=True), budget.endswith(after, autoescape=True))
        .where(budget_windows.c.window == window)
        .order_by(budget)
    )
    # A daily template's ids end otherwise than a monthly one's, but begin alike.
    return [each for each in found if ":" not in each[len(before) : len(each) - len(after)]]


def key_apps(connection: Connection, tenant: str) -> dict[str, str]:
    """Return the app of every key there ever was, by key id."""
    return {
        row.id: row.app
        for row in connection.execute(select(keys.c.id, keys.c.app).where(keys.c.tenant == tenant))
    }
