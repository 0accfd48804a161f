"""Changes of keys: create, rotate, revoke; by the command line and by the admin API alike.

Each works inside one transaction and leaves a line in the admin log there. What it
returns carries the journal entry to append: content-free and without the secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from gateway.adapters.keys import mint
from gateway.adapters.store_sql import keys as rows
from gateway.adapters.store_sql.keys import KeyRow
from gateway.core.snapshot import App

OVERLAP_S = 24 * 3600
"""How long the old key of a rotation goes on working unless said otherwise."""


class NoSuchKey(Exception):
    """The tenant has no key of this id, or it is dead already; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who changes a key, for the logs: a token's name and role, or the operating system's user."""

    actor: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A new key, to be shown once. ``presented`` is kept nowhere."""

    presented: str = field(repr=False)
    row: KeyRow
    entries: tuple[tuple[str, Mapping[str, object]], ...]


def create(
    connection: Connection,
    app: App,
    *,
    now: int,
    by: By,
    kind: str = "live",
    label: str = "",
    expires_us: int | None = None,
    replaces: str | None = None,
) -> Made:
    """Make a key of an app. ``now`` in nanoseconds, ``expires_us`` in microseconds.

    Raises ValueError on an unknown kind or an expiry in the past.
    """
    if expires_us is not None and expires_us <= now // 1000:
        raise ValueError("the expiry is in the past; name a later one")
    presented, row = mint(
        tenant=app.tenant,
        app=app.id,
        now=now,
        by=by.actor,
        kind=kind,
        label=label,
        expires_us=expires_us,
        replaces=replaces,
    )
    rows.add(connection, row)
    entry: dict[str, object] = {
        "key": row.id,
        "tenant": row.tenant,
        "app": row.app,
        "kind": row.kind,
        "expires": row.expires_us,
        "replaces": row.replaces,
        "by": by.actor,
        "role": by.role,
        "at": row.created_us,
    }
    _log(
        connection,
        "key.created",
        row,
        by,
        at_us=row.created_us,
        detail={"app": row.app, "replaces": row.replaces},
    )
    return Made(presented=presented, row=row, entries=(("key.created", entry),))


def rotate(
    connection: Connection, app: App, key_id: str, *, now: int, by: By, overlap_s: int = OVERLAP_S
) -> Made:
    """Make a successor of a living key of the app; the old one goes on for ``overlap_s`` seconds.

    Raises NoSuchKey if the key is another's or dead.
    """
    old = _living(connection, app.tenant, key_id, now)
    if old.app != app.id:
        raise NoSuchKey(f"key `{key_id}` does not belong to app `{app.id}`")
    made = create(
        connection,
        app,
        now=now,
        by=by,
        kind=old.kind,
        label=old.label,
        expires_us=old.expires_us,
        replaces=old.id,
    )
    revoked = revoke(
        connection, app.tenant, key_id, now=now, by=by, at_us=now // 1000 + overlap_s * 1_000_000
    )
    return Made(presented=made.presented, row=made.row, entries=made.entries + revoked)


def revoke(
    connection: Connection, tenant: str, key_id: str, *, now: int, by: By, at_us: int | None = None
) -> tuple[tuple[str, Mapping[str, object]], ...]:
    """Revoke a key at once, or from ``at_us`` on; every worker knows within 5 s.

    Raises NoSuchKey if the tenant has none of this id or it is dead already.
    """
    row = _living(connection, tenant, key_id, now)
    at = now // 1000 if at_us is None else at_us
    rows.revoke(connection, tenant, key_id, at_us=at, by=by.actor)
    _log(connection, "key.revoked", row, by, at_us=now // 1000, detail={"app": row.app, "from": at})
    entry: dict[str, object] = {
        "key": key_id,
        "tenant": tenant,
        "app": row.app,
        "from": at,
        "by": by.actor,
        "role": by.role,
        "at": now // 1000,
    }
    return (("key.revoked", entry),)


def living(connection: Connection, tenant: str, key_id: str, *, now: int) -> KeyRow:
    """Return a key that still works. Raises NoSuchKey."""
    return _living(connection, tenant, key_id, now)


def state(row: KeyRow, *, now: int) -> str:
    """Return ``active``, ``ending`` (revoked from a later instant on), ``revoked`` or ``expired``."""
    now_us = now // 1000
    if row.revoked_us is not None and row.revoked_us <= now_us:
        return "revoked"
    if row.expires_us is not None and row.expires_us <= now_us:
        return "expired"
    return "active" if row.revoked_us is None else "ending"


def shown(row: KeyRow, *, now: int) -> dict[str, object]:
    """Return a key as people may see it: everything but the hash."""
    return {
        "id": row.id,
        "app": row.app,
        "kind": row.kind,
        "label": row.label,
        "state": state(row, now=now),
        "created_us": row.created_us,
        "created_by": row.created_by,
        "expires_us": row.expires_us,
        "revoked_us": row.revoked_us,
        "revoked_by": row.revoked_by,
        "replaces": row.replaces,
    }


def _living(connection: Connection, tenant: str, key_id: str, now: int) -> KeyRow:
    row = rows.one(connection, tenant, key_id)
    if row is None:
        raise NoSuchKey(f"no key `{key_id}`; `borderpost keys list` shows all")
    if (dead := state(row, now=now)) in {"revoked", "expired"}:
        raise NoSuchKey(f"key `{key_id}` is {dead} already")
    return row


def _log(
    connection: Connection, action: str, row: KeyRow, by: By, *, at_us: int, detail: Mapping[str, object]
) -> None:
    rows.log_action(
        connection,
        at_us=at_us,
        tenant=row.tenant,
        actor=by.actor,
        role=by.role,
        action=action,
        target=row.id,
        detail=detail,
    )
