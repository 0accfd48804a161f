"""Where budgets and rates stand: all of them for finance, a caller's own for its key.

``GET /v1/admin/budgets`` lists every budget and rate; those of keys and users once they are used.
``GET /v1/budgets`` lists what applies to the key that asks, as a call of it would meet them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from gateway.adapters.keys import Database
from gateway.adapters.store_sql.alerts import app_of_key, filled_in
from gateway.api.auth import AdminTokens, Role, authenticate
from gateway.api.desk import raw_headers, refusing, require
from gateway.core.budget import rfc3339
from gateway.core.errors import GatewayError, Refusal
from gateway.core.route import no_app
from gateway.core.snapshot import BudgetLimit, Snapshot
from gateway.core.units import shown
from gateway.core.values import Caller, Want
from gateway.core.wants import every_limit, levels, per_call, want_of
from gateway.core.windows import NEVER, ONCE, ROLLING, SECOND
from gateway.ports import Budgets, Clock, Keys, Standing

_HOUR = 3600 * SECOND
Named = tuple[BudgetLimit, str | None]
"""A budget or a rate, and the key or user that fills in its template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetDeps:
    """What the budget routes need."""

    tokens: AdminTokens
    keys: Keys
    store: Database
    snapshot: Callable[[], Snapshot]
    budgets: Budgets
    clock: Clock
    issue_id: Callable[[], str]


def router(deps: BudgetDeps) -> APIRouter:
    """Return the budget routes."""
    routes = APIRouter(tags=["budgets"], route_class=refusing(deps.issue_id))
    reader = Depends(require(deps.tokens, Role.FINANCE, Role.AUDITOR))

    @routes.get("/v1/admin/budgets", summary="Where every budget and rate stands.", dependencies=[reader])
    async def everything() -> Response:
        snapshot, now = deps.snapshot(), deps.clock.now()
        found: list[Named] = [(limit, None) for limit in every_limit(snapshot) if "*" not in limit.id]
        found += await deps.store.ask(lambda c: in_use(c, snapshot, now_us=now // 1000))
        return await _answer(deps, found, now)

    @routes.get("/v1/budgets", summary="Where the budgets and rates of your key stand.")
    async def own(request: Request) -> Response:
        snapshot, now = deps.snapshot(), deps.clock.now()
        caller = authenticate(raw_headers(request), deps.keys, now)
        if isinstance(caller, Refusal):
            raise GatewayError(caller)
        return await _answer(deps, of_caller(snapshot, caller, now=now), now)

    return routes


async def _answer(deps: BudgetDeps, found: Sequence[Named], now: int) -> Response:
    wants = [want_of(limit, name=name, at=now) for limit, name in found]
    standing = await deps.budgets.standing(wants)
    data = [
        shown_line(limit, want, stands)
        for (limit, _), want, stands in zip(found, wants, standing, strict=True)
    ]
    return JSONResponse({"data": data}, headers={"cache-control": "no-store"})


def of_caller(snapshot: Snapshot, caller: Caller, *, now: int) -> list[Named]:
    """Return what applies to a caller, whichever model of its app it names. Raises GatewayError."""
    app = snapshot.apps.get(caller.app)
    if app is None:
        raise GatewayError(no_app(caller.app))
    found: dict[str, Named] = {}
    for alias in app.models or ("",):
        for level in (
            *levels(snapshot, app, caller, alias=alias, labels=app.data, at=now),
            *per_call(snapshot, app, caller, at=now),
        ):
            found.setdefault(level.budget, (level.limit, level.name))
    return list(found.values())


def in_use(connection: Connection, snapshot: Snapshot, *, now_us: int) -> list[Named]:
    """Return the budgets and rates of keys and users that have a window now."""
    found: dict[str, Named] = {}
    for app in snapshot.apps.values():
        for limit in (*app.key_budgets, *app.user_budgets, *app.key_rates, *app.user_rates):
            before, _, after = limit.id.partition("*")
            for budget in filled_in(connection, limit.id, now_us=now_us):
                name = budget.removeprefix(before).removesuffix(after)
                if limit.level != "key" or app_of_key(connection, name) == app.id:
                    found.setdefault(budget, (limit, name))
    return list(found.values())


def shown_line(limit: BudgetLimit, want: Want, stands: Standing) -> dict[str, object]:
    """Return where one budget or rate stands, as JSON: amounts as decimals in text."""
    unit = stands.unit
    line: dict[str, object] = {
        "budget": stands.budget,
        "kind": "rate" if limit.rate else "budget",
        "level": limit.level,
        "name": limit.name if "*" not in limit.name else _name(limit, stands.budget),
        "per": _per(limit),
        "window": stands.window,
        "resets": None if stands.resets >= NEVER else stands.resets // SECOND,
        "resets_at": None if stands.resets >= NEVER else rfc3339(stands.resets),
        "unit": unit,
        "limit": _amount(stands.limit, unit),
        "carried_over": _amount(stands.carried, unit),
        "spent": _amount(stands.spent, unit),
        "held": _amount(stands.held, unit),
        "left": _amount(max(0, stands.limit - stands.spent - stands.held), unit),
        "soft": limit.soft,
        "alert_at": list(limit.alert_at),
        "declared_at": limit.at,
    }
    if want.carry is not None:
        line["carries_over"] = "all" if want.carry.at_most is None else _amount(want.carry.at_most, unit)
    return line


def _amount(value: int, unit: str) -> str:
    return shown(value, unit)


def _name(limit: BudgetLimit, budget: str) -> str:
    before, _, after = limit.id.partition("*")
    return limit.name.replace("*", budget.removeprefix(before).removesuffix(after))


def _per(limit: BudgetLimit) -> str:
    if limit.per == ROLLING:
        return f"last {limit.length // _HOUR}h"
    return "once" if limit.per == ONCE else limit.per
