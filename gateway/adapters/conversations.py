"""The labels of conversations in the store, under names that tell nothing.

A conversation is an HMAC of (tenant, app, the app's own name for it); what is kept is
label names and a day on which they are forgotten, 30 days after the last call. One row per
label, so that two workers that learn at once cannot lose one.

INVARIANT: a label is in the store before the call that taught it goes on, and each call asks
the store: a worker's own memory may be older than what another worker learned a moment
ago. Only calls that name a conversation pay for it, one read each. This worker's memory
serves while the store is away, beside the doubt that the spine adds then.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection
from typing_extensions import override

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import StoreUnavailable
from gateway.adapters.store_sql import conversations as rows
from gateway.core.sticky import name_of
from gateway.core.values import Caller
from gateway.ports import Clock, Conversations, ConversationsUnavailable

log = logging.getLogger("gateway.conversations")

KEPT_S: Final = 30 * 86_400
TOUCH_S: Final = 86_400
MOST: Final = 10_000
WAIT_S: Final = 2.0
RETRY_S: Final = 1.0
SWEEP_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    labels: frozenset[str]
    kept_us: int  # when the store last took them; 0 while it has not


class SqlConversations(Conversations):
    """Keeps labels in the store; ``run`` retries what it could not keep, and forgets what is over."""

    def __init__(self, store: Database, clock: Clock, key: bytes, *, wait_s: float = WAIT_S) -> None:
        """``key`` names conversations; ``wait_s`` bounds a question to the store."""
        self._store = store
        self._clock = clock
        self._key = key
        self._wait_s = wait_s
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._pending: dict[str, frozenset[str]] = {}
        self.reachable = True
        self.dropped = 0
        """Labels that could not be kept for want of room while the store was away."""

    @property
    def pending(self) -> int:
        """Conversations whose labels wait for the store."""
        return len(self._pending)

    @override
    async def recall(self, caller: Caller, conversation: str) -> frozenset[str]:
        name, now_us = self._name(caller, conversation), self._clock.now() // 1000
        try:
            async with asyncio.timeout(self._wait_s):
                found = await self._store.ask(lambda connection: rows.labels(connection, name, now_us=now_us))
        except (StoreUnavailable, TimeoutError):
            self.reachable = False
            raise ConversationsUnavailable from None
        self.reachable = True
        return found | self._remembered(name)

    @override
    async def learn(self, caller: Caller, conversation: str, labels: frozenset[str]) -> None:
        name, now_us = self._name(caller, conversation), self._clock.now() // 1000
        known = self._known.get(name)
        if known is not None and labels <= known.labels and now_us - known.kept_us < TOUCH_S * 1_000_000:
            return
        wanted = labels | self._remembered(name)
        if not await self._keep({name: wanted}, now_us):
            self._wait(name, wanted)

    async def run(self) -> None:
        """Keep what waits, and forget what is over, until cancelled."""
        since = SWEEP_S
        while True:
            if self._pending:
                waiting = dict(self._pending)
                if await self._keep(waiting, self._clock.now() // 1000):
                    self._pending = {n: ls for n, ls in self._pending.items() if waiting.get(n) != ls}
            if since >= SWEEP_S and await self._sweep():
                since = 0.0
            await asyncio.sleep(RETRY_S)
            since += RETRY_S

    def _name(self, caller: Caller, conversation: str) -> str:
        return name_of(self._key, tenant=caller.tenant, app=caller.app, conversation=conversation)

    def _remembered(self, name: str) -> frozenset[str]:
        known = self._known.get(name)
        waiting = self._pending.get(name, frozenset())
        return waiting if known is None else known.labels | waiting

    def _wait(self, name: str, labels: frozenset[str]) -> None:
        if name not in self._pending and len(self._pending) >= MOST:
            self.dropped += 1
            log.error("labels of a conversation were dropped: the store has been away for too long")
            return
        self._pending[name] = self._pending.get(name, frozenset()) | labels

    async def _keep(self, wanted: dict[str, frozenset[str]], now_us: int) -> bool:
        def work(connection: Connection) -> None:
            for name, labels in wanted.items():
                rows.learn(connection, name, labels, until_us=now_us + KEPT_S * 1_000_000)

        try:
            async with asyncio.timeout(self._wait_s):
                await self._store.run(work)
        except (StoreUnavailable, TimeoutError):
            self.reachable = False
            return False
        self.reachable = True
        for name, labels in wanted.items():
            self._known[name] = _Known(labels=labels, kept_us=now_us)
            self._known.move_to_end(name)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return True

    async def _sweep(self) -> bool:
        now_us = self._clock.now() // 1000
        try:
            await self._store.run(lambda connection: rows.forget(connection, now_us=now_us))
        except StoreUnavailable:
            return False
        return True
