"""Why a decision: an app about its own, in aliases; an auditor about all, in full."""

from __future__ import annotations

import pytest

from gateway.adapters.memory_keys import MemoryKeys
from gateway.api.decisions import DecisionDeps, router
from gateway.core.snapshot import Snapshot
from tests.adapters.store_sql.test_decisions import fill, row
from tests.api.desk_under_test import ADMIN, CLOCK, as_role, client_of, issue_id
from tests.people import NOW, database, sqlite
from tests.policy.written import snapshot

BANK: Snapshot = snapshot("bank")
ASKED = {"snapshot": BANK.hash, "tenant": "maple-bank", "received_us": NOW // 1000}


@pytest.fixture
async def desk(tmp_path):
    keys = MemoryKeys(lambda: BANK.apps, now=NOW)
    presented = {app: keys.create(BANK.apps[app], now=NOW) for app in ("teller", "hackathon")}
    with database(sqlite(tmp_path)) as store:
        fill(
            store,
            row(1, **ASKED),
            row(2, **ASKED, asked="chat-pro", outcome="policy_refused", status=403, deployment=None),
            row(3, **{**ASKED, "snapshot": "f" * 64}),
        )
        deps = DecisionDeps(
            keys=keys, tokens=ADMIN, store=store, snapshot=lambda: BANK, clock=CLOCK, issue_id=issue_id
        )
        async with client_of(router(deps)) as client:

            async def ask(decision, *, app=None, role=None):
                headers = (
                    as_role(role) if role else {"authorization": f"Bearer {presented[app]}"} if app else {}
                )
                return await client.get(f"/v1/decisions/{decision}", headers=headers)

            yield ask


async def test_an_app_learns_why_and_what_else(desk):
    """Rules, their sentences, facts of place and what to use instead; no deployment, vendor or address."""
    got = await desk("dec_2", app="teller")
    assert got.status_code == 200
    body = got.json()
    assert body["permitted"] is False
    rules = {rule["id"]: rule for rule in body["rules"]}
    assert rules["CA-1"]["says"] == "Client data is processed, stored and logged only in Canada."
    assert rules["CA-1"]["facts"] == ["processed_in must be inside Canada; is CA-QC, US"]
    assert rules["V-1"]["facts"] == []
    assert body["use_instead"] == ["chat"]
    assert body["labels"] == [{"name": "client", "set_by": "app teller"}]
    assert body["tries"] == [{"try": 1, "permitted": False, "refused_by": ["CA-1", "V-1"]}]
    assert body["policy"]["same"] is True
    for name in (*BANK.deployments, *(d.vendor for d in BANK.deployments.values())):
        assert name not in got.text
    for connection in BANK.connections.values():
        assert connection.url not in got.text
        assert connection.model not in got.text


async def test_an_app_learns_of_allowed_calls_and_of_other_bundles(desk):
    """Duties and what no rule tests; a bundle that is gone is said to be."""
    body = (await desk("dec_1", app="teller")).json()
    assert body["permitted"] is True
    assert "answer ≤ 4,000 tokens" in body["duties"]
    assert body["allowed_by"] == ["OK-1"]
    assert "staff_access_from" in body["not_established"]
    assert (await desk("dec_3", app="teller")).json()["policy"]["same"] is False


async def test_anothers_decision_is_as_unknown_as_an_invented_one(desk):
    """The same 404, so that nothing can be probed."""
    foreign = await desk("dec_1", app="hackathon")
    invented = await desk("dec_9", app="hackathon")
    odd = await desk("req_1", app="hackathon")
    long = await desk("dec_" + "1" * 300, app="hackathon")
    assert foreign.status_code == 404
    assert foreign.json() == invented.json() == odd.json() == long.json()


async def test_an_auditor_sees_all(desk):
    """With deployments, facts and lines; finance does not, and nobody without a key."""
    got = await desk("dec_2", role="auditor")
    assert got.json()["explanation"]["candidates"][0]["deployment"] == "bedrock-us-claude"
    assert got.json()["deployment"] is None
    assert (await desk("dec_1", role="finance")).status_code == 403
    assert (await desk("dec_1")).status_code == 401
