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
from gateway.attempts import STEP, Terms, terms
from gateway.core.errors import Code, GatewayError, UpstreamFailed
from gateway.core.snapshot import Snapshot
from gateway.core.values import Event, Surface
from gateway.timing import Bell, in_time
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


def branch(budget: dict[str, object]) -> dict[str, Any]:
    """Teams where the branch has this budget and nobody else one."""
    return {
        "org": "maple-bank", "timezone": "America/Toronto", "currency": "CAD",
        "teams": {
            "branch": {"budget": budget, "apps": {"teller": {"data": ["client"], "models": ["only-ca"]}}},
            "lab": {"apps": {"hackathon": {"data": ["public"], "models": ["only-ca"]}}},
        },
    }  # fmt: skip


LONG = ["a few more words "] * 400  # 6,800 bytes, so at most as many tokens


async def test_a_stream_finishes_inside_a_declared_overdraft(tmp_path: Path) -> None:
    """The budget has no more, the overdraft has: served whole, booked visibly; the next call is refused."""
    teams = branch({"per": "month", "tokens": 2 * STEP + 600, "overdraft": {"up_to": 50_000}})
    spine = Spine(stoppable(snapshot(tmp_path, teams=teams)))
    usage = {"prompt_tokens": 100, "completion_tokens": 3_900, "total_tokens": 4_000}
    events = stream(*LONG)
    assert events[-2].data is not None
    events[-2].data["usage"] = usage
    spine.upstream.script("ca", Scripted(events=events))
    got = await read(await spine.pipeline.handle(spine.call(model="only-ca", stream=True, body=ASKED)))
    said = "".join(
        str(e.data["choices"][0]["delta"].get("content", ""))  # type: ignore[index]
        for e in got
        if e.data and e.data.get("choices")
    )
    assert said == "".join(LONG)
    (record,) = spine.records()
    assert record["outcome"] == "served"
    beyond = int(record["attempt"]["overdraft"]["team:branch:tokens"])
    assert record["attempt"]["overrun"] is False
    assert spine.telemetry.counted("overdraft") == 1
    ((key, spent),) = [(k, v) for k, v in spine.budgets.windows.spent.items() if k[0] == "team:branch:tokens"]
    assert spent == 4_000
    assert 4_000 - (2 * STEP + 600) <= beyond < 4_000
    assert spine.budgets.windows.held[key] == 0
    assert spine.budgets.held == 0
    with pytest.raises(GatewayError) as stop:  # an overdraft lets finish, not begin
        await spine.pipeline.handle(spine.call(model="only-ca"))
    told = stop.value.refusal.extension
    assert stop.value.refusal.code is Code.BUDGET_EXCEEDED
    assert (told["overdraft"], told["overdrawn"]) == ("50000", str(4_000 - (2 * STEP + 600)))


ASKED = {"max_tokens": 50_000}


async def test_an_overdraft_has_an_end_too(tmp_path: Path) -> None:
    """A small one is used up: the stream is cut in good order, and never beyond it."""
    up_to = STEP + 100
    teams = branch({"per": "month", "tokens": 2 * STEP + 600, "overdraft": {"up_to": up_to}})
    spine = Spine(stoppable(snapshot(tmp_path, teams=teams)))
    spine.upstream.script("ca", Scripted(events=stream(*LONG)))
    await read(await spine.pipeline.handle(spine.call(model="only-ca", stream=True, body=ASKED)))
    (record,) = spine.records()
    assert record["attempt"]["status"] == "cut"
    ((_, spent),) = [(k, v) for k, v in spine.budgets.windows.spent.items() if k[0] == "team:branch:tokens"]
    assert 2 * STEP + 600 < spent <= 2 * STEP + 600 + up_to
    assert spine.budgets.held == 0


async def test_every_level_must_let_it(tmp_path: Path) -> None:
    """The team's overdraft does not pass the organisation's limit."""
    teams = branch({"per": "month", "tokens": 2 * STEP + 600, "overdraft": {"up_to": 50_000}})
    teams["budget"] = {"per": "month", "tokens": 3 * STEP + 600}
    spine = Spine(stoppable(snapshot(tmp_path, teams=teams)))
    spine.upstream.script("ca", Scripted(events=stream(*LONG)))
    await read(await spine.pipeline.handle(spine.call(model="only-ca", stream=True, body=ASKED)))
    (record,) = spine.records()
    assert record["attempt"]["status"] == "cut"
    spent = {k[0]: v for k, v in spine.budgets.windows.spent.items()}
    assert spent["org:maple-bank:tokens"] <= 3 * STEP + 600
    assert spine.budgets.held == 0


@pytest.mark.parametrize(
    ("surface", "ends"),
    [
        (Surface.CHAT, ("length", None)),
        (Surface.MESSAGES, ("max_tokens", "message_stop")),
        (Surface.RESPONSES, ("incomplete", "response.incomplete")),
    ],
)
async def test_a_refused_top_up_ends_each_surface_in_its_own_way(
    tmp_path: Path, surface: Surface, ends: tuple[str, str | None]
) -> None:
    """The surface's own terminal event, and the extension that says `budget`: half an answer shown as one."""
    spine = Spine(stoppable(snapshot(tmp_path, teams=branch({"per": "month", "tokens": 2 * STEP + 900}))))
    asked: dict[str, object] = {"max_tokens": 50_000}
    if surface is Surface.RESPONSES:
        asked = {"input": "hello", "max_output_tokens": 50_000}
    spine.upstream.script("ca", Scripted(events=speech(surface)))
    call = spine.call(model="only-ca", stream=True, size=300, body=asked, surface=surface)
    events = await read(await spine.pipeline.handle(call))
    whole = b"".join([encode([event]) for event in events]).decode()
    assert f'"{ends[0]}"' in whole
    assert '"budget"' in whole
    last = [event for event in events if event.data is not None][-1]
    if ends[1] is not None:
        assert last.data is not None
        assert last.data["type"] == ends[1]
    assert spine.records()[0]["attempt"]["status"] == "cut"
    assert spine.budgets.held == 0


def speech(surface: Surface) -> list[Event]:
    """A long streamed answer in a surface's own dialect, without its end."""
    if surface is Surface.CHAT:
        return stream(*LONG)
    if surface is Surface.MESSAGES:
        usage = {"input_tokens": 9, "output_tokens": 1}
        start: dict[str, object] = {"id": "msg_1", "type": "message", "role": "assistant", "usage": usage}
        opening: list[dict[str, object]] = [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ]
        deltas: list[dict[str, object]] = [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in LONG
        ]
        return [Event(name=str(each["type"]), data=each) for each in [*opening, *deltas]]
    response: dict[str, object] = {
        "id": "resp_1",
        "object": "response",
        "status": "in_progress",
        "output": [],
    }
    item: dict[str, object] = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
    said: list[dict[str, object]] = [
        {"type": "response.created", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0,
         "part": {"type": "output_text", "text": "", "annotations": []}},
        *(
            {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0,
             "delta": word}
            for word in LONG
        ),
    ]  # fmt: skip
    return [Event(name=str(each["type"]), data={**each, "sequence_number": i}) for i, each in enumerate(said)]


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
