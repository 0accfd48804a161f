"""The queries of keys: each works inside the transaction that it is handed.

INVARIANT: every change moves the counter ``keys`` in the same transaction, so that
workers learn of it by reading one number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import orjson
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.store_sql.tables import admin_log, counters, keys

_COUNTER = "keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One key as stored. ``sha256`` is the hash of the whole key; the key itself is nowhere."""

    id: str
    tenant: str
    app: str
    kind: str  # live | demo
    label: str
    sha256: str = field(repr=False)
    user: str | None
    place: str | None
    created_us: int
    created_by: str
    expires_us: int | None
    revoked_us: int | None
    revoked_by: str | None
    replaces: str | None


_COLUMNS = [keys.c[item.name] for item in fields(KeyRow)]


def version(connection: Connection) -> int:
    """Return the change counter; 0 before the first key."""
    return connection.scalar(select(counters.c.value).where(counters.c.name == _COUNTER)) or 0


def all_keys(connection: Connection, tenant: str | None = None) -> list[KeyRow]:
    """Return every key, dead ones included, oldest first; of one tenant if given."""
    query = select(*_COLUMNS).order_by(keys.c.created_us, keys.c.id)
    if tenant is not None:
        query = query.where(keys.c.tenant == tenant)
    return [KeyRow(**row) for row in connection.execute(query).mappings()]


def one(connection: Connection, tenant: str, key_id: str) -> KeyRow | None:
    """Return one key of the tenant, or None."""
    query = select(*_COLUMNS).where(keys.c.tenant == tenant, keys.c.id == key_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else KeyRow(**row)


def add(connection: Connection, row: KeyRow) -> None:
    """Store a new key. Raises IntegrityError if its id or hash is taken."""
    connection.execute(insert(keys).values({item.name: getattr(row, item.name) for item in fields(KeyRow)}))
    _moved(connection)


def revoke(connection: Connection, tenant: str, key_id: str, *, at_us: int, by: str) -> bool:
    """Revoke a key from ``at_us`` on; False if there is no such key.

    An earlier revocation stays: revoking twice never lengthens a key's life.
    """
    row = one(connection, tenant, key_id)
    if row is None:
        return False
    if row.revoked_us is None or row.revoked_us > at_us:
        connection.execute(
            update(keys)
            .where(keys.c.tenant == tenant, keys.c.id == key_id)
            .values(revoked_us=at_us, revoked_by=by)
        )
        _moved(connection)
    return True


def log_action(
    connection: Connection,
    *,
    at_us: int,
    tenant: str,
    actor: str,
    role: str,
    action: str,
    target: str,
    detail: Mapping[str, object],
) -> None:
    """Note what a person with a role did. ``detail`` is JSON and holds no secret."""
    connection.execute(
        insert(admin_log).values(
            at_us=at_us,
            tenant=tenant,
            actor=actor,
            role=role,
            action=action,
            target=target,
            detail=orjson.dumps(detail, option=orjson.OPT_SORT_KEYS).decode(),
        )
    )


def _moved(connection: Connection) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(counters).values(name=_COUNTER, value=1)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[counters.c.name], set_={"value": counters.c.value + 1}
        )
    )
