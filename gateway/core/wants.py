"""What a call must hold: every budget and every rate that applies to it, and how much of each.

All pure. The levels come in one order: organisation, team, app, user, key, model, kind of data;
then rates. An amount that is not known refuses under a hard budget, and is nothing under a soft one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gateway.core import windows as spans
from gateway.core.errors import Code, Refusal
from gateway.core.prices import convert
from gateway.core.snapshot import App, BudgetLimit, Snapshot
from gateway.core.units import (
    CONCURRENT,
    GPU_SECONDS,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    REQUESTS,
    TOKEN_UNITS,
    TOKENS,
)
from gateway.core.values import Caller, Charge, Want
from gateway.core.windows import Window

_PER_CALL = frozenset({REQUESTS, CONCURRENT})

NOBODY = "-"
"""The user of calls that say no user: together they have the budget of one."""

_MOST_LEVELS = 8_192
"""Callers whose levels are remembered per snapshot; beyond, all are worked out anew."""


def wants(
    snapshot: Snapshot,
    caller: Caller,
    *,
    bound: Charge | None,
    tokens: int,
    at: int,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    amounts: Mapping[str, int | None] | None = None,
    alias: str | None = None,
    labels: Collection[str] = (),
) -> tuple[Want, ...] | Refusal:
    """Return what an attempt must hold on every level.

    ``bound`` is the most that it can cost (None: unpriced), ``tokens`` the most that it can
    use, of which ``input_tokens`` and ``output_tokens`` (each at most ``tokens``, where it is
    not told). ``amounts`` are of further units, None where one is not known. PRICE_UNKNOWN
    where a hard budget meets an amount that is not known.
    """
    app = snapshot.apps.get(caller.app)
    if app is None:
        return Refusal(
            code=Code.PERMISSION_DENIED,
            message=f"App `{caller.app}` is not registered. Ask whoever runs the gateway to register it.",
        )
    money: dict[tuple[str, int], int | Refusal | None] = {}
    known: dict[str, int | None] = {
        TOKENS: tokens,
        INPUT_TOKENS: tokens if input_tokens is None else input_tokens,
        OUTPUT_TOKENS: tokens if output_tokens is None else output_tokens,
        REQUESTS: 1,
        GPU_SECONDS: None,
        **(amounts or {}),
    }
    found: list[Want] = []
    for level in levels(snapshot, app, caller, alias=alias, labels=labels, at=at):
        limit = level.limit
        if level.closed:
            return _outside(limit, at)
        amount: int | Refusal | None
        if limit.unit in known:
            amount = known[limit.unit]
        else:
            fixed = (limit.unit, level.window.start)
            if fixed not in money:
                money[fixed] = _money(snapshot, bound, limit.unit, at, level.window.start)
            amount = money[fixed]
        if isinstance(amount, int):
            found.append(level.want(amount))
        elif limit.soft:
            found.append(level.want(0))
        else:
            return amount if isinstance(amount, Refusal) else _unknown(limit)
    return tuple(found)


def per_call(snapshot: Snapshot, app: App, caller: Caller, *, at: int) -> tuple[Level, ...]:
    """Return the rates that a call asks for before anything is done for it."""
    return _known(snapshot, app, _of(app, caller), at).rates


def levels(
    snapshot: Snapshot,
    app: App,
    caller: Caller,
    *,
    alias: str | None = None,
    labels: Collection[str] = (),
    at: int,
) -> tuple[Level, ...]:
    """Return the budgets and token rates that apply to a call at the instant."""
    model = alias if alias is not None and alias in snapshot.model_budgets else ""
    data = tuple(sorted(name for name in labels if name in snapshot.data_budgets))
    return _known(snapshot, app, _of(app, caller, model, data), at).levels


def user_name(caller: Caller) -> str:
    """Return the name of a user's budgets: a digest, since records hold no person's name."""
    if caller.user is None:
        return NOBODY
    text = f"{caller.tenant}\0{caller.user}".encode()
    return f"u-{hashlib.sha256(text).hexdigest()[:16]}"


def window_of(limit: BudgetLimit, at: int) -> Window:
    """Return the window of a budget that counts at the instant; of a one-off budget its only one."""
    match limit.per:
        case spans.ROLLING:
            return spans.rolling(limit.length, at)
        case spans.ONCE:
            return spans.once(limit.opens, limit.closes)
        case spans.MINUTE:
            return spans.minute(at)
        case spans.NOW:
            return spans.ENDLESS
        case _:
            return spans.calendar(limit.per, limit.timezone, at)


def want_of(limit: BudgetLimit, *, at: int, name: str | None = None, amount: int = 0) -> Want:
    """Return a want in the window that counts at the instant. ``name`` fills in a template's."""
    return _level(limit, name, at).want(amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One budget or rate of a call, and the window that counts.

    ``name`` is the key or user that fills in a template. ``closed``: nothing may be spent now.
    """

    budget: str
    limit: BudgetLimit
    window: Window
    closed: bool
    name: str | None = None

    def want(self, amount: int) -> Want:
        """Return the want of an amount."""
        limit, window = self.limit, self.window
        return Want(
            budget=self.budget,
            window=window.id,
            resets=window.end,
            unit=limit.unit,
            limit=limit.limit,
            amount=amount,
            soft=limit.soft,
            rate=limit.rate,
            length=limit.length,
            carry=limit.carry,
            overdraft=limit.overdraft,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Levels:
    """What applies to a caller while none of its windows ends: ``since`` ≤ at < ``until``."""

    since: int
    until: int
    levels: tuple[Level, ...]
    rates: tuple[Level, ...]


class _Of(NamedTuple):
    """Whose levels: what of a call says which budgets apply."""

    app: str
    key: str
    user: str
    model: str
    data: tuple[str, ...]


def _of(app: App, caller: Caller, model: str = "", data: tuple[str, ...] = ()) -> _Of:
    by_user = app.user_budgets or app.user_rates
    return _Of(app.id, caller.key_id, user_name(caller) if by_user else "", model, data)


def _known(snapshot: Snapshot, app: App, of: _Of, at: int) -> _Levels:
    """Return what applies. Worked out once per window."""
    memo = snapshot.memo
    key = ("levels", of.app, of.key, of.user, of.model, *of.data)
    known = memo.get(key)
    if isinstance(known, _Levels) and known.since <= at < known.until:
        return known
    fresh = _worked_out(snapshot, app, of, at)
    if len(memo) >= _MOST_LEVELS:
        memo.clear()
    memo[key] = fresh
    return fresh


def _worked_out(snapshot: Snapshot, app: App, of: _Of, at: int) -> _Levels:
    made: list[Level] = []
    made += (_level(limit, None, at) for limit in app.budgets)
    made += (_level(limit, of.user, at) for limit in app.user_budgets)
    made += (_level(limit, of.key, at) for limit in app.key_budgets)
    made += (_level(limit, None, at) for limit in snapshot.model_budgets.get(of.model, ()))
    seen: set[str] = set()
    for label in of.data:
        for limit in snapshot.data_budgets[label]:
            if limit.id not in seen:  # two labels may both be a third
                seen.add(limit.id)
                made.append(_level(limit, None, at))
    first = len(made)
    made += (_level(limit, None, at) for limit in app.rates)
    made += (_level(limit, of.user, at) for limit in app.user_rates)
    made += (_level(limit, of.key, at) for limit in app.key_rates)
    since, until = -(2**63), 2**63
    for level in made:
        since, until = _within(level, at, since, until)
    open_now = [level for level in made[:first] if not (level.closed and level.limit.outside == "no_limit")]
    return _Levels(
        since=since,
        until=until,
        levels=(*open_now, *(level for level in made[first:] if level.limit.unit in TOKEN_UNITS)),
        rates=tuple(level for level in made[first:] if level.limit.unit in _PER_CALL),
    )


def _level(limit: BudgetLimit, name: str | None, at: int) -> Level:
    window = window_of(limit, at)
    budget = limit.id if name is None else limit.id.replace("*", name, 1)
    closed = not window.start <= at < window.end
    return Level(budget=budget, limit=limit, window=window, closed=closed, name=name)


def _within(level: Level, at: int, since: int, until: int) -> tuple[int, int]:
    """Narrow the time for which what was worked out holds."""
    start, end = level.window.start, level.window.end
    if at < start:
        return since, min(until, start)
    if at >= end:
        return max(since, end), until
    return max(since, start), min(until, end)


def _money(snapshot: Snapshot, bound: Charge | None, unit: str, at: int, window: int) -> int | Refusal | None:
    """Return the amount in a budget's currency, by the rate that its window was opened with."""
    if bound is None:
        return None
    return convert(snapshot, bound.nano, bound.currency, unit, at=at, window=window, ceiling=True)


def _unknown(limit: BudgetLimit) -> Refusal:
    whose = f"{limit.level} `{limit.name}`"
    if limit.unit == GPU_SECONDS:
        return Refusal(
            code=Code.PRICE_UNKNOWN,
            message=f"Nothing was sent: {whose} has a budget in GPU-seconds, and what this call takes of "
            "this model's GPUs is not known. Ask the platform team to declare its pool.",
            retry=False,
        )
    return Refusal(
        code=Code.PRICE_UNKNOWN,
        message=f"Nothing was sent: {whose} has a budget in {limit.unit}, and the price of this model is "
        "not known. Ask finance to add it to the prices.",
        retry=False,
    )


def _outside(limit: BudgetLimit, at: int) -> Refusal:
    """Return the refusal of a call before or after a one-off budget."""
    early = at < limit.opens
    opens, closes = spans.rfc3339(limit.opens), spans.rfc3339(limit.closes)
    return Refusal(
        code=Code.BUDGET_EXCEEDED,
        message=f"The budget of {limit.level} `{limit.name}` runs from {opens} until {closes}, and nothing "
        f"may be spent {'before' if early else 'after'} that. Nothing was sent. Ask finance for another one.",
        extension={
            "scope": f"{limit.level} `{limit.name}`",
            "unit": limit.unit,
            "opens": opens,
            "closes": closes,
        },
        retry_after=max(1, -(-(limit.opens - at) // spans.SECOND)) if early else None,
        retry=False,
    )


def every_limit(snapshot: Snapshot) -> Iterable[BudgetLimit]:
    """Yield every budget and rate that is declared, each once; templates for users and keys too."""
    seen: set[str] = set()
    for app in snapshot.apps.values():
        templates = (*app.user_budgets, *app.key_budgets, *app.user_rates, *app.key_rates)
        for limit in (*app.budgets, *app.rates):
            if limit.id not in seen:
                seen.add(limit.id)
                yield limit
        yield from templates
    for shared in (snapshot.model_budgets, snapshot.data_budgets):
        for limits in shared.values():
            for limit in limits:
                if limit.id not in seen:
                    seen.add(limit.id)
                    yield limit
