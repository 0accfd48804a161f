"""The queries of policy bundles: content, signatures, and which one is in force.

Each works inside the transaction that it is handed. INVARIANT: every activation moves the counter
``bundles`` in the same transaction, so that workers learn of it by reading one number; and a stored
bundle's content is never changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.store_sql import budgets
from gateway.adapters.store_sql.tables import bundle_activations, bundle_signatures, bundles, counters

_COUNTER = "bundles"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRow:
    """One stored bundle. ``author`` wrote it; an empty one is not known."""

    hash: str
    tenant: str
    content: bytes = field(repr=False)
    published_us: int
    published_by: str
    author: str
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureRow:
    """One signature of a bundle, as it was given. Whether it holds, the keyring says."""

    hash: str
    role: str
    signer: str
    author: str
    replaces: str
    value: bytes = field(repr=False)
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """One time that a bundle was put in force. ``revoke`` ended attempts in flight."""

    id: int
    hash: str
    at_us: int
    by: str
    revoke: bool


_COLUMNS = [bundles.c[item.name] for item in fields(BundleRow)]
_SIGNATURE = [bundle_signatures.c[item.name] for item in fields(SignatureRow)]
_ACTIVATION = [bundle_activations.c[item.name] for item in fields(Activation)]


def version(connection: Connection) -> int:
    """Return the change counter; 0 before the first activation."""
    return connection.scalar(select(counters.c.value).where(counters.c.name == _COUNTER)) or 0


def one(connection: Connection, hash_: str) -> BundleRow | None:
    """Return one bundle, or None."""
    row = connection.execute(select(*_COLUMNS).where(bundles.c.hash == hash_)).mappings().one_or_none()
    return None if row is None else BundleRow(**row)


def active(connection: Connection) -> BundleRow | None:
    """Return the bundle in force, or None before the first."""
    last = last_activation(connection)
    return None if last is None else one(connection, last.hash)


def last_activation(connection: Connection) -> Activation | None:
    """Return the activation in force, or None before the first."""
    query = select(*_ACTIVATION).order_by(bundle_activations.c.id.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Activation(**row)


def before_active(connection: Connection) -> str | None:
    """Return the hash that was in force before the active one, or None."""
    last = last_activation(connection)
    if last is None:
        return None
    query = (
        select(bundle_activations.c.hash)
        .where(bundle_activations.c.hash != last.hash)
        .order_by(bundle_activations.c.id.desc())
        .limit(1)
    )
    return connection.scalar(query)


def listed(connection: Connection) -> list[BundleRow]:
    """Return every stored bundle without its content, newest first."""
    query = select(*[c for c in _COLUMNS if c.name != "content"]).order_by(
        bundles.c.published_us.desc(), bundles.c.hash
    )
    return [BundleRow(content=b"", **row) for row in connection.execute(query).mappings()]


def signatures(connection: Connection, hash_: str) -> list[SignatureRow]:
    """Return the signatures of a bundle, oldest first."""
    query = (
        select(*_SIGNATURE)
        .where(bundle_signatures.c.hash == hash_)
        .order_by(bundle_signatures.c.at_us, bundle_signatures.c.role, bundle_signatures.c.signer)
    )
    return [SignatureRow(**row) for row in connection.execute(query).mappings()]


def activations(connection: Connection, most: int = 100) -> list[Activation]:
    """Return what was put in force, newest first."""
    query = select(*_ACTIVATION).order_by(bundle_activations.c.id.desc()).limit(most)
    return [Activation(**row) for row in connection.execute(query).mappings()]


def add(connection: Connection, row: BundleRow) -> bool:
    """Store a bundle; False if this content is there already."""
    values = {item.name: getattr(row, item.name) for item in fields(BundleRow)}
    told = (
        budgets.insert(connection, bundles).values(values).on_conflict_do_nothing().returning(bundles.c.hash)
    )
    return connection.execute(told).first() is not None


def name_author(connection: Connection, hash_: str, author: str) -> None:
    """Name the author of a bundle; not for one that is signed, since signatures name the author too."""
    connection.execute(update(bundles).where(bundles.c.hash == hash_).values(author=author))


def add_signature(connection: Connection, row: SignatureRow) -> bool:
    """Add a signature, in place of an earlier one of that person in that role; False if it is the same."""
    values = {item.name: getattr(row, item.name) for item in fields(SignatureRow)}
    same = select(bundle_signatures.c.value).where(
        bundle_signatures.c.hash == row.hash,
        bundle_signatures.c.role == row.role,
        bundle_signatures.c.signer == row.signer,
    )
    if connection.scalar(same) == row.value:
        return False
    changed = {name: values[name] for name in ("author", "replaces", "value", "at_us")}
    connection.execute(
        budgets.insert(connection, bundle_signatures)
        .values(values)
        .on_conflict_do_update(index_elements=["hash", "role", "signer"], set_=changed)
    )
    return True


def activate(connection: Connection, hash_: str, *, tenant: str, at_us: int, by: str, revoke: bool) -> None:
    """Put a stored bundle in force."""
    connection.execute(update(bundles).where(bundles.c.active).values(active=False))
    connection.execute(update(bundles).where(bundles.c.hash == hash_).values(active=True))
    connection.execute(
        insert(bundle_activations).values(tenant=tenant, hash=hash_, at_us=at_us, by=by, revoke=revoke)
    )
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(counters).values(name=_COUNTER, value=1)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[counters.c.name], set_={"value": counters.c.value + 1}
        )
    )
