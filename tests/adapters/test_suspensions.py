"""Deployments that billed beyond their bound: suspended here at once, elsewhere in seconds."""

from __future__ import annotations

import pytest

from gateway.adapters.store_sql import suspensions as rows
from gateway.adapters.store_sql.engine import StoreUnavailable
from gateway.adapters.suspensions import Suspensions
from gateway.core.overruns import Overrun, entry
from gateway.core.record import Entry
from tests import spine
from tests.people import database, sqlite

TENANT = "maple-bank"


def found(deployment="ca", at=spine.NOW):
    return Overrun(
        deployment=deployment, call="req_1", attempt="req_1#1", bound=5, billed=9, currency="USD",
        over=("team:branch:CAD",), at=at,
    )  # fmt: skip


def project(store, mine):
    data = entry(mine, tenant=TENANT, snapshot="s")
    with store.write() as connection:
        rows.project_overrun(
            connection, Entry(writer="w", seq=1, t=1, kind="deployment.overrun", data=data, prev="")
        )


@pytest.fixture
def store(tmp_path):
    with database(sqlite(tmp_path)) as opened:
        yield opened


async def test_the_worker_that_booked_it_suspends_at_once_and_tells(store):
    """Without a word of the database."""
    told = []
    here = Suspensions(store, tenant=TENANT, tell=told.append)
    assert here.suspended() == {}
    here.note(found())
    assert "billed beyond its bound on req_1, passing team:branch:CAD" in here.suspended()["ca"]
    assert told == [found()]


async def test_every_other_worker_learns_it_from_the_table(store):
    """The entry in the journal is projected, and the others poll."""
    there = Suspensions(store, tenant=TENANT)
    project(store, found())
    await there.refresh()
    assert set(there.suspended()) == {"ca"}
    assert there.fresh


async def test_a_person_clears_it_everywhere_and_a_new_overrun_suspends_again(store):
    """On the worker that booked it too."""
    here = Suspensions(store, tenant=TENANT)
    here.note(found())
    await here.refresh()  # the table does not have it yet: it stays
    assert set(here.suspended()) == {"ca"}
    project(store, found())
    with store.write() as connection:
        assert rows.clear(connection, TENANT, "ca", at_us=spine.NOW // 1000 + 5, by="finance")
    await here.refresh()
    assert here.suspended() == {}
    here.note(found(at=spine.NOW + 10**9))
    await here.refresh()
    assert set(here.suspended()) == {"ca"}


async def test_a_database_that_is_away_brings_nothing_back():
    """What is known stays."""

    class Away:
        async def ask(self, _work):
            raise StoreUnavailable("away")

    here = Suspensions(Away(), tenant=TENANT)
    here.note(found())
    with pytest.raises(StoreUnavailable):
        await here.refresh()
    assert set(here.suspended()) == {"ca"}
