"""The table of withdrawals, on both databases: the newest contradiction of the same facts stands."""

from __future__ import annotations

import pytest

from gateway.adapters.store_sql import withdrawals as rows
from gateway.core.record import Entry
from tests.people import database, sqlite


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as opened:
        yield opened


def told(at, facts="f1"):
    data = {
        "tenant": "t", "deployment": "d", "facts": facts, "declared": ["CA-QC"], "reported": ["US"],
        "call": f"req_{at}", "attempt": "a", "snapshot": "s", "at": at,
    }  # fmt: skip
    return Entry(writer="w", seq=at, t=at, kind="place.mismatch", data=data, prev="")


def test_one_row_per_deployment_and_facts_the_newest_call_shown(store):
    """Projected in any order and any number of times."""
    with store.write() as connection:
        for at in (5, 9, 7, 9):
            rows.project_mismatch(connection, told(at))
        rows.project_mismatch(connection, told(6, "f2"))
        found = rows.withdrawn(connection, "t")
    assert [(row.facts, row.call, row.at_us) for row in found] == [("f2", "req_6", 6), ("f1", "req_9", 9)]
    assert all(row.active and row.declared == ("CA-QC",) and row.reported == ("US",) for row in found)
