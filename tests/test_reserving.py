"""Holds by ladder: degraded as the app allows, visibly, never wider; else refused as before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.memory_budgets import MemoryBudgets
from gateway.adapters.memory_upstream import Scripted
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.values import Call, Surface
from gateway.queueing import FIRST_LOOK_S
from tests.acceptance import bank
from tests.spine import NOW, Spine, Vendorless, completion, content, read, snapshot, stream

Rungs = list[dict[str, object]]
MILLION = 1_000_000


def teams(when_over: object = None, *, limit: str = "1.00", models: list[str] | None = None) -> Any:
    """The bank's teams, with a ladder and a small budget for the teller."""
    files = bank.bundle({name: Vendorless("openai", 1) for name in ("ca", "ca_on", "us")})
    changed: Any = files["teams.yaml"]
    teller = changed["teams"]["branch"]["apps"]["teller"]
    teller["budget"] = {"per": "month", "limit": limit}
    teller["models"] = models or teller["models"]
    if when_over is not None:
        teller["when_over"] = when_over
    return changed


def priced(**outputs: str) -> list[dict[str, object]]:
    """Prices per million output tokens; input costs nothing, so that sums are easy."""
    return [bank.price(name, inputs="0.00", outputs=output) for name, output in outputs.items()]


def spine_of(folder: Path, **changes: Any) -> Spine:
    """A spine over the bank with some files replaced."""
    prices = changes.pop("prices", None)
    if prices is not None:
        changes["prices/all"] = prices
    even = {"base": "USD", "quote": "CAD", "rate": "1.00", "from": "2026-01-01T00:00:00Z", "source": "even"}
    changes.setdefault("prices/fx", {"rates": [even]})
    return Spine(snapshot(folder, **changes))


DEAR = priced(ca="4000.00", ca_on="1000.00", us="1.00")


async def refused(spine: Spine, call: Call) -> Refusal:
    """Make a call that is refused; return why."""
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(call)
    return stop.value.refusal


async def test_without_a_ladder_nothing_is_degraded(tmp_path: Path) -> None:
    """100 tokens at 0.004 are 0.40 of a budget of 0.05: refused, though Ontario would have fitted."""
    spine = spine_of(
        tmp_path, teams=teams(limit="0.05"), prices=priced(ca="4000.00", ca_on="100.00", us="1.00")
    )
    refusal = await refused(spine, spine.call())
    assert refusal.code is Code.BUDGET_EXCEEDED
    assert "tried" not in refusal.extension
    assert spine.upstream.sent == []
    assert "degraded" not in spine.records()[0]


async def test_a_cheaper_deployment_of_the_same_route_answers(tmp_path: Path) -> None:
    """What the call may fall back to anyway, and the answer, the record and the metrics say so."""
    spine = spine_of(tmp_path, teams=teams([{"cheaper": True}], limit="0.20"), prices=DEAR)
    spine.upstream.script("ca_on", Scripted(reply=completion("from Ontario")))
    reply = await spine.pipeline.handle(spine.call())
    assert content(reply) == "from Ontario"
    assert reply.served.degraded == "cheaper=chat"
    (record,) = spine.records()
    assert record["degraded"] == {"cheaper": "chat"}
    assert record["outcome"] == "served"
    assert spine.telemetry.counted("degraded") == 1
    assert spine.budgets.held == 0


async def test_another_alias_of_the_app_stands_in_and_is_named(tmp_path: Path) -> None:
    """Asked for `chat`, answered by `only-ca-on`: the reply, headers and record name both."""
    ladder: Rungs = [{"cheaper": ["only-ca-on"]}]
    spine = spine_of(tmp_path, teams=teams(ladder, limit="0.20"), prices=DEAR)
    spine.upstream.script("ca_on", Scripted(reply=completion("from Ontario")))
    reply = await spine.pipeline.handle(spine.call(model="chat"))
    assert content(reply) == "from Ontario"
    assert (reply.served.alias, reply.served.degraded) == ("only-ca-on", "cheaper=only-ca-on")
    (record,) = spine.records()
    assert (record["asked"], record["alias"]) == ("chat", "only-ca-on")
    (begun,) = [e.data for e in spine.journal.entries if e.kind == "attempt.intent"]
    assert (begun["asked"], begun["alias"], begun["deployment"]) == ("chat", "only-ca-on", "ca_on")


async def test_a_call_to_quebec_is_not_moved_to_ontario(tmp_path: Path) -> None:
    """Both are permitted by law, but the call asked for a route that stays in Quebec."""
    ladder: Rungs = [{"cheaper": ["only-ca-on"]}]
    spine = spine_of(tmp_path, teams=teams(ladder, limit="0.05"), prices=DEAR)
    assert (await refused(spine, spine.call(model="only-ca"))).code is Code.BUDGET_EXCEEDED
    assert spine.upstream.sent == []


async def test_degrading_never_crosses_the_border(tmp_path: Path) -> None:
    """The cheapest of all is in the US: client data may not go there, so the call is refused."""
    spine = spine_of(
        tmp_path,
        teams=teams([{"cheaper": True}], limit="0.05"),
        prices=priced(ca="4000.00", ca_on="4000.00", us="0.01"),
    )
    refusal = await refused(spine, spine.call(model="only-ca"))
    assert refusal.code is Code.BUDGET_EXCEEDED
    assert refusal.extension["tried"] == ["cheaper"]
    assert spine.upstream.sent == []


async def test_degrading_stays_where_the_call_itself_may_go(tmp_path: Path) -> None:
    """Public data may go anywhere, yet a call to a Canadian route is not moved to the US to save."""
    changed = teams()
    changed["teams"]["lab"]["apps"]["hackathon"] |= {
        "when_over": [{"cheaper": True}],
        "budget": {"per": "month", "limit": "0.05"},
    }
    prices = priced(ca="4000.00", ca_on="4000.00", us="0.01")
    spine = spine_of(tmp_path, teams=changed, prices=prices)
    refusal = await refused(spine, spine.call(app="hackathon", model="only-ca"))
    assert refusal.code is Code.BUDGET_EXCEEDED
    assert spine.upstream.sent == []
    spine.upstream.script("us", Scripted(reply=completion("from the US")))
    there = await spine.pipeline.handle(spine.call(app="hackathon", model="everywhere"))
    assert content(there) == "from the US"


async def test_rungs_add_up_in_their_order(tmp_path: Path) -> None:
    """Neither cheaper nor shorter fits alone: shorter from the cheaper model does."""
    ladder: Rungs = [{"cheaper": True}, {"cap_answer_tokens": 20}]
    spine = spine_of(tmp_path, teams=teams(ladder, limit="0.03"), prices=DEAR)
    spine.upstream.script("ca_on", Scripted(reply=completion()))
    reply = await spine.pipeline.handle(spine.call())
    assert reply.served.degraded == "cheaper=chat, answer_tokens=20"
    assert reply.served.clamped_to == 20
    assert spine.upstream.sent[0].output_cap == 20


async def test_a_cap_alone_keeps_the_model(tmp_path: Path) -> None:
    """A shorter answer by the model that was asked for, where the ladder says so first."""
    ladder: Rungs = [{"cap_answer_tokens": 20}, {"cheaper": True}]
    spine = spine_of(tmp_path, teams=teams(ladder, limit="0.20"), prices=DEAR)
    spine.upstream.script("ca", Scripted(reply=completion()))
    reply = await spine.pipeline.handle(spine.call())
    assert (reply.served.place, reply.served.degraded) == ("CA-QC", "answer_tokens=20")


async def test_the_nearest_to_what_was_asked_stands_in(tmp_path: Path) -> None:
    """Of two that fit, the dearer one: it is nearer to what the app wanted."""
    files = bank.bundle({name: Vendorless("openai", 1) for name in ("ca", "ca_on", "us")})
    routes: Any = files["routes.yaml"]
    facts: Any = files["deployments.yaml"]
    facts["deployments"]["ca_small"] = facts["deployments"]["ca_on"]
    connections: Any = files["connections.yaml"]
    connections["connections"]["ca_small"] = connections["connections"]["ca_on"]
    routes["routes"]["chat"]["try"] = ["ca", "ca_small", "ca_on"]
    spine = spine_of(
        tmp_path,
        teams=teams([{"cheaper": True}], limit="0.20"),
        routes=routes, deployments=facts, connections=connections,
        prices=priced(ca="4000.00", ca_small="1.00", ca_on="1000.00", us="1.00"),
    )  # fmt: skip
    spine.upstream.script("ca_on", Scripted(reply=completion()))
    await spine.pipeline.handle(spine.call())
    assert [a.deployment.id for a in spine.upstream.sent] == ["ca_on"]


async def test_vectors_are_never_made_by_another_model(tmp_path: Path) -> None:
    """Embeddings of two models do not compare: an exhausted budget refuses them."""
    spine = spine_of(
        tmp_path,
        teams=teams([{"cheaper": True}], limit="0.01"),
        prices=[bank.price("ca", inputs="4000.00"), bank.price("ca_on", inputs="0.01"), bank.price("us")],
    )
    call = spine.call(surface=Surface.EMBEDDINGS, body={"model": "chat", "input": "a letter"})
    assert (await refused(spine, call)).code is Code.BUDGET_EXCEEDED
    assert spine.upstream.sent == []


async def test_a_route_may_say_how_and_the_app_whether(tmp_path: Path) -> None:
    """`by_route` takes the route's ladder; an app that says nothing does not get it."""
    files = bank.bundle({name: Vendorless("openai", 1) for name in ("ca", "ca_on", "us")})
    routes: Any = files["routes.yaml"]
    routes["routes"]["chat"]["when_over"] = [{"cheaper": True}]
    silent = spine_of(tmp_path / "a", teams=teams(limit="0.15"), routes=routes, prices=DEAR)
    silent.upstream.script("ca", Scripted(reply=completion()))
    plain = await silent.pipeline.handle(silent.call())
    assert (plain.served.degraded, plain.served.clamped_to) == (None, 37)  # clamped to what is left, as ever
    willing = spine_of(tmp_path / "b", teams=teams("by_route", limit="0.15"), routes=routes, prices=DEAR)
    willing.upstream.script("ca_on", Scripted(reply=completion()))
    assert (await willing.pipeline.handle(willing.call())).served.degraded == "cheaper=chat"


async def test_a_team_allows_it_for_its_apps_and_an_app_may_decline(tmp_path: Path) -> None:
    """The team's ladder counts for an app that says nothing; `[]` is a no."""
    changed = teams(limit="0.15")
    changed["teams"]["branch"]["when_over"] = [{"cheaper": True}]
    spine = spine_of(tmp_path / "a", teams=changed, prices=DEAR)
    spine.upstream.script("ca_on", Scripted(reply=completion()))
    assert (await spine.pipeline.handle(spine.call())).served.degraded == "cheaper=chat"
    changed["teams"]["branch"]["apps"]["teller"]["when_over"] = []
    declined = spine_of(tmp_path / "b", teams=changed, prices=DEAR)
    declined.upstream.script("ca", Scripted(reply=completion()))
    assert (await declined.pipeline.handle(declined.call())).served.degraded is None


async def test_a_streamed_call_is_degraded_like_a_plain_one(tmp_path: Path) -> None:
    """The same headers, before the first event."""
    spine = spine_of(tmp_path, teams=teams([{"cheaper": True}], limit="0.20"), prices=DEAR)
    spine.upstream.script("ca_on", Scripted(events=stream("Hel", "lo")))
    reply = await spine.pipeline.handle(spine.call(stream=True))
    assert reply.served.degraded == "cheaper=chat"
    await read(reply)
    assert spine.records()[0]["degraded"] == {"cheaper": "chat"}
    assert spine.budgets.held == 0


async def test_a_stand_in_that_fails_is_not_tried_twice(tmp_path: Path) -> None:
    """The cheaper one is down: the call is refused for want of budget, and both tries are in the journal."""
    spine = spine_of(tmp_path, teams=teams([{"cheaper": True}], limit="0.15"), prices=DEAR)
    down = Refusal(code=Code.UPSTREAM_UNAVAILABLE, message="down")
    from gateway.core.errors import UpstreamFailed

    spine.upstream.script("ca_on", Scripted(failure=UpstreamFailed(down, retryable=True, sent=False)))
    spine.upstream.script("ca", Scripted(reply=completion()))
    reply = await spine.pipeline.handle(spine.call())
    assert [a.deployment.id for a in spine.upstream.sent] == ["ca"]
    assert (reply.served.degraded, reply.served.clamped_to) == (None, 37)
    assert spine.kinds().count("attempt.intent") == 2
    assert spine.budgets.held == 0


# ------------------------------------------------------------------------- in line


def in_line(spine: Spine) -> int:
    """How many calls wait, over all lines."""
    return sum(map(len, spine.pipeline._reserving._lines._lines.values()))


async def until(true: Any, what: str) -> None:
    """Let the loop run until something is true."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.005)
    assert true(), what


def take(spine: Spine, amount: int) -> Any:
    """Hold an amount of the teller's own budget, as another call would."""
    from gateway.attempts import Terms, terms
    from tests.core.test_clear import cleared_call

    agreed = terms(cleared_call(spine.snapshot), "ca", spine.snapshot, at=NOW)
    assert isinstance(agreed, Terms)
    from dataclasses import replace

    return tuple(replace(w, amount=amount) for w in agreed.wants if w.budget.startswith("app:teller"))


async def test_a_call_waits_in_line_for_what_others_hold(tmp_path: Path) -> None:
    """Contended, not spent: it waits, is served when the hold settles, and says how long it waited."""
    spine = spine_of(tmp_path, teams=teams([{"queue": "30s"}], limit="0.50"), prices=DEAR)
    budgets: Any = spine.pipeline._ports.budgets
    other = await budgets.reserve("other", take(spine, 300 * MILLION))
    spine.upstream.script("ca", Scripted(reply=completion()))
    waiting = asyncio.ensure_future(spine.pipeline.handle(spine.call()))
    await until(lambda: in_line(spine) == 1, "it waits")
    assert spine.upstream.sent == []
    budgets.settle(other, {})
    async with asyncio.timeout(20):
        reply = await waiting
    assert reply.served.degraded is not None
    assert reply.served.degraded.startswith("queued_ms=")
    assert spine.records()[0]["degraded"]["queued_ms"] >= 0
    assert in_line(spine) == 0


async def test_the_line_is_first_come_first_served(tmp_path: Path) -> None:
    """Three wait for room for one: they are served in the order in which they came."""
    spine = spine_of(tmp_path, teams=teams([{"queue": "30s"}], limit="0.50"), prices=DEAR)
    budgets: Any = spine.pipeline._ports.budgets
    other = await budgets.reserve("other", take(spine, 300 * MILLION))
    spine.upstream.script("ca", *[Scripted(reply=completion(usage=FREE)) for _ in range(3)])
    done: list[str] = []

    async def one(name: str) -> None:
        await spine.pipeline.handle(spine.call(id=name))
        done.append(name)

    tasks = []
    for i, name in enumerate(("first", "second", "third")):
        tasks.append(asyncio.ensure_future(one(name)))
        await until(lambda: in_line(spine) == i + 1, name)  # noqa: B023 (awaited at once)
    budgets.settle(other, {})
    async with asyncio.timeout(30):
        await asyncio.gather(*tasks)
    assert done == ["first", "second", "third"]


FREE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


async def test_a_client_that_leaves_leaves_the_line(tmp_path: Path) -> None:
    """Cancelled while it waits: nothing is held, the record says abandoned, and the next one moves up."""
    spine = spine_of(tmp_path, teams=teams([{"queue": "30s"}], limit="0.50"), prices=DEAR)
    budgets: Any = spine.pipeline._ports.budgets
    other = await budgets.reserve("other", take(spine, 300 * MILLION))
    leaves = asyncio.ensure_future(spine.pipeline.handle(spine.call(id="leaves")))
    await until(lambda: in_line(spine) == 1, "it waits")
    stays = asyncio.ensure_future(spine.pipeline.handle(spine.call(id="stays")))
    await until(lambda: in_line(spine) == 2, "both wait")
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert in_line(spine) == 1
    spine.upstream.script("ca", Scripted(reply=completion()))
    budgets.settle(other, {})
    async with asyncio.timeout(20):
        await stays
    assert [record["outcome"] for record in spine.records()] == ["abandoned", "served"]
    assert spine.budgets.held == 0


async def test_waiting_has_an_end(tmp_path: Path) -> None:
    """The hold does not go: contention is answered when the time is over, and retry may help."""
    spine = spine_of(tmp_path, teams=teams([{"queue": "200ms"}], limit="0.50"), prices=DEAR)
    budgets: Any = spine.pipeline._ports.budgets
    await budgets.reserve("other", take(spine, 300 * MILLION))
    refusal = await refused(spine, spine.call())
    assert refusal.code is Code.BUDGET_CONTENTION
    assert (refusal.retry, refusal.retry_after) == (True, 1)
    assert refusal.extension["tried"] == ["queue"]


async def test_nobody_waits_for_money_that_is_spent(tmp_path: Path) -> None:
    """Spent for the month: no waiting helps, so the call is refused at once."""
    spine = spine_of(tmp_path, teams=teams([{"queue": "60s"}], limit="0.50"), prices=DEAR)
    budgets: Any = spine.pipeline._ports.budgets
    spent = await budgets.reserve("other", take(spine, 499 * MILLION))
    budgets.settle(spent, {want.budget: want.amount for want in spent.wants})
    async with asyncio.timeout(20):
        refusal = await refused(spine, spine.call())
    assert refusal.code is Code.BUDGET_EXCEEDED
    assert refusal.retry is False


async def test_a_window_that_resets_in_time_is_waited_for(tmp_path: Path) -> None:
    """Spent, but the day ends within the wait: the call is served in the next window."""
    changed = teams([{"queue": "60s"}])
    changed["teams"]["branch"]["apps"]["teller"]["budget"] = {"per": "day", "limit": "0.50"}
    spine = spine_of(tmp_path, teams=changed, prices=DEAR)
    from gateway.attempts import Terms, terms
    from tests.core.test_clear import cleared_call

    agreed = terms(cleared_call(spine.snapshot), "ca", spine.snapshot, at=NOW)
    assert isinstance(agreed, Terms)
    (own,) = [want for want in agreed.wants if want.budget.startswith("app:teller")]
    spine.clock.advance(nanoseconds=own.resets - 1_000_000_000 - NOW)
    budgets: Any = spine.pipeline._ports.budgets
    spent = await budgets.reserve("other", take(spine, 499 * MILLION))
    budgets.settle(spent, {want.budget: want.amount for want in spent.wants})
    spine.upstream.script("ca", Scripted(reply=completion()))
    waiting = asyncio.ensure_future(spine.pipeline.handle(spine.call()))
    await until(lambda: in_line(spine) == 1, "it waits for the day to end")
    spine.clock.advance(seconds=1)
    async with asyncio.timeout(20):
        reply = await waiting
    assert reply.served.degraded is not None
    (begun,) = [e.data for e in spine.journal.entries if e.kind == "attempt.intent"]
    holds: Any = begun["holds"]
    assert {h["window"] for h in holds if h["budget"].startswith("app:teller")} != {own.window}


async def test_a_reload_while_waiting_decides_anew(tmp_path: Path) -> None:
    """Finance raises the limit: the call that waits is served under the new one."""
    spine = spine_of(tmp_path / "a", teams=teams([{"queue": "30s"}], limit="0.50"), prices=DEAR)
    budgets: Any = spine.pipeline._ports.budgets
    await budgets.reserve("other", take(spine, 300 * MILLION))
    spine.upstream.script("ca", Scripted(reply=completion()))
    waiting = asyncio.ensure_future(spine.pipeline.handle(spine.call()))
    await until(lambda: in_line(spine) == 1, "it waits")
    raised = spine_of(tmp_path / "b", teams=teams([{"queue": "30s"}], limit="5.00"), prices=DEAR)
    spine.snapshot = raised.snapshot
    async with asyncio.timeout(20):
        reply = await waiting
    assert content(reply) == "fine"
    assert spine.upstream.sent[0].snapshot is raised.snapshot


class Counting(MemoryBudgets):
    """Counts how often the store is asked."""

    asked = 0

    async def reserve(self, hold_id: str, wants: Any) -> Any:
        """Count, and ask."""
        self.asked += 1
        return await super().reserve(hold_id, wants)


async def test_many_who_wait_ask_the_store_no_oftener_than_one(tmp_path: Path) -> None:
    """Fifty in line: while nothing settles only the head looks, at growing intervals."""
    compiled = spine_of(tmp_path, teams=teams([{"queue": "30s"}], limit="0.50"), prices=DEAR).snapshot
    spine = Spine(compiled)
    budgets = Counting(now=spine.clock.now)
    from dataclasses import replace

    from gateway.pipeline import Pipeline

    spine.pipeline = Pipeline(replace(spine.pipeline._ports, budgets=budgets))
    await budgets.reserve("other", take(spine, 300 * MILLION))
    calls = [asyncio.ensure_future(spine.pipeline.handle(spine.call(id=f"w{i}"))) for i in range(50)]
    await until(lambda: in_line(spine) == 50, "all wait")
    before, begun = budgets.asked, asyncio.get_running_loop().time()
    await asyncio.sleep(0.5)
    passed = asyncio.get_running_loop().time() - begun
    # One head looks at most once in FIRST_LOOK_S, however slow this machine is; fifty would look fifty times.
    assert budgets.asked - before <= 1 + passed / FIRST_LOOK_S
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert in_line(spine) == 0


@pytest.mark.parametrize("asked", [16, 30])
async def test_who_may_wait_does_not_overtake_who_waits(tmp_path: Path, asked: int) -> None:
    """A small call would fit at once, or capped; another one stands in line before it, so it comes after."""
    ladder: Rungs = [{"cap_answer_tokens": 16}, {"queue": "30s"}]
    spine = spine_of(tmp_path, teams=teams(ladder, limit="0.50"), prices=DEAR)
    budgets: Any = spine.pipeline._ports.budgets
    other = await budgets.reserve("other", take(spine, 430 * MILLION))
    spine.upstream.script("ca", *[Scripted(reply=completion(usage=FREE)) for _ in range(2)])
    done: list[str] = []

    async def one(name: str, **body: int) -> None:
        await spine.pipeline.handle(spine.call(id=name, body=body))
        done.append(name)

    large = asyncio.ensure_future(one("large", max_tokens=30, n=3))  # 0.19 even if it is capped
    await until(lambda: in_line(spine) == 1, "the large one waits")
    small = asyncio.ensure_future(one("small", max_tokens=asked))  # 0.064, of 0.07 that are free
    await until(lambda: in_line(spine) == 2 or small.done(), "the small one waits behind it")
    assert done == []
    budgets.settle(other, {})
    async with asyncio.timeout(30):
        await asyncio.gather(large, small)
    assert done == ["large", "small"]


async def test_what_is_no_cheaper_does_not_stand_in(tmp_path: Path) -> None:
    """The model's own budget is used up, another model's is not: a dearer one is no way round it."""
    from dataclasses import replace

    dear = priced(ca="1000.00", ca_on="4000.00", us="1.00")
    spine = spine_of(tmp_path, teams=teams([{"cheaper": ["only-ca-on"]}], limit="100.00"), prices=dear)
    (own,) = [each for each in spine.snapshot.apps["teller"].budgets if each.level == "app"]
    used_up = replace(own, id="model:chat:CAD", level="model", name="chat", limit=MILLION)
    spine.snapshot = replace(spine.snapshot, model_budgets={"chat": (used_up,)})
    refusal = await refused(spine, spine.call(model="chat"))
    assert refusal.code is Code.BUDGET_EXCEEDED
    assert spine.upstream.sent == []


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_a_call_waits_for_what_another_replica_holds(
    tmp_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    """Two workers on one database: what the other one gives back reaches the head of this one's line."""
    from dataclasses import replace

    from gateway.adapters.leases import LeasedBudgets
    from gateway.pipeline import Pipeline
    from tests.adapters.store_sql.databases import opened, sqlite_url

    url = sqlite_url(tmp_path) if database == "sqlite" else str(request.getfixturevalue("postgres_url"))
    spine = spine_of(tmp_path / "bank", teams=teams([{"queue": "60s"}], limit="0.50"), prices=DEAR)
    with opened(url) as store:
        here = LeasedBudgets(store, "here", now=spine.clock.now)
        there = LeasedBudgets(store, "there", now=spine.clock.now)
        spine.pipeline = Pipeline(replace(spine.pipeline._ports, budgets=here))
        other: Any = await there.reserve("other", take(spine, 300 * MILLION))
        spine.upstream.script("ca", Scripted(reply=completion()))
        waiting = asyncio.ensure_future(spine.pipeline.handle(spine.call()))
        await until(lambda: in_line(spine) == 1, "it waits")
        there.settle(other, {})
        await there.flush()
        async with asyncio.timeout(60):
            reply = await waiting
        assert content(reply) == "fine"
        assert here.held == 0
        for each in (here, there):
            await each.close()
