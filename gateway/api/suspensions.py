"""Deployments that billed beyond their bound: seen, and let back to hard budgets by a person.

Before clearing one, correct why its bound was too low: a price, a media cap, ``abort_lag_tokens``.
The next bill beyond the bound suspends it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import keys as key_rows
from gateway.adapters.store_sql import suspensions as rows
from gateway.adapters.store_sql.suspensions import Suspended
from gateway.api.auth import AdminTokens, Role
from gateway.api.desk import refusing, require
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.money import decimal_of
from gateway.core.snapshot import Snapshot
from gateway.ports import Clock, Journal, JournalUnavailable


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
    async def bring_back(deployment: str, request: Request) -> Response:
        actor = require(deps.tokens, Role.FINANCE)(request)
        at_us, tenant = deps.clock.now() // 1000, deps.snapshot().tenant

        def work(connection: Connection) -> bool:
            cleared = rows.clear(connection, tenant, deployment, at_us=at_us, by=actor.name)
            if cleared:
                key_rows.log_action(
                    connection,
                    at_us=at_us,
                    tenant=tenant,
                    actor=actor.name,
                    role=actor.role.value,
                    action="overrun.cleared",
                    target=deployment,
                    detail={},
                )
            return cleared

        if not await deps.store.run(work):
            raise GatewayError(
                Refusal(
                    code=Code.TARGET_NOT_FOUND,
                    message="No such deployment is suspended; GET /v1/admin/suspensions lists all.",
                    param="deployment",
                    retry=False,
                )
            )
        told = {
            "tenant": tenant,
            "deployment": deployment,
            "by": actor.name,
            "role": actor.role.value,
            "at": at_us,
        }
        try:
            await deps.journal.append("overrun.cleared", told)
        except JournalUnavailable:
            return JSONResponse({"deployment": deployment, "journal": "not written"}, status_code=207)
        return JSONResponse({"deployment": deployment})

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
