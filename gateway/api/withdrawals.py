"""Deployments that dropped out because their vendor contradicted their facts: seen, and brought back.

The proper way back is to write the facts anew. A person may also clear a withdrawal, when the report
was wrong; the next report that contradicts the facts brings it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import withdrawals as rows
from gateway.adapters.store_sql.withdrawals import Withdrawn
from gateway.api.auth import AdminTokens, Role
from gateway.api.bringing_back import bring_back
from gateway.api.desk import refusing, require
from gateway.core.observed import facts_digest
from gateway.core.snapshot import Snapshot
from gateway.ports import Clock, Journal


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
    async def back(deployment: str, request: Request) -> Response:
        actor = require(deps.tokens)(request)

        def clear(connection: Connection, tenant: str, at_us: int) -> Mapping[str, object] | None:
            cleared = rows.clear(connection, tenant, deployment, at_us=at_us, by=actor.name)
            return {"rows": cleared} if cleared else None

        return await bring_back(
            deps, actor, deployment, clear=clear, action="place.cleared",
            none="No such deployment is withdrawn; GET /v1/admin/withdrawals lists all.",
        )  # fmt: skip

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
