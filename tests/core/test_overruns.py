"""A bill beyond its bound: what is journalled of it, and to whom it matters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.memory_upstream import Scripted
from gateway.core.errors import Code, GatewayError
from gateway.core.overruns import Overrun, is_limited, reason
from tests.acceptance import bank
from tests.people import app, limit, snapshot
from tests.spine import Spine, Vendorless, completion
from tests.spine import snapshot as bank_snapshot

BEYOND = {"prompt_tokens": 10, "completion_tokens": 5_000, "total_tokens": 5_010}


def test_a_hard_budget_of_any_level_counts_and_a_soft_one_or_a_rate_does_not() -> None:
    """Also one for a key, a user, a model or a kind of data."""
    hard = limit("team:branch:CAD", "team", "branch", "1.00")
    soft, rate = replace(hard, soft=True), replace(hard, per="minute")
    assert is_limited(snapshot(app(budgets=[hard])), "teller")
    assert not is_limited(snapshot(app(budgets=[soft, rate])), "teller")
    assert is_limited(snapshot(replace(app(), key_budgets=(hard,))), "teller")
    assert is_limited(snapshot(replace(app(), user_budgets=(hard,))), "teller")
    assert is_limited(snapshot(app(), model_budgets={"chat": (hard,)}), "teller")
    assert is_limited(snapshot(app(), data_budgets={"client": (hard,)}), "teller")
    assert is_limited(snapshot(app()), "nobody")  # doubt denies


def test_why_in_words() -> None:
    """The call and the budgets, no amounts of content."""
    found = Overrun(deployment="ca", call="req_1", attempt="req_1#1", bound=1, billed=2, currency="USD",
                    over=("team:branch:CAD",), at=1)  # fmt: skip
    assert reason(found) == "it billed beyond its bound on req_1, passing team:branch:CAD"


@pytest.fixture
def spine(tmp_path: Path) -> Spine:
    """The bank, where the lab has no hard budget and nor has the organisation."""
    files = bank.bundle({name: Vendorless("openai", 1) for name in ("ca", "ca_on", "us")})
    teams: Any = files["teams.yaml"]
    del teams["budget"]
    teams["teams"]["lab"]["budget"] = {"per": "month", "limit": "1.00", "soft": True}
    return Spine(bank_snapshot(tmp_path, teams=teams))


async def test_an_overrun_is_booked_journalled_and_told(spine: Spine) -> None:
    """The record says it, an entry tells every worker, and the bill is not cut to the bound."""
    seen: list[Overrun] = []
    spine.pipeline._ports = replace(spine.pipeline._ports, suspend=seen.append)
    spine.upstream.script("ca", Scripted(reply=completion(usage=BEYOND)))
    await spine.pipeline.handle(spine.call(model="only-ca"))
    (found,) = seen
    assert (found.deployment, found.billed > found.bound) == ("ca", True)
    assert "team:branch:CAD" in found.over
    (entry,) = [e.data for e in spine.journal.entries if e.kind == "deployment.overrun"]
    assert (entry["deployment"], entry["billed"]) == ("ca", str(found.billed))
    assert spine.telemetry.counted("overrun") == 1
    assert spine.records()[0]["attempt"]["overrun"] is True


async def test_a_suspended_deployment_is_skipped_under_a_hard_budget_only(spine: Spine) -> None:
    """The teller falls back to Ontario; where nothing else is permitted it is refused; the lab goes on."""
    spine.pipeline._ports = replace(spine.pipeline._ports, suspended=lambda: {"ca": "it billed too much"})
    spine.upstream.script("ca_on", Scripted(reply=completion("from Ontario")))
    reply = await spine.pipeline.handle(spine.call(model="chat"))
    assert reply.served.place == "CA-ON"
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(spine.call(model="only-ca"))
    refusal = stop.value.refusal
    assert refusal.code is Code.PERMITTED_MODELS_UNAVAILABLE
    assert (refusal.retry, refusal.extension) == (False, {"suspended": True})
    spine.upstream.script("ca", Scripted(reply=completion()))
    lab = await spine.pipeline.handle(spine.call(app="hackathon", model="only-ca"))
    assert lab.served.place == "CA-QC"
    assert spine.budgets.held == 0


async def test_a_suspended_deployment_does_not_stand_in(tmp_path: Path) -> None:
    """Cheaper is no reason: a ladder skips it as well."""
    from tests.test_reserving import DEAR, spine_of, teams

    spine = spine_of(tmp_path, teams=teams([{"cheaper": True}], limit="0.05"), prices=DEAR)
    spine.pipeline._ports = replace(spine.pipeline._ports, suspended=lambda: {"ca_on": "too much"})
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(spine.call())
    assert stop.value.refusal.code is Code.BUDGET_EXCEEDED
    assert spine.upstream.sent == []
