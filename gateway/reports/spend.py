"""The spend report as a value: its head, its rows, its foot.

Finance reads it, so every number ties out: rows sum to the total in every column, and
every grouping of the same period has the same total, to the cent. Estimated amounts stand apart;
what is held for calls in flight is said and is not spend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from gateway.adapters.store_sql import reports as rows
from gateway.adapters.store_sql.reports import GROUPINGS, Sums
from gateway.core.money import present
from gateway.core.snapshot import Snapshot
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
    status: str  # open | preliminary
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
    period = month(month_name, snapshot.timezone)

    def work(connection: Connection) -> SpendReport:
        sums = rows.spend(
            connection,
            tenant=snapshot.tenant,
            start_us=period.start_us,
            end_us=period.end_us,
            by=by,
            currency=snapshot.currency,
        )
        held = rows.held(connection, budgets=_top_budgets(snapshot), now_us=now // 1000)
        return build(sums, snapshot, period=period, by=by, now=now, held_nano=held)

    return work


def build(
    sums: Sequence[Sums], snapshot: Snapshot, *, period: Month, by: tuple[str, ...], now: int, held_nano: int
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
        status="open" if now // 1000 < period.end_us else "preliminary",
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
    )


_NOBODY = frozenset({"unallocated", "–"})


def _shown(value: str | None) -> str:
    return "unallocated" if value is None else value or "–"


def _native(items: Sequence[Sums], currency: str) -> int:
    return sum(item.nano for item in items if item.currency == currency)


def _total(lines: Sequence[Line], natives: tuple[str, ...]) -> Line:
    # INVARIANT: the foot is the sum of what is shown, and present() made that the rounded total.
    budgets = [line.budget for line in lines if line.budget is not None]
    zero = Decimal("0.00")
    return Line(
        group=(),
        calls=sum(line.calls for line in lines),
        attempts=sum(line.attempts for line in lines),
        tokens_in=sum(line.tokens_in for line in lines),
        tokens_out=sum(line.tokens_out for line in lines),
        native={name: sum((line.native[name] for line in lines), zero) for name in natives},
        spend=sum((line.spend for line in lines), zero),
        estimated=sum((line.estimated for line in lines), zero),
        budget=sum(budgets, zero) if budgets else None,
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
    """Return the rates that held at some instant of the period, oldest first per currency."""
    found: list[Rate] = []
    for native in natives:
        dated = sorted(
            (rate for rate in snapshot.rates if rate.base == native and rate.quote == snapshot.currency),
            key=lambda rate: rate.valid_from,
        )
        start, end = period.start_us * 1000, period.end_us * 1000
        for number, rate in enumerate(dated):
            until = dated[number + 1].valid_from if number + 1 < len(dated) else None
            if rate.valid_from < end and (until is None or until > start):
                found.append(
                    Rate(
                        pair=f"{rate.base}/{rate.quote}",
                        rate=str(rate.rate),
                        fixed=day_of(rate.valid_from, "UTC"),  # as the file dates it
                        source=rate.source,
                    )
                )
    return tuple(found)
