"""The queries behind GPU pools: which attempts belong to an hour, and what of an hour is booked."""

# ruff: noqa: E501 (rows stand whole)

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.adapters.store_sql import gpu as sql
from gateway.core.fold import Booking, Fold
from gateway.core.gpu_pools import HOUR_US
from gateway.core.record import Entry
from tests.adapters.gpu_bank import HOUR, MINUTE, bank, booked, closing, served, write
from tests.adapters.store_sql.databases import opened, sqlite_url

END = HOUR + HOUR_US


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        yield made


def ran(store, deployments=("own-llama",)):
    """What the ledger holds of the hour."""
    with store.read() as connection:
        return sql.ran(connection, tenant="maple", deployments=deployments, start_us=HOUR, end_us=END)


def test_what_overlaps_an_hour_belongs_to_it(store):
    """From before, into the next, throughout; not what ended at its start or begins at its end."""
    write(
        store,
        served("before", HOUR - MINUTE, 2 * MINUTE, input=1),
        served("after", END - MINUTE, 2 * MINUTE, input=2),
        served("over", HOUR - MINUTE, HOUR_US + 2 * MINUTE, input=4),
        served("touches", HOUR - MINUTE, MINUTE, input=8),
        served("next", END, MINUTE, input=16),
        served("other", HOUR, MINUTE) | {"deployment": "vendor-1"},
        served("foreign", HOUR, MINUTE) | {"tenant": "birch"},
    )
    found = ran(store)
    assert sorted(run.prompt for run in found.runs) == [1, 2, 4]
    assert found.attempts == 3
    with store.read() as connection:
        assert (
            sql.attempts(connection, tenant="maple", deployments=("own-llama",), start_us=HOUR, end_us=END)
            == 3
        )


def test_tokens_are_told_apart(store):
    """Cached ones are context, not prefill; what ended in the hour counts as the hour's."""
    write(
        store,
        served("a", HOUR, MINUTE, input=100, cache_read=40, cache_write_5m=7, output=9, first_us=HOUR + 5),
        served("b", END - MINUTE, 2 * MINUTE, input=1_000, output=1_000),
    )
    found = ran(store)
    a = next(run for run in found.runs if run.cached)
    assert (a.prompt, a.cached, a.output, a.first_us, a.known) == (107, 40, 9, HOUR + 5, True)
    assert (a.key.team, a.key.app, a.key.cost_centre, a.key.alias) == ("branch", "teller", "4410", "chat")
    assert (found.prompt_tokens, found.output_tokens) == (107, 9)


def test_lost_usage_is_told_from_none(store):
    """Nothing used and known: it never ran. Nothing known: it pays by its time."""
    write(
        store,
        served("never", HOUR, MINUTE, input=0, output=0),
        served("lost", HOUR, MINUTE, input=0, output=0, team="lab") | {"estimated": True},
    )
    found = ran(store)
    assert [run.known for run in found.runs] == [False]
    assert {who.team for who in found.lost} == {"lab"}
    assert (found.attempts, found.lost_attempts) == (2, 1)


def test_a_pool_begins_once_or_earlier(store):
    """Said again it can begin earlier, so that older hours are booked too; never later."""
    with store.write() as connection:
        assert sql.since(connection, tenant="maple", pool="p") is None
        for said, known in ((HOUR, HOUR), (END, HOUR), (HOUR - HOUR_US, HOUR - HOUR_US)):
            sql.begin(connection, tenant="maple", pool="p", since_us=said)
            assert sql.since(connection, tenant="maple", pool="p") == known
        assert sql.first_attempt(connection, tenant="maple", deployments=("own-llama",)) is None
        assert sql.first_closed(connection, tenant="maple", pool="p") is None


def test_an_hour_is_read_back_as_last_revised(store):
    """And the first to book a revision books it; the second books nothing."""
    write(store, served("a", HOUR, MINUTE, input=5))
    closing(store, bank(), END + 900_000_000)[0].step()
    with store.read() as connection:
        (first,) = sql.hours(connection, tenant="maple", start_us=HOUR, end_us=END)
        assert sql.last_closed(connection, tenant="maple", pool="llama-ca") == HOUR
        assert len(sql.entries_between(connection, tenant="maple", start_us=HOUR, end_us=END)) == len(
            booked(store)
        )
        assert sql.booked(connection, tenant="maple", origin=f"gpu:llama-ca:{HOUR}", start_us=HOUR)
    second = replace(first, revision=2, why="recalibrated")
    with store.write() as connection:
        assert sql.book(connection, second, [])
        assert not sql.book(connection, replace(second, why="again"), booked(store))
        assert sql.hours(connection, tenant="maple", start_us=HOUR, end_us=END, pool="llama-ca") == [second]
        assert sql.hours(connection, tenant="maple", start_us=HOUR, end_us=END, pool="other") == []


def test_the_first_chunks_instant_reaches_the_ledger():
    """From the journal's outcome to the row; a plain reply has none."""
    begun = {
        "call": "c", "attempt": "a", "number": 1, "started": 1, "tenant": "t", "team": "t", "app": "p", "key": "k",
        "cost_centre": None, "alias": "m", "deployment": "d", "vendor": "v", "model": "m", "surface": "chat",
        "snapshot": "s", "place": [], "holds": [],
    }  # fmt: skip
    ended = {
        "call": "c", "attempt": "a", "status": "served", "code": None, "usage": None, "charge": None,
        "spend": None, "spends": {}, "estimated": False, "overrun": False, "vendor_id": None, "vendor_model": None,
        "ended": 9,
    }  # fmt: skip
    for extra, expected in (({"first": 4}, 4), ({}, None)):
        fold = Fold()
        fold.step(Entry(writer="w", seq=1, t=1, kind="attempt.intent", data=begun, prev=""))
        facts = fold.step(
            Entry(writer="w", seq=2, t=9, kind="attempt.outcome", data={**ended, **extra}, prev="")
        )
        (row,) = [fact.row for fact in facts if isinstance(fact, Booking)]
        assert row["first_us"] == expected
