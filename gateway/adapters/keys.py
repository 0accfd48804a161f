"""API keys: made, shown once, looked up in memory, revoked within seconds everywhere.

A key is ``bp_<live|demo>_<id>_<secret>``. The secret is 256 bits of chance, and what is
stored is the SHA-256 of the whole key. A slow hash (bcrypt, Argon2) protects secrets
that people choose, by making each guess dear; nobody guesses 256 bits, so a slow hash would
only cost every call milliseconds.

:class:`KeySnapshot` answers :class:`~gateway.ports.Keys` from memory and polls the store's
change counter, so a revocation is known to every worker within ``poll_s`` and one read.
When the store is away the snapshot stays valid for ``valid_s``, then every key
gets 503: an honest key must not be told that it is wrong.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection
from typing_extensions import override

from gateway.adapters.store_sql import StoreUnavailable
from gateway.adapters.store_sql import keys as rows
from gateway.adapters.store_sql.keys import KeyRow
from gateway.core.errors import Code, Refusal
from gateway.core.snapshot import App
from gateway.core.values import Caller
from gateway.ports import Clock, Keys

T = TypeVar("T")
log = logging.getLogger("gateway.keys")

KINDS: Final = ("live", "demo")
POLL_S: Final = 1.0
VALID_S: Final = 300.0
_LONGEST = 256

UNKNOWN: Final = Refusal(
    code=Code.INVALID_API_KEY,
    message="This key is not known here. Check that it is whole, or ask the platform team for one.",
    retry=False,
)
STALE: Final = Refusal(
    code=Code.STORE_UNAVAILABLE,
    message="Keys cannot be checked now: the gateway's database is away. Retry.",
    retry_after=2,
    retry=True,
)


class Database(Protocol):
    """What the people's adapters ask of the store: work in one transaction, off the event loop.

    Both raise StoreUnavailable while the database is away.
    """

    async def run(self, work: Callable[[Connection], T], /) -> T:
        """Return what ``work`` returns; its changes are committed, or none are."""
        ...

    async def ask(self, work: Callable[[Connection], T], /) -> T:
        """Return what ``work`` reads."""
        ...


class KeyTable(Keys):
    """Keys by id, as of one instant. The look-up that the snapshot and its twin share."""

    def __init__(self, apps: Callable[[], Mapping[str, App]], *, valid_s: float) -> None:
        """Take the apps of the current policy snapshot, asked at each look-up."""
        self._apps = apps
        self._valid_ns = int(valid_s * 1e9)
        self._rows: dict[str, KeyRow] = {}
        self._fresh: int | None = None
        self._callers: dict[str, tuple[App, Caller]] = {}

    def replace(self, found: list[KeyRow], now: int) -> None:
        """Swap in the keys as they stood at ``now``."""
        self._rows = {row.id: row for row in found}
        self._callers = {}
        self._fresh = now

    def confirm(self, now: int) -> None:
        """Note that nothing has changed up to ``now``."""
        self._fresh = now

    @override
    def find(self, presented: str, now: int) -> Caller | Refusal:
        if self._fresh is None or now - self._fresh > self._valid_ns:
            return STALE
        # bp_<kind>_<id>_<secret>: the secret may not be split, so the id is between two marks.
        parts = presented.split("_", 3)
        if len(parts) != 4 or len(presented) > _LONGEST:
            return UNKNOWN
        row = self._rows.get(parts[2])
        digest = hash_of(presented)
        # INVARIANT: the secret is compared in constant time; only the public id is looked up.
        if row is None or not compare_digest(digest, row.sha256):
            return UNKNOWN
        now_us = now // 1000
        if row.revoked_us is not None and row.revoked_us <= now_us:
            return _dead(row, "was revoked")
        if row.expires_us is not None and row.expires_us <= now_us:
            return _dead(row, "has expired")
        app = self._apps().get(row.app)
        if app is None or app.tenant != row.tenant:
            return _orphan(row)
        cached = self._callers.get(row.id)
        if cached is not None and cached[0] is app:
            return cached[1]
        caller = Caller(
            tenant=row.tenant, team=app.team, app=app.id, key_id=row.id, user=row.user, place=row.place
        )
        self._callers[row.id] = (app, caller)
        return caller


class KeySnapshot(KeyTable):
    """The keys of the store, in memory, refreshed by a background task."""

    def __init__(
        self,
        store: Database,
        apps: Callable[[], Mapping[str, App]],
        clock: Clock,
        *,
        poll_s: float = POLL_S,
        valid_s: float = VALID_S,
    ) -> None:
        """``poll_s`` ≤ 2 keeps the promise of 5 s; ``valid_s`` bounds use without the store."""
        super().__init__(apps, valid_s=valid_s)
        self._store = store
        self._clock = clock
        self._poll_s = poll_s
        self._version: int | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def valid_s(self) -> float:
        """Seconds for which keys are accepted after the store was last seen, for ``/status``."""
        return self._valid_ns / 1e9

    def age_s(self, now: int) -> float | None:
        """Return the seconds since the store last confirmed the keys; None before the first time."""
        return None if self._fresh is None else (now - self._fresh) / 1e9

    async def start(self) -> None:
        """Read the keys and keep them fresh. A store that is away is no error: it is tried again."""
        await self._try()
        self._task = asyncio.create_task(self._poll(), name="keys")

    async def close(self) -> None:
        """Stop refreshing."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def refresh(self) -> None:
        """Read the counter, and the keys if it moved. Raises what the store raises."""
        # The instant before the read: what happens during it belongs to the next one.
        now = self._clock.now()
        known = self._version

        def read(connection: Connection) -> tuple[int, list[KeyRow] | None]:
            # The counter first: keys that are newer than it only mean one more read.
            version = rows.version(connection)
            return version, None if version == known else rows.all_keys(connection)

        version, found = await self._store.ask(read)
        if found is None:
            self.confirm(now)
        else:
            self.replace(found, now)
            self._version = version

    async def _try(self) -> None:
        try:
            # Bounded: a database that hangs must not stop the next try.
            async with asyncio.timeout(max(2.0, 2 * self._poll_s)):
                await self.refresh()
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("keys not refreshed", extra={"error": type(error).__name__})

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            await self._try()


def hash_of(presented: str) -> str:
    """Return the SHA-256 of a whole key, in hex, as it is stored."""
    return hashlib.sha256(presented.encode("utf-8", "replace")).hexdigest()


def mint(
    *,
    tenant: str,
    app: str,
    now: int,
    by: str,
    kind: str = "live",
    label: str = "",
    expires_us: int | None = None,
    user: str | None = None,
    place: str | None = None,
    replaces: str | None = None,
) -> tuple[str, KeyRow]:
    """Return a new key and its row. The key is to be shown once and kept nowhere.

    ``now`` in nanoseconds. Raises ValueError on an unknown ``kind``.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of key `{kind}`; use live or demo")
    key_id = _base32(secrets.token_bytes(10))
    presented = f"bp_{kind}_{key_id}_{_base32(secrets.token_bytes(32))}"
    row = KeyRow(
        id=key_id,
        tenant=tenant,
        app=app,
        kind=kind,
        label=label,
        sha256=hash_of(presented),
        user=user,
        place=place,
        created_us=now // 1000,
        created_by=by,
        expires_us=expires_us,
        revoked_us=None,
        revoked_by=None,
        replaces=replaces,
    )
    return presented, row


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def _dead(row: KeyRow, what: str) -> Refusal:
    return Refusal(
        code=Code.INVALID_API_KEY,
        message=f"Key {row.id} of app '{row.app}' {what}. Use its successor, "
        "or ask the platform team for one.",
        retry=False,
    )


def _orphan(row: KeyRow) -> Refusal:
    return Refusal(
        code=Code.INVALID_API_KEY,
        message=f"Key {row.id} belongs to app '{row.app}', which teams.yaml no longer registers. "
        "Ask the platform team to register it.",
        retry=False,
    )
