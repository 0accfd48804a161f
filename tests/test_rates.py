"""Rates in the spine: asked before anything is done, given back on every exit, told in headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.memory_upstream import Scripted
from gateway.api.errors import error_headers
from gateway.api.hot import reply_headers
from gateway.core.errors import Code, GatewayError
from gateway.pipeline import ReplyStream
from tests.acceptance import bank
from tests.spine import Spine, Vendorless, chunk, completion, snapshot, stream


def spine_with(folder: Path, **app: Any) -> Spine:
    """A spine whose teller has rates."""
    files = bank.bundle({name: Vendorless("openai", 1001) for name in ("ca", "ca_on", "us")})
    teams = files["teams.yaml"]
    teams["teams"]["branch"]["apps"]["teller"] |= app
    return Spine(snapshot(folder, teams=teams))


async def used(spine: Spine, budget: str) -> int:
    """What is spent and held of a rate over all windows."""
    windows = spine.budgets.windows
    return sum(windows.gone(key) for key in {*windows.spent, *windows.held} if key[0] == budget)


REQUESTS = "rate:app:teller:requests"
PLACES = "rate:app:teller:concurrent"


async def test_requests_are_counted_and_refused_until_the_minute_is_over(tmp_path: Path) -> None:
    """Two a minute: the third is refused before anything is looked at, and told when to come back."""
    spine = spine_with(tmp_path, rate={"requests_per_minute": 2})
    left = []
    for _ in range(2):
        spine.upstream.script("ca", Scripted(reply=completion()))
        call = spine.call()
        reply = await spine.pipeline.handle(call)
        headers = dict(reply_headers(reply, call))
        assert headers[b"x-ratelimit-limit-requests"] == b"2"
        assert headers[b"x-ratelimit-reset-requests"] == b"40s"
        left.append(headers[b"x-ratelimit-remaining-requests"])
    assert left == [b"1", b"0"]
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(spine.call())
    refusal = stop.value.refusal
    assert refusal.code is Code.RATE_LIMITED
    assert (refusal.retry_after, refusal.extension["limit"]) == (40, 2)
    told = dict(error_headers(refusal, "req_1"))
    assert told[b"x-ratelimit-remaining-requests"] == b"0"
    assert told[b"x-ratelimit-reset-requests"] == told[b"retry-after"] + b"s"
    assert [record["outcome"] for record in spine.records()][-1] == "rate_limited"
    assert spine.kinds().count("attempt.intent") == 2
    spine.clock.advance(seconds=60)
    spine.upstream.script("ca", Scripted(reply=completion()))
    await spine.pipeline.handle(spine.call())


async def test_places_come_back_on_every_exit(tmp_path: Path) -> None:
    """Served, refused by policy, failed, streamed to the end and left in the middle: nothing is kept."""
    spine = spine_with(tmp_path, rate={"concurrent": 1})
    spine.upstream.script("ca", Scripted(reply=completion()))
    await spine.pipeline.handle(spine.call())
    assert await used(spine, PLACES) == 0
    with pytest.raises(GatewayError):
        await spine.pipeline.handle(spine.call(model="only-us"))
    assert await used(spine, PLACES) == 0
    spine.upstream.script("ca", Scripted(events=stream("well")))
    reply = await spine.pipeline.handle(spine.call(stream=True))
    assert isinstance(reply.body, ReplyStream)
    assert await used(spine, PLACES) == 1
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(spine.call())
    assert stop.value.refusal.code is Code.RATE_LIMITED
    assert "1 calls at once" in stop.value.refusal.message
    await reply.body.aclose()
    assert await used(spine, PLACES) == 0
    assert spine.budgets.held == 0


async def test_tokens_of_a_minute_are_held_with_the_attempt_and_told_to_no_journal(tmp_path: Path) -> None:
    """The bound is held, what was used is spent; the ledger's spends know nothing of it."""
    spine = spine_with(tmp_path, rate={"output_tokens_per_minute": 150})
    spine.upstream.script("ca", Scripted(reply=completion()))
    await spine.pipeline.handle(spine.call())
    assert await used(spine, "rate:app:teller:output_tokens") == 5
    assert not any("rate:" in str(entry.data) for entry in spine.journal.entries)
    spine.upstream.script("ca", Scripted(events=[chunk("a"), chunk(finish="stop"), chunk(usage=True)]))
    reply = await spine.pipeline.handle(spine.call(stream=True))
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(spine.call())
    assert stop.value.refusal.code is Code.RATE_LIMITED
    assert "150 output tokens a minute" in stop.value.refusal.message
    assert isinstance(reply.body, ReplyStream)
    await reply.body.aclose()


async def test_budgets_of_models_users_and_kinds_of_data_are_held_and_journalled(tmp_path: Path) -> None:
    """The alias that was named, the labels of the call, one request: each on its own budget."""
    files = bank.bundle({name: Vendorless("openai", 1001) for name in ("ca", "ca_on", "us")})
    teams = files["teams.yaml"] | {
        "model_budget": {"chat": {"per": "day", "requests": 1}},
        "data_budget": {"client": {"last": "24h", "output_tokens": 1000}},
        "user_budget": {"from": "2026-11-01", "until": "2026-12-31", "input_tokens": 100_000},
    }
    spine = Spine(snapshot(tmp_path, teams=teams))
    spine.upstream.script("ca", Scripted(reply=completion()))
    await spine.pipeline.handle(spine.call())
    (record,) = spine.records()
    assert {name: spent for name, spent in record["attempt"]["spends"].items() if ":CAD" not in name} == {
        "team:branch:tokens": "15",
        "model:chat:requests:day": "1",
        "data:client:output_tokens:last-24h": "5",
        "user:-:input_tokens:2026-11-01..2026-12-31": "10",
    }
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(spine.call())
    assert stop.value.refusal.extension["scope"] == "model `chat`"
    assert stop.value.refusal.extension["unit"] == "requests"
    spine.upstream.script("ca", Scripted(reply=completion()))
    await spine.pipeline.handle(spine.call(model="everywhere"))  # another model's budget is its own
