"""The spend report: what a month cost, by any grouping, and what that is made of.

Finance reads it, so every number ties out: rows sum to the total in every column, and
every grouping of the same period has the same total, to the cent. Estimated amounts stand apart;
what is held for calls in flight is said and is not spend. :func:`build` makes the
:class:`~gateway.reports.document.Document` that every format is written from, :func:`query` the same
report as a value of its own, which :mod:`gateway.reports.render` prints in fewer words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import Connection

from gateway.adapters.store_sql import reports as rows
from gateway.adapters.store_sql.reports import GROUPINGS, Sums
from gateway.core.money import present
from gateway.core.prices import rate_of_window
from gateway.core.snapshot import Snapshot
from gateway.reports.closing import standing
from gateway.reports.document import Cell, Chart, Column, Document, Section
from gateway.reports.kinds import Asked
from gateway.reports.period import Month, day_of, minute_of, month

DEFAULT_BY = ("cost_centre", "team", "app", "model", "place")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """An exchange rate used in the period, as it is printed."""

    pair: str  # USD/CAD
    rate: str
    fixed: str  # date
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row, or the total. Amounts are decimals of two places; ``native`` by foreign currency.

    ``budget`` is None where the row has none, or where an earlier row of the same
    team (or app) shows it already.
    """

    group: tuple[str, ...]
    calls: int
    attempts: int
    tokens_in: int
    tokens_out: int
    native: Mapping[str, Decimal]
    spend: Decimal
    estimated: Decimal
    budget: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendReport:
    """A whole report."""

    organisation: str
    period: Month
    status: str  # open | preliminary | closed | restated
    as_of: str  # local minute
    currency: str
    natives: tuple[str, ...]  # foreign currencies of the prices, in order of columns
    rates: tuple[Rate, ...]
    policy: str
    prices_hash: str
    by: tuple[str, ...]
    unpriced: int
    unconverted: int
    held: Decimal
    lines: tuple[Line, ...]
    total: Line
    budgeted: str | None  # "team" or "app": whose budgets the budget column shows
    entries: int = 0  # rows that are no attempts: reserved capacity, GPUs, corrections
    notes: tuple[str, ...] = ()


def grouping(text: str) -> tuple[str, ...]:
    """Return the names in ``cost_centre,team,…``. Raises ValueError naming the unknown one."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in GROUPINGS:
            raise ValueError(f"cannot group by `{name}`; use some of {', '.join(GROUPINGS)}")
    if len(set(names)) != len(names):
        raise ValueError(f"`{text}` names a column twice")
    return names


def query(
    snapshot: Snapshot, *, month_name: str, by: tuple[str, ...], now: int
) -> Callable[[Connection], SpendReport]:
    """Return the work that reads and builds one report in one transaction.

    ``now`` in nanoseconds. Raises ValueError on a month of another form than ``2026-11``.
    """
    month(month_name, snapshot.timezone)

    def work(connection: Connection) -> SpendReport:
        return read(connection, snapshot, month_name=month_name, by=by, now=now)[0]

    return work


def build(snapshot: Snapshot, asked: Asked) -> Callable[[Connection], Document]:
    """Return the work that reads and builds the document.

    Raises ValueError on a month of another form than ``2026-11`` and on an unknown column.
    """
    month(asked.month, snapshot.timezone)
    by = grouping(",".join(asked.by)) or DEFAULT_BY

    def work(connection: Connection) -> Document:
        report, sums = read(connection, snapshot, month_name=asked.month, by=by, now=asked.now)
        return document(report, sums)

    return work


def read(
    connection: Connection, snapshot: Snapshot, *, month_name: str, by: tuple[str, ...], now: int
) -> tuple[SpendReport, list[Sums]]:
    """Read one report, and the sums by kind of charge that it is made of."""
    here = standing(connection, snapshot, month_name, now=now, journals=None)
    period = Month(name=month_name, timezone=snapshot.timezone, start_us=here.start_us, end_us=here.end_us)
    told = (*by, "charge_kind") if "charge_kind" not in by else by
    sums = rows.spend(
        connection,
        tenant=snapshot.tenant,
        start_us=period.start_us,
        end_us=period.end_us,
        by=told,
        currency=snapshot.currency,
        billing=month_name,
    )
    held = rows.held(connection, budgets=_top_budgets(snapshot), now_us=now // 1000)
    notes = [f"{len(here.unread)} journals or shares of capacity are still to come"] if here.unread else []
    if here.later:
        notes.append(
            f"entries about this month that came after it was closed, booked in a later one: {here.later}"
        )
    grouped = [replace(item, group=item.group[: len(by)]) for item in sums]
    kinds = [replace(item, group=(item.group[told.index("charge_kind")],)) for item in sums]
    report = report_of(grouped, snapshot, period=period, by=by, now=now, held_nano=held, status=here.status)
    return replace(report, notes=tuple(notes)), kinds


def report_of(
    sums: Sequence[Sums],
    snapshot: Snapshot,
    *,
    period: Month,
    by: tuple[str, ...],
    now: int,
    held_nano: int,
    status: str = "",
) -> SpendReport:
    """Make the report of a period out of its sums. Pure; ``held_nano`` in the organisation's currency."""
    natives = tuple(sorted({item.currency for item in sums if item.currency} - {snapshot.currency}))
    groups: dict[tuple[str, ...], list[Sums]] = {}
    for item in sums:
        groups.setdefault(tuple(_shown(value) for value in item.group), []).append(item)
    # What belongs to nobody comes last, in every grouping.
    ordered = sorted(groups, key=lambda group: tuple((value in _NOBODY, value) for value in group))
    nanos = {name: [_native(groups[group], name) for group in ordered] for name in natives}
    spends = [sum(item.spend_nano for item in groups[group]) for group in ordered]
    estimates = [sum(item.estimated_nano for item in groups[group]) for group in ordered]
    columns = {name: present(column) for name, column in nanos.items()}
    shown_spend, shown_estimates = present(spends), present(estimates)
    budgeted = "team" if "team" in by else "app" if "app" in by else None
    budgets = _budgets(snapshot, budgeted, by, ordered)
    lines = tuple(
        Line(
            group=group,
            calls=sum(item.calls for item in groups[group]),
            attempts=sum(item.attempts for item in groups[group]),
            tokens_in=sum(item.tokens_in for item in groups[group]),
            tokens_out=sum(item.tokens_out for item in groups[group]),
            native={name: columns[name][number] for name in natives},
            spend=shown_spend[number],
            estimated=shown_estimates[number],
            budget=budgets[number],
        )
        for number, group in enumerate(ordered)
    )
    return SpendReport(
        organisation=snapshot.tenant,
        period=period,
        status=status or ("open" if now // 1000 < period.end_us else "preliminary"),
        as_of=minute_of(now, period.timezone),
        currency=snapshot.currency,
        natives=natives,
        rates=_rates(snapshot, period, natives),
        policy=f"{snapshot.policy_name} v{snapshot.policy_version}",
        prices_hash=snapshot.prices_hash,
        by=by,
        unpriced=sum(item.unpriced for item in sums),
        unconverted=sum(item.unconverted for item in sums),
        held=present([held_nano])[0],
        lines=lines,
        total=_total(lines, natives),
        budgeted=budgeted,
        entries=sum(item.entries for item in sums),
    )


# -------------------------------------------------------------------------- the document

_TITLES = {"cost_centre": "cost centre", "charge_kind": "kind"}
_WORDS = {
    "usage": "usage of models",
    "adjust": "adjustments (reconciliation, rounding)",
    "correction": "corrections of closed months",
    "reserved": "reserved capacity, by time",
    "gpu": "own GPUs, by time",
}


def document(report: SpendReport, kinds: Sequence[Sums]) -> Document:
    """Return the report as a document. ``kinds`` are the same sums by kind of charge."""
    return Document(
        report="spend",
        title="Spend",
        organisation=report.organisation,
        period=report.period.name,
        timezone=report.period.timezone,
        status=report.status,
        as_of=report.as_of,
        currency=report.currency,
        facts=_facts(report),
        sections=(_spend(report), _made_of(report, kinds), *_prices(kinds)),
        notes=report.notes,
    )


def _facts(report: SpendReport) -> tuple[tuple[str, str], ...]:
    holes = f"{report.unpriced:,} without a price" if report.unpriced else "all priced"
    if report.unconverted:
        holes += f", {report.unconverted:,} without a rate to {report.currency}"
    total = report.total
    return (
        ("amounts", f"{report.currency}, tax excluded, not invoiced; estimated is part of {report.currency}"),
        *((rate.pair, f"{rate.rate}, fixed {rate.fixed}, {rate.source}") for rate in report.rates),
        ("rows", f"{total.calls:,} calls, {total.attempts:,} attempts ({holes}), {report.entries:,} entries"),
        ("held now", f"{report.held:,} {report.currency} (not spend)"),
        ("prices in force", report.prices_hash),
        ("policy", report.policy),
    )


def _spend(report: SpendReport) -> Section:
    money = report.currency
    columns = [Column(name=name, title=_TITLES.get(name, name), kind="text") for name in report.by]
    columns += [
        Column(name="calls", title="calls", kind="count"),
        Column(name="attempts", title="attempts", kind="count"),
        Column(name="tokens_in", title="tokens in", kind="count"),
        Column(name="tokens_out", title="tokens out", kind="count"),
        *(
            Column(name=f"native_{name.lower()}", title=name.lower(), kind="money", currency=name)
            for name in report.natives
        ),
        Column(name="spend", title=money.lower(), kind="money", currency=money),
        Column(name="estimated", title="estimated", kind="money", currency=money),
    ]
    if report.budgeted:
        title = f"{report.budgeted} budget"
        columns.append(Column(name="budget", title=title, kind="money", currency=money))
    label = ("TOTAL",) + (None,) * (len(report.by) - 1)
    return Section(
        name="spend",
        title="Spend",
        columns=tuple(columns),
        rows=tuple((*line.group, *_cells(report, line)) for line in report.lines),
        total=(*label, *_cells(report, report.total)) if report.by else None,
        chart=Chart(kind="bar", x=report.by[0], y=("spend",)) if report.by else None,
    )


def _cells(report: SpendReport, line: Line) -> tuple[Cell, ...]:
    cells: list[Cell] = [line.calls, line.attempts, line.tokens_in, line.tokens_out]
    cells += [line.native[name] for name in report.natives]
    cells += [line.spend, line.estimated]
    if report.budgeted:
        cells.append(line.budget)
    return tuple(cells)


def _made_of(report: SpendReport, kinds: Sequence[Sums]) -> Section:
    """Return the same money by what it was charged for: attempts, capacity by time, corrections."""
    found = sorted({item.group[0] or "" for item in kinds}, key=list(_WORDS).index) or ["usage"]
    parts = [[item for item in kinds if item.group[0] == kind] for kind in found]
    spends = present([sum(item.spend_nano for item in part) for part in parts])
    estimates = present([sum(item.estimated_nano for item in part) for part in parts])
    counts = [sum(item.attempts + item.entries for item in part) for part in parts]
    money = report.currency
    return Section(
        name="made_of",
        title="What it is made of",
        columns=(
            Column(name="kind", title="kind", kind="text"),
            Column(name="rows", title="rows", kind="count"),
            Column(name="spend", title=money.lower(), kind="money", currency=money),
            Column(name="estimated", title="estimated", kind="money", currency=money),
        ),
        rows=tuple(
            (_WORDS[kind], counts[number], spends[number], estimates[number])
            for number, kind in enumerate(found)
        ),
        total=("TOTAL", sum(counts), sum(spends, _ZERO), sum(estimates, _ZERO)),
    )


def _prices(kinds: Sequence[Sums]) -> tuple[Section, ...]:
    """Return list, contracted and charged amounts per currency of the prices."""
    found = sorted({item.currency for item in kinds if item.currency})
    if not found:
        return ()
    lines: list[tuple[Cell, ...]] = []
    for currency in found:
        part = [item for item in kinds if item.currency == currency]
        nanos = [
            sum(item.list_nano for item in part),
            sum(item.contracted_nano for item in part),
            sum(item.nano for item in part),
        ]
        lines.append((currency, *(present([nano])[0] for nano in nanos)))
    return (
        Section(
            name="prices",
            title="List, contracted and charged, in the currency of the prices",
            columns=(
                Column(name="currency", title="currency", kind="text"),
                Column(name="list", title="list", kind="quantity"),
                Column(name="contracted", title="contracted", kind="quantity"),
                Column(name="charged", title="charged", kind="quantity"),
            ),
            rows=tuple(lines),
            notes=("contracted: as if paid by the call; charged leaves out what is paid by time instead",),
        ),
    )


_ZERO = Decimal("0.00")
_NOBODY = frozenset({"unallocated", "–"})


def _shown(value: str | None) -> str:
    return "unallocated" if value is None else value or "–"


def _native(items: Sequence[Sums], currency: str) -> int:
    return sum(item.nano for item in items if item.currency == currency)


def _total(lines: Sequence[Line], natives: tuple[str, ...]) -> Line:
    # INVARIANT: the foot is the sum of what is shown, and present() made that the rounded total.
    budgets = [line.budget for line in lines if line.budget is not None]
    return Line(
        group=(),
        calls=sum(line.calls for line in lines),
        attempts=sum(line.attempts for line in lines),
        tokens_in=sum(line.tokens_in for line in lines),
        tokens_out=sum(line.tokens_out for line in lines),
        native={name: sum((line.native[name] for line in lines), _ZERO) for name in natives},
        spend=sum((line.spend for line in lines), _ZERO),
        estimated=sum((line.estimated for line in lines), _ZERO),
        budget=sum(budgets, _ZERO) if budgets else None,
    )


def _budgets(
    snapshot: Snapshot, level: str | None, by: tuple[str, ...], groups: Sequence[tuple[str, ...]]
) -> list[Decimal | None]:
    """Return each row's monthly budget, at the first row of its team (or app) only."""
    if level is None:
        return [None] * len(groups)
    limits = {
        limit.name: limit.limit
        for app in snapshot.apps.values()
        for limit in app.budgets
        if limit.level == level and limit.unit == snapshot.currency and limit.per == "month"
    }
    found: list[Decimal | None] = []
    seen: set[str] = set()
    for group in groups:
        name = group[by.index(level)]
        limit = None if name in seen else limits.get(name)
        seen.add(name)
        found.append(None if limit is None else present([limit])[0])
    return found


def _top_budgets(snapshot: Snapshot) -> list[str]:
    """Return a money budget of each owner at the highest level that has any: there each hold counts once.

    One owner may have several windows (a day and its month), and each holds the same calls.
    """
    levels: dict[str, dict[str, str]] = {}
    for app in snapshot.apps.values():
        for limit in app.budgets:
            if limit.unit == snapshot.currency:
                levels.setdefault(limit.level, {}).setdefault(limit.name, limit.id)
    top = next((levels[level] for level in ("org", "team", "app") if level in levels), {})
    return sorted(set(top.values()))


def _rates(snapshot: Snapshot, period: Month, natives: tuple[str, ...]) -> tuple[Rate, ...]:
    """Return the rate of each currency that converts the whole period: one a month."""
    found: list[Rate] = []
    start, end = period.start_us * 1000, period.end_us * 1000
    for native in natives:
        rate = rate_of_window(snapshot, native, snapshot.currency, start=start, end=end)
        if rate is not None:
            found.append(
                Rate(
                    pair=f"{rate.base}/{rate.quote}",
                    rate=str(rate.rate),
                    fixed=day_of(rate.valid_from, "UTC"),  # as the file dates it
                    source=rate.source,
                )
            )
    return tuple(found)
