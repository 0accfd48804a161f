"""Reports over HTTP, for finance and auditors: the same reports, formats and foots as the command line's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, BinaryIO, cast

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection

from gateway.adapters.keys import Database
from gateway.api.auth import AdminTokens, Role
from gateway.api.desk import bad, refusing, require
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.snapshot import Snapshot
from gateway.ports import Clock
from gateway.reports.asking import AskedWrong, rendered
from gateway.reports.document import DocumentWrong
from gateway.reports.focus import Export, FocusRefused, export
from gateway.reports.focus_files import FILES
from gateway.reports.kinds import KINDS
from gateway.reports.period import month_of
from gateway.reports.writers import FormatUnavailable

_CHUNK = 256 * 1024
Form = Annotated[str, Query(alias="format")]


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
        "/v1/reports/focus",
        summary="Charges of a billing period in the FinOps Foundation's format.",
        dependencies=[Depends(reader)],
    )
    async def focus(
        month: str | None = None,
        form: Form = "csv",
        version: str = "1.2",
        per: str = "day",
    ) -> Response:
        snapshot, now = deps.snapshot(), deps.clock.now()
        if form not in FILES:
            raise bad("format", f"`{form}` is no format of FOCUS; use one of {', '.join(FILES)}.")
        try:
            work = export(
                snapshot,
                month_name=month or month_of(now, snapshot.timezone),
                version=version,
                grain=per,
            )
        except ValueError as wrong:
            raise bad("version" if "FOCUS" in str(wrong) else "per", f"{wrong}.") from None

        def written(connection: Connection) -> tuple[Export, BinaryIO]:
            found = work(connection)
            out = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 (the answer closes it)
            try:
                found.write(form, out)
            except BaseException:
                out.close()
                raise
            return found, out

        try:
            found, out = await deps.store.ask(written)
        except FormatUnavailable as missing:
            raise bad("format", f"{missing}.") from None
        except FocusRefused as refused:
            raise _contradicts(f"the rows of the export fail their check: {refused.findings[0]}") from None
        except ValueError as wrong:
            raise bad("month", f"{wrong}.") from None
        headers = _attached(found.file_name(form)) | {
            "x-borderpost-charges": str(found.count),
            "x-borderpost-unpriced-attempts": str(found.unpriced),
        }
        return StreamingResponse(_chunks(out), media_type=FILES[form][0], headers=headers)

    @routes.get(
        "/v1/reports/{kind}",
        summary="A report of a month: spend, budget, chargeback, reconcile, unit-cost, forecast, gpu.",
        dependencies=[Depends(reader)],
    )
    async def report(
        kind: str,
        by: str | None = None,
        month: str | None = None,
        form: Form = "json",
        section: str = "",
    ) -> Response:
        if kind not in KINDS:
            raise GatewayError(
                Refusal(
                    code=Code.ROUTE_NOT_FOUND,
                    message=f"There is no report of this name. There are {', '.join(KINDS)} and focus.",
                    retry=False,
                )
            )
        snapshot, now = deps.snapshot(), deps.clock.now()
        try:
            work = rendered(snapshot, kind=kind, month_name=month, by=by, form=form, section=section, now=now)
            found = await deps.store.ask(work)
        except AskedWrong as wrong:
            raise bad(wrong.param, f"{wrong}.") from None
        except DocumentWrong as wrong:
            raise _contradicts(f"the report contradicts itself: {wrong}") from None
        headers = {} if form in {"table", "json"} else _attached(found.name)
        return Response(found.data, media_type=found.media, headers=headers)

    return routes


def _attached(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}


def _contradicts(what: str) -> GatewayError:
    return GatewayError(
        Refusal(
            code=Code.INTERNAL,
            message=f"Nothing was written, since {what}. This is a fault of the gateway: tell its operators.",
            retry=False,
        )
    )


def _chunks(out: BinaryIO) -> Iterator[bytes]:
    with out:
        out.seek(0)
        while chunk := out.read(_CHUNK):
            yield chunk
