"""Sealed content in the database: envelope encryption, a key per subject and place, expiry, erasure.

A piece is sealed with AES-256-GCM under its subject's key, and bound to its tenant, subject,
kind, name, place and key, so that no row can pass for another. The key is wrapped under the
place's root key (:mod:`gateway.adapters.keyring`) and stands in a table of its own:
destroying that one row makes everything of the subject unreadable, copies in other tables
included. A backup that holds both tables still opens with the root key until it ages out:
keep backups of ``content_keys`` for as short as you promise erasure to take.

A node reads what its own place keeps, and nothing else.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection
from typing_extensions import override

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import StoreUnavailable
from gateway.adapters.store_sql import content as rows
from gateway.adapters.store_sql.content import Sealed, Wrapped
from gateway.ports import (
    Clock,
    ContentElsewhere,
    ContentStore,
    ContentUnavailable,
    Journal,
    KeyRing,
    Subject,
)

T = TypeVar("T")

_NONCE = 12
_KEY_BYTES = 32
_WAIT_S: Final = 2.0
_IDLE_US: Final = 24 * 3600 * 1_000_000
"""A key without content is kept this long, so that no write under way loses its key."""


class SqlContentStore(ContentStore):
    """Keeps sealed content in the store, for one place."""

    def __init__(
        self, store: Database, keyring: KeyRing, clock: Clock, journal: Journal, *, place: str
    ) -> None:
        """``place`` is where this node is: what it writes belongs there."""
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._journal = journal
        self.place = place

    @override
    async def put(
        self, subject: Subject, kind: str, items: Mapping[str, bytes], *, expires: int
    ) -> Mapping[str, bytes]:
        now_us, until_us = self._now_us(), expires // 1000

        def work(connection: Connection) -> dict[str, bytes]:
            generation, key = self._key(connection, subject, now_us)
            pieces = [
                Sealed(
                    name=name,
                    place=self.place,
                    generation=generation,
                    sealed=seal(key, plain, self._bound(subject, kind, name, generation)),
                )
                for name, plain in items.items()
            ]
            rows.add(connection, subject, kind, pieces, now_us=now_us, until_us=until_us)
            return {
                name: plain
                for name, plain in self._read(connection, subject, kind, now_us).items()
                if name in items
            }

        return await self._run(work)

    @override
    async def get(self, subject: Subject, kind: str, name: str) -> bytes | None:
        now_us = self._now_us()

        def work(connection: Connection) -> bytes | None:
            found = rows.find(connection, subject, kind, now_us=now_us, name=name)
            here = [piece for piece in found if piece.place == self.place]
            if not here:
                if found:
                    raise ContentElsewhere(f"this content belongs to `{found[0].place}`: ask a node there")
                return None
            return self._open(connection, subject, kind, here).get(name)

        return await self._run(work)

    @override
    async def all(self, subject: Subject, kind: str) -> Mapping[str, bytes]:
        now_us = self._now_us()
        return await self._run(lambda connection: self._read(connection, subject, kind, now_us))

    @override
    async def erase(self, subject: Subject, *, by: str) -> int:
        now_us = self._now_us()
        gone = await self._run(lambda connection: rows.erase(connection, subject, now_us=now_us, by=by))
        if gone["tombstones"]:
            await self._journal.append(
                "content.erased",
                {
                    "tenant": subject.tenant,
                    "subject": subject.name,
                    "keys": gone["keys"],
                    "pieces": gone["pieces"],
                    "place": self.place,
                    "by": by,
                    "at": now_us,
                },
            )
        return gone["pieces"]

    @override
    async def sweep(self) -> int:
        now_us = self._now_us()
        return await self._run(lambda connection: rows.sweep(connection, now_us=now_us, idle_us=_IDLE_US))

    def _read(self, connection: Connection, subject: Subject, kind: str, now_us: int) -> dict[str, bytes]:
        found = rows.find(connection, subject, kind, now_us=now_us)
        here = [piece for piece in found if piece.place == self.place]
        return self._open(connection, subject, kind, here)

    def _open(
        self, connection: Connection, subject: Subject, kind: str, pieces: list[Sealed]
    ) -> dict[str, bytes]:
        """Open pieces of this place; one whose key was destroyed is no more."""
        if not pieces:
            return {}
        opened: dict[int, bytes] = {
            generation: self._keyring.unwrap(self.place, wrapped, self._key_bound(subject, generation))
            for generation, wrapped in rows.keys(connection, subject, place=self.place).items()
        }
        return {
            piece.name: unseal(
                opened[piece.generation],
                piece.sealed,
                self._bound(subject, kind, piece.name, piece.generation),
            )
            for piece in pieces
            if piece.generation in opened
        }

    def _key(self, connection: Connection, subject: Subject, now_us: int) -> tuple[int, bytes]:
        """Return the subject's key here, made at its first piece and anew after an erasure."""
        known = rows.keys(connection, subject, place=self.place)
        if known:
            generation = max(known)
            wrapped = known[generation]
        else:
            generation = rows.next_generation(connection, subject, place=self.place)
            fresh = self._keyring.wrap(
                self.place, secrets.token_bytes(_KEY_BYTES), self._key_bound(subject, generation)
            )
            made = Wrapped(generation=generation, wrapped=fresh)
            wrapped = rows.add_key(connection, subject, place=self.place, key=made, now_us=now_us).wrapped
        return generation, self._keyring.unwrap(self.place, wrapped, self._key_bound(subject, generation))

    def _key_bound(self, subject: Subject, generation: int) -> bytes:
        return f"{subject.tenant}\0{subject.name}\0{self.place}\0{generation}".encode()

    def _bound(self, subject: Subject, kind: str, name: str, generation: int) -> bytes:
        return self._key_bound(subject, generation) + f"\0{kind}\0{name}".encode()

    def _now_us(self) -> int:
        return self._clock.now() // 1000

    async def _run(self, work: Callable[[Connection], T]) -> T:
        try:
            async with asyncio.timeout(_WAIT_S):
                return await self._store.run(work)
        except (StoreUnavailable, TimeoutError):
            raise ContentUnavailable("the content store does not answer") from None


def seal(key: bytes, plain: bytes, bound: bytes) -> bytes:
    """Return a text sealed under a key and bound to where it stands."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def unseal(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    """Open a sealed text. Raises ContentUnavailable if it was altered or moved."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
    except (InvalidTag, ValueError):
        raise ContentUnavailable("a piece of content was altered or moved") from None
