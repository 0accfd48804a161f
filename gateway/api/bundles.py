"""The admin API of policy bundles: publish, activate, list, roll back.

What the command line does with a database, this does over HTTP with an admin token; both leave a
line in the admin log and an entry in the journal. Nothing here puts a bundle in force that is not
approved where signing is on, whose tests fail or whose proofs break.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import bundles as rows
from gateway.api.auth import AdminTokens, Role
from gateway.api.desk import bad, refusing, require, small_body
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.snapshot import Snapshot
from gateway.policy import publish as publishing
from gateway.policy.money import changes, money_of
from gateway.policy.money_approval import approvers
from gateway.policy.problems import PolicyErrors
from gateway.policy.publish import Actor, NotPublished, Published
from gateway.policy.sign import Keyring, Unusable, signatures_of
from gateway.policy.watch import NotAccepted
from gateway.ports import Clock, Journal, JournalUnavailable

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

MOST_BODY = 16 * 1024 * 1024
"""Bytes of a bundle as it is sent, at most."""

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleDeps:
    """What the routes of bundles need.

    ``keyring`` returns whose signatures count, or None where signing is off, and raises Unusable;
    ``accept`` turns a snapshot down that this process cannot enforce; ``source`` is where workers
    take the policy from.
    """

    tokens: AdminTokens
    store: Database
    keyring: Callable[[], Keyring | None]
    accept: Callable[[Snapshot], None]
    source: Literal["folder", "store"]
    journal: Journal
    clock: Clock
    issue_id: Callable[[], str]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class NewBundle(_Strict):
    """A bundle to be stored: its files by name, who wrote it, and the signatures there are."""

    files: Annotated[dict[str, str], Field(min_length=1, max_length=500)]
    author: Annotated[str, Field(max_length=256)] = ""
    signatures: list[dict[str, str]] = []


class Activating(_Strict):
    """``revoke: now`` ends attempts in flight that the bundle does not permit."""

    revoke: Literal["now"] | None = None


class Rollback(_Strict):
    """Which bundle to put in force again; without ``to`` the one before the active one."""

    to: Hash | None = None
    revoke: Literal["now"] | None = None


def router(deps: BundleDeps) -> APIRouter:
    """Return the routes of bundles."""
    routes = APIRouter(tags=["admin"], route_class=refusing(deps.issue_id))
    admin = require(deps.tokens)
    reader = Depends(require(deps.tokens, Role.AUDITOR))

    @routes.get("/v1/admin/policy/bundles", summary="Every stored bundle.", dependencies=[reader])
    async def list_bundles() -> Response:
        return JSONResponse({"source": deps.source, **await deps.store.ask(_listed)})

    @routes.post("/v1/admin/policy/bundles", status_code=201, summary="Store a bundle.")
    async def publish(request: Request) -> Response:
        actor = admin(request)
        asked = _read(NewBundle, await small_body(request, MOST_BODY))
        by, now = Actor(name=actor.name, role=actor.role.value), deps.clock.now()
        files = {name: text.encode() for name, text in asked.files.items()}

        def work(connection: Connection) -> tuple[publishing.Entries, dict[str, object]]:
            opened = publishing.package_of(
                files,
                author=asked.author or actor.name,
                signatures=signatures_of(asked.signatures),
                now=now,
            )
            entries = publishing.publish(connection, opened, now=now, by=by)
            return entries, _state(connection, opened, deps, now=now)

        done = await _tried(deps, work)
        if isinstance(done, Response):
            return done
        entries, state = done
        await _journal(deps, entries)
        return JSONResponse(state, status_code=201)

    @routes.post("/v1/admin/policy/bundles/{hash_}/activate", summary="Put a stored bundle in force.")
    async def activate(hash_: Hash, request: Request) -> Response:
        actor = admin(request)
        asked = _read(Activating, await small_body(request, MOST_BODY) or b"{}")
        by = Actor(name=actor.name, role=actor.role.value)
        return await _activated(deps, by, lambda _: hash_, revoke=asked.revoke == "now")

    @routes.post(
        "/v1/admin/policy/rollback", summary="Put the bundle before, or a named one, in force again."
    )
    async def rollback(request: Request) -> Response:
        actor = admin(request)
        asked = _read(Rollback, await small_body(request, MOST_BODY) or b"{}")
        by = Actor(name=actor.name, role=actor.role.value)
        to = asked.to
        return await _activated(
            deps, by, lambda c: to or publishing.rollback(c), revoke=asked.revoke == "now"
        )

    return routes


async def _activated(
    deps: BundleDeps, by: Actor, which: Callable[[Connection], str], *, revoke: bool
) -> Response:
    def work(connection: Connection) -> Published:
        return publishing.activate(
            connection,
            which(connection),
            now=deps.clock.now(),
            by=by,
            keyring=deps.keyring(),
            revoke=revoke,
            accept=deps.accept,
        )

    done = await _tried(deps, work)
    if isinstance(done, Response):
        return done
    await _journal(deps, done.entries)
    change = done.change
    return JSONResponse(
        {
            "hash": done.hash,
            "active": True,
            "source": deps.source,
            "approval": str(done.approval) if done.approval is not None else None,
            "widens": change.widens if change is not None else None,
            "changes": [str(one) for one in change.changes] if change is not None else [],
        }
    )


async def _tried(deps: BundleDeps, work: Callable[[Connection], T]) -> T | Response:
    """Do work in one transaction; a bundle that cannot be taken is a 422 with every problem in it."""
    try:
        return await deps.store.run(work)
    except PolicyErrors as errors:
        problems = [str(problem) for problem in errors.problems]
    except (NotPublished, NotAccepted, Unusable) as wrong:
        problems = [str(wrong)]
    return JSONResponse({"problems": problems}, status_code=422)


def _state(
    connection: Connection, opened: publishing.Opened, deps: BundleDeps, *, now: int
) -> dict[str, object]:
    """Return what a person must know before activating: signatures that lack, and what changes."""
    active = rows.active(connection)
    change = None
    if active is not None and active.hash != opened.package.hash:
        change = publishing.compared(active, opened, now=now)
    stored = publishing.find(connection, opened.package.hash)
    keyring = deps.keyring()
    given = None
    if keyring is not None and stored is not None:
        whole = publishing.open_package(stored, now=now)
        given = publishing.approve(whole, keyring, lambda name: publishing.find(connection, name), now=now)
    money: tuple[str, ...] = ()
    if active is not None:
        before = publishing.files_of(connection, active.hash) or {}
        money = changes(money_of(before), money_of(opened.package.files))
    return {
        "hash": opened.package.hash,
        "active": active is not None and active.hash == opened.package.hash,
        "approved": None if given is None else given.given,
        "approval": None if given is None else str(given),
        "not_ready": list(publishing.ready(opened, now=now)),
        "widens": change.widens if change is not None else None,
        "changes": [str(one) for one in change.changes] if change is not None else [],
        "money": list(money),  # finance approves these
        "money_approved": None if given is None else not money or bool(approvers(given)),
    }


def _listed(connection: Connection) -> dict[str, object]:
    return {
        "data": [
            {
                "hash": row.hash,
                "active": row.active,
                "author": row.author,
                "published_us": row.published_us,
                "published_by": row.published_by,
                "signatures": [
                    {"role": one.role, "signer": one.signer, "author": one.author, "replaces": one.replaces}
                    for one in rows.signatures(connection, row.hash)
                ],
            }
            for row in rows.listed(connection)
        ],
        "activations": [
            {"hash": one.hash, "at_us": one.at_us, "by": one.by, "revoke": one.revoke}
            for one in rows.activations(connection)
        ],
    }


async def _journal(deps: BundleDeps, entries: publishing.Entries) -> None:
    # The change stands in the database, admin log included, when the journal is told of it.
    with contextlib.suppress(JournalUnavailable):
        for kind, data in entries:
            await deps.journal.append(kind, data)
        return
    raise GatewayError(
        Refusal(
            code=Code.JOURNAL_UNAVAILABLE,
            message="The change was made, but the journal could not note it.",
            retry=False,
        )
    )


def _read(model: type[M], body: bytes) -> M:
    try:
        data: Mapping[str, object] = orjson.loads(body)
        return model.model_validate(data)
    except orjson.JSONDecodeError:
        raise bad("body", "The body is no JSON.") from None
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "body"
        raise bad(path[:128], f"`{path[:128]}`: {first['msg']}.") from None
