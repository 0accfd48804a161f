"""Deployments whose vendor contradicted their facts: out here at once, out elsewhere in seconds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.adapters.store_sql import withdrawals as rows
from gateway.adapters.store_sql.withdrawals import project_mismatch
from gateway.adapters.withdrawals import Withdrawals
from gateway.core.observed import entry, mismatch
from gateway.core.record import Entry
from tests import spine
from tests.people import database, sqlite

TENANT = "maple-bank"


def found(snapshot, deployment="ca", at=spine.NOW):
    """What is found when the vendor of a deployment in Quebec says that it ran in the US."""
    return mismatch("us", snapshot.deployments[deployment], call="req_1", attempt="req_1#1", at=at)


def journalled(mine, seq=1):
    """The journal entry of a mismatch."""
    data = entry(mine, tenant=TENANT, snapshot="s")
    return Entry(writer="w", seq=seq, t=mine.at // 1000, kind="place.mismatch", data=data, prev="")


@pytest.fixture
def store(tmp_path):
    with database(sqlite(tmp_path / "db" if (tmp_path / "db").mkdir() is None else tmp_path)) as opened:
        yield opened


@pytest.fixture
def snapshot(tmp_path):
    return spine.snapshot(tmp_path / "policies")


async def test_the_worker_that_saw_it_drops_the_deployment_at_once(store, snapshot):
    """Without a word of the database: the next decision of this worker is made without it."""
    here = Withdrawals(store, tenant=TENANT)
    assert here.view(snapshot) is snapshot
    here.note(found(snapshot))
    assert "its vendor reported that it ran in the US" in here.reasons(snapshot)["ca"]
    assert here.view(snapshot).deployments["ca"].withdrawn
    assert not here.view(snapshot).deployments["ca_on"].withdrawn
    assert here.view(snapshot) is here.view(snapshot)


async def test_every_other_worker_learns_it_from_the_table(store, snapshot):
    """The entry in the journal is projected, and the others poll."""
    there = Withdrawals(store, tenant=TENANT)
    with store.write() as connection:
        project_mismatch(connection, journalled(found(snapshot)))
    await there.refresh()
    assert set(there.reasons(snapshot)) == {"ca"}
    assert there.fresh


async def test_facts_written_anew_bring_it_back(store, snapshot):
    """The withdrawal is about facts: new facts are a new claim."""
    here = Withdrawals(store, tenant=TENANT)
    here.note(found(snapshot))
    anew = replace(
        snapshot,
        deployments={
            **snapshot.deployments,
            "ca": replace(snapshot.deployments["ca"], seen="2026-11-23"),
        },
    )
    assert here.view(anew) is anew
    assert here.view(snapshot) is not snapshot  # and the old ones do not


async def test_a_person_may_clear_it_and_a_new_report_brings_it_again(store, snapshot):
    """Cleared on every worker, the one that saw it included; a later contradiction counts anew."""
    here = Withdrawals(store, tenant=TENANT)
    here.note(found(snapshot))
    with store.write() as connection:
        project_mismatch(connection, journalled(found(snapshot)))
        assert rows.clear(connection, TENANT, "ca", at_us=spine.NOW // 1000 + 5, by="ann") == 1
        assert rows.clear(connection, TENANT, "ca", at_us=spine.NOW // 1000 + 6, by="ann") == 0
        assert rows.clear(connection, "other", "ca", at_us=spine.NOW // 1000 + 6, by="ann") == 0
    await here.refresh()
    assert here.view(snapshot) is snapshot
    again = found(snapshot, at=spine.NOW + 10_000_000)
    here.note(again)
    assert set(here.reasons(snapshot)) == {"ca"}
    with store.write() as connection:
        project_mismatch(connection, journalled(again, 2))
        project_mismatch(connection, journalled(found(snapshot), 3))  # late, and older: changes nothing
    await here.refresh()
    assert set(here.reasons(snapshot)) == {"ca"}
    assert [row.cleared_by for row in await store.ask(rows.withdrawn)] == ["ann"]


async def test_an_entry_of_another_shape_is_turned_down(store):
    """The projector tells of it and goes on; a row of half the truth would be worse."""
    bad = Entry(writer="w", seq=1, t=1, kind="place.mismatch", data={"deployment": "ca"}, prev="")
    with pytest.raises(TypeError), store.write() as connection:
        project_mismatch(connection, bad)
