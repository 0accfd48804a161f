"""The queries of replies kept for a retry: each works inside the transaction it is handed."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.store_sql.tables import idempotency as table


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Which kept reply is meant: a tenant's key and the hash of the ``Idempotency-Key``."""

    tenant: str
    key_id: str
    key_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stands in a slot."""

    digest: str
    state: str  # running | done | too_large
    sealed: bytes | None = field(repr=False)


def claim(
    connection: Connection, slot: Slot, *, digest: str, owner: str, now_us: int, until_us: int
) -> Kept | None:
    """Take a slot that is free or has expired and return None; else return what stands in it.

    INVARIANT: of any number of racing claims exactly one gets None: the primary key decides.
    """
    # An expired slot is free. Deleting first keeps the race one of plain inserts.
    connection.execute(delete(table).where(_is(slot), table.c.expires_us <= now_us))
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    taken = connection.execute(
        dialect.insert(table)
        .values(
            tenant=slot.tenant,
            key_id=slot.key_id,
            key_hash=slot.key_hash,
            digest=digest,
            state="running",
            owner=owner,
            created_us=now_us,
            expires_us=until_us,
        )
        .on_conflict_do_nothing()
        .returning(table.c.key_hash)
    )
    if taken.first() is not None:
        return None
    row = connection.execute(select(table.c.digest, table.c.state, table.c.sealed).where(_is(slot))).first()
    if row is None:
        # It was freed between the two statements: say that it runs, and the retry finds it free.
        return Kept(digest=digest, state="running", sealed=None)
    return Kept(digest=row.digest, state=row.state, sealed=row.sealed)


def finish(
    connection: Connection,
    slot: Slot,
    *,
    owner: str,
    state: str,
    status: int,
    sealed: bytes | None,
    until_us: int,
) -> bool:
    """Keep the end of a run; False if the slot is no longer this owner's."""
    done = connection.execute(
        update(table)
        .where(_is(slot), table.c.owner == owner, table.c.state == "running")
        .values(state=state, status=status, sealed=sealed, expires_us=until_us)
    )
    return done.rowcount == 1


def free(connection: Connection, slot: Slot, *, owner: str) -> None:
    """Free a slot that this owner runs."""
    connection.execute(delete(table).where(_is(slot), table.c.owner == owner, table.c.state == "running"))


def sweep(connection: Connection, *, now_us: int) -> int:
    """Delete what has expired and return how much that was."""
    return connection.execute(delete(table).where(table.c.expires_us <= now_us)).rowcount


def _is(slot: Slot) -> ColumnElement[bool]:
    return and_(
        table.c.tenant == slot.tenant, table.c.key_id == slot.key_id, table.c.key_hash == slot.key_hash
    )
