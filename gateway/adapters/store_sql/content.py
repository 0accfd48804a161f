"""The queries of sealed content: each works inside the transaction it is handed. No key is opened here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, select, update

from gateway.adapters.store_sql.budgets import insert
from gateway.adapters.store_sql.tables import content, content_keys
from gateway.ports import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """The key of a subject in a place, wrapped. ``generation`` counts its erasures."""

    generation: int
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """One piece as it is kept."""

    name: str
    place: str
    generation: int
    sealed: bytes = field(repr=False)


def keys(connection: Connection, subject: Subject, *, place: str) -> dict[int, bytes]:
    """Return the wrapped keys of a subject in a place that are not destroyed, by generation."""
    rows = connection.execute(
        select(content_keys.c.generation, content_keys.c.wrapped).where(
            _of(content_keys.c.tenant, content_keys.c.subject, subject),
            content_keys.c.place == place,
            content_keys.c.wrapped.is_not(None),
        )
    )
    return {row.generation: row.wrapped for row in rows}


def next_generation(connection: Connection, subject: Subject, *, place: str) -> int:
    """Return the number of a subject's next key in a place."""
    last = connection.scalar(
        select(func.max(content_keys.c.generation)).where(
            _of(content_keys.c.tenant, content_keys.c.subject, subject), content_keys.c.place == place
        )
    )
    return 1 if last is None else int(last) + 1


def add_key(connection: Connection, subject: Subject, *, place: str, key: Wrapped, now_us: int) -> Wrapped:
    """Keep a new key unless another came first; return the one that stands."""
    connection.execute(
        insert(connection, content_keys)
        .values(
            tenant=subject.tenant,
            subject=subject.name,
            place=place,
            generation=key.generation,
            wrapped=key.wrapped,
            created_us=now_us,
        )
        .on_conflict_do_nothing()
    )
    standing = keys(connection, subject, place=place).get(key.generation)
    # Destroyed between the two statements: what is sealed under our own is then unreadable, rightly.
    return key if standing is None else Wrapped(generation=key.generation, wrapped=standing)


def add(
    connection: Connection,
    subject: Subject,
    kind: str,
    pieces: Sequence[Sealed],
    *,
    now_us: int,
    until_us: int,
) -> None:
    """Keep each piece unless one stands under its name; one that has expired stands no more."""
    for piece in pieces:
        mine = _piece(subject, kind, piece.name, piece.place)
        connection.execute(delete(content).where(mine, content.c.expires_us <= now_us))
        connection.execute(
            insert(connection, content)
            .values(
                tenant=subject.tenant,
                subject=subject.name,
                kind=kind,
                name=piece.name,
                place=piece.place,
                generation=piece.generation,
                sealed=piece.sealed,
                created_us=now_us,
                expires_us=until_us,
            )
            .on_conflict_do_nothing()
        )


def find(
    connection: Connection, subject: Subject, kind: str, *, now_us: int, name: str | None = None
) -> list[Sealed]:
    """Return the pieces of a kind, of every place, that have not expired; or those under one name."""
    wanted: list[ColumnElement[bool]] = [
        _of(content.c.tenant, content.c.subject, subject),
        content.c.kind == kind,
        content.c.expires_us > now_us,
    ]
    if name is not None:
        wanted.append(content.c.name == name)
    rows = connection.execute(
        select(content.c.name, content.c.place, content.c.generation, content.c.sealed).where(*wanted)
    )
    return [
        Sealed(name=row.name, place=row.place, generation=row.generation, sealed=row.sealed) for row in rows
    ]


def erase(connection: Connection, subject: Subject, *, now_us: int, by: str) -> Mapping[str, int]:
    """Destroy a subject's keys and pieces; return how many of each, and the keys destroyed ever."""
    mine = _of(content_keys.c.tenant, content_keys.c.subject, subject)
    destroyed = connection.execute(
        update(content_keys)
        .where(mine, content_keys.c.wrapped.is_not(None))
        .values(wrapped=None, erased_us=now_us, erased_by=by)
    ).rowcount
    pieces = connection.execute(
        delete(content).where(_of(content.c.tenant, content.c.subject, subject))
    ).rowcount
    ever = connection.scalar(
        select(func.count()).select_from(content_keys).where(mine, content_keys.c.wrapped.is_(None))
    )
    return {"keys": destroyed, "pieces": pieces, "tombstones": int(ever or 0)}


def sweep(connection: Connection, *, now_us: int, idle_us: int) -> int:
    """Delete what has expired, and keys older than ``idle_us`` under which nothing is kept."""
    gone = connection.execute(delete(content).where(content.c.expires_us <= now_us)).rowcount
    used = exists().where(
        content.c.tenant == content_keys.c.tenant,
        content.c.subject == content_keys.c.subject,
        content.c.place == content_keys.c.place,
        content.c.generation == content_keys.c.generation,
    )
    connection.execute(
        delete(content_keys).where(
            content_keys.c.wrapped.is_not(None), content_keys.c.created_us <= now_us - idle_us, ~used
        )
    )
    return gone


def _of(tenant: ColumnElement[str], name: ColumnElement[str], subject: Subject) -> ColumnElement[bool]:
    return and_(tenant == subject.tenant, name == subject.name)


def _piece(subject: Subject, kind: str, name: str, place: str) -> ColumnElement[bool]:
    return and_(
        _of(content.c.tenant, content.c.subject, subject),
        content.c.kind == kind,
        content.c.name == name,
        content.c.place == place,
    )
