"""Vendors' bills over HTTP, for the finance role: take one in, see what differs, decide about it.

The same imports, matches and decisions as the command line's. A body is a file, read whole or not at all.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import keys as key_rows
from gateway.adapters.vendor_costs import SOURCES, BadFile, Options, reader_of
from gateway.adapters.vendor_costs.deciding import Decider, accept, adjust, reason_of, told
from gateway.adapters.vendor_costs.importing import Asked, Imported, Refused, Told, digest_of, take
from gateway.adapters.vendor_costs.importing import told as import_told
from gateway.api.auth import Actor, AdminTokens, Role
from gateway.api.desk import bad, refusing, require, small_body
from gateway.core.bill import Billing
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.money import present
from gateway.core.snapshot import Snapshot
from gateway.ports import Clock, Journal, JournalUnavailable
from gateway.reports.bills import Bills, Difference, VendorBill, bills, case_of, chosen
from gateway.reports.period import month_of
from gateway.reports.reconcile import day_of

MOST_FILE = 64 * 1024 * 1024
"""Bytes of a file that is posted at most; larger ones come in by the command line."""

_NAME = re.compile(r"[\w .@()+-]{1,120}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileDeps:
    """What these routes need."""

    tokens: AdminTokens
    store: Database
    snapshot: Callable[[], Snapshot]
    journal: Journal
    clock: Clock
    issue_id: Callable[[], str]


def router(deps: ReconcileDeps) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["reports"], route_class=refusing(deps.issue_id))
    reader = require(deps.tokens, Role.FINANCE, Role.AUDITOR)
    finance = require(deps.tokens, Role.FINANCE)

    @routes.get(
        "/v1/reconcile",
        summary="The bills of a month against the ledger, by cause.",
        dependencies=[Depends(reader)],
    )
    async def matched(month: str | None = None) -> Response:
        snapshot = deps.snapshot()
        name = month or month_of(deps.clock.now(), snapshot.timezone)
        try:
            found = await deps.store.ask(lambda connection: bills(connection, snapshot, name))
        except ValueError as wrong:
            raise bad("month", f"{wrong}.") from None
        return Response(orjson.dumps(shown(found), option=orjson.OPT_INDENT_2), media_type="application/json")

    @routes.post("/v1/reconcile/imports", summary="Take in a vendor's bill, sent as the body.")
    async def import_bill(
        request: Request,
        *,
        source: str,
        vendor: str,
        file: Annotated[str, Query(max_length=120)] = "bill",
        supersedes: str = "",
        beside: bool = False,
    ) -> Response:
        actor = finance(request)
        snapshot = deps.snapshot()
        if source not in SOURCES or source == "csv":
            # A mapped CSV needs its mapping beside it, so it comes in by the command line.
            raise bad("source", f"Expected one of {', '.join(sorted(set(SOURCES) - {'csv'}))}.")
        if not _NAME.fullmatch(file):
            raise bad("file", "Expected the file's name, without its folder.")
        known = {deployment.vendor for deployment in snapshot.deployments.values()} | set(snapshot.billing)
        if vendor not in known:
            raise bad("vendor", "No deployment is of this vendor.")
        content = await small_body(request, MOST_FILE)
        asked = Asked(
            tenant=snapshot.tenant,
            vendor=vendor,
            source=source,
            file=file,
            by=actor.name,
            now_us=deps.clock.now() // 1000,
            supersedes=supersedes,
            beside=beside,
        )
        billing = snapshot.billing.get(vendor, Billing(vendor=vendor))
        work = _taking(content, asked, Options(currency=billing.currency), actor)
        try:
            done = await deps.store.run(work)
        except (BadFile, Refused) as wrong:
            raise bad(None, f"Nothing was imported: {wrong}.") from None
        one = done.made
        if done.new:
            await _journal(deps, import_told(done))
        body = {
            "import": one.id,
            "new": done.new,
            "lines": one.line_count,
            "total": str(present([one.total_nano])[0]),
            "currency": one.currency,
        }
        return JSONResponse(body, status_code=201 if done.new else 200)

    @routes.post(
        "/v1/reconcile/exceptions/{exception}/{action}", summary="Accept or book a difference, with a reason."
    )
    async def decide(
        request: Request, exception: str, action: Literal["accept", "adjust"], month: str | None = None
    ) -> Response:
        actor = finance(request)
        snapshot, now = deps.snapshot(), deps.clock.now()
        reason = _reason(await small_body(request))
        name = month or month_of(now, snapshot.timezone)
        who = Decider(by=actor.name, at_us=now // 1000, reason=reason)
        work = _deciding((snapshot, name, exception, action), who, actor)
        try:
            one, entries, entry = await deps.store.run(work)
        except LookupError:
            raise GatewayError(
                Refusal(
                    code=Code.TARGET_NOT_FOUND,
                    message="No such exception of this month is open; GET /v1/reconcile lists them.",
                    param="exception",
                    retry=False,
                )
            ) from None
        except ValueError as wrong:
            raise bad(None, f"{wrong}.") from None
        await _journal(deps, entry)
        return JSONResponse({"exception": one.id, "action": action, "entries": entries})

    return routes


async def _journal(deps: ReconcileDeps, entry: Told) -> None:
    """Note it in the journal. The change stands, with its line in the admin log, if the journal is away."""
    with suppress(JournalUnavailable):
        await deps.journal.append(*entry)
        return
    raise GatewayError(
        Refusal(
            code=Code.JOURNAL_UNAVAILABLE,
            message="It was done, but the journal could not note it.",
            retry=False,
        )
    )


def _taking(content: bytes, asked: Asked, options: Options, actor: Actor) -> Callable[[Connection], Imported]:
    def work(connection: Connection) -> Imported:
        with tempfile.TemporaryDirectory(prefix="borderpost-bill-") as folder:
            path = Path(folder) / asked.file
            path.write_bytes(content)
            lines = reader_of(asked.source)(path, options)
            done = take(connection, digest_of(path), lines, asked, options)
        if done.new:
            what = ("reconcile.imported", done.made.id)
            _log(connection, actor, (asked.tenant, asked.now_us), what, {"vendor": asked.vendor})
        return done

    return work


def _deciding(
    what: tuple[Snapshot, str, str, str], who: Decider, actor: Actor
) -> Callable[[Connection], tuple[Difference, int, Told]]:
    snapshot, name, exception, action = what

    def work(connection: Connection) -> tuple[Difference, int, Told]:
        found = bills(connection, snapshot, name)
        if exception not in {one.id for bill in found.bills for one in bill.open}:
            raise LookupError(exception)
        (one,) = chosen(found, [exception])
        case = case_of(snapshot, found, one, booking=action == "adjust")
        made = None
        if action == "accept":
            accept(connection, case, who)
        else:
            made = adjust(connection, case, who)
        detail = {"reason": who.reason}
        _log(connection, actor, (snapshot.tenant, who.at_us), (f"reconcile.{action}ed", one.id), detail)
        return one, len(made or ()), told(case, who, made)

    return work


def _log(
    connection: Connection,
    actor: Actor,
    where: tuple[str, int],
    what: tuple[str, str],
    detail: dict[str, str],
) -> None:
    key_rows.log_action(
        connection,
        at_us=where[1],
        tenant=where[0],
        actor=actor.name,
        role=actor.role.value,
        action=what[0],
        target=what[1],
        detail=detail,
    )


def _reason(body: bytes) -> str:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    text = found.get("reason") if isinstance(found, dict) and set(found) == {"reason"} else None
    if not isinstance(text, str):
        raise bad("reason", 'Expected {"reason": "why, in a sentence"}.')
    try:
        return reason_of(text)
    except ValueError as wrong:
        raise bad("reason", f"{wrong}.") from None


def shown(found: Bills) -> dict[str, object]:
    """Return matched bills as JSON says them; amounts are strings."""
    return {
        "month": found.period.name,
        "timezone": found.period.timezone,
        "bills": [_bill(bill) for bill in found.bills],
        "without_bill": [
            {"vendor": vendor, "currency": currency, "ledger": str(present([nano])[0])}
            for vendor, currency, nano in found.without
        ],
    }


def _bill(bill: VendorBill) -> dict[str, object]:
    theirs, ours = (present([nano])[0] for nano in (bill.found.theirs_nano, bill.found.ours_nano))
    causes = bill.found.causes
    return {
        "vendor": bill.vendor,
        "currency": bill.currency,
        "bill": str(theirs),
        "ledger": str(ours),
        "gap": str(theirs - ours),
        "causes": dict(zip(causes, map(str, present(list(causes.values()))), strict=True)),
        "shift_hours": bill.found.shift_hours,
        "imports": [one.id for one in bill.imports],
        "exceptions": [
            {
                "id": one.id,
                "status": one.status,
                "day": day_of(one.cell),
                "model": one.cell.model,
                "amount": str(present([one.left_nano])[0]),
                "cause": one.main.cause,
                "says": one.main.says,
            }
            for one in bill.differences
        ],
    }
