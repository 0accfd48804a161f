"""Recorded decisions: by id, and grouped by what they looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.store_sql import Store, decisions
from gateway.adapters.store_sql.tables import keys, records
from tests.adapters.store_sql.databases import opened, sqlite_url


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Both databases."""
    url = sqlite_url(tmp_path) if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    with opened(url) as made:
        yield made


def row(number: int, **changes: Any) -> dict[str, Any]:
    """One record."""
    return {
        "call_id": f"req_{number}",
        "writer": "w",
        "seq": number,
        "tenant": "maple",
        "team": "branch",
        "app": "teller",
        "key_id": "k1",
        "surface": "chat",
        "asked": "chat",
        "alias": "chat",
        "stream": False,
        "received_us": 1_000 + number,
        "ended_us": 2_000,
        "outcome": "served",
        "status": 200,
        "decision": f"dec_{number}",
        "rules": "[]",
        "labels": '[{"name":"client","set_by":"app teller"}]',
        "features": "[]",
        "masked": "{}",
        "masked_reply": "{}",
        "attempts": 1,
        "snapshot": "s" * 64,
        "use": None,
        "deployment": "d",
        **changes,
    }


def fill(store: Store, *rows: dict[str, Any]) -> None:
    """Insert records, and the key that says where its caller is."""
    with store.write() as connection:
        connection.execute(
            keys.insert().values(
                id="k1", tenant="maple", app="teller", sha256="x", created_us=1, place="CA-QC"
            )
        )
        connection.execute(records.insert(), list(rows))


def test_a_decision_is_found_by_its_id(store: Store) -> None:
    """With what it looked at, the place of its key, and the snapshot that decided."""
    fill(store, row(1), row(2, outcome="policy_refused", status=403, deployment=None))
    with store.read() as connection:
        found = decisions.by_id(connection, "dec_2")
        assert decisions.by_id(connection, "dec_3") is None
    assert found is not None
    assert (found.call_id, found.status, found.snapshot) == ("req_2", 403, "s" * 64)
    assert found.subject.place == "CA-QC"
    assert found.subject.outcome == "policy_refused"


def test_equal_decisions_are_one_group(store: Store) -> None:
    """Of the tenant and the time asked for; what came to no decision is counted apart."""
    fill(
        store,
        *(row(i) for i in range(1, 6)),
        row(6, labels="[]"),
        row(7, tenant="birch"),
        row(8, received_us=9_999),
        row(9, decision=None),
    )
    with store.read() as connection:
        found = list(decisions.groups(connection, "maple", start_us=1_000, end_us=9_999))
        undecided = decisions.undecided(connection, "maple", start_us=0, end_us=99_999)
    assert sorted(number for _, number in found) == [1, 5]
    assert undecided == 1


def test_a_decision_was_about_the_model_that_stood_in(store: Store) -> None:
    """Asked for `chat`, answered by `chat-mini`: that is what was decided, by id and in groups."""
    mini = {"asked": "chat", "alias": "chat-mini", "degraded": '{"cheaper":"chat-mini"}'}
    queued = {"degraded": '{"queued_ms":5}', "asked": "gpt-4.1-mini"}
    fill(store, row(1, **mini), row(2, **mini), row(3, **queued))
    with store.read() as connection:
        found = decisions.by_id(connection, "dec_1")
        groups = {
            (subject.asked, calls)
            for subject, calls in decisions.groups(connection, "maple", start_us=0, end_us=9_000)
        }
    assert found is not None
    assert (found.subject.asked, found.degraded) == ("chat-mini", '{"cheaper":"chat-mini"}')
    assert groups == {("chat-mini", 2), ("gpt-4.1-mini", 1)}
