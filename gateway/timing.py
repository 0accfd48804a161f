"""Ending what takes too long, and ending it once.

:class:`within` is :func:`asyncio.timeout` at a third of its cost, since every call passes
here; :class:`Opened` is what an exit stack is for one exchange; :class:`Bell` ends a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from gateway.core.errors import Code, Refusal, UpstreamFailed
from gateway.core.values import Event
from gateway.ports import Exchange

_LEAST_S = 0.001


class within:  # noqa: N801 (it reads as the statement that it is: `with within(left):`)
    """Cancel the running task when ``left`` nanoseconds are over; leaving raises TimeoutError then.

    INVARIANT: a cancellation by somebody else is never taken for the end of time, nor lost.
    """

    __slots__ = ("_before", "_left_s", "_rung", "_task", "_timer")

    def __init__(self, left: int) -> None:
        """Give what the block inside has left; it gets a millisecond at least."""
        self._left_s = max(_LEAST_S, left / 1e9)
        self._rung = False

    def __enter__(self) -> Self:
        """Start the clock. Raises RuntimeError outside a task."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("time can only be limited within a task")
        self._task = task
        self._before = task.cancelling()
        self._timer = asyncio.get_running_loop().call_later(self._left_s, self._ring)
        return self

    def _ring(self) -> None:
        self._rung = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the clock. Raises TimeoutError if it was this that ended the block."""
        self._timer.cancel()
        # As asyncio's: our cancellation is taken back, and counts only if it is the only one.
        if self._rung and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error


class Opened:
    """An exchange that may be open: entered at most once, left once."""

    __slots__ = ("_context",)

    def __init__(self) -> None:
        """Start with none."""
        self._context: AbstractAsyncContextManager[Exchange] | None = None

    async def enter(self, context: AbstractAsyncContextManager[Exchange]) -> Exchange:
        """Enter the exchange; what raises here is not open."""
        exchange = await context.__aenter__()
        self._context = context
        return exchange

    async def aclose(self) -> None:
        """End the exchange and the vendor's work; later calls do nothing."""
        context, self._context = self._context, None
        if context is not None:
            await context.__aexit__(None, None, None)


class Bell:
    """Rings once when time is over, or earlier, and wakes the task that waits then."""

    __slots__ = ("_rung", "_timer", "waiting", "why")

    def __init__(self, left_s: float) -> None:
        """Ring in ``left_s`` seconds."""
        self._rung = False
        self.why: UpstreamFailed | None = None
        self.waiting: asyncio.Task[object] | None = None
        self._timer = asyncio.get_running_loop().call_later(max(0.0, left_s), self.ring)

    def ring(self, why: UpstreamFailed | None = None) -> None:
        """Ring now, for a reason other than time if one is given. Later calls do nothing."""
        if self._rung:
            return
        self._rung = True
        self.why = why
        if self.waiting is not None:
            self.waiting.cancel()

    def rung(self) -> bool:
        """Whether time is over."""
        return self._rung

    def stop(self) -> None:
        """Never ring."""
        self._timer.cancel()


async def in_time(events: AsyncIterator[Event], bell: Bell) -> AsyncGenerator[Event, None]:
    """Yield the events as they come; raise UpstreamFailed once the bell has rung.

    Also while none comes: a vendor that says nothing, or only comments, is ended too. One
    timer for the whole stream instead of a timeout per event, which would cost as much as
    the metering.
    """
    try:
        while not bell.rung():
            task = bell.waiting = asyncio.current_task()
            try:
                event = await anext(events)
            except StopAsyncIteration:
                return
            except asyncio.CancelledError:
                # The bell's, unless somebody else cancelled too: then theirs is the one that counts.
                if bell.rung() and task is not None and task.uncancel() == 0:
                    break
                raise
            finally:
                bell.waiting = None
            yield event
    finally:
        bell.stop()
    raise bell.why or overall_timeout()


def overall_timeout() -> UpstreamFailed:
    """Return the failure of a try that outlasted the route's overall time."""
    return UpstreamFailed(
        Refusal(
            code=Code.UPSTREAM_TIMEOUT,
            message="The model did not finish within this route's time (`timeout_ms`).",
            retry_after=5,
        ),
        retryable=False,
        sent=True,
    )
