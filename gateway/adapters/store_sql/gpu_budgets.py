"""GPU-hour budgets, corrected when hours close.

A call is settled at its own estimate, while it is known; what it was really given is known when its hour
is closed. Where the closed hours of a budget's window were given more than their calls were settled at,
the difference is spent too. It stands in a slice of a writer of its own, which is closed: nothing can be
admitted against it. INVARIANT: committed = Σ granted stays true.

Less is not given back: the next hour may take it, and a limit that holds is worth more than the rest.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update

from gateway.adapters.store_sql.budgets import insert
from gateway.adapters.store_sql.tables import budget_windows, slices, writers
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.core.gpu_books import UNIT
from gateway.core.snapshot import BudgetLimit
from gateway.core.units import GPU_SECONDS
from gateway.core.values import Want
from gateway.core.windows import CALENDAR, ONCE, instant

WRITER = "gpu-close"
"""The owner of the corrections' slices. No journal has this name."""

LEVELS = {
    "team": ledger_entries.c.team,
    "app": ledger_entries.c.app,
    "model": ledger_entries.c.alias,
}
"""Levels whose share an hour's entries tell; the organisation's is all of them."""


def corrected(limit: BudgetLimit) -> bool:
    """Say whether a budget is corrected: GPU time by the calendar, whose scope an hour tells."""
    return (
        limit.unit == GPU_SECONDS
        and (limit.level == "org" or limit.level in LEVELS)
        and (limit.per in CALENDAR or limit.per == ONCE)
    )


def given(connection: Connection, *, tenant: str, limit: BudgetLimit, start_us: int, end_us: int) -> int:
    """Return the micro-GPU-seconds that closed hours of a time attributed to a budget's scope."""
    query = select(func.coalesce(func.sum(ledger_entries.c.quantity), 0)).where(
        ledger_entries.c.tenant == tenant,
        ledger_entries.c.start_us >= start_us,
        ledger_entries.c.start_us < end_us,
        ledger_entries.c.unit == UNIT,
        ledger_entries.c.id.like("gpu:%:use:%"),
    )
    if limit.level in LEVELS:
        query = query.where(LEVELS[limit.level] == limit.name)
    return int(connection.scalar(query) or 0)


def settled(connection: Connection, *, budget: str, window: str) -> int:
    """Return what calls were settled at in a window, corrections apart."""
    query = select(func.coalesce(func.sum(slices.c.spent), 0)).where(
        slices.c.budget == budget, slices.c.window == window, slices.c.writer != WRITER
    )
    return int(connection.scalar(query) or 0)


def correct(connection: Connection, *, tenant: str, limit: BudgetLimit, want: Want, now_us: int) -> int:
    """Set the correction of a window to what its closed hours were given beyond its settlements.

    Returns how much that is. Idempotent; a window in which nothing was ever held is left alone.
    """
    key = (budget_windows.c.budget == want.budget, budget_windows.c.window == want.window)
    locked = connection.execute(select(budget_windows.c.committed).where(*key).with_for_update()).first()
    if locked is None:
        return 0
    start_us = instant(want.window) // 1000
    took = given(connection, tenant=tenant, limit=limit, start_us=start_us, end_us=want.resets // 1000)
    target = max(0, took - settled(connection, budget=want.budget, window=want.window))
    mine = (
        slices.c.writer == WRITER,
        slices.c.budget == want.budget,
        slices.c.window == want.window,
    )
    had = int(connection.scalar(select(slices.c.granted).where(*mine)) or 0)
    if target == had:
        return target
    connection.execute(
        insert(connection, writers)
        .values(
            id=WRITER, place="", host="", state="closed", opened_us=now_us, closed_us=now_us, closed_by=WRITER
        )
        .on_conflict_do_nothing()
    )
    connection.execute(
        insert(connection, slices)
        .values(writer=WRITER, budget=want.budget, window=want.window, granted=0, spent=0)
        .on_conflict_do_nothing()
    )
    connection.execute(update(slices).where(*mine).values(granted=target, spent=target))
    connection.execute(
        update(budget_windows).where(*key).values(committed=budget_windows.c.committed + (target - had))
    )
    return target
