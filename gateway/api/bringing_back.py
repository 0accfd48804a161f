"""Bringing a deployment back that the gateway took out: recorded with the act, journalled after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from fastapi import Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import keys as key_rows
from gateway.api.auth import Actor
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.snapshot import Snapshot
from gateway.ports import Clock, Journal, JournalUnavailable


class Desk(Protocol):
    """What is needed of a room's own dependencies."""

    @property
    def store(self) -> Database:
        """The database."""
        ...

    @property
    def snapshot(self) -> Callable[[], Snapshot]:
        """The snapshot in force."""
        ...

    @property
    def journal(self) -> Journal:
        """This worker's journal."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...


Clear = Callable[[Connection, str, int], Mapping[str, object] | None]
"""(connection, tenant, instant in µs) → what the admin log says of it; None if there was nothing to clear."""


async def bring_back(
    desk: Desk, actor: Actor, deployment: str, *, clear: Clear, action: str, none: str
) -> Response:
    """Clear it, say so in the admin log in the same transaction, and journal it.

    ``action`` is the entry's kind; ``none`` the message where there is nothing to clear. 207 where
    the journal cannot be written: the deployment is back all the same.
    """
    at_us, tenant = desk.clock.now() // 1000, desk.snapshot().tenant

    def work(connection: Connection) -> bool:
        detail = clear(connection, tenant, at_us)
        if detail is None:
            return False
        key_rows.log_action(
            connection,
            at_us=at_us,
            tenant=tenant,
            actor=actor.name,
            role=actor.role.value,
            action=action,
            target=deployment,
            detail=detail,
        )
        return True

    if not await desk.store.run(work):
        raise GatewayError(Refusal(code=Code.TARGET_NOT_FOUND, message=none, param="deployment", retry=False))
    told = {
        "tenant": tenant,
        "deployment": deployment,
        "by": actor.name,
        "role": actor.role.value,
        "at": at_us,
    }
    try:
        await desk.journal.append(action, told)
    except JournalUnavailable:
        return JSONResponse({"deployment": deployment, "journal": "not written"}, status_code=207)
    return JSONResponse({"deployment": deployment})
