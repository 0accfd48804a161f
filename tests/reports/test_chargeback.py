"""The chargeback statement: every level sums to the same cent, and GL lines balance."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.store_sql.reports import spend
from gateway.core.money import present
from gateway.reports import chargeback
from gateway.reports.closing import window
from gateway.reports.correcting import correct
from gateway.reports.document import checked
from gateway.reports.kinds import KINDS, Asked
from gateway.reports.statements import restate
from tests.adapters.store_sql.databases import emptied, opened, sqlite_url
from tests.bookkeeping import FINA, add, at, bank, closed, come, database, entry, gl

OCT, NOV = at("2026-10-15 12:00"), at("2026-11-15 12:00")
AFTER, LATER = at("2026-11-02 09:00"), at("2026-12-02 09:00")
POLICY = bank(
    books=gl(
        ("6400", "debit", None, None, None),
        ("6410", "debit", "4410", None, None),
        ("6480", "debit", None, None, "gpu"),
        ("2100", "credit", None, None, None),
        ("1540", "credit", None, "self", None),
    )
)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """Empty books in each kind of database."""
    with database(request.param, request, tmp_path) as made:
        yield made


def report(store, month="2026-10", now=AFTER, policy=POLICY):
    with store.read() as connection:
        return checked(chargeback.build(policy, Asked(month=month, by=(), now=now))(connection))


def section(document, name):
    return next(item for item in document.sections if item.name == name)


def lines(document, name="chargeback"):
    found = section(document, name)
    return [dict(zip((column.name for column in found.columns), row, strict=True)) for row in found.rows]


def total(document, column, name="chargeback"):
    found = section(document, name)
    return found.total[[item.name for item in found.columns].index(column)]


def month_of_the_bank(store):
    """Two teams, one call paid by time, a GPU's shares and its idle time, a row without a cost centre."""
    come(store, ("a1", OCT), list_nano=2_000_000_000)
    come(store, ("a2", OCT), cost_centre="4900", team="lab", app="hackathon", estimated=True)
    come(store, ("a3", OCT), usd="0", list_nano=4_000_000_000, contracted_nano=3_000_000_000)
    come(store, ("a4", OCT), cost_centre=None, team="new", app="trial")
    add(
        store,
        entry("gpu:1", "2026-10", start=OCT, cad="2", team="branch", app="teller", cost_centre="4410"),
        entry("gpu:2", "2026-10", start=OCT, cad="0.505"),
        entry("ptu:1", "2026-10", start=OCT, cad="7", kind="reserved", vendor="microsoft", model="ptu"),
    )


def test_each_amount_stands_where_it_belongs(store):
    """List, contracted, effective and billed of a call, of a call paid by time, of a GPU, of idle time."""
    month_of_the_bank(store)
    document = report(store)
    rows = {(line["cost_centre"], line["team"], line["app"], line["model"]): line for line in lines(document)}
    teller = rows["4410", "branch", "teller", "gpt-4.1-mini"]
    assert teller["list"] == Decimal("8.36")  # 6 USD
    assert teller["contracted"] == Decimal("5.57")  # 4 USD
    assert teller["effective"] == Decimal("1.39")
    assert teller["billed"] in {Decimal("1.39"), Decimal("1.40")}  # each column ends in its own exact cent
    gpu = rows["4410", "branch", "teller", "glm-5"]
    assert (gpu["list"], gpu["effective"], gpu["billed"]) == (0, Decimal("2.00"), 0)
    idle = rows["unallocated", "–", "–", "GPU idle: glm-5"]
    assert idle["effective"] in {Decimal("0.50"), Decimal("0.51")}
    assert idle["billed"] == 0
    ptu = rows["unallocated", "–", "–", "reserved idle: ptu"]
    assert (ptu["effective"], ptu["billed"]) == (Decimal("7.00"), Decimal("7.00"))
    assert rows["4900", "lab", "hackathon", "gpt-4.1-mini"]["estimated"] == Decimal("1.39")
    assert rows["unallocated", "new", "trial", "gpt-4.1-mini"]["effective"] > 0
    assert [line["cost_centre"] for line in lines(document)][-1] == "unallocated"
    assert total(document, "effective") == present([3 * 1_392_500_000 + 9_505_000_000])[0]


def test_the_lines_are_ready_to_post(store):
    """Accounts by the mapping, debits equal to credits and to what was spent."""
    month_of_the_bank(store)
    document = report(store)
    assert total(document, "debit", "gl") == total(document, "credit", "gl") == total(document, "effective")
    posted = {
        (line["account"], line["cost_centre"]): line["debit"]
        for line in lines(document, "gl")
        if line["debit"]
    }
    assert set(posted) == {
        ("6410", "4410"), ("6400", "4900"), ("6400", "unallocated"), ("6480", "unallocated"),
    }  # fmt: skip
    owed = {(line["account"], line["vendor"]) for line in lines(document, "gl") if line["credit"]}
    assert owed == {("2100", "microsoft"), ("1540", "self")}
    bare = report(store, policy=bank())
    assert {line["account"] for line in lines(bare, "gl")} == {"no account"}
    assert "not ready to post" in bare.notes[0]


def test_open_and_closed_say_the_same(store):
    """Freezing changes no figure, only the status and what stands for it: hash, rows, who."""
    month_of_the_bank(store)
    before = report(store)
    done = closed(store, "2026-10", now=AFTER, policy=POLICY)
    after = report(store, now=LATER)
    assert (before.status, after.status) == ("preliminary", "closed")
    assert before.sections == after.sections
    facts = dict(after.facts)
    assert facts["sha256"] == done.sha256
    assert facts["rows"] == "4 attempts (0 late), 3 entries"
    assert facts["closed"] == "2026-11-02 09:00 by fina"
    assert facts["v1 signed by"] == "nobody"
    assert dict(before.facts)["prices"] == facts["prices"] == POLICY.prices_hash
    assert dict(before.facts)["exchange"] == "USD/CAD 1.3925 fixed 1970-01-01, Bank of Canada"


def test_a_closed_month_stands_whatever_the_policies_say_today(store):
    """Another chart of accounts, another currency rate: the frozen figures."""
    month_of_the_bank(store)
    closed(store, "2026-10", now=AFTER, policy=POLICY)
    was = report(store).sections
    assert report(store, policy=bank(rates=())).sections == was


def test_corrections_are_a_section_of_the_month_in_which_they_are_booked(store):
    """The closed month stands; the open one shows what it corrects, and its total holds it."""
    month_of_the_bank(store)
    closed(store, "2026-10", now=AFTER, policy=POLICY)
    was = report(store)
    come(store, ("late", OCT), usd="2")
    come(store, ("n1", NOV))
    with store.write() as connection:
        correct(connection, bank(), "a1", to=Decimal("0.5"), reason="the bill", now=NOV, by=FINA)
    now = report(store, now=LATER)
    assert now.sections == was.sections
    assert any("booked after it was closed" in note for note in now.notes)
    november = report(store, "2026-11", now=LATER)
    corrections = [
        (line["charge_period"], line["kind"], line["reason"], line["amount"])
        for line in lines(november, "corrections")
    ]
    assert corrections == [
        ("2026-10", "correction", "the bill", Decimal("-0.70")),
        ("2026-10", "late attempt", "arrived after its month was closed", Decimal("2.79")),
    ]
    assert total(november, "effective") == present([int(Decimal("2.5") * 1_392_500_000)])[0]
    restate(store, bank(), "2026-10", now=LATER, by=FINA, reason="late call and bill")
    restated = report(store, now=LATER)
    assert restated.status == "restated"
    fact = dict(restated.facts)["restated v2"]
    assert fact.startswith("13.68 as closed, 2.09 booked since: 15.77")
    assert restated.sections == was.sections


def test_an_empty_month_is_a_statement_too(store):
    """No rows, totals of nothing."""
    document = report(store, "2026-11")
    assert (document.status, total(document, "effective")) == ("open", 0)


def test_what_cannot_be_asked_for():
    """A month of another form; a grouping."""
    assert KINDS["chargeback"][0] == "gateway.reports.chargeback"
    with pytest.raises(ValueError, match="is no month"):
        chargeback.build(POLICY, Asked(month="soon", by=(), now=AFTER))
    with pytest.raises(ValueError, match="omit --by"):
        chargeback.build(POLICY, Asked(month="2026-10", by=("team",), now=AFTER))


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """One SQLite file for all examples."""
    with opened(sqlite_url(tmp_path_factory.mktemp("books"))) as made:
        yield made


_call = st.tuples(
    st.integers(0, 10**10),
    st.sampled_from([None, "4410", "4900"]),
    st.sampled_from(["branch", "lab"]),
    st.sampled_from(["m1", "m2"]),
)


@settings(max_examples=40)
@given(st.lists(_call, max_size=12), st.lists(st.integers(-(10**9), 10**10), max_size=5))
def test_every_column_and_every_report_ends_in_the_same_cent(one, calls, shares):
    """Charges, GL lines and the spend report of the period: one total, open and closed."""
    with one.write() as connection:
        emptied(connection)
    for number, (nano, centre, team, model) in enumerate(calls):
        usd = str(Decimal(nano).scaleb(-9))
        come(one, (f"a{number}", OCT + number), usd=usd, cost_centre=centre, team=team, model=model)
    add(
        one,
        *(
            entry(f"g{n}", "2026-10", start=OCT, cad=str(Decimal(nano).scaleb(-9)))
            for n, nano in enumerate(shares)
        ),
    )
    before = report(one)
    closed(one, "2026-10", now=AFTER, policy=POLICY)
    after = report(one)
    assert before.sections == after.sections
    with one.read() as connection:
        start_us, end_us = window(connection, POLICY, "2026-10")
        sums = spend(
            connection, tenant="maple", start_us=start_us, end_us=end_us, by=("team",), currency="CAD",
            billing="2026-10",
        )  # fmt: skip
    [cents] = present([sum(item.spend_nano for item in sums)])
    assert total(before, "effective") == cents
    net = total(before, "debit", "gl") - total(before, "credit", "gl")
    assert net == 0
