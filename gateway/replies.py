"""What the spine answers: a whole body, or events as they come, and what the headers say of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from gateway.attempts import Running
from gateway.book import ABANDONED, CUT, FAILED, SERVED, Tab
from gateway.core.admit import Pace
from gateway.core.degrade import told
from gateway.core.errors import Code, Refusal, UpstreamFailed
from gateway.core.money import decimal_of
from gateway.core.values import Attempt, Event
from gateway.reserving import Prepared

End = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the answer's headers say about the call."""

    alias: str
    place: str
    masked: Mapping[str, int]
    cost: str | None
    clamped_to: int | None
    marks: tuple[str, ...] = ()
    disclose_ai: bool = False
    degraded: str | None = None  # what the app's ladder did: "cheaper=chat-mini, answer_tokens=256"
    pace: Pace | None = None  # requests left in this minute, where a rate says how many


class ReplyStream:
    """The events of a streamed answer. INVARIANT: whoever holds it calls :meth:`aclose`.

    Closing settles and records, whatever ended the stream: its end, a failure, or a
    client that left, be it before the first event was read.
    """

    def __init__(self, first: list[Event], running: Running, end: End) -> None:
        """Start with the events that are there already; ``end`` is awaited once."""
        self._first = first
        self._running = running
        self._end = end
        self._status, self._code = ABANDONED, ABANDONED
        self._closed = False

    async def __aiter__(self) -> AsyncGenerator[list[Event], None]:
        """Yield the events as they come; a failure becomes the surface's error event."""
        running = self._running
        try:
            yield self._first
            async for events in running.events:
                if events:
                    yield events
            self._status, self._code = SERVED, SERVED
            if running.cut:
                self._status, self._code = CUT, Code.BUDGET_EXCEEDED.value
            elif running.failed is not None:
                self._status, self._code = FAILED, running.failed.code.value
        except UpstreamFailed as failure:
            self._status, self._code = FAILED, failure.refusal.code.value
            yield running.fail(failure.refusal)

    @property
    def ended_well(self) -> bool:
        """Whether the app got an answer that is whole, or cut in good order."""
        return self._status in {SERVED, CUT}

    @property
    def failing(self) -> bool:
        """Whether the stream broke: what is still to come of it tells the app so."""
        return self._status == FAILED or self._running.failed is not None

    @property
    def altered(self) -> bool:
        """Whether text may be held back, so that :meth:`settle` has something to say."""
        return self._running.altered

    def settle(self) -> list[Event]:
        """Return what is held back but is safe to show now; nothing once the stream is closed."""
        return [] if self._closed else self._running.settle()

    def interrupt(self, refusal: Refusal) -> list[Event]:
        """Return the events that end the stream well-formed when this node must stop."""
        self._status, self._code = FAILED, refusal.code.value
        return self._running.fail(refusal)

    async def aclose(self) -> None:
        """End the vendor's work, settle and record. Later calls do nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._running.events.aclose()
        finally:  # a second cancellation may come meanwhile; the hold is settled all the same
            await self._end(self._status, self._code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer in the surface's shape: a whole body, or events as they come."""

    served: Served
    body: Mapping[str, object] | ReplyStream


def describe(prepared: Prepared, attempt: Attempt, tab: Tab | None, steps: Mapping[str, str | int]) -> Served:
    """Return what the answer's headers say."""
    cost = tab.charge if tab else None
    return Served(
        alias=prepared.route.alias,
        place=attempt.deployment.place,
        masked=prepared.cleared.masked,
        cost=f"{decimal_of(cost.nano):f} {cost.currency}" if cost else None,
        clamped_to=attempt.output_cap if attempt.clamped else None,
        marks=tuple(sorted(prepared.decision.obligations.marks)),
        disclose_ai=prepared.decision.obligations.disclose_ai,
        degraded=told(steps) if steps else None,
    )
