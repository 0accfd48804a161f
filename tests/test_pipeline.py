"""The spine on in-memory twins: the order of steps, and one record and no hold left on every exit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.detectors.memory import ScriptedDetector
from gateway.adapters.memory_upstream import Scripted
from gateway.core.errors import Code, GatewayError, Refusal, UpstreamFailed
from gateway.core.values import Surface
from gateway.pipeline import ReplyStream
from tests.acceptance import bank
from tests.spine import NOW, Spine, Vendorless, chunk, completion, content, read, snapshot, stream

SIN = "046 " + "454 " + "286"


@pytest.fixture
def spine(tmp_path: Path) -> Spine:
    """A fresh spine over the bank's bundle."""
    return Spine(snapshot(tmp_path))


def vendor_down(*, sent: bool = False, retryable: bool = True) -> UpstreamFailed:
    """A try that failed."""
    return UpstreamFailed(
        Refusal(code=Code.UPSTREAM_UNAVAILABLE, message="down"), retryable=retryable, sent=sent
    )


async def test_a_served_call_writes_intent_then_record_and_returns_its_hold(spine: Spine) -> None:
    """Intent before the first byte, one record with the outcome, hold settled to what was used."""
    spine.upstream.script("ca", Scripted(reply=completion()))
    reply = await spine.pipeline.handle(spine.call())
    assert content(reply) == "fine"
    assert spine.kinds() == ["writer.open", "attempt.intent", "call.record"]
    (record,) = spine.records()
    assert record["outcome"] == "served"
    assert record["attempt"]["usage"]["output"] == 5
    assert record["attempt"]["estimated"] is False
    assert spine.budgets.held == 0
    assert reply.served.place == "CA-QC"


async def test_the_vendor_sees_the_redacted_body_only(spine: Spine) -> None:
    """What reaches the upstream port is the cleared body: the SIN is not in it."""
    spine.upstream.script("ca", Scripted(reply=completion()))
    reply = await spine.pipeline.handle(spine.call(f"my SIN is {SIN}"))
    (attempt,) = spine.upstream.sent
    assert SIN not in str(attempt.cleared.body)
    assert reply.served.masked == {"sin": 1}


async def test_a_refused_call_sends_nothing_and_is_recorded_once(spine: Spine) -> None:
    """Client data on a US route: refused, one record, no intent, nothing sent."""
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(spine.call(model="chat-pro"))
    assert stop.value.refusal.code is Code.POLICY_REFUSED
    assert spine.upstream.sent == []
    assert spine.kinds() == ["writer.open", "call.record"]
    assert spine.records()[0]["outcome"] == "policy_refused"


async def test_a_fallback_stays_inside_the_permitted_set(spine: Spine) -> None:
    """The first Canadian deployment fails: the second answers; both tries are in the journal."""
    spine.upstream.script("ca", Scripted(failure=vendor_down()))
    spine.upstream.script("ca_on", Scripted(reply=completion("from Ontario")))
    reply = await spine.pipeline.handle(spine.call(model="everywhere"))
    assert content(reply) == "from Ontario"
    assert [a.deployment.id for a in spine.upstream.sent] == ["ca_on"]
    assert spine.kinds() == [
        "writer.open", "attempt.intent", "attempt.outcome", "attempt.intent", "call.record",
    ]  # fmt: skip
    assert spine.budgets.held == 0


async def test_a_try_that_reached_the_vendor_is_booked_at_its_hold(spine: Spine) -> None:
    """A timeout after sending: the ledger books the bound, estimated; a refused connection, nothing."""
    spine.upstream.script("ca", Scripted(failure=vendor_down(sent=True, retryable=False)))
    with pytest.raises(GatewayError):
        await spine.pipeline.handle(spine.call(model="only-ca"))
    outcome: Any = next(e.data for e in spine.journal.entries if e.kind == "attempt.outcome")
    assert outcome["estimated"] is True
    assert int(outcome["charge"]["nano"]) > 0

    spine.upstream.script("ca", Scripted(failure=vendor_down(retryable=False)))
    with pytest.raises(GatewayError):
        await spine.pipeline.handle(spine.call(model="only-ca"))
    later: Any = [e.data for e in spine.journal.entries if e.kind == "attempt.outcome"][-1]
    assert later["estimated"] is False
    assert later["charge"]["nano"] == "0"


async def test_a_stream_is_settled_and_recorded_at_its_end(spine: Spine) -> None:
    """Streamed: the text as sent, usage hidden unless asked for, booked from the usage event."""
    spine.upstream.script("ca", Scripted(events=stream("Hel", "lo")))
    reply = await spine.pipeline.handle(spine.call(stream=True))
    assert spine.records() == []
    events = await read(reply)
    said = "".join(
        str(e.data["choices"][0]["delta"].get("content", ""))  # type: ignore[index]
        for e in events
        if e.data and e.data.get("choices")
    )
    assert said == "Hello"
    assert not any(e.data and e.data.get("usage") for e in events)
    (record,) = spine.records()
    assert record["outcome"] == "served"
    assert record["attempt"]["usage"]["output"] == 5
    assert spine.budgets.held == 0


@pytest.mark.parametrize("read_first", [0, 1, 2])
async def test_a_client_that_leaves_a_stream_is_booked_at_the_hold(spine: Spine, read_first: int) -> None:
    """Closing a stream before or after its first event ends the vendor's work and books the hold."""
    spine.upstream.script("ca", Scripted(events=stream(*["some words and "] * 40)))
    reply = await spine.pipeline.handle(spine.call(stream=True))
    assert isinstance(reply.body, ReplyStream)
    events = aiter(reply.body)
    for _ in range(read_first):
        await anext(events)
    await events.aclose()
    await reply.body.aclose()
    (record,) = spine.records()
    assert record["outcome"] == "abandoned"
    assert record["attempt"]["estimated"] is True
    assert spine.budgets.held == 0
    assert spine.upstream.open_now == 0


async def test_a_stream_that_breaks_ends_with_the_surfaces_error(spine: Spine) -> None:
    """A vendor that dies mid-stream: an error event, one record that says so, no hold left."""
    broken = vendor_down(sent=True, retryable=False)
    spine.upstream.script("ca", Scripted(events=[chunk("some words and ")] * 40, breaks=broken))
    events = await read(await spine.pipeline.handle(spine.call(stream=True)))
    assert any(e.data and "error" in e.data for e in events)
    (record,) = spine.records()
    assert record["outcome"] == "upstream_unavailable"
    assert spine.budgets.held == 0


async def test_a_journal_that_cannot_be_written_lets_nothing_leave(spine: Spine) -> None:
    """Intent before sending: no journal, no egress, and the hold is returned."""
    spine.journal.failing = True
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(spine.call())
    assert stop.value.refusal.code is Code.JOURNAL_UNAVAILABLE
    assert spine.upstream.sent == []
    assert spine.budgets.held == 0


async def test_a_detector_that_is_down_lets_nothing_leave(tmp_path: Path) -> None:
    """A dead detector is a 503, and nothing is sent."""
    detector = ScriptedDetector({}, extra=frozenset({"sin", "card", "email"}))
    detector.down = True
    spine = Spine(snapshot(tmp_path), detector=detector)
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(spine.call())
    assert stop.value.refusal.code is Code.DETECTOR_UNAVAILABLE
    assert spine.upstream.sent == []
    assert spine.records()[0]["outcome"] == "detector_unavailable"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancelled_call_is_recorded_and_holds_nothing(spine: Spine, streamed: bool) -> None:
    """Cancelled while the vendor thinks: one record, booked at the hold, the exchange closed."""
    entered = asyncio.Event()

    async def hang() -> None:
        entered.set()
        await asyncio.Event().wait()

    original = spine.upstream.open

    def opens(attempt: Any) -> Any:
        manager = original(attempt)

        class Hanging:
            async def __aenter__(self) -> Any:
                exchange = await manager.__aenter__()
                await hang()
                return exchange

            async def __aexit__(self, *exc: object) -> Any:
                return await manager.__aexit__(*exc)

        return Hanging()

    spine.upstream.open = opens  # type: ignore[method-assign]  # a vendor that thinks for ever
    work = asyncio.ensure_future(spine.pipeline.handle(spine.call(stream=streamed)))
    await entered.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    (record,) = spine.records()
    assert record["outcome"] == "abandoned"
    assert record["attempt"]["estimated"] is True
    assert spine.budgets.held == 0


async def test_a_reload_between_tries_decides_anew(tmp_path: Path) -> None:
    """The second try of a call is cleared under the snapshot current at its start."""
    spine = Spine(snapshot(tmp_path / "before"))
    narrower = snapshot(
        tmp_path / "after",
        routes={
            "routes": {
                "chat": {"try": ["ca", "us"]},
                "chat-pro": {"try": ["us"]},
                "everywhere": {"try": ["us"]},
                "only-ca": {"try": ["ca"]},
                "only-ca-on": {"try": ["ca_on"]},
                "only-us": {"try": ["us"]},
            }
        },
    )

    spine.upstream.script("ca", Scripted(failure=vendor_down()))
    real = spine.upstream.open

    def opens(attempt: Any) -> Any:
        spine.snapshot = narrower
        return real(attempt)

    spine.upstream.open = opens  # type: ignore[method-assign]  # reloads while the first try is out
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(spine.call(model="everywhere"))
    assert stop.value.refusal.code is Code.POLICY_REFUSED
    assert [a.deployment.id for a in spine.upstream.sent] == []
    assert spine.records()[0]["snapshot"] == narrower.hash


async def test_facts_that_expire_stop_the_next_call(spine: Spine) -> None:
    """Ten years on, every fact is stale: refused."""
    spine.clock.advance(seconds=3650 * 86400)
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(spine.call(received=NOW))
    assert stop.value.refusal.code is Code.POLICY_REFUSED
    assert spine.upstream.sent == []


async def test_observed_once_per_call_and_without_content(spine: Spine) -> None:
    """Telemetry hears of each call once, and never of its text."""
    spine.upstream.script("ca", Scripted(reply=completion()))
    await spine.pipeline.handle(spine.call("a very particular sentence"))
    with pytest.raises(GatewayError):
        await spine.pipeline.handle(spine.call(model="chat-pro"))
    outcomes = [seen.outcome for seen in spine.telemetry.seen]
    assert outcomes == ["served", "policy_refused"]
    assert "particular" not in str(spine.telemetry.seen)


async def test_tokens_are_counted_here_where_no_vendor_can(spine: Spine) -> None:
    """count_tokens on an OpenAI-compatible model: an estimate, nothing sent, one record."""
    body = {"model": "only-ca", "messages": [{"role": "user", "content": "hello there"}]}
    reply = await spine.pipeline.handle(spine.call(surface=Surface.COUNT_TOKENS, model="only-ca", body=body))
    assert isinstance(reply.body, dict)
    assert reply.body["input_tokens"] >= 2
    assert spine.upstream.sent == []
    assert [r["outcome"] for r in spine.records()] == ["served"]


async def test_a_call_that_may_not_be_logged_here_is_not_served_here(tmp_path: Path) -> None:
    """``log_in`` binds the node: the same call is served in Quebec and refused in Virginia."""
    policy = bank.bundle({"ca": Vendorless("openai", 1001)})["policy.yaml"]
    policy["rules"][-1]["do"].append({"log_in": "Canada"})
    compiled = snapshot(tmp_path, policy=policy)
    here = Spine(compiled, log_place="CA-QC")
    here.upstream.script("ca", Scripted(reply=completion()))
    await here.pipeline.handle(here.call())
    abroad = Spine(compiled, log_place="US")
    with pytest.raises(GatewayError) as stop:
        await abroad.pipeline.handle(abroad.call())
    assert stop.value.refusal.code is Code.POLICY_REFUSED
    assert "logged in CA only" in stop.value.refusal.message
    assert abroad.upstream.sent == []


async def test_marks_and_disclosure_reach_the_app(tmp_path: Path) -> None:
    """``mark`` and ``disclose_ai`` are said with the answer, so that the app can act on them."""
    policy = bank.bundle({"ca": Vendorless("openai", 1001)})["policy.yaml"]
    policy["rules"][-1]["do"] += [{"mark": "needs_human_review"}, {"disclose_ai": True}]
    spine = Spine(snapshot(tmp_path, policy=policy))
    spine.upstream.script("ca", Scripted(reply=completion()))
    reply = await spine.pipeline.handle(spine.call())
    assert reply.served.marks == ("needs_human_review",)
    assert reply.served.disclose_ai


async def test_a_destination_of_alerts_abroad_stops_what_must_be_logged_here(tmp_path: Path) -> None:
    """`log_in` binds every sink: with a webhook in the US the client's call is refused, at home it is not."""
    files: Any = bank.bundle({"ca": Vendorless("openai", 1), "ca_on": Vendorless("openai", 2)})
    policy = files["policy.yaml"]
    policy["rules"].append(
        {"id": "LOG-1", "says": "Logged in Canada.", "for": {"data": "client"}, "do": [{"log_in": "Canada"}]}
    )
    webhook = {"url": "https://hooks.example.com/x", "secret": "env:HOOK"}

    def spine_with(place: str) -> Spine:
        told = {"destinations": {"ops": {"webhook": webhook, "place": place}}}
        return Spine(snapshot(tmp_path / place, policy=policy, alerts=told))

    here = spine_with("CA-QC")
    here.upstream.script("ca", Scripted(reply=completion()))
    assert content(await here.pipeline.handle(here.call())) == "fine"
    abroad = spine_with("US")
    with pytest.raises(GatewayError) as stop:
        await abroad.pipeline.handle(abroad.call())
    assert stop.value.refusal.code is Code.POLICY_REFUSED
