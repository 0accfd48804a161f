"""The clock of held-back text: what a stalled stream can safely show is shown, and no half of anything.

While a reply is altered, its text waits until it cannot become a token or an identifier any
more. A model that pauses would leave the last plain word waiting with it. So a timer asks
the stream, whenever nothing was sent for a moment, what is safe whatever follows, and sends
that. It never decides anything: the text and the verdict are those of the plain reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Protocol

from gateway.api.sse import encode
from gateway.core.values import Event

Send = Callable[[MutableMapping[str, object]], Awaitable[None]]

EVERY_S = 0.25
"""Held text that is safe waits at most twice this long."""


class Holding(Protocol):
    """A stream that may hold text back."""

    def settle(self) -> list[Event]:
        """Return, as events, what is held back but is safe to show."""
        ...


class Settler:
    """Sends a stream's parts in order: those that its writer brings, and what settles meanwhile."""

    def __init__(
        self, stream: Holding, send: Send, *, every_s: float = EVERY_S, kept: list[bytes] | None = None
    ) -> None:
        """Start the clock. ``kept`` is given every part in the order in which it is sent."""
        self._stream = stream
        self._send = send
        self._every = every_s
        self._kept = kept
        self._quiet = False
        self._writing = False
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(every_s, self._tick)

    async def write(self, events: Sequence[Event]) -> None:
        """Send events that the stream brought, after what has settled before them."""
        if self._task is not None and not self._task.done():
            await self._task
        self._quiet = False
        await self._part(encode(events))

    def _tick(self) -> None:
        # INVARIANT: nothing is asked of the stream while a part of it is on its way, so that no
        # later text overtakes an earlier one.
        if self._quiet and not self._writing:
            events = self._stream.settle()
            if events:
                self._task = asyncio.ensure_future(self._part(encode(events)))
        self._quiet = True
        self._timer = asyncio.get_running_loop().call_later(self._every, self._tick)

    async def _part(self, part: bytes) -> None:
        if self._kept is not None:
            self._kept.append(part)
        self._writing = True
        try:
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
        finally:
            self._writing = False

    def cancel(self) -> None:
        """Stop the clock at once: nobody reads any more."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    async def stop(self) -> None:
        """Stop the clock, and let what settled arrive."""
        self._timer.cancel()
        if self._task is not None and not self._task.done():
            await self._task
