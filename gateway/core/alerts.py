"""Alerts: when somebody is to be told, what they are told, and the key by which it is said once.

Pure, and content-free: names of budgets and deployments, amounts and instants. INVARIANT: the key of
an alert follows from what it is about, so that every worker of every replica makes the same one
and a unique key in the store decides who sends it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.core.alert_plan import AlertKind
from gateway.core.money import decimal_of
from gateway.core.observed import Mismatch
from gateway.core.overruns import Overrun
from gateway.core.snapshot import BudgetLimit, Price, Snapshot
from gateway.core.units import is_money, shown
from gateway.core.windows import ONCE, ROLLING, rfc3339

DAY = 86_400 * 1_000_000_000
CENT = 10_000_000
FORECAST_AFTER = 10
"""Percent of a window that must be over before its end is forecast from its pace."""

Value = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something to be told once. ``teams`` are whom it is about; none is about everybody."""

    key: str
    kind: AlertKind
    at: int
    title: str
    facts: tuple[tuple[str, Value], ...]
    teams: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Where one window of a budget stands: ``start`` ≤ t < ``end``."""

    budget: str
    limit: BudgetLimit
    window: str
    start: int
    end: int
    spent: int
    most: int  # the limit, with what was carried over


# --------------------------------------------------------------------- budgets


def budget_alerts(where: Spent, *, now: int, teams: frozenset[str] = frozenset()) -> tuple[Alert, ...]:
    """Return the alerts that are due for a window now: every threshold passed, and the forecast.

    The forecast is the window's own pace carried on to its end; nothing is said before a tenth of
    the window is over, for a rolling budget, or once the limit itself is reached.
    """
    limit = where.limit
    if not limit.alert_at or limit.rate or where.most <= 0:
        return ()
    window = where.window
    if limit.per == ROLLING and limit.length:
        window = f"rolling:{now // limit.length}"  # once per length: it has no windows of its own
    passed = [
        _threshold(where, window, percent, now=now, teams=teams)
        for percent in limit.alert_at
        if where.spent * 100 >= where.most * percent
    ]
    if limit.per != ROLLING and where.spent < where.most and _will_pass(where, now):
        passed.append(_forecast(where, window, now=now, teams=teams))
    return tuple(passed)


def forecast_of(where: Spent, now: int) -> int | None:
    """Return the spend at the window's end at the pace so far; None while it is too early to say."""
    whole, gone = where.end - where.start, now - where.start
    if whole <= 0 or gone * 100 < whole * FORECAST_AFTER:
        return None
    return where.spent * whole // max(1, min(gone, whole))


def _will_pass(where: Spent, now: int) -> bool:
    found = forecast_of(where, now)
    return found is not None and found >= where.most


def _threshold(where: Spent, window: str, percent: int, *, now: int, teams: frozenset[str]) -> Alert:
    spent, most = _amount(where.spent, where), _amount(where.most, where)
    return Alert(
        key=f"threshold:{where.budget}:{window}:{percent}",
        kind=AlertKind.THRESHOLD,
        at=now,
        title=f"{_capital(_whose(where))} has passed {percent} % of its budget: {spent} of {most}",
        facts=(*_facts(where), ("percent", percent)),
        teams=teams,
    )


def _forecast(where: Spent, window: str, *, now: int, teams: frozenset[str]) -> Alert:
    found = forecast_of(where, now) or 0
    shown_there, most = _amount(found, where), _amount(where.most, where)
    return Alert(
        key=f"forecast:{where.budget}:{window}",
        kind=AlertKind.FORECAST,
        at=now,
        title=f"{_capital(_whose(where))} will pass its budget at this pace: "
        f"{shown_there} of {most} by {rfc3339(where.end)}",
        facts=(*_facts(where), ("forecast", shown(found, where.limit.unit))),
        teams=teams,
    )


def _facts(where: Spent) -> tuple[tuple[str, Value], ...]:
    unit = where.limit.unit
    return (
        ("budget", where.budget),
        ("scope", _whose(where)),
        ("unit", unit),
        ("limit", shown(where.most, unit)),
        ("spent", shown(where.spent, unit)),
        ("from", rfc3339(where.start)),
        ("to", rfc3339(where.end)),
        ("hard", "no" if where.limit.soft else "yes"),
    )


def _whose(where: Spent) -> str:
    level, limit = where.limit.level, where.limit
    name = limit.name
    if "*" in limit.id:  # a template: who it is filled in for stands in the id
        before, _, after = limit.id.partition("*")
        name = where.budget.removeprefix(before).removesuffix(after)
    words = {"last": "rolling", ONCE: "one-off"}
    return f"{level} `{name}` ({words.get(limit.per, limit.per)})"


def _amount(amount: int, where: Spent) -> str:
    """Return an amount as a sentence says it: money to the cent, and exact below one. Facts stay exact."""
    unit = where.limit.unit
    if not is_money(unit):
        return f"{shown(amount, unit)} {unit.replace('_', ' ')}"
    cents = -(-amount // CENT) if amount % CENT * 2 > CENT else amount // CENT
    return f"{shown(amount if abs(amount) < CENT else cents * CENT, unit)} {unit}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# ----------------------------------------------------------- what vendors did


def overrun_alerts(found: Overrun, *, teams: frozenset[str] = frozenset()) -> tuple[Alert, ...]:
    """Return what is told of a bill beyond its bound: the overrun, once a day, and the suspension."""
    bound, billed = f"{decimal_of(found.bound):f}", f"{decimal_of(found.billed):f}"
    facts: tuple[tuple[str, Value], ...] = (
        ("deployment", found.deployment),
        ("call", found.call),
        ("bound", bound),
        ("billed", billed),
        ("currency", found.currency),
        ("budgets", ", ".join(found.over)),
    )
    return (
        Alert(
            key=f"overrun:{found.deployment}:{found.at // DAY}",
            kind=AlertKind.OVERRUN,
            at=found.at,
            title=f"`{found.deployment}` billed beyond its bound: {billed} {found.currency}, bound {bound}",
            facts=facts,
            teams=teams,
        ),
        Alert(
            key=f"suspended:{found.deployment}:{found.at // DAY}",
            kind=AlertKind.SUSPENDED,
            at=found.at,
            title=f"`{found.deployment}` is suspended for apps with a hard budget until a person clears it",
            facts=(*facts, ("clear", f"DELETE /v1/admin/suspensions/{found.deployment}")),
            teams=teams,
        ),
    )


def mismatch_alert(found: Mismatch) -> Alert:
    """Return what is told of a vendor that says it ran where its facts say that it does not."""
    declared, reported = ", ".join(found.declared), ", ".join(found.reported)
    return Alert(
        key=f"place:{found.deployment}:{found.facts}",
        kind=AlertKind.PLACE,
        at=found.at,
        title=f"`{found.deployment}` reports that it ran in {reported}; its facts say {declared}. It is out "
        "until the facts are written anew or a person clears it",
        facts=(
            ("deployment", found.deployment),
            ("call", found.call),
            ("declared", declared),
            ("reported", reported),
            ("clear", f"DELETE /v1/admin/withdrawals/{found.deployment}"),
        ),
    )


# -------------------------------------------------------- what ends some day


def ending_alerts(snapshot: Snapshot, *, now: int) -> tuple[Alert, ...]:
    """Return what is told of prices and facts that end within the plan's ``soon_days``."""
    soon = now + snapshot.alerts.soon_days * DAY
    return tuple(_prices(snapshot, now, soon)) + tuple(_facts_end(snapshot, now, soon))


def _prices(snapshot: Snapshot, now: int, soon: int) -> Iterable[Alert]:
    for deployment, prices in sorted(snapshot.prices.items()):
        if deployment not in snapshot.connections:
            continue
        ends = covered_until(prices, now)
        if ends is not None and ends <= soon:
            yield Alert(
                key=f"price:{deployment}:{ends}",
                kind=AlertKind.PRICE_ENDS,
                at=now,
                title=f"The price of `{deployment}` ends on {rfc3339(ends)} and no other follows: calls "
                "under a money budget are refused from then on",
                facts=(("deployment", deployment), ("ends", rfc3339(ends))),
            )


def covered_until(prices: Iterable[Price], now: int) -> int | None:
    """Return when the prices that hold now, one after the other, end; None: for good, or none holds."""
    ends = now
    for price in sorted(prices, key=lambda each: each.valid_from):
        if price.valid_from <= ends and (price.valid_to is None or price.valid_to > ends):
            if price.valid_to is None:
                return None
            ends = price.valid_to
    return ends if ends > now else None


def _facts_end(snapshot: Snapshot, now: int, soon: int) -> Iterable[Alert]:
    for name, deployment in sorted(snapshot.deployments.items()):
        if name in snapshot.connections and not deployment.withdrawn and now < deployment.expires <= soon:
            ends = rfc3339(deployment.expires)
            yield Alert(
                key=f"facts:{name}:{deployment.expires}",
                kind=AlertKind.FACTS_EXPIRE,
                at=now,
                title=f"The facts of `{name}` count until {ends}: look again, or it is refused from then on",
                facts=(("deployment", name), ("ends", ends), ("source", deployment.source)),
            )


# ------------------------------------------------------------------ ourselves


def journal_alert(writer: str, place: str, *, now: int) -> Alert:
    """Return what is told of a journal that cannot be written: once a day and writer."""
    return Alert(
        key=f"journal:{writer}:{now // DAY}",
        kind=AlertKind.JOURNAL,
        at=now,
        title="A journal cannot be written: this worker refuses calls until it can",
        facts=(("writer", writer), ("place", place)),
    )


def sample(name: str, *, now: int) -> Alert:
    """Return the alert that a person sends to see that a destination works."""
    return Alert(
        key=f"test:{name}:{now}",
        kind=AlertKind.TEST,
        at=now,
        title="This is a test: alerts of Borderpost reach you here",
        facts=(("destination", name),),
    )


def teams_of(snapshot: Snapshot, limit: BudgetLimit) -> frozenset[str]:
    """Return the teams that a budget is about: its own, or of the apps under it; none for the whole org."""
    if limit.level == "org":
        return frozenset()
    if limit.level == "team":
        return frozenset({limit.name})
    return frozenset(
        app.team
        for app in snapshot.apps.values()
        if limit in (*app.budgets, *app.key_budgets, *app.user_budgets)
    )
