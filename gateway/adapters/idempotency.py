"""Replies by ``Idempotency-Key``, so that a client's retry is neither run nor billed twice.

A reply is sealed with AES-256-GCM under a key derived (HKDF-SHA256) from the caller's own
API key and the ``Idempotency-Key``; neither is stored, so that only the caller's retry
opens it and a copy of the database shows nothing. The API key's id, the tenant and
the request's digest are bound in as associated data.

Kept for 24 hours and up to 1 MiB; a larger reply is not kept, and a retry of it is told so.
The owner of a run that died frees its slot after ``running_s``: until then a retry is told
to wait, since running twice could bill twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from typing import Final, TypeVar

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection
from typing_extensions import override

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import StoreUnavailable
from gateway.adapters.store_sql import idempotency as rows
from gateway.adapters.store_sql.idempotency import Kept, Slot
from gateway.core.errors import Code, Refusal
from gateway.core.values import Caller
from gateway.ports import Clock, Idempotency, StoredReply

T = TypeVar("T")

KEPT_S: Final = 24 * 3600
RUNNING_S: Final = 15 * 60
MOST_BYTES: Final = 1024 * 1024
MOST_KEY: Final = 255
_NONCE = 12
_WAIT_S = 5.0

_AWAY = Refusal(
    code=Code.STORE_UNAVAILABLE,
    message="Whether this Idempotency-Key was used cannot be checked now. Nothing was sent. Retry.",
    param="idempotency-key",
    retry_after=2,
    retry=True,
)
_RUNNING = Refusal(
    code=Code.IDEMPOTENCY_CONFLICT,
    message="A request with this Idempotency-Key is still running. Retry to get its answer.",
    param="idempotency-key",
    retry_after=1,
    retry=True,
)
_OTHER = Refusal(
    code=Code.IDEMPOTENCY_CONFLICT,
    message="This Idempotency-Key was used with another request. Use a new key for a new request.",
    param="idempotency-key",
    retry=False,
)
_TOO_LARGE = Refusal(
    code=Code.IDEMPOTENCY_CONFLICT,
    message="The request with this Idempotency-Key was answered, but the answer was larger than 1 MiB and "
    "was not kept. To run it again, and pay again, use a new key.",
    param="idempotency-key",
    retry=False,
)
_LOST = Refusal(
    code=Code.IDEMPOTENCY_CONFLICT,
    message="The kept answer for this Idempotency-Key cannot be opened. "
    "To run the request again, use a new key.",
    param="idempotency-key",
    retry=False,
)
BAD_KEY = Refusal(
    code=Code.INVALID_REQUEST,
    message=f"An Idempotency-Key is 1 to {MOST_KEY} printable ASCII characters, like a UUID.",
    param="idempotency-key",
    retry=False,
)


class SqlIdempotency(Idempotency):
    """Keeps replies in the store."""

    def __init__(
        self, store: Database, clock: Clock, *, kept_s: int = KEPT_S, running_s: int = RUNNING_S
    ) -> None:
        """``running_s`` must exceed the longest a call can take."""
        self._store = store
        self._clock = clock
        self._kept_us = kept_s * 1_000_000
        self._running_us = running_s * 1_000_000
        # Which of our runs holds a slot. Not the worker's name: an expired run of this very worker
        # must not finish what a later run of it holds.
        self._owners: dict[Slot, tuple[str, str]] = {}

    @override
    async def claim(self, caller: Caller, key: str, digest: str, secret: str) -> StoredReply | Refusal | None:
        if not usable(key):
            return BAD_KEY
        slot, owner, now_us = slot_of(caller, key), secrets.token_hex(16), self._now_us()

        def take(connection: Connection) -> Kept | None:
            return rows.claim(
                connection,
                slot,
                digest=digest,
                owner=owner,
                now_us=now_us,
                until_us=now_us + self._running_us,
            )

        try:
            kept = await self._run(take)
        except (StoreUnavailable, TimeoutError):
            return _AWAY
        if kept is None:
            self._owners[slot] = (owner, digest)
            return None
        return verdict(kept, caller, key, digest, secret)

    @override
    async def finish(self, caller: Caller, key: str, secret: str, reply: StoredReply | None) -> None:
        slot = slot_of(caller, key)
        owner, digest = self._owners.pop(slot, (None, ""))
        if owner is None:
            return

        def end(connection: Connection) -> None:
            if reply is None:
                rows.free(connection, slot, owner=owner)
                return
            sealed = seal(reply, caller, key, digest, secret)
            rows.finish(
                connection,
                slot,
                owner=owner,
                state="done" if sealed is not None else "too_large",
                status=reply.status,
                sealed=sealed,
                until_us=self._now_us() + self._kept_us,
            )

        try:
            await self._run(end)
        except (StoreUnavailable, TimeoutError):
            # The answer is on its way already. The slot stays `running` until it expires: a retry
            # is told to wait rather than billed twice.
            return

    async def sweep(self) -> int:
        """Delete what has expired; to be called every few minutes. Raises StoreUnavailable."""
        now_us = self._now_us()
        try:
            return await self._run(lambda connection: rows.sweep(connection, now_us=now_us))
        except TimeoutError:
            raise StoreUnavailable("the database does not answer in time") from None

    def _now_us(self) -> int:
        return self._clock.now() // 1000

    async def _run(self, work: Callable[[Connection], T]) -> T:
        async with asyncio.timeout(_WAIT_S):
            return await self._store.run(work)


def usable(key: str) -> bool:
    """Tell whether a key is 1 to 255 printable ASCII characters."""
    return 1 <= len(key) <= MOST_KEY and key.isascii() and key.isprintable()


def slot_of(caller: Caller, key: str) -> Slot:
    """Return where a caller's reply for a key is kept; the key itself is hashed."""
    hashed = hashlib.sha256(key.encode("ascii", "replace")).hexdigest()
    return Slot(tenant=caller.tenant, key_id=caller.key_id, key_hash=hashed)


def verdict(kept: Kept, caller: Caller, key: str, digest: str, secret: str) -> StoredReply | Refusal:
    """Return what a claim of a taken slot is answered."""
    if kept.digest != digest:
        return _OTHER
    if kept.state == "running":
        return _RUNNING
    if kept.state == "too_large" or kept.sealed is None:
        return _TOO_LARGE
    return unseal(kept.sealed, caller, key, digest, secret) or _LOST


def seal(reply: StoredReply, caller: Caller, key: str, digest: str, secret: str) -> bytes | None:
    """Return a reply sealed for this caller, key and request; None if it is larger than 1 MiB."""
    head = orjson.dumps([reply.status, reply.headers])
    plain = len(head).to_bytes(4, "big") + head + reply.body
    if len(plain) > MOST_BYTES:
        return None
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(_key(secret, key)).encrypt(nonce, plain, _bound(caller, digest))


def unseal(sealed: bytes, caller: Caller, key: str, digest: str, secret: str) -> StoredReply | None:
    """Open a sealed reply; None if it was altered or sealed for another caller, key or request."""
    try:
        plain = AESGCM(_key(secret, key)).decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(caller, digest))
    except (InvalidTag, ValueError):
        return None
    size = int.from_bytes(plain[:4], "big")
    status, headers = orjson.loads(plain[4 : 4 + size])
    return StoredReply(
        status=status, headers=tuple((name, value) for name, value in headers), body=plain[4 + size :]
    )


def _key(secret: str, key: str) -> bytes:
    derive = HKDF(
        algorithm=hashes.SHA256(),
        length=32,
        salt=key.encode("ascii", "replace"),
        info=b"borderpost/idempotency/v1",
    )
    return derive.derive(secret.encode("utf-8", "replace"))


def _bound(caller: Caller, digest: str) -> bytes:
    return f"{caller.tenant}\0{caller.key_id}\0{digest}".encode()
