"""The table of suspended deployments, on both databases: the newest overrun of a deployment stands."""

from __future__ import annotations

import pytest
from sqlalchemy import delete

from gateway.adapters.store_sql import suspensions as rows
from gateway.adapters.store_sql.tables_alerts import suspensions as table
from gateway.core.record import Entry
from tests.people import database, sqlite


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as opened:
        with opened.write() as connection:
            connection.execute(delete(table))
        yield opened


def told(at, **changes):
    data = {
        "tenant": "t", "deployment": "d", "call": f"req_{at}", "attempt": "a", "bound": "5", "billed": "9",
        "currency": "USD", "over": ["team:branch:CAD"], "snapshot": "s", "at": at, **changes,
    }  # fmt: skip
    return Entry(writer="w", seq=at, t=at, kind="deployment.overrun", data=data, prev="")


def test_one_row_per_deployment_the_newest_overrun_shown(store):
    """Projected in any order and any number of times."""
    with store.write() as connection:
        for at in (5, 9, 7, 9):
            rows.project_overrun(connection, told(at))
        (found,) = rows.suspended(connection, "t")
    assert (found.found.call, found.found.at, found.active) == ("req_9", 9000, True)
    assert (found.found.bound, found.found.billed, found.found.over) == (5, 9, ("team:branch:CAD",))
    assert "req_9" in found.why
    with store.read() as connection:
        assert rows.suspended(connection, "other") == []


def test_a_person_clears_it_and_a_later_overrun_suspends_again(store):
    """Cleared once; an entry of before that comes late stays cleared, one of after does not."""
    with store.write() as connection:
        rows.project_overrun(connection, told(5))
        assert rows.clear(connection, "t", "d", at_us=10, by="finance")
        assert not rows.clear(connection, "t", "d", at_us=11, by="finance")
        rows.project_overrun(connection, told(8))
        (late,) = rows.suspended(connection, "t")
        assert (late.active, late.cleared_by) == (False, "finance")
        rows.project_overrun(connection, told(12))
        (again,) = rows.suspended(connection, "t")
        assert again.active
        assert not rows.clear(connection, "t", "d", at_us=11, by="finance")  # it saw an older one
        assert rows.clear(connection, "t", "d", at_us=12, by="finance")
        assert not rows.clear(connection, "t", "nobody", at_us=99, by="finance")


def test_what_is_no_such_entry_is_refused(store):
    """The projector skips it and says so."""
    with store.write() as connection:
        for wrong in ({"over": "all"}, {"at": "today"}, {"bound": 5}):
            with pytest.raises(TypeError):
                rows.project_overrun(connection, told(1, **wrong))
