"""What a closed month says: figures, accounts, rates; and stating it again."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.reports.correcting import correct
from gateway.reports.statements import NotClosed, groups_of, named, rates_of, restate
from tests.bookkeeping import FINA, add, at, bank, closed, come, database, entry, gl

OCT, AFTER = at("2026-10-15 12:00"), at("2026-11-02 09:00")


@pytest.fixture
def store(request, tmp_path):
    """Empty books."""
    with database("sqlite", request, tmp_path) as made:
        yield made


def again(store, reason="the vendor sent a credit note"):
    return restate(store, bank(), "2026-10", now=AFTER, by=FINA, reason=reason)


def test_a_statement_says_all_that_an_auditor_asks_first(store):
    """Figures by group, postings, prices, policy, rates, bounds: frozen with the rows."""
    come(store, ("a1", OCT), list_nano=2_000_000_000)
    add(store, entry("gpu:1", "2026-10", start=OCT, cad="3"))
    policy = bank(
        books=gl(
            ("6400", "debit", None, None, None),
            ("6480", "debit", None, None, "gpu"),
            ("2100", "credit", None, None, None),
        )
    )
    said = closed(store, "2026-10", now=AFTER, policy=policy).statement
    assert (said["nano"], said["currency"], said["prices"]) == (
        str(4_392_500_000),
        "CAD",
        {"CAD": "3000000000", "USD": "1000000000"},
    )
    lines = [(line["side"], line["account"], line["cost_centre"], line["amount"]) for line in said["gl"]]
    assert lines == [
        ("debit", "6400", "4410", "1.39"),
        ("debit", "6480", "", "3.00"),
        ("credit", "2100", "", "1.39"),
        ("credit", "2100", "", "3.00"),
    ]
    assert said["rates"] == [
        {"pair": "USD/CAD", "rate": "1.3925", "fixed": "1970-01-01", "source": "Bank of Canada"}
    ]
    assert said["policy"]["prices"] == policy.prices_hash
    usage = next(amounts for group, amounts in groups_of(said).items() if group.kind == "usage")
    assert (usage.price_nano, usage.list_nano, usage.contracted_nano) == (10**9, 2 * 10**9, 10**9)


def test_accounts_are_frozen_with_the_month(store):
    """A new chart of accounts changes no statement that was made."""
    come(store, ("a1", OCT))
    old = closed(store, "2026-10", now=AFTER, policy=bank(books=gl(("6400", "debit", None, None, None))))
    new = bank(books=gl(("9999", "debit", None, None, None)))
    assert closed(store, "2026-10", now=AFTER, policy=new).statement["gl"] == old.statement["gl"]
    assert old.statement["gl"][0]["account"] == "6400"


def test_restating_names_what_came_and_leaves_the_closed_figures(store):
    """Late attempts and corrections, with where they are booked; the same again makes no version."""
    come(store, ("a1", OCT))
    first = closed(store, "2026-10", now=AFTER)
    with pytest.raises(NotClosed, match="nothing was booked about 2026-10"):
        again(store)
    come(store, ("a2", OCT), usd="2")
    with store.write() as connection:
        correct(connection, bank(), "a1", to=Decimal("0.5"), reason="bill", now=AFTER, by=FINA)
    done = again(store)
    said = done.statement
    assert (done.version, done.fresh, said["version"]) == (2, True, 2)
    assert [item["billing_period"] for item in said["corrections"]] == ["2026-11", "2026-11"]
    assert said["closed_nano"] == first.statement["nano"]
    assert int(said["restated_nano"]) == int(Decimal("2.5") * Decimal(1392500000))
    assert not again(store).fresh
    come(store, ("a3", OCT))
    third = again(store)
    assert third.version == 3
    assert len(third.statement["corrections"]) == 3
    assert closed(store, "2026-10", now=AFTER).statement == first.statement


def test_only_a_closed_month_is_restated_and_with_a_reason(store):
    """Each refusal says the fix."""
    come(store, ("a1", OCT))
    with pytest.raises(NotClosed, match="only a closed month"):
        again(store)
    closed(store, "2026-10", now=AFTER)
    with pytest.raises(NotClosed, match="needs a --reason"):
        again(store, reason=" ")


def test_what_a_restatement_names(store):
    """In one order, whoever asks."""
    from gateway.adapters.store_sql import books as rows

    come(store, ("a1", OCT))
    closed(store, "2026-10", now=AFTER)
    come(store, ("b", OCT), ("a", OCT))
    add(store, entry("z", "2026-10", start=OCT))
    again(store)
    with store.read() as connection:
        last = rows.statements(connection, "maple", "2026-10")[-1]
    assert named(last) == ["attempt:a", "attempt:b", "entry:z"]


def test_the_rate_that_converts_the_month():
    """The one in force when it began: none that was fixed later in it, or after it."""
    from dataclasses import replace

    policy = bank()
    [rate] = policy.rates
    dated = [
        replace(rate, valid_from=at(day), rate=Decimal(number))
        for day, number in (("2026-09-01 00:00", "1"), ("2026-10-10 00:00", "2"), ("2026-11-01 00:00", "3"))
    ]
    found = rates_of(
        bank(rates=tuple(dated)), at("2026-10-01 00:00") // 1000, at("2026-11-01 00:00") // 1000, ("USD",)
    )
    assert [item["rate"] for item in found] == ["1"]
    assert rates_of(policy, 0, 1, ("CAD",)) == []
