"""Bundles as packages: content-addressed, signed, and stored under one active hash.

A folder, a Git hook (``borderpost policy publish``) and the admin API are ways of publishing;
what workers run is the hash that was activated last. Nothing is activated whose tests fail, whose
proofs break, or whose signatures do not suffice where signing is on.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import orjson
from sqlalchemy import Connection

from gateway.adapters.store_sql import bundles as rows
from gateway.adapters.store_sql.bundles import BundleRow, SignatureRow
from gateway.adapters.store_sql.keys import log_action
from gateway.core.snapshot import Snapshot
from gateway.policy import money_approval
from gateway.policy.bundle import Bundle
from gateway.policy.cases import run
from gateway.policy.compile import compile_bundle
from gateway.policy.diff import Difference, difference
from gateway.policy.load import bundle_of
from gateway.policy.problems import PolicyErrors
from gateway.policy.prove import prove
from gateway.policy.sign import Approval, Keyring, Signature, Signed, approval

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of a package's files at most, unpacked."""

Entries = tuple[tuple[str, Mapping[str, object]], ...]


class NotPublished(Exception):
    """A bundle is not stored or not put in force; the text says why and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A bundle as it travels: its files, who wrote it, who signed it."""

    hash: str
    files: Mapping[str, bytes]
    author: str = ""
    signatures: tuple[Signature, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who publishes, for the logs: a token's name and role, or the operating system's user."""

    name: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A package, checked and compiled."""

    package: Package
    bundle: Bundle
    snapshot: Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What publishing or activating did."""

    hash: str
    active: bool
    approval: Approval | None  # None where signing is off
    change: Difference | None  # against what was active before; None for the first one
    entries: Entries  # for the journal


# -------------------------------------------------------------------- packages


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return files as one compressed JSON object, the same bytes for the same files."""
    text = {name: raw.decode("utf-8") for name, raw in files.items()}
    return zlib.compress(orjson.dumps(text, option=orjson.OPT_SORT_KEYS), 9)


def unpack(content: bytes) -> dict[str, bytes]:
    """Return the files of a package. Raises NotPublished on what is none, or too large."""
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(content, MOST_BYTES)
        data = orjson.loads(raw) if inflate.eof else None
    except (zlib.error, orjson.JSONDecodeError):
        data = None
    if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
        raise NotPublished("the stored content is no bundle; publish it again")
    return {name: cast("str", text).encode() for name, text in data.items()}


def open_package(package: Package, *, now: int) -> Opened:
    """Check and compile a package. Raises PolicyErrors; NotPublished if its name is not its content."""
    bundle = bundle_of(package.files, now=now)
    if bundle.hash != package.hash:
        raise NotPublished(
            f"the content of bundle `{package.hash[:12]}` is not what its name says: it was changed, or "
            "published by another version; publish it again"
        )
    return Opened(package=package, bundle=bundle, snapshot=compile_bundle(bundle, now=now))


def package_of(
    files: Mapping[str, bytes], *, author: str, signatures: Sequence[Signature], now: int
) -> Opened:
    """Make a package of files as they are. Raises PolicyErrors."""
    bundle = bundle_of(files, now=now)
    package = Package(hash=bundle.hash, files=files, author=author, signatures=tuple(signatures))
    return Opened(package=package, bundle=bundle, snapshot=compile_bundle(bundle, now=now))


def ready(opened: Opened, *, now: int) -> tuple[str, ...]:
    """Return why a bundle may not go live: tests that fail, sentences that do not hold."""
    failed = [
        f"test failed: {outcome.failure} ({outcome.at})"
        for outcome in run(opened.bundle, opened.snapshot, now=now)
        if not outcome.passed
    ]
    broken = [
        f"not proved: {proof.sentence} ({proof.at}): {proof.error or proof.broken[0]}"
        for proof in prove(opened.bundle, opened.snapshot, now=now)
        if not proof.holds
    ]
    return (*failed, *broken)


# -------------------------------------------------------------------- approval


def approve(
    opened: Opened,
    keyring: Keyring,
    find: Callable[[str], Package | None],
    *,
    now: int,
) -> Approval:
    """Say whether a package is approved. ``find`` gives the packages that signatures name."""
    seen: dict[str, Opened] = {opened.package.hash: opened}

    def replaced(hash_: str) -> Signed | None:
        if hash_ not in seen:
            package = find(hash_)
            if package is None:
                return None
            try:
                seen[hash_] = open_package(package, now=now)
            except (PolicyErrors, NotPublished):
                return None  # what cannot be read any more vouches for nothing
        return signed_of(seen[hash_])

    def widens(old: str, new: str) -> bool:
        return difference(seen[old].snapshot, seen[new].snapshot, now=now).widens

    return approval(signed_of(opened), keyring, replaced=replaced, widens=widens)


def signed_of(opened: Opened) -> Signed:
    """Return what approval looks at."""
    return Signed(
        hash=opened.package.hash,
        author=opened.package.author,
        changes_need=tuple(opened.bundle.policy.changes_need),
        signatures=opened.package.signatures,
    )


# ----------------------------------------------------------------------- store


def find(connection: Connection, hash_: str) -> Package | None:
    """Return a stored package, whatever its state. Raises NotPublished if it cannot be read."""
    row = rows.one(connection, hash_)
    if row is None:
        return None
    return Package(
        hash=row.hash,
        files=unpack(row.content),
        author=row.author,
        signatures=tuple(
            Signature(
                role=one.role,
                signer=one.signer,
                author=one.author,
                replaces=one.replaces,
                value=one.value,
            )
            for one in rows.signatures(connection, hash_)
        ),
    )


def publish(connection: Connection, opened: Opened, *, now: int, by: Actor) -> Entries:
    """Store a package; the same content again only adds signatures. Returns journal entries.

    Raises NotPublished if it is another organisation's, or was stored under another author.
    """
    package, tenant = opened.package, opened.bundle.tenant
    active = rows.active(connection)
    if active is not None and active.tenant != tenant:
        raise NotPublished(f"this installation is `{active.tenant}`'s, the bundle is `{tenant}`'s")
    fresh = rows.add(
        connection,
        BundleRow(
            hash=package.hash,
            tenant=tenant,
            content=pack(package.files),
            published_us=now // 1000,
            published_by=by.name,
            author=package.author,
            active=False,
        ),
    )
    if not fresh:
        known = rows.one(connection, package.hash)
        if known is not None and package.author and known.author != package.author:
            # Who wrote it may be put right until somebody has signed who wrote it.
            if rows.signatures(connection, package.hash):
                raise NotPublished(f"this bundle was signed as written by `{known.author}`")
            rows.name_author(connection, package.hash, package.author)
    added = [
        one
        for one in package.signatures
        if rows.add_signature(
            connection,
            SignatureRow(
                hash=package.hash,
                role=one.role,
                signer=one.signer,
                author=one.author,
                replaces=one.replaces,
                value=one.value,
                at_us=now // 1000,
            ),
        )
    ]
    detail: dict[str, object] = {
        "policy": opened.snapshot.policy_name,
        "version": opened.snapshot.policy_version,
        "author": package.author,
        "signatures": [{"role": one.role, "signer": one.signer} for one in added],
    }
    _log(connection, "bundle.published", package.hash, tenant, by=by, detail=detail, now=now)
    entry = {"bundle": package.hash, "tenant": tenant, "by": by.name, "role": by.role, **detail}
    return (("bundle.published", {**entry, "at": now // 1000}),)


def activate(
    connection: Connection,
    hash_: str,
    *,
    now: int,
    by: Actor,
    keyring: Keyring | None,
    revoke: bool = False,
    accept: Callable[[Snapshot], None] = lambda _: None,
) -> Published:
    """Put a stored bundle in force for every worker. ``keyring`` is None where signing is off.

    ``revoke`` ends attempts in flight that the new bundle does not permit. ``accept`` may raise
    what the caller turns down. Raises NotPublished and PolicyErrors; then nothing is changed.
    """
    package = find(connection, hash_)
    if package is None:
        raise NotPublished(f"no bundle `{hash_[:12]}` is stored; `borderpost policy bundles` lists all")
    opened = open_package(package, now=now)
    if reasons := ready(opened, now=now):
        raise NotPublished("; ".join(reasons))
    accept(opened.snapshot)
    given = None
    if keyring is not None:
        given = approve(opened, keyring, lambda name: find(connection, name), now=now)
        if not given.given:
            raise NotPublished(f"bundle `{hash_[:12]}` is not approved: {given}")
    before = rows.active(connection)
    if given is not None and keyring is not None and before is not None:
        # What cannot be read any more vouches for nothing: then all of it is new.
        old = files_of(connection, before.hash) or {}
        lacks = money_approval.missing(keyring, given, old, package.files)
        if lacks:
            raise NotPublished(f"bundle `{hash_[:12]}` is not approved: {lacks}")
    change = None
    if before is not None and before.hash != hash_:
        change = compared(before, opened, now=now)
    rows.activate(
        connection, hash_, tenant=opened.bundle.tenant, at_us=now // 1000, by=by.name, revoke=revoke
    )
    detail: dict[str, object] = {
        "replaces": before.hash if before is not None else None,
        "revoke": "now" if revoke else None,
        "widens": change.widens if change is not None else None,
        "signed_by": [f"{role}:{person}" for role, person in given.signed] if given else [],
    }
    _log(connection, "bundle.activated", hash_, opened.bundle.tenant, by=by, detail=detail, now=now)
    entry = {"bundle": hash_, "tenant": opened.bundle.tenant, "by": by.name, "role": by.role, **detail}
    money = money_approval.record(
        connection,
        tenant=opened.bundle.tenant,
        bundle=hash_,
        files=package.files,
        author=package.author,
        by=by.name,
        role=by.role,
        approved_by=money_approval.approvers(given),
        now=now,
        stored=lambda name: files_of(connection, name),
        replaces=before.hash if before is not None else "",
    )
    return Published(
        hash=hash_,
        active=True,
        approval=given,
        change=change,
        entries=(
            ("bundle.activated", {**entry, "at": now // 1000}),
            *([money.entry] if money is not None else []),
        ),
    )


def files_of(connection: Connection, hash_: str) -> Mapping[str, bytes] | None:
    """Return the files of a stored bundle; None if it is not stored, or cannot be read any more."""
    row = rows.one(connection, hash_)
    try:
        return None if row is None else unpack(row.content)
    except NotPublished:
        return None


def compared(before: BundleRow, opened: Opened, *, now: int) -> Difference | None:
    """Return the change from a stored bundle; None if that cannot be read any more."""
    try:
        package = Package(hash=before.hash, files=unpack(before.content))
        old = open_package(package, now=now)
    except (PolicyErrors, NotPublished):
        return None
    return difference(old.snapshot, opened.snapshot, now=now)


def rollback(connection: Connection) -> str:
    """Return the bundle that was in force before the active one. Raises NotPublished."""
    before = rows.before_active(connection)
    if before is None:
        raise NotPublished("no other bundle was ever in force here; publish one")
    return before


def _log(
    connection: Connection,
    action: str,
    hash_: str,
    tenant: str,
    *,
    by: Actor,
    detail: Mapping[str, object],
    now: int,
) -> None:
    log_action(
        connection,
        at_us=now // 1000,
        tenant=tenant,
        actor=by.name,
        role=by.role,
        action=action,
        target=hash_,
        detail=detail,
    )
