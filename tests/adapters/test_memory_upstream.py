"""The in-memory twin of the upstreams keeps what was sent and plays its script."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters.memory_upstream import MemoryUpstream, Scripted
from gateway.core.errors import Code, Refusal, UpstreamFailed
from gateway.core.values import Attempt
from tests.core.test_clear import attempt
from tests.spine import completion, snapshot, stream


@pytest.fixture
def cleared(tmp_path: Path) -> Attempt:
    """A cleared attempt at ``ca``."""
    made = attempt(snapshot(tmp_path), "ca")
    assert isinstance(made, Attempt)
    return made


async def test_it_answers_and_counts_what_is_open(cleared: Attempt) -> None:
    """Open while entered, closed after, and what was sent is kept."""
    twin = MemoryUpstream()
    twin.script("ca", Scripted(reply=completion("hi")))
    async with twin.open(cleared) as exchange:
        assert twin.open_now == 1
        assert (await exchange.body())["id"] == "chatcmpl-1"
    assert twin.open_now == 0
    assert twin.sent == [cleared]


async def test_it_breaks_as_told(cleared: Attempt) -> None:
    """A stream gives its events and then the failure."""
    broken = UpstreamFailed(Refusal(code=Code.UPSTREAM_GARBLED, message="x"), retryable=False, sent=True)
    twin = MemoryUpstream()
    twin.script("ca", Scripted(events=stream("a"), breaks=broken))
    seen = []
    async with twin.open(cleared) as exchange:
        events = exchange.events()
        seen += [await anext(events) for _ in stream("a")]
        with pytest.raises(UpstreamFailed):
            await anext(events)
    assert len(seen) == len(stream("a"))


async def test_a_failure_before_sending_sent_nothing(cleared: Attempt) -> None:
    """A refused connection is not among what was sent."""
    twin = MemoryUpstream()
    failed = UpstreamFailed(Refusal(code=Code.UPSTREAM_UNAVAILABLE, message="x"), retryable=True, sent=False)
    twin.script("ca", Scripted(failure=failed))
    with pytest.raises(UpstreamFailed):
        await twin.open(cleared).__aenter__()
    assert twin.sent == []
