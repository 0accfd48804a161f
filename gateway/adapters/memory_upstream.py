"""The in-memory twin of the upstreams: scripted replies, everything sent is kept.

It speaks each surface's own dialect, so nothing is translated. Deployments without a
script echo the last text of the prompt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from gateway.core.errors import UpstreamFailed
from gateway.core.values import Attempt, Dialect, Event
from gateway.ports import Exchange


@dataclass(slots=True, kw_only=True)
class Scripted:
    """How one exchange goes: ``failure`` instead of an answer, or ``breaks`` after some events."""

    reply: dict[str, object] = field(default_factory=dict)
    events: Sequence[Event] = ()
    failure: BaseException | None = None
    breaks: BaseException | None = None
    reported_place: str | None = None


class MemoryUpstream:
    """Implements :class:`gateway.ports.Upstream` from scripts by deployment."""

    def __init__(self) -> None:
        self.sent: list[Attempt] = []
        self.open_now = 0
        """Exchanges that were entered and not left."""
        self._scripts: dict[str, deque[Scripted]] = {}

    def script(self, deployment: str, *scripts: Scripted) -> None:
        """Queue how the next exchanges with a deployment go."""
        self._scripts.setdefault(deployment, deque()).extend(scripts)

    def open(self, attempt: Attempt) -> AbstractAsyncContextManager[Exchange]:
        """Open an exchange; see :class:`gateway.ports.Upstream`."""
        return self._open(attempt)

    @asynccontextmanager
    async def _open(self, attempt: Attempt) -> AsyncIterator[Exchange]:
        queue = self._scripts.get(attempt.deployment.id)
        scripted = queue.popleft() if queue else Scripted()
        if not (isinstance(scripted.failure, UpstreamFailed) and not scripted.failure.sent):
            self.sent.append(attempt)
        if scripted.failure is not None:
            raise scripted.failure
        self.open_now += 1
        try:
            yield MemoryExchange(Dialect(attempt.cleared.labelled.call.surface.value), scripted)
        finally:
            self.open_now -= 1


class MemoryExchange:
    """One scripted exchange."""

    def __init__(self, dialect: Dialect, scripted: Scripted) -> None:
        self.dialect = dialect
        self.vendor_request_id: str | None = None
        self.reported_place = scripted.reported_place
        self._scripted = scripted

    async def body(self) -> dict[str, object]:
        """Return the scripted reply, or raise how it breaks."""
        if self._scripted.breaks is not None:
            raise self._scripted.breaks
        return self._scripted.reply

    async def events(self) -> AsyncIterator[Event]:
        """Yield the scripted events, then break if that is scripted."""
        for event in self._scripted.events:
            yield event
        if self._scripted.breaks is not None:
            raise self._scripted.breaks
