"""Deployments that billed beyond their bound: seen, and let back to hard budgets by a person.

Before clearing one, correct why its bound was too low: a price, a media cap, ``abort_lag_tokens``.
The next bill beyond the bound suspends it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import suspensions as rows
from gateway.adapters.store_sql.suspensions import Suspended
from gateway.api.auth import AdminTokens, Role
from gateway.api.bringing_back import bring_back
from gateway.api.desk import refusing, require
from gateway.core.money import decimal_of
from gateway.core.snapshot import Snapshot
from gateway.ports import Clock, Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspensionDeps:
    """What these routes need."""

    tokens: AdminTokens
    store: Database
    snapshot: Callable[[], Snapshot]
    journal: Journal
    clock: Clock
    issue_id: Callable[[], str]


def router(deps: SuspensionDeps) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["admin"], route_class=refusing(deps.issue_id))
    reader = Depends(require(deps.tokens, Role.AUDITOR, Role.FINANCE))

    @routes.get(
        "/v1/admin/suspensions",
        summary="Deployments that billed beyond their bound.",
        dependencies=[reader],
    )
    async def suspensions() -> Response:
        tenant = deps.snapshot().tenant
        found = await deps.store.ask(lambda connection: rows.suspended(connection, tenant))
        return JSONResponse({"data": [_shown(row) for row in found]})

    @routes.delete("/v1/admin/suspensions/{deployment}", summary="Let a deployment back to hard budgets.")
    async def back(deployment: str, request: Request) -> Response:
        actor = require(deps.tokens, Role.FINANCE)(request)

        def clear(connection: Connection, tenant: str, at_us: int) -> Mapping[str, object] | None:
            cleared = rows.clear(connection, tenant, deployment, at_us=at_us, by=actor.name)
            return {} if cleared else None

        return await bring_back(
            deps, actor, deployment, clear=clear, action="overrun.cleared",
            none="No such deployment is suspended; GET /v1/admin/suspensions lists all.",
        )  # fmt: skip

    return routes


def _shown(row: Suspended) -> dict[str, object]:
    found = row.found
    return {
        "deployment": found.deployment,
        "suspended": row.active,
        "call": found.call,
        "bound": f"{decimal_of(found.bound):f}",
        "billed": f"{decimal_of(found.billed):f}",
        "currency": found.currency,
        "over": list(found.over),
        "at_us": found.at // 1000,
        "cleared_us": row.cleared_us,
        "cleared_by": row.cleared_by,
    }
