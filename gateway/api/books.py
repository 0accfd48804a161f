"""The books over HTTP, for finance: where a month stands, closing it, its statement.

What the command line does with a database, this does with an admin token; both leave a line in the
admin log and an entry in the journal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection

from gateway.adapters.store_sql import Store, books
from gateway.api.auth import AdminTokens, Role
from gateway.api.desk import bad, refusing, require, small_body
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.snapshot import Snapshot
from gateway.policy.sign import Keyring, Unusable
from gateway.policy.sign_statement import genuine
from gateway.ports import Clock, Journal, JournalUnavailable
from gateway.reports import closing
from gateway.reports.period import month as month_named
from gateway.reports.statements import By, NotClosed, Sign, Stated
from gateway.reports.verifying import verify

Month = Annotated[str, Field(pattern=r"^\d{4}-\d\d$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BookDeps:
    """What the routes of the books need. ``journals`` is the folder of this machine's journals."""

    tokens: AdminTokens
    store: Store
    snapshot: Callable[[], Snapshot]
    keyring: Callable[[], Keyring | None]
    sign: Callable[[], Sign | None]  # raises Unusable
    journals: Path
    journal: Journal
    clock: Clock
    issue_id: Callable[[], str]


class Closing(BaseModel):
    """How a month is closed. ``force`` closes although journals are unread, for a ``reason``."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    force: bool = False
    reason: Annotated[str, Field(max_length=500)] = ""


def router(deps: BookDeps) -> APIRouter:
    """Return the routes of the books."""
    routes = APIRouter(tags=["books"], route_class=refusing(deps.issue_id))
    reader = Depends(require(deps.tokens, Role.FINANCE, Role.AUDITOR))
    finance = require(deps.tokens, Role.FINANCE)

    @routes.get("/v1/books/{month}", summary="Where a month stands.", dependencies=[reader])
    async def standing(month: Month) -> Response:
        snapshot = _of_month(deps, month)

        def work(connection: Connection) -> dict[str, object]:
            found = closing.standing(
                connection, snapshot, month, now=deps.clock.now(), journals=deps.journals
            )
            return closing.shown(found)

        return JSONResponse(await deps.store.ask(work))

    @routes.post("/v1/books/{month}/close", summary="Close a month: nothing is booked in it any more.")
    async def close(month: Month, request: Request) -> Response:
        actor = finance(request)
        asked = _read(await small_body(request) or b"{}")
        snapshot = _of_month(deps, month)

        def work() -> Stated:
            return closing.close(
                deps.store,
                snapshot,
                month,
                now=deps.clock.now(),
                by=By(name=actor.name, role=actor.role.value),
                journals=deps.journals,
                sign=deps.sign(),
                force=asked.force,
                reason=asked.reason,
            )

        try:
            done = await deps.store.call(work)
        except (NotClosed, Unusable) as wrong:
            raise _conflict(wrong) from None
        await _journal(deps, done)
        body = {
            "period": done.period,
            "status": "preliminary" if done.waits else "closed",
            "waits_for": "a second person" if done.waits else None,
            "fresh": done.fresh,
            "sha256": done.sha256,
            "statement": dict(done.statement),
        }
        return JSONResponse(body, status_code=202 if done.waits else 200)

    @routes.get(
        "/v1/books/{month}/statement",
        summary="A closed month's statement, byte for byte as it was signed.",
        dependencies=[reader],
    )
    async def statement(month: Month, version: int | None = None) -> Response:
        snapshot = _of_month(deps, month)
        found = await deps.store.ask(lambda c: books.statements(c, snapshot.tenant, month))
        chosen = [item for item in found if version in {None, item.version}]
        if not chosen:
            raise _missing(month)
        last = chosen[-1]
        headers = {
            "x-statement-sha256": sha256(last.statement.encode()).hexdigest(),
            "x-statement-version": str(last.version),
            "x-books-sha256": last.sha256,
        }
        if last.signature is not None and last.public is not None:
            headers |= {
                "x-statement-signer": last.signer.encode("ascii", "replace").decode(),
                "x-statement-public-key": last.public.hex(),
                "x-statement-signature": last.signature.hex(),
            }
        return Response(last.statement, media_type="application/json", headers=headers)

    @routes.get(
        "/v1/books/{month}/verify",
        summary="Compute a closed month's hash again and name the first difference.",
        dependencies=[reader],
    )
    async def verified(month: Month) -> Response:
        snapshot = _of_month(deps, month)
        try:
            judge = genuine(deps.keyring())
            found = await deps.store.ask(lambda c: verify(c, snapshot.tenant, month, genuine=judge))
        except NotClosed:
            raise _missing(month) from None
        except Unusable as wrong:
            raise bad(None, f"{wrong}.") from None
        data = [
            {
                "version": check.version,
                "sha256": check.sha256,
                "rows": check.rows,
                "signed_by": check.signer or None,
                "problems": list(check.problems),
            }
            for check in found
        ]
        return JSONResponse(
            {"period": month, "holds": not any(item["problems"] for item in data), "data": data}
        )

    return routes


def _of_month(deps: BookDeps, month: str) -> Snapshot:
    snapshot = deps.snapshot()
    try:
        month_named(month, snapshot.timezone)
    except ValueError as wrong:
        raise bad("month", f"{wrong}.") from None
    return snapshot


def _missing(month: str) -> GatewayError:
    message = f"{month} is not closed, or has no such statement. GET /v1/books/{month} says where it stands."
    return GatewayError(Refusal(code=Code.TARGET_NOT_FOUND, message=message, param="month", retry=False))


def _conflict(wrong: NotClosed | Unusable) -> GatewayError:
    text = str(wrong)
    return GatewayError(
        Refusal(
            code=Code.PERIOD_NOT_CLOSED,
            message=f"{text[0].upper()}{text[1:]}.",
            param="month",
            retry=False,
        )
    )


def _read(body: bytes) -> Closing:
    try:
        return Closing.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError:
        raise bad("body", "The body is no JSON.") from None
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "body"
        raise bad(path[:128], f"`{path[:128]}`: {first['msg']}.") from None


async def _journal(deps: BookDeps, done: Stated) -> None:
    # The month is closed when the journal is told of it: the statement stands in the database.
    with contextlib.suppress(JournalUnavailable):
        for kind, data in done.entries:
            await deps.journal.append(kind, data)
        return
    raise GatewayError(
        Refusal(
            code=Code.JOURNAL_UNAVAILABLE,
            message="The month was closed, but the journal could not note it.",
            retry=False,
        )
    )
