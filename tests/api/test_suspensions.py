"""Suspended deployments over HTTP: auditors and finance see them, finance lets one back, and it is noted."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from gateway.adapters.memory_journal import MemoryJournal
from gateway.adapters.store_sql import suspensions as rows
from gateway.adapters.store_sql.tables import admin_log
from gateway.api.suspensions import SuspensionDeps, router
from gateway.core.overruns import Overrun, entry
from gateway.core.record import Entry
from tests import spine
from tests.api.desk_under_test import ADMIN, CLOCK, as_role, client_of, issue_id
from tests.people import NOW, database, sqlite


@pytest.fixture
async def desk(tmp_path):
    """The routes over a bank whose Quebec deployment billed beyond its bound."""
    snapshot = spine.snapshot(tmp_path / "policies")
    found = Overrun(
        deployment="ca", call="req_1", attempt="req_1#1", bound=1_500_000_000, billed=2 * 10**9,
        currency="USD", over=("team:branch:CAD",), at=NOW - 10**9,
    )  # fmt: skip
    data = entry(found, tenant=snapshot.tenant, snapshot=snapshot.hash)
    with database(sqlite(tmp_path)) as store:
        with store.write() as connection:
            rows.project_overrun(
                connection, Entry(writer="w", seq=1, t=1, kind="deployment.overrun", data=data, prev="")
            )
        journal = MemoryJournal(now=lambda: NOW)
        deps = SuspensionDeps(
            tokens=ADMIN, store=store, snapshot=lambda: snapshot, journal=journal, clock=CLOCK,
            issue_id=issue_id,
        )  # fmt: skip
        async with client_of(router(deps)) as client:
            client.journal, client.store = journal, store
            yield client


@pytest.mark.parametrize("role", ["auditor", "finance", "admin"])
async def test_who_may_look_sees_what_is_suspended_and_why(desk, role):
    """Amounts as decimals, the call that overran, and the budgets that it passed."""
    got = await desk.get("/v1/admin/suspensions", headers=as_role(role))
    (row,) = got.json()["data"]
    assert (row["deployment"], row["suspended"], row["call"]) == ("ca", True, "req_1")
    assert (row["bound"], row["billed"], row["currency"]) == ("1.500000000", "2.000000000", "USD")
    assert row["over"] == ["team:branch:CAD"]


async def test_finance_lets_it_back_and_that_is_noted_twice(desk):
    """The admin log and the journal name who did it; a second time there is nothing to let back."""
    assert (await desk.delete("/v1/admin/suspensions/ca", headers=as_role("auditor"))).status_code == 403
    done = await desk.delete("/v1/admin/suspensions/ca", headers=as_role("finance"))
    assert done.status_code == 200
    (row,) = (await desk.get("/v1/admin/suspensions", headers=as_role("admin"))).json()["data"]
    assert row["suspended"] is False
    assert row["cleared_by"]
    with desk.store.read() as connection:
        logged = connection.execute(select(admin_log.c.action, admin_log.c.target)).one()
    assert tuple(logged) == ("overrun.cleared", "ca")
    assert desk.journal.entries[-1].kind == "overrun.cleared"
    again = await desk.delete("/v1/admin/suspensions/ca", headers=as_role("finance"))
    assert again.status_code == 404


async def test_a_journal_that_is_away_is_said(desk):
    """It is let back all the same: the admin log has it."""
    desk.journal.failing = True
    done = await desk.delete("/v1/admin/suspensions/ca", headers=as_role("admin"))
    assert (done.status_code, done.json()["journal"]) == (207, "not written")
