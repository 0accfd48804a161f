"""What budgets and rates must agree on: windows, time zones, currencies, and parts with their whole."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Mapping, Sequence

from gateway.core.budget import shown
from gateway.policy.checker import Checker
from gateway.policy.compile_budgets import unit_of, whole
from gateway.policy.problems import did_you_mean
from gateway.policy.schema_budgets import BudgetModel
from gateway.policy.source import Document, Key

Part = tuple[Key, Sequence[BudgetModel]]
"""Where a part stands, and its budgets."""


def budgets(check: Checker) -> None:
    """Check every budget by itself, then those of parts against those of their whole."""
    teams = check.bundle.teams
    for declared, path in every(check):
        _own(check, declared, path)
    document = check.document("teams")
    for alias in teams.model_budget:
        check.known(document, ("model_budget", alias), "model", [alias], check.bundle.routes)
    for kind in teams.data_budget:
        check.known(document, ("data_budget", kind), "kind of data", [kind], check.policy.data)
    parts: dict[str, Part] = {name: (("teams", name), team.budget) for name, team in teams.teams.items()}
    _delegated(check, teams.budget, ("budget",), parts, "team")
    for name, team in teams.teams.items():
        apps = {app: (("teams", name, "apps", app), each.budget) for app, each in team.apps.items()}
        _delegated(check, team.budget, ("teams", name, "budget"), apps, "app")
    _currencies(check)


def every(check: Checker) -> Iterable[tuple[Sequence[BudgetModel], Key]]:
    """Yield every list of budgets, and where it stands."""
    teams = check.bundle.teams
    yield teams.budget, ("budget",)
    yield teams.user_budget, ("user_budget",)
    for alias, declared in teams.model_budget.items():
        yield declared, ("model_budget", alias)
    for kind, declared in teams.data_budget.items():
        yield declared, ("data_budget", kind)
    for name, team in teams.teams.items():
        yield team.budget, ("teams", name, "budget")
        for app, each in team.apps.items():
            path: Key = ("teams", name, "apps", app)
            yield each.budget, (*path, "budget")
            yield each.key_budget, (*path, "key_budget")
            yield each.user_budget, (*path, "user_budget")


def in_money(check: Checker) -> bool:
    """Say whether some hard budget is in money, so that a model without a price is refused under it."""
    return any(each.limit is not None and not each.soft for declared, _ in every(check) for each in declared)


def _own(check: Checker, declared: Sequence[BudgetModel], path: Key) -> None:
    document = check.document("teams")
    currency = check.bundle.teams.currency
    seen: dict[tuple[str, str], BudgetModel] = {}
    for i, budget in enumerate(declared):
        at = _place(document, path, i)
        key = (unit_of(budget, currency), budget.window)
        if key in seen:
            check.error(document, at, "two budgets of one kind have the same window", "keep one")
        seen[key] = budget
        if budget.timezone is not None and budget.timezone not in zoneinfo.available_timezones():
            near = did_you_mean(budget.timezone, zoneinfo.available_timezones())
            message = f"unknown time zone `{budget.timezone[:60]}`"
            check.error(document, _inner(document, at, "timezone"), message, near)
        if budget.soft and not budget.alert_at:
            message = "this budget refuses nothing and tells nobody"
            check.warn(document, at, message, "add alert_at: [80, 100], or remove soft")
        if budget.until is not None and budget.until < check.today:
            outside = (
                "and nothing may be spent since" if budget.outside == "refused" else "and says nothing now"
            )
            check.warn(document, at, f"this budget ended on {budget.until}, {outside}", "remove it")
        if budget.delegate is not None and (path[-1] != "budget" or "apps" in path):
            message = "only the organisation and teams give parts of their budgets to others"
            check.error(document, _inner(document, at, "delegate"), message, "remove delegate")


def _delegated(
    check: Checker,
    declared: Sequence[BudgetModel],
    path: Key,
    parts: Mapping[str, Part],
    what: str,
) -> None:
    """Check that the budgets of parts add up to no more than that of the whole, where it says so."""
    document = check.document("teams")
    currency = check.bundle.teams.currency
    for i, budget in enumerate(declared):
        unit = unit_of(budget, currency)
        limit = whole(budget.amount, unit)
        total = 0
        given: list[str] = []
        without: list[str] = []
        for name, (place, own) in parts.items():
            same = [each for each in own if unit_of(each, currency) == unit and each.window == budget.window]
            if not same:
                without.append(name)
                continue
            amount = whole(same[0].amount, unit)
            total += amount
            given.append(f"`{name}` {shown(amount, unit)}")
            if amount > limit and budget.delegate is None and not budget.soft:
                message = (
                    f"the {what} `{name}` has {shown(amount, unit)} {unit}, and can spend no more than the "
                    f"{shown(limit, unit)} above it"
                )
                check.warn(document, (*place, "budget"), message, "lower it")
        if budget.delegate is None:
            continue
        at = _place(document, path, i)
        if total > limit:
            message = (
                f"{', '.join(given)} make {shown(total, unit)} {unit}: {shown(total - limit, unit)} more "
                f"than the {shown(limit, unit)} that are given to them here"
            )
            check.error(document, at, message, "lower one of them, or raise this one")
        if without and given:
            names = ", ".join(f"`{name}`" for name in without)
            message = f"{names} may spend of this too, without a part of their own"
            check.warn(document, at, message, f"give each {what} a budget in {unit} with the same window")


def _currencies(check: Checker) -> None:
    """Check that an exchange rate leads to every currency in which a budget is kept."""
    home = check.bundle.teams.currency
    rates = {(each.value.base, each.value.quote) for each in check.bundle.rates}
    used = {each.value.currency for each in check.bundle.prices}
    document = check.document("teams")
    for declared, path in every(check):
        for i, budget in enumerate(declared):
            quote = budget.currency
            if quote is None or quote == home:
                continue
            missing = sorted(
                base
                for base in used
                if base != quote and (base, quote) not in rates and (quote, base) not in rates
            )
            if missing:
                at = _inner(document, _place(document, path, i), "currency")
                names = ", ".join(f"`{name}`" for name in missing)
                message = f"no rate leads from {names}, in which prices are, to `{quote}`"
                check.error(document, at, message, "add it to prices/fx.yaml")


def _place(document: Document, path: Key, number: int) -> Key:
    """Return where a budget stands: one that stands alone needs no list."""
    return (*path, number) if (*path, number) in document.marks else path


def _inner(document: Document, path: Key, key: str) -> Key:
    return (*path, key) if (*path, key) in document.marks else path
