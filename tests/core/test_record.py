"""Entries: what an auditor finds in them, and that they have a canonical form."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.budget import Settlement, settlement, spends
from gateway.core.canonical import encode
from gateway.core.prices import bound
from gateway.core.record import (
    abandoned,
    abandoned_record,
    call_record,
    cost_centre,
    intent,
    nothing_spent,
    outcome,
    top_up,
)
from gateway.core.values import Charge, Hold, Usage, Want
from gateway.core.windows import calendar
from tests.core.maple import NOW, app, at, attempt, call, snapshot, want

MOST = bound(snapshot(), "here", input_tokens=1000, output_tokens=500, at=NOW)
assert isinstance(MOST, Charge)


def test_an_intent_says_what_is_held_where_and_at_most() -> None:
    """All that is needed to book the attempt should the process die next."""
    made = intent(attempt(wants=(want(5, 10),)), bound=MOST)
    assert made["place"] == ["CA-ON", "CA-QC"]
    assert made["cost_centre"] == "4410"
    assert made["started"] == NOW // 1000
    assert made["bound"]["nano"] == str(MOST.nano)  # type: ignore[index,union-attr]  # entries are JSON
    assert made["spend"] == {"nano": "1991275", "currency": "CAD"}
    assert made["holds"] == [
        {
            "budget": "team:branch:CAD",
            "window": "2026-11-01T04:00:00Z",
            "unit": "CAD",
            "resets": at("2036-12-01T05:00:00") // 1000,
            "amount": "5",
        }
    ]
    encode(made)


def test_an_outcome_says_what_was_used_and_booked() -> None:
    """Buckets, the charge line by line, the spend per budget as decimal strings."""
    tried = attempt(wants=(want(10**9, 10**12),))
    usage = Usage(input=1000, output=100)
    settled = settlement(snapshot(), "here", tried.hold, bound=MOST, usage=usage, at=NOW)
    made = outcome(
        tried,
        status="served",
        code=None,
        usage=usage,
        settled=settled,
        vendor_id="v1",
        vendor_model="m",
        reported_place=None,
        ended=NOW + 5000,
    )
    assert made["spends"] == {"team:branch:CAD": "857780"}
    assert made["spend"] == {"nano": "857780", "currency": "CAD"}
    assert (made["estimated"], made["overrun"], made["ended"]) == (False, False, NOW // 1000 + 5)
    encode(made)


def test_a_try_that_never_left_costs_nothing() -> None:
    """Zero, known, on every level: the hold is released."""
    settled = nothing_spent(attempt(wants=(want(5, 10),)).hold, currency="USD")
    assert settled.spends == {"team:branch:CAD": 0}
    assert not settled.estimated
    assert settled.charge == Charge(nano=0, currency="USD", lines=())


def test_a_record_is_content_free_and_whole() -> None:
    """Labels with who set them, rules, counts; nothing of the body."""
    made = call_record(
        call(body={"messages": "secret words"}),
        alias="chat",
        ended=NOW,
        outcome="policy_refused",
        status=403,
        decision="dec_1",
        rules=["CA-1"],
        labels=[("client", "app teller")],
        masked={"sin": 1},
        masked_reply={},
        attempts=0,
        snapshot="a" * 64,
        attempt=None,
    )
    assert b"secret" not in encode(made)
    assert made["labels"] == [{"name": "client", "set_by": "app teller"}]
    assert made["attempt"] is None


def test_the_cost_centre_is_that_of_the_day_in_the_organisation() -> None:
    """The change of 1 December counts from Toronto's midnight, not from UTC's."""
    assert cost_centre(snapshot(), "teller", at("2026-12-01T04:59:59")) == "4410"
    assert cost_centre(snapshot(), "teller", at("2026-12-01T05:00:00")) == "4500"
    assert cost_centre(snapshot(), "teller", at("2026-10-01")) is None
    assert cost_centre(snapshot(), "ghost", NOW) is None
    none = snapshot(apps={"teller": app(cost_centres=())})
    assert cost_centre(none, "teller", NOW) is None


def test_a_top_up_restates_the_whole_hold() -> None:
    """What a crash after it would book is in it."""
    tried = attempt(wants=(want(5, 10),))
    made = top_up(tried, tried.hold, bound=MOST)
    assert made["holds"] == intent(tried, bound=MOST)["holds"]


def test_what_an_adopter_writes_is_the_hold_and_is_marked() -> None:
    """Booked at its bound, estimated, naming the writer and carrying its intent."""
    begun = intent(attempt(wants=(want(5, 10),)), bound=MOST)
    made = abandoned("w1", begun, ended=NOW)
    assert made["charge"] == {**begun["bound"], "at_most": True}
    assert made["spends"] == {"team:branch:CAD": "5"}
    assert (made["status"], made["estimated"], made["usage"]) == ("abandoned", True, None)
    assert made["adopted_from"] == {"writer": "w1", "intent": begun}
    record = abandoned_record(begun, None, ended=NOW)
    assert (record["outcome"], record["status"], record["last_attempt"]) == ("internal", 500, "req_1.a1")
    encode(made)
    encode(record)


COUNTS = st.integers(0, 2**40)
WORDS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.none() | st.builds(Usage, input=COUNTS, cache_read=COUNTS, output=COUNTS), WORDS, WORDS)
def test_a_journal_may_take_what_is_built_here_as_it_is(
    usage: Usage | None, vendor_id: str | None, vendor_model: str | None
) -> None:
    """No float and nothing strange in it, whatever was used: the bytes are those of the whole check."""
    tried = attempt(wants=(want(10**9, 10**12),))
    settled = settlement(snapshot(), "here", tried.hold, bound=MOST, usage=usage, at=NOW)
    last = outcome(
        tried, status="served", code=None, usage=usage, settled=settled, vendor_id=vendor_id,
        vendor_model=vendor_model, reported_place=vendor_id, ended=NOW,
    )  # fmt: skip
    record = call_record(
        call(), alias=vendor_model, ended=NOW, outcome="served", status=200, decision="d", rules=["CA-1"],
        labels=[("client", "app teller")], masked={"sin": 1}, masked_reply={}, attempts=1,
        snapshot="a" * 64, attempt=last,
    )  # fmt: skip
    begun = intent(tried, bound=settled.charge)
    for made in (begun, top_up(tried, tried.hold, bound=MOST), last, record):
        assert encode(made, sure=True) == encode(made)


@given(st.integers(0, 10**14), st.integers(0, 29 * 86_400))
def test_a_months_budget_spends_what_the_ledger_says(nano: int, second: int) -> None:
    """One rate for the month in both, also after another one was fixed within it; to the last unit."""
    first = snapshot().rates[0]
    moved = snapshot(rates=(first, replace(first, rate=Decimal("1.5"), valid_from=at("2026-11-12"))))
    when = at("2026-11-01T04:00:00") + second * 10**9
    month = calendar("month", moved.timezone, when)
    tried = replace(attempt(), snapshot=moved, started=when)  # a test's own
    held = Want(
        budget="team:branch:CAD", window=month.id, resets=month.end, unit="CAD", limit=2**62, amount=0
    )
    charge = Charge(nano=nano, currency="USD", lines=())
    booked = spends(Hold(id="h", wants=(held,)), charge, None, moved, at=when)
    settled = Settlement(charge=charge, spends=booked, estimated=False, overrun=False)
    made = outcome(
        tried, status="served", code=None, usage=None, settled=settled, vendor_id=None, vendor_model=None,
        reported_place=None, ended=when,
    )  # fmt: skip
    assert made["spend"] == {"nano": str(booked["team:branch:CAD"]), "currency": "CAD"}
