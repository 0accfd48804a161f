"""Bringing a deployment back: recorded with the act, journalled after it, 404 where nothing was out."""

from __future__ import annotations

from types import SimpleNamespace

import orjson
import pytest
from sqlalchemy import select

from gateway.adapters.clock import SetClock
from gateway.adapters.memory_journal import MemoryJournal
from gateway.adapters.store_sql.tables import admin_log
from gateway.api.auth import Actor, Role
from gateway.api.bringing_back import bring_back
from gateway.core.errors import Code, GatewayError
from gateway.ports import JournalUnavailable
from tests.people import database, sqlite

NOW = 1_795_400_000_000_000_000
ANNE = Actor(name="anne", role=Role.FINANCE)


class Full:
    """A journal on a full disk."""

    async def append(self, kind, data):
        raise JournalUnavailable("full")


@pytest.fixture
def store(tmp_path):
    with database(sqlite(tmp_path)) as opened:
        yield opened


def desk(store, journal):
    return SimpleNamespace(
        store=store, snapshot=lambda: SimpleNamespace(tenant="t"), journal=journal, clock=SetClock(NOW)
    )


async def back(desk, detail):
    def clear(connection, tenant, at_us):
        assert (tenant, at_us) == ("t", NOW // 1000)
        return detail

    return await bring_back(desk, ANNE, "ca", clear=clear, action="x.cleared", none="Nothing is out.")


def logged(store):
    with store.read() as connection:
        return [(row.actor, row.action, row.target) for row in connection.execute(select(admin_log))]


def told(journal):
    return [entry for entry in journal.entries if entry.kind != "writer.open"]


async def test_it_is_recorded_and_journalled(store):
    """Who, in which role, when; an act without detail is an act all the same."""
    journal = MemoryJournal(now=lambda: NOW)
    answer = await back(desk(store, journal), {})
    assert (answer.status_code, orjson.loads(answer.body)) == (200, {"deployment": "ca"})
    assert logged(store) == [("anne", "x.cleared", "ca")]
    [entry] = told(journal)
    assert (entry.kind, entry.data["by"], entry.data["deployment"]) == ("x.cleared", "anne", "ca")


async def test_nothing_out_is_not_found_and_leaves_no_trace(store):
    """A 404 in its own words; neither log nor journal says that something was done."""
    journal = MemoryJournal(now=lambda: NOW)
    with pytest.raises(GatewayError) as stopped:
        await back(desk(store, journal), None)
    assert stopped.value.refusal.code is Code.TARGET_NOT_FOUND
    assert stopped.value.refusal.message == "Nothing is out."
    assert (logged(store), told(journal)) == ([], [])


async def test_a_full_disk_is_said_and_the_deployment_is_back(store):
    """207: done, and not in the journal."""
    answer = await back(desk(store, Full()), {"rows": 1})
    assert answer.status_code == 207
    assert logged(store) == [("anne", "x.cleared", "ca")]
