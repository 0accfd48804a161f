"""The in-memory twin of kept replies: the same answers, sealed the same, without a store."""

from __future__ import annotations

from dataclasses import dataclass, field

from typing_extensions import override

from gateway.adapters.idempotency import BAD_KEY, KEPT_S, RUNNING_S, seal, slot_of, usable, verdict
from gateway.adapters.store_sql.idempotency import Kept, Slot
from gateway.core.errors import Refusal
from gateway.core.values import Caller
from gateway.ports import Clock, Idempotency, StoredReply


@dataclass(slots=True)
class _Entry:
    kept: Kept = field(repr=False)
    expires: int


class MemoryIdempotency(Idempotency):
    """Replies that live as long as the process."""

    def __init__(self, clock: Clock, *, kept_s: int = KEPT_S, running_s: int = RUNNING_S) -> None:
        """Start empty."""
        self._clock = clock
        self._kept_ns = kept_s * 1_000_000_000
        self._running_ns = running_s * 1_000_000_000
        self._entries: dict[Slot, _Entry] = {}

    @override
    async def claim(self, caller: Caller, key: str, digest: str, secret: str) -> StoredReply | Refusal | None:
        if not usable(key):
            return BAD_KEY
        slot, now = slot_of(caller, key), self._clock.now()
        entry = self._entries.get(slot)
        if entry is not None and entry.expires > now:
            return verdict(entry.kept, caller, key, digest, secret)
        running = Kept(digest=digest, state="running", sealed=None)
        self._entries[slot] = _Entry(running, now + self._running_ns)
        return None

    @override
    async def finish(self, caller: Caller, key: str, secret: str, reply: StoredReply | None) -> None:
        slot = slot_of(caller, key)
        entry = self._entries.get(slot)
        if entry is None or entry.kept.state != "running":
            return
        if reply is None:
            del self._entries[slot]
            return
        digest = entry.kept.digest
        sealed = seal(reply, caller, key, digest, secret)
        state = "done" if sealed is not None else "too_large"
        kept = Kept(digest=digest, state=state, sealed=sealed)
        self._entries[slot] = _Entry(kept, self._clock.now() + self._kept_ns)
