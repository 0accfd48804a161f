"""Terms and running replies: what is held, how it is topped up, and how a budget ends a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.memory_upstream import Scripted
from gateway.api.sse import encode
from gateway.attempts import STEP, Bell, Terms, in_time, terms
from gateway.core.errors import Code, UpstreamFailed
from gateway.core.snapshot import Snapshot
from gateway.core.values import Event
from tests.core.test_clear import cleared_call
from tests.spine import NOW, Spine, read, snapshot, stream


async def test_a_stream_that_falls_silent_is_ended_in_time() -> None:
    """No event comes any more, and nothing else looks at the clock: the bell ends the waiting."""
    seen = []

    async def events() -> AsyncIterator[Event]:
        yield Event(name=None, data={})
        await asyncio.Event().wait()

    async def read_all() -> None:
        async for event in in_time(events(), Bell(0.03)):
            seen.append(event)  # noqa: PERF401 (what came before the end is what is looked at)

    with pytest.raises(UpstreamFailed) as late:
        await read_all()
    assert late.value.refusal.code is Code.UPSTREAM_TIMEOUT
    assert len(seen) == 1
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_client_that_leaves_is_not_taken_for_the_end_of_time() -> None:
    """A cancellation from outside stays one."""

    async def events() -> AsyncIterator[Event]:
        await asyncio.Event().wait()
        yield Event(name=None, data={})

    async def wait() -> None:
        async for _ in in_time(events(), Bell(60.0)):
            pass

    waiting = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.fixture
def compiled(tmp_path: Path) -> Snapshot:
    """The bank's snapshot."""
    return snapshot(tmp_path)


def stoppable(compiled: Snapshot) -> Snapshot:
    """The same bank, where the deployment stops billing when the stream is hung up."""
    ca = replace(
        compiled.deployments["ca"],
        stops_billing_on_disconnect=True,
        abort_lag_tokens=64,
        max_output_tokens=100_000,
    )
    return replace(compiled, deployments={**compiled.deployments, "ca": ca})


def test_output_is_the_smallest_of_what_is_asked_allowed_and_given(compiled: Snapshot) -> None:
    """100 asked, 4,000 allowed by rule, 1,000 by the deployment: 100 are held."""
    agreed = terms(cleared_call(compiled), "ca", compiled, at=NOW)
    assert isinstance(agreed, Terms)
    assert agreed.output_cap == agreed.held_output == 100
    assert not agreed.clamped
    assert all(want.amount > 0 for want in agreed.wants)


def test_more_than_the_deployment_gives_is_clamped_visibly(compiled: Snapshot) -> None:
    """5,000 asked of a deployment that gives 1,000."""
    spine = Spine(compiled)
    cleared = cleared_call(compiled)
    asked = replace(cleared, body={**spine.call().body, "max_tokens": 5000})
    agreed = terms(asked, "ca", compiled, at=NOW)
    assert isinstance(agreed, Terms)
    assert (agreed.output_cap, agreed.clamped) == (1000, True)


def test_choices_multiply_the_hold(compiled: Snapshot) -> None:
    """n=3 holds three answers and sends the cap of one."""
    cleared = cleared_call(compiled)
    three = replace(cleared, body={**cleared.body, "n": 3})
    agreed = terms(three, "ca", compiled, at=NOW)
    assert isinstance(agreed, Terms)
    assert (agreed.output_cap, agreed.whole_output) == (100, 300)


async def test_a_long_stream_is_topped_up_and_served(compiled: Snapshot) -> None:
    """Held in steps: a stream longer than the first step is served whole within the budget."""
    spine = Spine(stoppable(compiled))
    words = ["a few more words "] * (4 * STEP // 17)
    spine.upstream.script("ca", Scripted(events=stream(*words)))
    reply = await spine.pipeline.handle(spine.call(model="only-ca", stream=True, body={"max_tokens": 50_000}))
    await read(reply)
    assert spine.records()[0]["outcome"] == "served"
    assert "attempt.top_up" in spine.kinds()
    assert spine.budgets.held == 0


async def test_a_budget_that_ends_ends_the_stream_in_good_order(tmp_path: Path) -> None:
    """A refused top-up: finish_reason ``length``, the extension says budget, booked at the hold."""
    teams: dict[str, Any] = {
        "org": "maple-bank", "timezone": "America/Toronto", "currency": "CAD",
        "teams": {
            "branch": {
                "budget": {"per": "month", "tokens": 2 * STEP + 600},
                "apps": {"teller": {"data": ["client"], "models": ["only-ca"]}},
            },
            "lab": {"apps": {"hackathon": {"data": ["public"], "models": ["only-ca"]}}},
        },
    }  # fmt: skip
    spine = Spine(stoppable(snapshot(tmp_path, teams=teams)))
    spine.upstream.script("ca", Scripted(events=stream(*["a few more words "] * 400)))
    call = spine.call(model="only-ca", stream=True, size=300, body={"max_tokens": 50_000})
    events = await read(await spine.pipeline.handle(call))
    finishes = [
        e.data["choices"][0]["finish_reason"]  # type: ignore[index]
        for e in events
        if e.data and e.data.get("choices")
    ]
    assert [f for f in finishes if f] == ["length"]
    assert any(e.data and "borderpost" in e.data for e in events)
    assert events[-1].data is None
    (record,) = spine.records()
    assert record["outcome"] == "budget_exceeded"
    assert record["attempt"]["status"] == "cut"
    assert record["attempt"]["estimated"] is True
    assert spine.upstream.open_now == 0


async def test_a_budget_that_ends_shows_no_raw_text_in_the_last_events(tmp_path: Path) -> None:
    """Last events may repeat the whole text: what is masked stays masked, what was held comes first."""
    sin = "046 " + "454 " + "286"
    teams: dict[str, Any] = {
        "org": "maple-bank", "timezone": "America/Toronto", "currency": "CAD",
        "teams": {
            "branch": {
                "budget": {"per": "month", "tokens": 2 * STEP + 600},
                "apps": {"teller": {"data": ["client"], "models": ["only-ca"]}},
            },
            "lab": {"apps": {"hackathon": {"data": ["public"], "models": ["only-ca"]}}},
        },
    }  # fmt: skip
    spine = Spine(stoppable(snapshot(tmp_path, teams=teams)))
    spine.upstream.script("ca", Scripted(events=stream(*[f"the SIN is {sin} and more "] * 400)))
    call = spine.call(model="only-ca", stream=True, size=300, body={"max_tokens": 50_000})
    events = await read(await spine.pipeline.handle(call))
    assert spine.records()[0]["outcome"] == "budget_exceeded"
    said = encode(events).decode()
    assert "[SIN]" in said
    assert "454" not in said
