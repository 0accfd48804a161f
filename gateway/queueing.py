"""Waiting in line for what other calls hold: first come, first served, bounded, and cheap for the store.

One line per budget scope and worker. Only the head of a line asks the store: when a call of this
worker settles, and else at growing intervals up to a second, so that the number of calls that wait
does not change how often the store is asked. Whoever leaves, by cancellation too, leaves the line.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

MOST_WAITING = 256
"""Calls in one line of one worker. Further ones go on without waiting."""

FIRST_LOOK_S = 0.1
LAST_LOOK_S = 1.0


class Place:
    """One call's place in a line."""

    __slots__ = ("_line", "_look_s", "_wake")

    def __init__(self, line: deque[Place]) -> None:
        """Stand at the end of a line."""
        self._line = line
        self._wake = asyncio.Event()
        self._look_s = FIRST_LOOK_S

    def wake(self) -> None:
        """Say that something may have changed."""
        self._wake.set()

    async def turn(self) -> None:
        """Wait until this call is the head of its line, and has a reason to ask again."""
        while self._line[0] is not self:
            self._wake.clear()
            await self._wake.wait()
        try:
            async with asyncio.timeout(self._look_s):
                await self._wake.wait()
        except TimeoutError:
            self._look_s = min(LAST_LOOK_S, 1.5 * self._look_s)
        self._wake.clear()


class Lines:
    """The lines of one worker, by budget scope. Belongs to one event loop."""

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._lines: dict[str, deque[Place]] = {}

    def waiting(self, scope: str) -> int:
        """Return how many calls wait for a scope."""
        return len(self._lines.get(scope, ()))

    def anybody(self, scopes: Iterable[str]) -> bool:
        """Return whether anybody waits for one of the scopes."""
        return bool(self._lines) and any(scope in self._lines for scope in scopes)

    def settled(self) -> None:
        """Tell the heads that a hold of this worker was settled."""
        for line in self._lines.values():
            line[0].wake()

    @contextmanager
    def join(self, scope: str) -> Iterator[Place | None]:
        """Stand in line for a scope within the block; None where the line is full."""
        line = self._lines.setdefault(scope, deque())
        if len(line) >= MOST_WAITING:
            yield None
            return
        place = Place(line)
        line.append(place)
        try:
            yield place
        finally:
            line.remove(place)
            if line:
                line[0].wake()
            else:
                del self._lines[scope]
