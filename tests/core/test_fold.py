"""The fold: entries into rows, each attempt once, whatever was interrupted."""

from __future__ import annotations

from gateway.core.budget import settlement
from gateway.core.fold import Booking, Fact, Fold, Other, Recorded
from gateway.core.prices import bound
from gateway.core.record import Data, Entry, abandoned, abandoned_record, call_record, intent, outcome, top_up
from gateway.core.values import Attempt, Charge, Hold, Usage
from tests.core.maple import NOW, attempt, call, snapshot, want

MOST = bound(snapshot(), "here", input_tokens=1000, output_tokens=500, at=NOW)
assert isinstance(MOST, Charge)


def entry(seq: int, kind: str, data: Data, writer: str = "w1") -> Entry:
    """An entry as read back."""
    return Entry(writer=writer, seq=seq, t=NOW // 1000, kind=kind, data=data, prev="")


def served(tried: Attempt, usage: Usage | None) -> Data:
    """The outcome of a try that came back."""
    settled = settlement(snapshot(), "here", tried.hold, bound=MOST, usage=usage, at=NOW)
    return outcome(
        tried, status="served", code=None, usage=usage, settled=settled, vendor_id="v1",
        vendor_model="m", reported_place=None, ended=NOW,
    )  # fmt: skip


def record(last: Data | None) -> Data:
    """The record of call ``req_1``."""
    return call_record(
        call(), alias="chat", ended=NOW, outcome="served", status=200, decision="d", rules=[], labels=[],
        masked={"sin": 2}, masked_reply={}, attempts=1, snapshot="a" * 64, attempt=last,
    )  # fmt: skip


def test_a_served_call_is_one_ledger_row_and_one_record() -> None:
    """Intent and record make both rows; nothing stays open."""
    tried = attempt(wants=(want(10**9, 10**12),))
    fold = Fold()
    assert fold.step(entry(2, "attempt.intent", intent(tried, bound=MOST))) == []
    facts = fold.step(entry(3, "call.record", record(served(tried, Usage(input=1000, output=100)))))
    booking, recorded = facts
    assert isinstance(booking, Booking)
    assert isinstance(recorded, Recorded)
    row = booking.row
    assert (row["attempt_id"], row["writer"], row["seq"], row["input"], row["output"]) == (
        "req_1.a1", "w1", 3, 1000, 100,
    )  # fmt: skip
    assert (row["nano"], row["currency"], row["spend_nano"], row["spend_currency"]) == (
        616_000, "USD", 857_780, "CAD",
    )  # fmt: skip
    assert (row["place"], row["price_ids"], row["estimated"]) == ("CA-ON,CA-QC", "here-2026-11", False)
    assert [(s.budget, s.amount) for s in booking.spends] == [("team:branch:CAD", 857_780)]
    assert (recorded.row["deployment"], recorded.row["vendor_id"], recorded.row["masked"]) == (
        "here", "v1", '{"sin":2}',
    )  # fmt: skip
    assert fold.open == {}
    assert fold.unrecorded == {}


def test_every_try_is_its_own_row() -> None:
    """A failed try is booked by its own entry, the last one by the record; a repeat books nothing."""
    first, second = attempt("req_1.a1"), attempt("req_1.a2", number=2)
    fold = Fold()
    facts: list[Fact] = []
    failed = served(first, None)
    for seq, (kind, data) in enumerate(
        [
            ("attempt.intent", intent(first, bound=MOST)),
            ("attempt.outcome", failed),
            ("attempt.intent", intent(second, bound=MOST)),
            ("attempt.outcome", failed),
            ("call.record", record(served(second, Usage(input=1)))),
        ],
        start=2,
    ):
        facts += fold.step(entry(seq, kind, data))
    assert [f.row["attempt_id"] for f in facts if isinstance(f, Booking)] == ["req_1.a1", "req_1.a2"]
    assert [f.row["estimated"] for f in facts if isinstance(f, Booking)] == [True, False]


def test_a_refused_call_is_a_record_without_a_ledger_row() -> None:
    """Nothing was tried, so nothing is booked."""
    (fact,) = Fold().step(entry(2, "call.record", record(None)))
    assert isinstance(fact, Recorded)
    assert fact.row["attempt_id"] is None


def test_what_died_is_left_open_with_its_latest_hold() -> None:
    """After a top-up the enlarged hold is what adoption books."""
    tried = attempt(wants=(want(5, 10**9),))
    larger = Hold(id=tried.hold.id, wants=(want(50, 10**9),))
    fold = Fold()
    fold.step(entry(2, "attempt.intent", intent(tried, bound=MOST)))
    fold.step(entry(3, "attempt.top_up", top_up(tried, larger, bound=MOST)))
    (begun,) = fold.open.values()
    assert abandoned("w1", begun, ended=NOW)["spends"] == {"team:branch:CAD": "50"}
    assert list(fold.unrecorded) == ["req_1"]


def test_an_adopters_entry_books_for_the_dead_writer() -> None:
    """Without the dead writer's journal: the row is the adopter's, the spend the owner's."""
    begun = intent(attempt(wants=(want(5, 10),)), bound=MOST)
    fold = Fold()
    (booking,) = fold.step(entry(9, "attempt.outcome", abandoned("w1", begun, ended=NOW), writer="w2"))
    (recorded,) = fold.step(entry(10, "call.record", abandoned_record(begun, None, ended=NOW), writer="w2"))
    assert isinstance(booking, Booking)
    assert isinstance(recorded, Recorded)
    assert (booking.owner, booking.adopted, booking.row["writer"], booking.row["estimated"]) == (
        "w1", True, "w2", True,
    )  # fmt: skip
    assert recorded.row["attempt_id"] == "req_1.a1"
    assert recorded.row["deployment"] == "here"


def test_other_kinds_go_to_their_rooms() -> None:
    """Feedback, keys and bundles are handed on whole."""
    made = entry(2, "feedback", {"target": "req_1"})
    assert Fold().step(made) == [Other(entry=made)]
