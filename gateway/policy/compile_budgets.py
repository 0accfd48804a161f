"""Budgets and rates of ``teams.yaml`` → limits in whole units, with an id for each.

The id is level, name, unit and, but for months, the window: ``team:branch:CAD``,
``app:teller:tokens:day``. It is what windows, holds and reports are kept under, so it does not
change while finance changes amounts. ``*`` in it stands for a key or a user.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from gateway.core.money import nano_of
from gateway.core.snapshot import BudgetLimit
from gateway.core.units import (
    CONCURRENT,
    GPU_SECONDS,
    INPUT_TOKENS,
    MICRO,
    OUTPUT_TOKENS,
    RATE,
    REQUESTS,
    TOKENS,
)
from gateway.core.values import Carry
from gateway.core.windows import MINUTE, NOW, ONCE, ROLLING, SECOND, first_instant
from gateway.policy.bundle import Bundle
from gateway.policy.schema_budgets import BudgetModel, CarryModel, RatesModel, hours_of

_HOUR = 3600
_RATES = {
    "requests_per_minute": (REQUESTS, MINUTE),
    "tokens_per_minute": (TOKENS, MINUTE),
    "input_tokens_per_minute": (INPUT_TOKENS, MINUTE),
    "output_tokens_per_minute": (OUTPUT_TOKENS, MINUTE),
    "concurrent": (CONCURRENT, NOW),
}


def budgets(
    bundle: Bundle, level: str, name: str, declared: Sequence[BudgetModel], *path: str
) -> tuple[BudgetLimit, ...]:
    """Return the budgets of one level."""
    made: list[BudgetLimit] = []
    for i, each in enumerate(declared):
        place: tuple[str | int, ...] = (*path, i)
        at = bundle.at("teams", *(place if place in bundle.documents["teams"].marks else path))
        made.append(_budget(bundle, each, level=level, name=name, at=at))
    return tuple(made)


def rates(
    bundle: Bundle, level: str, name: str, declared: RatesModel | None, *path: str
) -> tuple[BudgetLimit, ...]:
    """Return the rates of one level."""
    if declared is None:
        return ()
    found: list[BudgetLimit] = []
    for word, (unit, per) in _RATES.items():
        limit: int | None = getattr(declared, word)
        if limit is not None:
            found.append(
                BudgetLimit(
                    id=f"{RATE}{level}:{name}:{unit}",
                    level=level,
                    name=name,
                    unit=unit,
                    limit=limit,
                    per=per,
                    timezone="UTC",
                    at=bundle.at("teams", *path, word),
                )
            )
    return tuple(found)


def of_models(bundle: Bundle) -> dict[str, tuple[BudgetLimit, ...]]:
    """Return the budgets of models, by alias."""
    declared = bundle.teams.model_budget
    return {
        alias: budgets(bundle, "model", alias, each, "model_budget", alias)
        for alias, each in declared.items()
    }


def of_data(bundle: Bundle) -> dict[str, tuple[BudgetLimit, ...]]:
    """Return the budgets of kinds of data, by label. A call has the labels of all that its own also are."""
    declared = bundle.teams.data_budget
    return {kind: budgets(bundle, "data", kind, each, "data_budget", kind) for kind, each in declared.items()}


def unit_of(budget: BudgetModel, currency: str) -> str:
    """Return the unit that a budget is kept in."""
    if budget.limit is not None:
        return budget.currency or currency
    return GPU_SECONDS if budget.gpu_hours is not None else budget.unit


def whole(amount: str | int, unit: str) -> int:
    """Return an amount as written in whole units: nano-units of money, millionths of a GPU-second."""
    if isinstance(amount, int):
        return amount
    if unit == GPU_SECONDS:
        return int(Decimal(amount) * _HOUR * MICRO)
    return nano_of(Decimal(amount))


def _budget(bundle: Bundle, budget: BudgetModel, *, level: str, name: str, at: str) -> BudgetLimit:
    teams = bundle.teams
    unit = unit_of(budget, teams.currency)
    timezone = budget.timezone or teams.timezone
    suffix = "" if budget.window == "month" else f":{budget.window}"
    opens = closes = 0
    if budget.from_ is not None and budget.until is not None:
        opens = first_instant(budget.from_, timezone)
        closes = first_instant(budget.until + timedelta(days=1), timezone)
    return BudgetLimit(
        id=f"{level}:{name}:{unit}{suffix}",
        level=level,
        name=name,
        unit=unit,
        limit=whole(budget.amount, unit),
        per=budget.per or (ROLLING if budget.last is not None else ONCE),
        timezone=timezone,
        at=at,
        length=0 if budget.last is None else hours_of(budget.last) * _HOUR * SECOND,
        opens=opens,
        closes=closes,
        outside=budget.outside,
        carry=_carry(budget, timezone, unit),
        soft=budget.soft,
        alert_at=tuple(budget.alert_at),
        overdraft=0 if budget.overdraft is None else whole(budget.overdraft.up_to, unit),
    )


def _carry(budget: BudgetModel, timezone: str, unit: str) -> Carry | None:
    if budget.carry_over is None or budget.per is None:
        return None
    most = budget.carry_over.at_most if isinstance(budget.carry_over, CarryModel) else None
    return Carry(per=budget.per, timezone=timezone, at_most=None if most is None else whole(most, unit))
