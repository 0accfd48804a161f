"""The clock of a try ends it, and is never confused with somebody else who does."""

from __future__ import annotations

import asyncio
from types import TracebackType

import pytest

from gateway.adapters.memory_upstream import MemoryUpstream
from gateway.timing import Opened, within

MS = 1_000_000


async def test_a_block_that_takes_too_long_ends_as_a_timeout() -> None:
    """The task goes on after it: the cancellation is taken back."""
    with pytest.raises(TimeoutError):  # noqa: SIM117 (the clock is what raises)
        with within(5 * MS):
            await asyncio.sleep(60)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_block_in_time_is_left_alone() -> None:
    """Nothing rings later."""
    with within(5 * MS):
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)


async def test_no_time_left_still_ends_the_block() -> None:
    """A deadline that is over already is a timeout, not an error."""
    with pytest.raises(TimeoutError):  # noqa: SIM117 (the clock is what raises)
        with within(-MS):
            await asyncio.sleep(60)


async def test_a_failure_inside_comes_out_as_itself() -> None:
    """The clock hides nothing."""
    with pytest.raises(ValueError, match="mine"):  # noqa: SIM117 (the clock is left by it)
        with within(60_000 * MS):
            raise ValueError("mine")


async def test_who_leaves_is_not_late() -> None:
    """A caller that goes away cancels: that stays a cancellation."""

    async def work() -> None:
        with within(60_000 * MS):
            await asyncio.sleep(60)

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_leaves_while_time_is_over_has_left() -> None:
    """Both at once: the cancellation from outside is not lost."""

    async def work() -> None:
        with within(5 * MS):
            try:
                await asyncio.sleep(60)
            finally:
                task.cancel()  # somebody else, after the clock rang

    task = asyncio.ensure_future(work())
    with pytest.raises(asyncio.CancelledError):
        await task


class Context:
    """An exchange's context that counts."""

    def __init__(self, *, fails: bool = False) -> None:
        self.left = 0
        self.fails = fails

    async def __aenter__(self) -> MemoryUpstream:
        if self.fails:
            raise ValueError("not entered")
        return MemoryUpstream()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.left += 1


async def test_an_exchange_is_left_once() -> None:
    """Whatever ends a try, the vendor's work is ended exactly once."""
    context = Context()
    opened = Opened()
    await opened.enter(context)  # type: ignore[arg-type]  # any context will do here
    await opened.aclose()
    await opened.aclose()
    assert context.left == 1


async def test_what_was_not_entered_is_not_left() -> None:
    """An exchange that never opened has nothing to end."""
    context = Context(fails=True)
    opened = Opened()
    with pytest.raises(ValueError, match="not entered"):
        await opened.enter(context)  # type: ignore[arg-type]  # any context will do here
    await opened.aclose()
    assert context.left == 0
