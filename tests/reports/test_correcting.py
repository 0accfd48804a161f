"""Corrections: entries beside what stands, once, in a month that is open; and the trail of an attempt."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import select

from gateway.adapters.journal_file import FileJournal
from gateway.adapters.projector import Projector
from gateway.adapters.store_sql.reports import spend
from gateway.adapters.store_sql.tables import ledger
from gateway.reports.closing import window
from gateway.reports.correcting import NotCorrected, correct, trail
from tests.adapters.test_projector import served
from tests.bookkeeping import FINA, at, bank, closed, come, database

OCT, AFTER = at("2026-10-15 12:00"), at("2026-11-02 09:00")
CAD = Decimal("1.3925")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    with database(request.param, request, tmp_path) as made:
        yield made


def to(store, amount, attempt="a1", reason="the vendor's bill"):
    with store.write() as connection:
        return correct(connection, bank(), attempt, to=Decimal(amount), reason=reason, now=AFTER, by=FINA)


def month(store, name="2026-10"):
    """Spend and what of it is estimated, of a month."""
    with store.read() as connection:
        start_us, end_us = window(connection, bank(), name)
        sums = spend(
            connection, tenant="maple", start_us=start_us, end_us=end_us, by=("team",), currency="CAD",
            billing=name,
        )  # fmt: skip
    return sum(s.spend_nano for s in sums), sum(s.estimated_nano for s in sums)


def test_a_correction_moves_the_amount_by_the_difference_and_changes_no_row(store):
    """Down, up again, and to where it is: nothing."""
    come(store, ("a1", OCT))
    with store.read() as connection:
        before = connection.execute(select(ledger)).all()
    [entry] = to(store, "0.4").booked
    assert (entry.kind, entry.billing_period, entry.nano, entry.spend_nano) == (
        "adjust", "2026-10", -600_000_000, int(Decimal("-0.6") * CAD * 10**9),
    )  # fmt: skip
    assert (entry.start_us, entry.cost_centre, entry.refers) == (OCT // 1000, "4410", "a1")
    assert to(store, "0.4").booked == ()
    [again] = to(store, "3").booked
    assert again.nano == 2_600_000_000
    assert month(store) == (int(3 * CAD * 10**9), 0)
    with store.read() as connection:
        assert connection.execute(select(ledger)).all() == before


def test_a_known_amount_takes_the_place_of_an_estimate(store):
    """The estimate is taken back whole: nothing of the attempt is estimated any more."""
    come(store, ("a1", OCT), estimated=True)
    come(store, ("a2", OCT), estimated=True)
    assert month(store)[1] == 2 * 1_392_500_000
    done = to(store, "0.25")
    assert [(entry.estimated, entry.nano) for entry in done.booked] == [
        (True, -1_000_000_000),
        (False, 250_000_000),
    ]
    assert month(store) == (int(Decimal("1.25") * CAD * 10**9), 1_392_500_000)


def test_an_attempt_of_a_closed_month_is_corrected_in_the_open_one(store):
    """As a correction, about its own time; a late attempt in the month that it was booked in."""
    come(store, ("a1", OCT))
    closed(store, "2026-10", now=AFTER)
    come(store, ("late", OCT))
    [entry] = to(store, "0.4").booked
    assert (entry.kind, entry.billing_period, entry.start_us) == ("correction", "2026-11", OCT // 1000)
    [late] = to(store, "0.4", "late").booked
    assert (late.kind, late.billing_period) == ("adjust", "2026-11")
    assert month(store) == (1_392_500_000, 0)


def test_an_attempt_without_a_price_is_given_an_amount(store):
    """In the organisation's own currency."""
    bare = {"currency": None, "nano": None, "spend_currency": None, "spend_nano": None}
    come(store, ("a1", OCT), **bare)
    [entry] = to(store, "0.4").booked
    assert (entry.currency, entry.nano, entry.spend_nano) == ("CAD", 400_000_000, 400_000_000)


def test_what_cannot_be_corrected_is_said(store):
    """Nothing is booked then."""
    come(store, ("a1", OCT))
    with pytest.raises(NotCorrected, match="needs a --reason"):
        to(store, "1", reason=" ")
    with pytest.raises(NotCorrected, match="no attempt `zz`"):
        to(store, "1", "zz")
    with pytest.raises(NotCorrected, match="does not fit"):
        to(store, "99999999999")
    assert month(store) == (1_392_500_000, 0)


def test_each_correction_is_noted_in_words(store):
    """For the journal and the admin log: from what, to what, why, by whom."""
    come(store, ("a1", OCT))
    [(kind, entry)] = to(store, "0.4").entries
    assert kind == "ledger.corrected"
    assert (entry["from"], entry["to"], entry["currency"]) == ("1.000000000", "0.400000000", "USD")
    assert (entry["by"], entry["reason"]) == ("fina", "the vendor's bill")


def test_the_trail_joins_journal_ledger_and_entries(store, tmp_path):
    """Held, settled, released from the journal; adjusted and corrected from the entries."""
    journal = FileJournal.claim(tmp_path / "journal", place="CA-QC")
    served(journal, "req_1")
    Projector(store, journal.folder, place="CA-QC").drain()
    journal.close()
    policy = bank(tenant="maple")
    with store.write() as connection:
        correct(connection, policy, "req_1.a1", to=Decimal(1), reason="bill", now=AFTER, by=FINA)
    with store.read() as connection:
        found = trail(connection, policy, "req_1.a1", journals=tmp_path / "journal")
        elsewhere = trail(connection, policy, "req_1.a1", journals=tmp_path / "none")
    assert [step.what for step in found.steps] == [
        "held", "settled", "settled", "settled", "released", "adjusted",
    ]  # fmt: skip
    assert (found.total, found.missing) == ("1.3925 CAD", "")
    assert [step.what for step in elsewhere.steps] == ["settled", "adjusted"]
    assert "is not on this machine" in elsewhere.missing
    with store.read() as connection, pytest.raises(NotCorrected, match="no attempt `zz`"):
        trail(connection, policy, "zz", journals=tmp_path / "journal")


def test_an_attempt_that_is_not_booked_yet_has_a_trail_too(store, tmp_path):
    """What the journal says so far."""
    journal = FileJournal.claim(tmp_path / "journal", place="CA-QC")
    served(journal, "req_1")
    journal.close()
    with store.read() as connection:
        found = trail(connection, bank(), "req_1.a1", journals=tmp_path / "journal")
    assert found.missing == "it is not in the ledger yet"
