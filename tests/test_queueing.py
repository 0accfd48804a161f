"""Lines: first come first served, one who asks, and nobody left behind."""

from __future__ import annotations

import asyncio

import pytest

from gateway.queueing import MOST_WAITING, Lines


async def test_only_the_head_asks_and_the_next_one_follows() -> None:
    """A settle wakes the head; who leaves lets the next one up."""
    lines = Lines()
    asked: list[str] = []
    leave = {name: asyncio.Event() for name in "abc"}

    async def wait(name: str) -> None:
        with lines.join("scope") as place:
            assert place is not None
            while not leave[name].is_set():
                await place.turn()
                asked.append(name)

    tasks = {}
    for i, name in enumerate("abc"):
        tasks[name] = asyncio.ensure_future(wait(name))
        while lines.waiting("scope") < i + 1:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0)
    for name in "abc":
        leave[name].set()
        lines.settled()
        async with asyncio.timeout(20):
            await tasks[name]
    assert set(asked) == set("abc")
    assert asked == sorted(asked)  # nobody asked before those who came earlier had left
    assert lines.waiting("scope") == 0
    assert not lines.anybody(["scope"])


async def test_who_is_cancelled_leaves_at_once() -> None:
    """Head or not."""
    lines = Lines()

    async def wait() -> None:
        with lines.join("scope") as place:
            assert place is not None
            while True:
                await place.turn()

    first, second = asyncio.ensure_future(wait()), asyncio.ensure_future(wait())
    while lines.waiting("scope") < 2:  # noqa: ASYNC110 (as above)
        await asyncio.sleep(0)
    assert lines.anybody(["other", "scope"])
    for task in (first, second):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert lines.waiting("scope") == 0


async def test_lines_are_apart_and_have_an_end() -> None:
    """A full line takes no more; another scope has its own."""
    lines = Lines()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.queueing.MOST_WAITING", 1)
        with lines.join("one") as first, lines.join("one") as second, lines.join("two") as other:
            assert first is not None
            assert second is None
            assert other is not None
            assert (lines.waiting("one"), lines.waiting("two")) == (1, 1)
    assert lines.waiting("one") == 0
    assert MOST_WAITING > 1
