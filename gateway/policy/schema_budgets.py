"""Budgets and rates as finance writes them in ``teams.yaml``.

A budget reads as a sentence: ``{per: month, limit: "2500.00"}`` is 2,500.00 a month; ``{last: 24h,
tokens: 2000000}`` is two million tokens in any 24 hours; ``{from: 2026-11-01, until: 2027-01-31,
limit: "10000.00"}`` is for that time once.
"""

# ruff: noqa: RUF012 (pydantic copies defaults; across files ruff cannot see that these are models)

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.policy.schema_words import Amount, Day, Strict, Text, wrong

UNITS = ("limit", "tokens", "input_tokens", "output_tokens", "requests", "gpu_hours")
"""What a budget may count, as written. ``limit`` is money."""

MOST_MONEY = 9_000_000_000
"""Of a currency: what fits int64 nano-units, with room for what is carried over and overrun."""
MOST_HOURS = 2_000_000_000

_ONE = 'write for example {per: month, limit: "2500.00"}'
_LAST = re.compile(r"([1-9]\d{0,3})(h|d)")
_HOURS = {"h": 1, "d": 24}
_LONGEST = 366 * 24

Count = Annotated[int, Field(ge=0, lt=2**53)]
Pace = Annotated[int, Field(ge=1, le=1_000_000_000_000)]


def hours_of(last: str) -> int:
    """Return how many hours ``24h`` or ``7d`` are. Raises ValueError on other text."""
    found = _LAST.fullmatch(last)
    if found is None:
        raise ValueError(f"`{last}` is no length of time")
    return int(found[1]) * _HOURS[found[2]]


def _last(value: str) -> str:
    if not _LAST.fullmatch(value) or hours_of(value) > _LONGEST:
        raise wrong(f"`{value[:40]}` is no length of time", "write hours or days up to a year: 24h, 7d, 30d")
    return value


def _money(value: str) -> str:
    if Decimal(value) > MOST_MONEY:
        raise wrong(f"{value} is more than a budget can hold", f"write {MOST_MONEY} or less")
    return value


def _currency(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", value):
        raise wrong(f"`{value[:40]}` is no currency", "write its code of three letters, for example CAD")
    return value


def _hours(value: str) -> str:
    if Decimal(value) > MOST_HOURS:
        raise wrong(f"{value} GPU-hours are more than a budget can hold", f"write {MOST_HOURS} or less")
    return value


def _percents(value: list[int]) -> list[int]:
    if value != sorted(set(value)):
        raise wrong("thresholds rise, and each stands once", "write for example [50, 80, 100]")
    return value


class CarryModel(Strict):
    """How much of what was not used goes on into the next window, in the budget's own unit."""

    at_most: Amount | Count


class OverdraftModel(Strict):
    """What streams that run already may take beyond the limit to finish, in the budget's own unit."""

    up_to: Amount | Count


class BudgetModel(Strict):
    """A limit per window: how much of one thing, in which time."""

    per: Literal["day", "week", "month", "quarter", "year"] | None = None
    last: Annotated[str, AfterValidator(_last)] | None = None
    from_: Day | None = Field(default=None, alias="from")
    until: Day | None = None
    limit: Annotated[Amount, AfterValidator(_money)] | None = None
    currency: Annotated[str, AfterValidator(_currency)] | None = None
    tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    requests: Count | None = None
    gpu_hours: Annotated[Amount, AfterValidator(_hours)] | None = None
    timezone: Text | None = None
    carry_over: Literal["all"] | CarryModel | None = None
    soft: bool = False
    alert_at: Annotated[list[Annotated[int, Field(ge=1, le=1000)]], AfterValidator(_percents)] = []
    overdraft: OverdraftModel | None = None
    delegate: Literal["strict"] | None = None
    outside: Literal["refused", "no_limit"] = "refused"

    @property
    def unit(self) -> str:
        """What it counts, as written: one of :data:`UNITS`."""
        return next(name for name in UNITS if getattr(self, name) is not None)

    @property
    def amount(self) -> str | int:
        """How much, as written."""
        amount: str | int = getattr(self, self.unit)
        return amount

    @property
    def window(self) -> str:
        """Which windows, in a word: two budgets of one unit and one word are one too many."""
        if self.last is not None:
            return f"last-{hours_of(self.last)}h"
        return self.per or f"{self.from_}..{self.until}"

    @model_validator(mode="after")
    def _one_unit(self) -> BudgetModel:
        named = [name for name in UNITS if getattr(self, name) is not None]
        if len(named) != 1:
            what = f"this one has {' and '.join(named)}" if named else "this one has no amount"
            raise wrong(f"a budget limits one thing, {what}", _ONE)
        if self.currency is not None and self.limit is None:
            raise wrong("`currency` is for money", 'write {per: month, limit: "100.00", currency: USD}')
        return self

    @model_validator(mode="after")
    def _one_window(self) -> BudgetModel:
        once = self.from_ is not None or self.until is not None
        if sum((self.per is not None, self.last is not None, once)) != 1:
            raise wrong("a budget has one window: `per`, `last`, or `from` and `until`", _ONE)
        if once and (self.from_ is None or self.until is None):
            raise wrong("a budget for once says both days", "write {from: 2026-11-01, until: 2027-01-31, …}")
        if self.from_ is not None and self.until is not None and self.until < self.from_:
            raise wrong(f"{self.until} is before {self.from_}", "write the first and the last day")
        if self.last is not None and self.timezone is not None:
            raise wrong("`last` counts back from now, wherever that is", "remove timezone")
        return self

    @model_validator(mode="after")
    def _carries(self) -> BudgetModel:
        if not once_only(self) and "outside" in self.model_fields_set:
            raise wrong("`outside` is for a budget with from and until", "remove it")
        if self.carry_over is None:
            return self
        if self.per is None:
            raise wrong("only windows that follow each other carry over", "write per, or remove carry_over")
        if isinstance(self.carry_over, CarryModel):
            quoted = isinstance(self.carry_over.at_most, str)
            if quoted != isinstance(self.amount, str):
                fix = 'write {at_most: "100.00"}' if not quoted else "write {at_most: 5000}"
                raise wrong(f"what is carried over is in the budget's unit, `{self.unit}`", fix)
            if quoted:
                _money(str(self.carry_over.at_most))
        return self

    @model_validator(mode="after")
    def _lends(self) -> BudgetModel:
        if self.overdraft is None:
            return self
        if self.soft:
            raise wrong("a soft budget refuses nothing, so nothing is lent beyond it", "remove overdraft")
        quoted = isinstance(self.overdraft.up_to, str)
        if quoted != isinstance(self.amount, str):
            fix = 'write {up_to: "5.00"}' if not quoted else "write {up_to: 5000}"
            raise wrong(f"an overdraft is in the budget's unit, `{self.unit}`", fix)
        if quoted:
            _money(str(self.overdraft.up_to))
        return self


def once_only(budget: BudgetModel) -> bool:
    """Say whether a budget is for a time once."""
    return budget.from_ is not None


class RatesModel(Strict):
    """How fast: calls and tokens in a minute, and calls at once."""

    requests_per_minute: Pace | None = None
    tokens_per_minute: Pace | None = None
    input_tokens_per_minute: Pace | None = None
    output_tokens_per_minute: Pace | None = None
    concurrent: Pace | None = None

    @model_validator(mode="after")
    def _some(self) -> RatesModel:
        if not self.model_fields_set:
            raise wrong("a rate limits nothing here", "write for example {requests_per_minute: 600}")
        return self


def _as_budgets(value: object) -> object:
    return [value] if isinstance(value, dict) else value


BudgetList = Annotated[
    list[BudgetModel], BeforeValidator(_as_budgets, json_schema_input_type=BudgetModel | list[BudgetModel])
]
