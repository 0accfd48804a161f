"""Counters against what the ledger and the journal say: equal, or the difference is named."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, update

from gateway.adapters.journal_file import FileJournal
from gateway.adapters.projector import Projector
from gateway.adapters.store_sql.tables import budget_windows, slices, writers
from gateway.reports.rebuilding import rebuild
from tests.adapters.test_projector import served
from tests.bookkeeping import at, bank, come, database

OCT = at("2026-10-15 12:00")
START, RESETS = "2026-10-01T04:00:00Z", at("2026-11-01 00:00") // 1000


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    with database(request.param, request, tmp_path) as made:
        yield made


def count(store, budget, spent, unit="CAD", writer="w1"):
    """A window of a budget with what its one slice spent."""
    with store.write() as connection:
        connection.execute(
            insert(budget_windows).values(
                budget=budget, window=START, unit=unit, resets_us=RESETS, committed=spent
            )
        )
        connection.execute(
            insert(slices).values(writer=writer, budget=budget, window=START, granted=spent, spent=spent)
        )


def rebuilt(store, journals=None):
    with store.read() as connection:
        return {item.budget: item for item in rebuild(connection, bank(), journals=journals)}


def test_money_of_each_level_is_summed_from_the_rows(store):
    """Organisation, team, app, key, model; what is estimated stands apart."""
    with store.write() as connection:
        connection.execute(insert(writers).values(id="w1", place="CA", host="h", state="open", opened_us=0))
    come(store, ("a1", OCT), ("a2", OCT))
    come(store, ("a3", OCT), team="lab", app="hackathon", key_id="k2", alias="pro", estimated=True)
    one = 1_392_500_000
    for budget, spent in (
        ("org:maple:CAD", 3 * one),
        ("team:branch:CAD", 2 * one),
        ("app:hackathon:CAD:day", one),
        ("key:k2:CAD", one),
        ("model:pro:CAD", one),
        ("team:lab:CAD", 5),
    ):
        count(store, budget, spent)
    found = rebuilt(store)
    assert {name: item.differs for name, item in found.items()} == {
        "org:maple:CAD": False,
        "team:branch:CAD": False,
        "app:hackathon:CAD:day": False,
        "key:k2:CAD": False,
        "model:pro:CAD": False,
        "team:lab:CAD": True,
    }
    assert found["org:maple:CAD"].estimated == "1.3925"
    assert found["team:lab:CAD"].says == "the counter is 1.392499995 below"
    assert {item.source for item in found.values()} == {"ledger"}


def test_tokens_are_summed_where_every_row_has_its_usage(store):
    """A row without usage, or with buckets that are no columns, cannot tell; nor can a user's budget."""
    with store.write() as connection:
        connection.execute(insert(writers).values(id="w1", place="CA", host="h", state="open", opened_us=0))
    come(store, ("a1", OCT), input=100, output=50)
    count(store, "team:branch:tokens", 150, unit="tokens")
    count(store, "team:branch:input_tokens", 100, unit="input_tokens")
    count(store, "user:u-1:CAD", 7)
    count(store, "team:branch:requests", 1, unit="requests")
    found = rebuilt(store)
    assert not found["team:branch:tokens"].differs
    assert found["team:branch:input_tokens"].rebuilt == "100"
    assert found["user:u-1:CAD"].rebuilt == found["team:branch:requests"].rebuilt == "–"
    assert not any(item.differs for item in found.values())
    come(store, ("a2", OCT), units='{"web_search":1}')
    assert rebuilt(store)["team:branch:tokens"].rebuilt == "–"


def test_with_its_journals_every_budget_is_told_to_the_unit(store, tmp_path):
    """What was really spent of each window; a counter that somebody changed differs."""
    journal = FileJournal.claim(tmp_path / "journal", place="CA-QC")
    for number in range(5):
        served(journal, f"req_{number}")
    projector = Projector(store, journal.folder, place="CA-QC")
    projector.drain()
    served(journal, "req_9")  # not in the counters yet, and not expected there
    journal.close()
    [item] = rebuilt(store, tmp_path / "journal").values()
    assert (item.source, item.differs, item.counted, item.rebuilt) == (
        "journal", False, "0.0030635", "0.0030635",
    )  # fmt: skip
    with store.write() as connection:
        connection.execute(update(slices).values(spent=slices.c.spent + 1))
    [item] = rebuilt(store, tmp_path / "journal").values()
    assert item.differs
    assert item.says == "the counter is 0.000000001 above"


def test_calls_at_once_and_rates_are_no_spend(store):
    """Their windows are not money's."""
    with store.write() as connection:
        connection.execute(
            insert(budget_windows).values(
                budget="rate:app:teller:concurrent", window="now", unit="concurrent", resets_us=1, committed=0
            )
        )
    count_of_rates = rebuilt(store)
    assert count_of_rates == {}
