"""Where budgets stand: every unit and window for finance, a caller's own for its key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.adapters.keys import mint
from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.memory_keys import MemoryKeys
from gateway.adapters.store_sql import keys as key_rows
from gateway.api.budgets import BudgetDeps, router
from gateway.core.values import Carry, Hold
from gateway.core.wants import want_of
from tests.api.desk_under_test import ADMIN, CLOCK, as_role, client_of, issue_id
from tests.people import NOW, app, database, limit, snapshot, sqlite

ORG = limit("org:maple:CAD", "org", "maple", "5000.00")
DAY = limit("team:branch:CAD:day", "team", "branch", "20.00", per="day")
CARRY = Carry(per="month", timezone="America/Toronto", at_most=50 * 10**9)
MONTH = replace(limit("team:branch:CAD", "team", "branch", "300.00"), carry=CARRY, alert_at=(50, 80))
GPU = replace(
    limit("app:teller:gpu_seconds:last-24h", "app", "teller", "0", per="last"),
    unit="gpu_seconds", limit=3_600_000_000, length=86_400 * 10**9, soft=True,
)  # fmt: skip
KEY = replace(limit("key:*:tokens", "key", "*", "0"), unit="tokens", limit=1000)
RATE = replace(
    limit("rate:app:teller:requests", "app", "teller", "0", per="minute"), unit="requests", limit=60
)
PLACES = replace(
    limit("rate:app:teller:concurrent", "app", "teller", "0", per="now"), unit="concurrent", limit=4
)
MODEL = replace(limit("model:chat:tokens", "model", "chat", "0"), unit="tokens", limit=10**6)
APP = replace(app(budgets=[ORG, DAY, MONTH, GPU]), key_budgets=(KEY,), rates=(RATE, PLACES))
OTHER = replace(app("other", team="lab"), models=("embed",))
BUNDLE = snapshot(APP, OTHER, model_budgets={"chat": (MODEL,)})


class Desk:
    """The routes on a small bank, over SQLite."""

    def __init__(self, client, budgets, keys, store):
        self.client, self.budgets, self.keys, self.store = client, budgets, keys, store

    async def everything(self, role="finance"):
        return await self.client.get("/v1/admin/budgets", headers=as_role(role))

    async def own(self, key):
        return await self.client.get("/v1/budgets", headers={"authorization": f"Bearer {key}"})

    async def spend(self, limited, amount, actual, name=None):
        made = await self.budgets.reserve(f"h{name}", (want_of(limited, at=NOW, name=name, amount=amount),))
        assert isinstance(made, Hold)
        if actual is not None:
            self.budgets.settle(made, {made.wants[0].budget: actual})


@pytest.fixture
async def desk(tmp_path):
    with database(sqlite(tmp_path)) as store:
        keys = MemoryKeys(lambda: BUNDLE.apps, now=NOW)
        budgets = LeasedBudgets(store, "w1", now=lambda: NOW)
        deps = BudgetDeps(
            tokens=ADMIN, keys=keys, store=store, snapshot=lambda: BUNDLE, budgets=budgets,
            clock=CLOCK, issue_id=issue_id,
        )  # fmt: skip
        async with client_of(router(deps)) as client:
            yield Desk(client, budgets, keys, store)
        await budgets.close()


def by_id(answer):
    assert answer.status_code == 200, answer.text
    return {line["budget"]: line for line in answer.json()["data"]}


async def test_finance_sees_every_budget_and_rate(desk):
    """Each once, with limit, spend, what is held and left, when it resets, and where it is declared."""
    await desk.spend(DAY, 5 * 10**9, 2 * 10**9)
    lines = by_id(await desk.everything())
    assert set(lines) == {
        "org:maple:CAD", "team:branch:CAD:day", "team:branch:CAD", "app:teller:gpu_seconds:last-24h",
        "rate:app:teller:requests", "rate:app:teller:concurrent", "model:chat:tokens",
    }  # fmt: skip
    day = lines["team:branch:CAD:day"]
    assert (day["limit"], day["spent"], day["unit"], day["per"]) == ("20.00", "2.00", "CAD", "day")
    assert float(day["left"]) == 20 - 2 - float(day["held"])
    assert day["resets_at"] == "2026-11-24T05:00:00Z"
    assert day["declared_at"] == "teams.yaml:1"
    month = lines["team:branch:CAD"]
    assert (month["carried_over"], month["carries_over"], month["alert_at"]) == ("0.00", "50.00", [50, 80])
    gpu = lines["app:teller:gpu_seconds:last-24h"]
    assert (gpu["per"], gpu["limit"], gpu["soft"]) == ("last 24h", "3600", True)
    places = lines["rate:app:teller:concurrent"]
    assert (places["kind"], places["resets"], places["per"]) == ("rate", None, "now")


async def test_budgets_of_keys_show_once_they_are_used(desk):
    """A template is no budget; what a key has spent is."""
    _, row = mint(tenant="maple", app="teller", now=NOW, by="tests")
    _, others = mint(tenant="maple", app="other", now=NOW, by="tests")
    with desk.store.write() as connection:
        key_rows.add(connection, row)
        key_rows.add(connection, others)
    assert f"key:{row.id}:tokens" not in by_id(await desk.everything())
    for key in (row.id, others.id):
        await desk.spend(KEY, 10, 7, name=key)
    lines = by_id(await desk.everything())
    assert (lines[f"key:{row.id}:tokens"]["spent"], lines[f"key:{row.id}:tokens"]["name"]) == ("7", row.id)
    assert f"key:{others.id}:tokens" not in lines  # of an app that has no such budget


async def test_an_app_sees_what_applies_to_its_key(desk):
    """Its own levels, its key's and its models', and nothing of others."""
    key = desk.keys.create(APP, now=NOW)
    name = key.split("_")[2]
    await desk.spend(KEY, 10, None, name=name)
    lines = by_id(await desk.own(key))
    assert lines[f"key:{name}:tokens"]["held"] != "0"
    assert lines[f"key:{name}:tokens"]["name"] == name
    assert {"org:maple:CAD", "rate:app:teller:requests", "model:chat:tokens"} <= set(lines)
    other = by_id(await desk.own(desk.keys.create(OTHER, now=NOW)))
    assert other == {}


async def test_who_may_look(desk):
    """Finance and auditors see all; an app's key sees no list of all, a stranger sees nothing."""
    assert (await desk.everything("auditor")).status_code == 200
    key = desk.keys.create(APP, now=NOW)
    refused = await desk.client.get("/v1/admin/budgets", headers={"authorization": f"Bearer {key}"})
    assert refused.status_code == 401
    assert (await desk.own("nobody")).status_code == 401
