"""The admin API: keys, the policy in force. Roles by admin token.

Every change leaves a line in the admin log and an entry in the journal; a key is shown
in the one answer that makes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection

from gateway.adapters import key_changes
from gateway.adapters.key_changes import By, Made, NoSuchKey
from gateway.adapters.keys import Database
from gateway.adapters.store_sql import keys as rows
from gateway.api.auth import AdminTokens, Role
from gateway.api.desk import bad, refusing, require, small_body
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.snapshot import App, Snapshot
from gateway.ports import Clock, Journal, JournalUnavailable

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What a reload did. ``problems`` (file:line:column and the fix) are empty if it was taken."""

    hash: str
    changed: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminDeps:
    """What the admin routes need. ``reload`` reads the policy folder at once."""

    tokens: AdminTokens
    store: Database
    snapshot: Callable[[], Snapshot]
    reload: Callable[[], Awaitable[Reloaded]]
    journal: Journal
    clock: Clock
    issue_id: Callable[[], str]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class NewKey(_Strict):
    """A key to be made."""

    app: Annotated[str, Field(min_length=1, max_length=128)]
    label: Annotated[str, Field(max_length=200)] = ""
    kind: Literal["live", "demo"] = "live"
    expires_at: AwareDatetime | None = None


class Rotation(_Strict):
    """A rotation of a key: the old one goes on for ``overlap_s`` seconds."""

    overlap_s: Annotated[int, Field(ge=0, le=90 * 24 * 3600)] = key_changes.OVERLAP_S


def router(deps: AdminDeps) -> APIRouter:
    """Return the admin routes."""
    routes = APIRouter(tags=["admin"], route_class=refusing(deps.issue_id))
    _add_keys(routes, deps)
    reader = Depends(require(deps.tokens, Role.FINANCE, Role.AUDITOR))

    @routes.get("/v1/admin/policy", summary="The policy in force.", dependencies=[reader])
    async def policy() -> Response:
        return JSONResponse(_policy(deps.snapshot()))

    @routes.post("/v1/admin/policy/reload", summary="Read the policy folder now.")
    async def reload_policy(request: Request) -> Response:
        require(deps.tokens)(request)
        done = await deps.reload()
        body = {"hash": done.hash, "changed": done.changed, "problems": list(done.problems)}
        # A bundle with problems is not taken; the last good one goes on.
        return JSONResponse(body, status_code=422 if done.problems else 200)

    return routes


def _add_keys(routes: APIRouter, deps: AdminDeps) -> None:
    admin = require(deps.tokens)
    reader = Depends(require(deps.tokens, Role.AUDITOR))

    @routes.get("/v1/admin/keys", summary="Every key, without its secret.", dependencies=[reader])
    async def list_keys(app: str | None = None) -> Response:
        tenant, now = deps.snapshot().tenant, deps.clock.now()
        found = await deps.store.ask(lambda connection: rows.all_keys(connection, tenant))
        data = [key_changes.shown(row, now=now) for row in found if app is None or row.app == app]
        return JSONResponse({"data": data})

    @routes.post("/v1/admin/keys", status_code=201, summary="Make a key. It is shown once.")
    async def create_key(request: Request) -> Response:
        actor = admin(request)
        asked = _read(NewKey, await small_body(request))
        app, by, now = _app(deps, asked.app), By(actor=actor.name, role=actor.role.value), deps.clock.now()

        def work(connection: Connection) -> Made:
            return key_changes.create(
                connection,
                app,
                now=now,
                by=by,
                kind=asked.kind,
                label=asked.label,
                expires_us=None if asked.expires_at is None else _us(asked.expires_at),
            )

        return await _made(deps, work)

    @routes.post("/v1/admin/keys/{key_id}/rotate", status_code=201, summary="Make a successor of a key.")
    async def rotate_key(key_id: str, request: Request) -> Response:
        actor = admin(request)
        asked = _read(Rotation, await small_body(request) or b"{}")
        by, now, snapshot = By(actor=actor.name, role=actor.role.value), deps.clock.now(), deps.snapshot()

        def work(connection: Connection) -> Made:
            old = key_changes.living(connection, snapshot.tenant, key_id, now=now)
            return key_changes.rotate(
                connection, _app(deps, old.app), key_id, now=now, by=by, overlap_s=asked.overlap_s
            )

        return await _made(deps, work)

    @routes.delete("/v1/admin/keys/{key_id}", summary="Revoke a key, within 5 s everywhere.")
    async def revoke_key(key_id: str, request: Request) -> Response:
        actor = admin(request)
        by, now, tenant = (
            By(actor=actor.name, role=actor.role.value),
            deps.clock.now(),
            deps.snapshot().tenant,
        )
        try:
            entries = await deps.store.run(
                lambda connection: key_changes.revoke(connection, tenant, key_id, now=now, by=by)
            )
        except NoSuchKey as missing:
            raise _no_key(missing) from None
        await _journal(deps, entries)
        return JSONResponse({"id": key_id, "state": "revoked"})


# --------------------------------------------------------------------------- inner


async def _made(deps: AdminDeps, work: Callable[[Connection], Made]) -> Response:
    try:
        made = await deps.store.run(work)
    except NoSuchKey as missing:
        raise _no_key(missing) from None
    except ValueError as wrong:
        raise bad("expires_at", f"{wrong}.") from None
    await _journal(deps, made.entries)
    body = {**key_changes.shown(made.row, now=deps.clock.now()), "key": made.presented}
    return JSONResponse(body, status_code=201)


async def _journal(deps: AdminDeps, entries: Sequence[tuple[str, Mapping[str, object]]]) -> None:
    # The change stands in the database, admin log included, when the journal is told of it: a
    # revocation must not wait for a journal that is away.
    try:
        for kind, data in entries:
            await deps.journal.append(kind, data)
    except JournalUnavailable:
        raise GatewayError(
            Refusal(
                code=Code.JOURNAL_UNAVAILABLE,
                message="The change was made, but the journal could not note it. A new key was not shown: "
                "revoke it and make another one.",
                retry=False,
            )
        ) from None


def _app(deps: AdminDeps, name: str) -> App:
    app = deps.snapshot().apps.get(name)
    if app is None:
        raise bad("app", f"No app '{name}' is registered in teams.yaml. Register it first.")
    return app


def _no_key(missing: NoSuchKey) -> GatewayError:
    text = str(missing)
    return GatewayError(
        Refusal(
            code=Code.TARGET_NOT_FOUND,
            message=f"{text[0].upper()}{text[1:]}.",
            param="key_id",
            retry=False,
        )
    )


def _read(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "body"
        raise bad(path[:128], f"`{path[:128]}`: {first['msg']}.") from None


def _us(instant: datetime) -> int:
    return int(instant.timestamp() * 1_000_000)


def _policy(snapshot: Snapshot) -> dict[str, object]:
    return {
        "hash": snapshot.hash,
        "name": snapshot.policy_name,
        "version": snapshot.policy_version,
        "facts_hash": snapshot.facts_hash,
        "prices_hash": snapshot.prices_hash,
        "tenant": snapshot.tenant,
        "timezone": snapshot.timezone,
        "currency": snapshot.currency,
        "apps": sorted(snapshot.apps),
        "routes": {alias: list(route.also_called) for alias, route in sorted(snapshot.routes.items())},
        "deployments": {
            name: {"expires": item.expires} for name, item in sorted(snapshot.deployments.items())
        },
    }
