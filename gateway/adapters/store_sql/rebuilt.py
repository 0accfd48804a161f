"""Counters of budget windows, and the same sums over the ledger's rows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from gateway.adapters.store_sql.tables import budget_windows, ledger, slices
from gateway.core.units import INPUT_TOKENS, OUTPUT_TOKENS, TOKENS, is_money
from gateway.core.windows import instant

_LEVELS = {
    "team": ledger.c.team,
    "app": ledger.c.app,
    "key": ledger.c.key_id,
    "model": ledger.c.alias,
}
"""Levels whose share the ledger's rows tell; the organisation's is all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """One window of one budget: what its slices spent, and by whom."""

    budget: str
    window: str
    unit: str
    start_us: int
    end_us: int
    spent: int
    writers: tuple[str, ...]


def counters(connection: Connection) -> list[Counter]:
    """Return every window with what was spent of it, oldest first."""
    spent: dict[tuple[str, str], tuple[int, list[str]]] = {}
    for budget, window, writer, amount in connection.execute(
        select(slices.c.budget, slices.c.window, slices.c.writer, slices.c.spent)
    ):
        total, writers = spent.setdefault((budget, window), (0, []))
        spent[budget, window] = (total + int(amount), [*writers, writer])
    found: list[Counter] = []
    query = select(
        budget_windows.c.budget, budget_windows.c.window, budget_windows.c.unit, budget_windows.c.resets_us
    ).order_by(budget_windows.c.window, budget_windows.c.budget)
    for budget, window, unit, resets_us in connection.execute(query):
        try:
            start_us = instant(window) // 1000
        except ValueError:
            continue  # "now": calls at once are no spend
        if budget.startswith("rate:"):
            continue
        amount, writers = spent.get((budget, window), (0, []))
        found.append(
            Counter(
                budget=budget,
                window=window,
                unit=unit,
                start_us=start_us,
                end_us=int(resets_us),
                spent=amount,
                writers=tuple(sorted(writers)),
            )
        )
    return found


def from_ledger(connection: Connection, tenant: str, item: Counter) -> tuple[int, int, int] | None:
    """Return what the rows of a window sum to, what of it is estimated, in how many rows; None if unknown.

    A row whose usage never came has no tokens, and rarer buckets are not columns: a window of tokens
    with such a row cannot be told by the ledger.
    """
    amount = _amount(item.unit)
    mine = _mine(tenant, item)
    if amount is None or mine is None:
        return None
    within = and_(mine, ledger.c.started_us >= item.start_us, ledger.c.started_us < item.end_us)
    if not is_money(item.unit):
        untold = or_(ledger.c.estimated, ledger.c.units != "{}")
        if connection.scalar(select(func.count()).select_from(ledger).where(within, untold)):
            return None
    total, estimated, estimates = connection.execute(
        select(
            func.coalesce(func.sum(amount), 0),
            func.coalesce(func.sum(case((ledger.c.estimated, amount), else_=0)), 0),
            func.coalesce(func.sum(case((ledger.c.estimated, 1), else_=0)), 0),
        ).where(within)
    ).one()
    return int(total), int(estimated), int(estimates)


def _mine(tenant: str, item: Counter) -> ColumnElement[bool] | None:
    """Return which rows a budget counts, by its id: ``team:branch:CAD``, ``key:k1:tokens:day``."""
    level, _, rest = item.budget.partition(":")
    ours = ledger.c.tenant == tenant
    if level == "org":
        return ours
    name = rest.rpartition(f":{item.unit}")[0]
    column = _LEVELS.get(level)
    return and_(ours, column == name) if column is not None and name else None


def _amount(unit: str) -> ColumnElement[int] | None:
    prompt = (
        ledger.c.input
        + ledger.c.cache_read
        + ledger.c.cache_write_5m
        + ledger.c.cache_write_1h
        + ledger.c.input_audio
        + ledger.c.input_image
    )
    answer = ledger.c.output + ledger.c.output_audio
    if is_money(unit):
        # The organisation's currency, or that of the price: whichever the budget counts.
        return case(
            (ledger.c.spend_currency == unit, ledger.c.spend_nano),
            (ledger.c.currency == unit, ledger.c.nano),
            else_=0,
        )
    counted = {TOKENS: prompt + answer, INPUT_TOKENS: prompt, OUTPUT_TOKENS: answer}
    return counted.get(unit)
