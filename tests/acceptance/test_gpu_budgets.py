"""A team's GPU-hours: held before a call is sent, refused when they are used up, from YAML to the refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.adapters.memory_upstream import Scripted
from gateway.core.errors import Code, GatewayError
from gateway.core.gpu import estimate_micro_gpu_seconds
from gateway.core.values import Attempt
from gateway.ports import Exchange
from tests.acceptance import bank
from tests.fakes.vendor import FakeVendor
from tests.spine import Spine, Vendorless, completion, content, read, snapshot, stream

POOLS = {
    "pools": {
        "qc": {
            "engine": "vllm",
            "deployments": ["ca"],
            "region": "CA-QC",
            "gpus_per_replica": 2,
            "replicas": [{"name": "r1"}],
            "rate": [
                {"per_gpu_hour": "3.42", "currency": "CAD", "basis": "amortised",
                 "from": "2026-11-01T05:00:00Z", "source": "lease"}
            ],
        }
    }
}  # fmt: skip


def spine(folder: Path, gpu_hours: str, tries: str = "ca") -> Spine:
    """The bank with a pool behind `ca`, whose price is time; the branch has so many GPU-hours a month.

    Every answer takes two seconds.
    """
    vendors: dict[str, FakeVendor] = {
        name: Vendorless("openai", 1000 + n) for n, name in enumerate(("ca", "ca_on", "us"))
    }
    files = bank.bundle(vendors)
    prices = [price for price in files["prices/all.yaml"] if price["deployment"] != "ca"]
    own = {**bank.price("ca"), "id": "own", "meters": {}, "free": True}
    teams = files["teams.yaml"]
    teams["teams"]["branch"]["budget"] = {"per": "month", "gpu_hours": gpu_hours}
    routes = files["routes.yaml"]
    routes["routes"]["chat"]["try"] = [tries]
    made = Spine(snapshot(folder, pools=POOLS, teams=teams, routes=routes, **{"prices/all": [*prices, own]}))
    opened = made.upstream.open

    @asynccontextmanager
    async def slow(attempt: Attempt) -> AsyncIterator[Exchange]:
        async with opened(attempt) as exchange:
            made.clock.advance(seconds=2)
            yield exchange

    made.upstream.open = slow  # type: ignore[method-assign]
    return made


async def test_gpu_hours_are_held_and_refused_when_they_are_used_up(tmp_path: Path) -> None:
    """Each call is settled at its estimate; the one that might pass the limit is refused with 402, unsent."""
    pool = spine(tmp_path / "a", "1").snapshot.pools["qc"]
    hold = estimate_micro_gpu_seconds(pool, 800, 100)
    whole = spine(tmp_path / "b", f"{2 * hold / 3.6e9:.6f}")
    whole.upstream.script("ca", *[Scripted(reply=completion()) for _ in range(40)])
    refusal, served = None, 0
    while refusal is None and served < 40:
        try:
            assert content(await whole.pipeline.handle(whole.call())) == "fine"
            served += 1
        except GatewayError as refused:
            refusal = refused.refusal
    assert refusal is not None
    assert refusal.code is Code.BUDGET_EXCEEDED
    assert refusal.extension["unit"] == "gpu_seconds"
    assert refusal.retry is False
    assert 2 <= served < 40
    assert len(whole.upstream.sent) == served


async def test_a_call_to_a_vendor_takes_no_gpu_time(tmp_path: Path) -> None:
    """The budget is of own hardware: a call that goes elsewhere is served though none of it is left."""
    vendors = spine(tmp_path / "a", "0.000001", tries="ca_on")
    vendors.upstream.script("ca_on", Scripted(reply=completion()))
    assert content(await vendors.pipeline.handle(vendors.call())) == "fine"
    own = spine(tmp_path / "b", "0.000001")
    with pytest.raises(GatewayError) as refused:
        await own.pipeline.handle(own.call())
    assert refused.value.refusal.code is Code.BUDGET_EXCEEDED
    assert own.upstream.sent == []


async def test_the_first_chunk_of_a_stream_is_journalled(tmp_path: Path) -> None:
    """The split knows when the prefill ended; a plain reply says nothing of it."""
    whole = spine(tmp_path, "100")
    whole.upstream.script("ca", Scripted(events=stream("a", "b")), Scripted(reply=completion()))
    await read(await whole.pipeline.handle(whole.call(stream=True)))
    await whole.pipeline.handle(whole.call())
    streamed, plain = (record["attempt"] for record in whole.records())
    assert streamed["first"] <= streamed["ended"]
    assert "first" not in plain
