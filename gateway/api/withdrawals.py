"""Deployments that dropped out because their vendor contradicted their facts: seen, and brought back.

The proper way back is to write the facts anew. A person may also clear a withdrawal, when the report
was wrong; the next report that contradicts the facts brings it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import keys as key_rows
from gateway.adapters.store_sql import withdrawals as rows
from gateway.adapters.store_sql.withdrawals import Withdrawn
from gateway.api.auth import AdminTokens, Role
from gateway.api.desk import refusing, require
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.observed import facts_digest
from gateway.core.snapshot import Snapshot
from gateway.ports import Clock, Journal, JournalUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalDeps:
    """What these routes need."""

    tokens: AdminTokens
    store: Database
    snapshot: Callable[[], Snapshot]
    journal: Journal
    clock: Clock
    issue_id: Callable[[], str]


def router(deps: WithdrawalDeps) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["admin"], route_class=refusing(deps.issue_id))
    reader = Depends(require(deps.tokens, Role.AUDITOR))

    @routes.get(
        "/v1/admin/withdrawals",
        summary="Deployments that contradicted facts keep out.",
        dependencies=[reader],
    )
    async def withdrawals() -> Response:
        snapshot = deps.snapshot()
        found = await deps.store.ask(lambda connection: rows.withdrawn(connection, snapshot.tenant))
        return JSONResponse({"data": [_shown(row, snapshot) for row in found]})

    @routes.delete(
        "/v1/admin/withdrawals/{deployment}", summary="Bring a deployment back, under its old facts."
    )
    async def bring_back(deployment: str, request: Request) -> Response:
        actor = require(deps.tokens)(request)
        at_us, tenant = deps.clock.now() // 1000, deps.snapshot().tenant

        def work(connection: Connection) -> int:
            cleared = rows.clear(connection, tenant, deployment, at_us=at_us, by=actor.name)
            if cleared:
                key_rows.log_action(
                    connection,
                    at_us=at_us,
                    tenant=tenant,
                    actor=actor.name,
                    role=actor.role.value,
                    action="place.cleared",
                    target=deployment,
                    detail={"rows": cleared},
                )
            return cleared

        if not await deps.store.run(work):
            raise GatewayError(
                Refusal(
                    code=Code.TARGET_NOT_FOUND,
                    message="No such deployment is withdrawn; GET /v1/admin/withdrawals lists all.",
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
            await deps.journal.append("place.cleared", told)
        except JournalUnavailable:
            return JSONResponse({"deployment": deployment, "journal": "not written"}, status_code=207)
        return JSONResponse({"deployment": deployment})

    return routes


def _shown(row: Withdrawn, snapshot: Snapshot) -> dict[str, object]:
    deployment = snapshot.deployments.get(row.deployment)
    current = deployment is not None and facts_digest(deployment) == row.facts
    return {
        "deployment": row.deployment,
        "out": row.active and current,
        "declared": list(row.declared),
        "reported": list(row.reported),
        "call": row.call,
        "at_us": row.at_us,
        "facts_changed_since": not current,
        "cleared_us": row.cleared_us,
        "cleared_by": row.cleared_by,
    }
