"""The pool: whatever a child does wrong costs one call its answer, and is healed."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.adapters.detectors.presidio import PROSE, PresidioPool
from gateway.ports import DetectorUnavailable, Text

FAKE = Path(__file__).with_name("fake_child.py")


@asynccontextmanager
async def pool(tmp_path, how, **more):
    state = tmp_path / "log"
    made = PresidioPool(
        command=[sys.executable, str(FAKE), how, str(state)], **{"timeout_ms": 10_000, **more}
    )
    await made.start()
    try:
        yield made, lambda: state.read_text().split()
    finally:
        await made.close()


async def ask(detector, text):
    return await detector.detect([Text(text=text)], PROSE)


async def healed(detector):
    for n in range(200):
        try:
            return await ask(detector, f"fine {n}")
        except DetectorUnavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("not healed")


@pytest.mark.parametrize(
    "how", ["dies", "garbage", "huge", "other_id", "outside", "other_kind", "too_few", "not_json_object"]
)
async def test_a_wrong_answer_is_no_answer(tmp_path, how):
    """A dead or garbled child makes the call unavailable, never "nothing found"; a new child serves."""
    async with pool(tmp_path, how) as (detector, log):
        assert await ask(detector, "fine") != [[]]
        with pytest.raises(DetectorUnavailable):
            await ask(detector, "bad")
        assert await healed(detector) != [[]]
        assert log().count("start") == 2


async def test_a_slow_child_is_replaced(tmp_path):
    """A request has its time, not more; the child that owes an answer is not asked again."""
    async with pool(tmp_path, "slow", timeout_ms=300) as (detector, log):
        with pytest.raises(DetectorUnavailable, match="slow"):
            await ask(detector, "bad")
        assert await healed(detector) != [[]]
        assert log().count("start") == 2


async def test_a_caller_that_goes_away_leaves_no_answer_behind(tmp_path):
    """After a cancelled request the next one gets its own answer from another child."""
    async with pool(tmp_path, "slow") as (detector, log):
        going = asyncio.create_task(ask(detector, "bad"))
        while "ask" not in log():  # noqa: ASYNC110 (the event is another process's)
            await asyncio.sleep(0.01)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        assert await healed(detector) != [[]]


async def test_back_pressure(tmp_path):
    """Beyond the queue's length a request is refused at once."""
    async with pool(tmp_path, "slow", waiting=2, timeout_ms=3_000) as (detector, _):
        first = [asyncio.create_task(ask(detector, f"bad {n}")) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(DetectorUnavailable, match="too many"):
            await ask(detector, "fine")
        for task in first:
            task.cancel()
        await asyncio.gather(*first, return_exceptions=True)


async def test_a_resent_history_is_analysed_once(tmp_path):
    """Texts seen before are answered from the cache, per set of kinds and per context."""
    async with pool(tmp_path, "fine") as (detector, log):
        first = await ask(detector, "Jane")
        assert await ask(detector, "Jane") == first
        assert log().count("ask") == 1
        await detector.detect([Text(text="Jane", context="name")], PROSE)
        await detector.detect([Text(text="Jane")], frozenset({"person"}))
        assert log().count("ask") == 3
        assert "Jane" not in repr(vars(detector))


async def test_the_cache_is_bounded(tmp_path):
    """No more results are kept than asked for, the oldest go first."""
    async with pool(tmp_path, "fine", cached=3) as (detector, log):
        for n in range(5):
            await ask(detector, f"text {n}")
        assert len(detector._cache) == 3
        await ask(detector, "text 4")
        assert log().count("ask") == 5
        await ask(detector, "text 0")
        assert log().count("ask") == 6


async def test_a_pool_that_cannot_start_says_so(tmp_path):
    """A failed self-test or a silent child refuses start-up."""
    made = PresidioPool(command=[sys.executable, str(FAKE), "never_ready", str(tmp_path / "log")])
    with pytest.raises(DetectorUnavailable, match="no model"):
        await made.start()
    silent = PresidioPool(
        command=[sys.executable, str(FAKE), "silent", str(tmp_path / "log")], start_timeout_s=0.5
    )
    with pytest.raises(DetectorUnavailable, match="does not start"):
        await silent.start()
    assert made.alive == silent.alive == 0


async def test_unknown_kinds_are_refused():
    """A pool for a kind that nothing finds would fail open."""
    with pytest.raises(ValueError, match="`nme`"):
        PresidioPool(frozenset({"nme"}))
