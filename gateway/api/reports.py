"""Reports over HTTP, for the finance role: the same rows and foot as the command line's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response

from gateway.adapters.keys import Database
from gateway.api.auth import AdminTokens, Role
from gateway.api.desk import bad, refusing, require
from gateway.core.snapshot import Snapshot
from gateway.ports import Clock
from gateway.reports.period import month_of
from gateway.reports.render import FORMATS
from gateway.reports.spend import DEFAULT_BY, grouping, query


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDeps:
    """What the report routes need."""

    tokens: AdminTokens
    store: Database
    snapshot: Callable[[], Snapshot]
    clock: Clock
    issue_id: Callable[[], str]


def router(deps: ReportDeps) -> APIRouter:
    """Return the report routes."""
    routes = APIRouter(tags=["reports"], route_class=refusing(deps.issue_id))
    reader = require(deps.tokens, Role.FINANCE, Role.AUDITOR)

    @routes.get(
        "/v1/reports/spend",
        summary="Spend of a month, by any grouping.",
        dependencies=[Depends(reader)],
    )
    async def spend(
        by: str = ",".join(DEFAULT_BY),
        month: str | None = None,
        form: Annotated[Literal["table", "csv", "json"], Query(alias="format")] = "json",
    ) -> Response:
        snapshot, now = deps.snapshot(), deps.clock.now()
        try:
            names = grouping(by)
        except ValueError as wrong:
            raise bad("by", f"{wrong}.") from None
        try:
            work = query(snapshot, month_name=month or month_of(now, snapshot.timezone), by=names, now=now)
        except ValueError as wrong:
            raise bad("month", f"{wrong}.") from None
        media, render = FORMATS[form]
        return Response(render(await deps.store.ask(work)), media_type=media)

    return routes
