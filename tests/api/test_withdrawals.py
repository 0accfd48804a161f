"""Withdrawn deployments over HTTP: auditors see them, an admin brings one back, and it is noted."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from gateway.adapters.memory_journal import MemoryJournal
from gateway.adapters.store_sql import withdrawals as rows
from gateway.adapters.store_sql.tables import admin_log
from gateway.api.withdrawals import WithdrawalDeps, router
from gateway.core.observed import entry, mismatch
from gateway.core.record import Entry
from tests import spine
from tests.api.desk_under_test import ADMIN, CLOCK, as_role, client_of, issue_id
from tests.people import NOW, database, sqlite


@pytest.fixture
async def desk(tmp_path):
    """The routes over a bank whose Quebec deployment is withdrawn."""
    snapshot = spine.snapshot(tmp_path / "policies")
    found = mismatch("us", snapshot.deployments["ca"], call="req_1", attempt="req_1#1", at=NOW - 10**9)
    data = entry(found, tenant=snapshot.tenant, snapshot=snapshot.hash)
    with database(sqlite(tmp_path)) as store:
        with store.write() as connection:
            rows.project_mismatch(
                connection, Entry(writer="w", seq=1, t=1, kind="place.mismatch", data=data, prev="")
            )
        journal = MemoryJournal(now=lambda: NOW)
        deps = WithdrawalDeps(
            tokens=ADMIN, store=store, snapshot=lambda: snapshot, journal=journal, clock=CLOCK,
            issue_id=issue_id,
        )  # fmt: skip
        async with client_of(router(deps)) as client:
            client.journal, client.store = journal, store
            yield client


async def test_an_auditor_sees_what_is_out_and_why(desk):
    """Places, the call that found it out, and whether the facts were written anew since."""
    got = await desk.get("/v1/admin/withdrawals", headers=as_role("auditor"))
    (row,) = got.json()["data"]
    assert (row["deployment"], row["out"]) == ("ca", True)
    assert (row["declared"], row["reported"], row["call"]) == (["CA-QC"], ["US"], "req_1")
    assert row["facts_changed_since"] is False


async def test_an_admin_brings_it_back_and_that_is_noted_twice(desk):
    """The admin log and the journal name who did it; a second time there is nothing to bring back."""
    done = await desk.delete("/v1/admin/withdrawals/ca", headers=as_role("admin"))
    assert done.status_code == 200
    (row,) = (await desk.get("/v1/admin/withdrawals", headers=as_role("admin"))).json()["data"]
    assert row["out"] is False
    assert row["cleared_by"]
    with desk.store.read() as connection:
        logged = connection.execute(select(admin_log.c.action, admin_log.c.target)).one()
    assert tuple(logged) == ("place.cleared", "ca")
    assert desk.journal.entries[-1].kind == "place.cleared"
    again = await desk.delete("/v1/admin/withdrawals/ca", headers=as_role("admin"))
    assert again.status_code == 404
    assert again.json()["error"]["code"] == "target_not_found"


@pytest.mark.parametrize("role", ["auditor", "finance"])
async def test_others_may_not(desk, role):
    """Bringing a deployment back is the admin's."""
    assert (await desk.delete("/v1/admin/withdrawals/ca", headers=as_role(role))).status_code == 403
