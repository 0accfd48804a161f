"""Where vendors say that they ran, against the facts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.classify import classify
from gateway.core.decide import decide
from gateway.core.explain import explain, text
from gateway.core.observed import Report, facts_digest, look, mismatch, places_of, reason, without
from gateway.core.places import COUNTRIES
from gateway.core.policy_refusal import refusal
from gateway.core.values import Call, Caller, Surface
from tests import spine
from tests.core.maple import deployment

AT = spine.NOW


@pytest.mark.parametrize(
    ("reported", "places"),
    [
        ("us", {"US"}),
        ("Canada East", {"CA-QC"}),
        ("canadacentral", {"CA-ON"}),
        ("ca-central-1", {"CA-QC"}),
        ("ca-west-1", {"CA-AB"}),
        ("northamerica-northeast1", {"CA-QC"}),
        ("West Europe", {"NL"}),
        ("europe-west3", {"DE"}),
        ("global", {"global"}),
        ("eu", {"EU"}),
        ("CA-QC", {"CA-QC"}),
        ("us, eu", {"US", "EU"}),
        ("not a place", None),
        ("", None),
        ("us, nowhere", None),
        ("us\nx", None),
        ("u" * 65, None),
    ],
)
def test_vendors_words_become_places(reported, places):
    """Azure, AWS, Google and Anthropic name regions each in their own way; what is no place says nothing."""
    assert places_of(reported) == (None if places is None else frozenset(places))


@pytest.mark.parametrize(
    ("declared", "reported", "said"),
    [
        ({"CA-QC"}, "canadaeast", Report.AGREES),
        ({"CA-QC"}, "canadacentral", Report.DIFFERS),
        ({"CA"}, "canadacentral", Report.AGREES),
        ({"CA-QC"}, "ca", Report.AGREES),  # coarser: it contradicts nothing
        ({"US"}, "global", Report.DIFFERS),  # anywhere contradicts somewhere
        ({"global"}, "us", Report.AGREES),
        ({"global"}, "global", Report.AGREES),
        ({"CA-QC"}, "us", Report.DIFFERS),
        ({"DE"}, "eu", Report.AGREES),
        ({"EU"}, "westeurope", Report.AGREES),
        ({"EU"}, "uksouth", Report.DIFFERS),
        ({"CA", "US"}, "us", Report.AGREES),
        ({"CA"}, "ca,us", Report.DIFFERS),  # one place too many
        ({"CA"}, "somewhere", Report.UNREAD),
        ({"CA"}, None, Report.NOTHING),
        ({"CA"}, "", Report.NOTHING),
        (None, "us", Report.NOTHING),
    ],
)
def test_a_report_is_compared_with_the_facts(declared, reported, said):
    """Finer agrees, coarser proves nothing, elsewhere contradicts, unreadable is told apart."""
    facts = deployment(processed_in=None if declared is None else frozenset(declared))
    assert look(reported, facts) is said
    found = None if reported is None else mismatch(reported, facts, call="c", attempt="a", at=AT)
    assert (found is not None) == (said is Report.DIFFERS)


@given(st.sampled_from(sorted(COUNTRIES)), st.sampled_from(sorted(COUNTRIES)))
def test_two_countries_agree_only_if_they_are_one(declared, reported):
    """There is no pair of different countries that passes for the same."""
    facts = deployment(processed_in=frozenset({declared}))
    assert (look(reported, facts) is Report.AGREES) == (declared == reported)


def test_facts_written_anew_have_another_digest():
    """A new reading of the facts lifts a withdrawal: its place, its day or any other fact."""
    first = deployment(seen="2026-11-01", facts={"vendor": "x", "uses": frozenset({"b", "a"})})
    same = deployment(seen="2026-11-01", facts={"uses": frozenset({"a", "b"}), "vendor": "x"})
    assert facts_digest(first) == facts_digest(same)
    others = [
        replace(first, seen="2026-11-02"),
        replace(first, processed_in=frozenset({"US"})),
        replace(first, facts={"vendor": "y", "uses": frozenset({"a", "b"})}),
        replace(first, id="there"),
    ]
    assert len({facts_digest(each) for each in (first, *others)}) == 5


def test_without_takes_a_deployment_out_of_every_decision(tmp_path):
    """The same bundle, decided as if the facts had expired: refused, explained, and nothing widened."""
    snapshot = spine.snapshot(tmp_path)
    call = Call(
        id="req_1", surface=Surface.CHAT, model="chat", stream=False, body={}, size=10, received=AT,
        caller=Caller(tenant="maple-bank", team="branch", app="teller", key_id="k"),
    )  # fmt: skip
    labelled = classify(call, (), snapshot, detectors_failed=False)
    before = decide(labelled, snapshot, now=AT, decision_id="d")
    assert before.permitted == ("ca", "ca_on")
    why = reason(("US",), ("CA-QC",))
    gone = without(snapshot, {"ca": why, "not there": "x"})
    assert decide(labelled, gone, now=AT, decision_id="d").permitted == ("ca_on",)
    assert gone.hash == snapshot.hash
    assert decide(labelled, snapshot, now=AT, decision_id="d").permitted == ("ca", "ca_on")
    said = text(explain(labelled, gone, now=AT))
    assert "its vendor reported that it ran in the US; the facts say Quebec" in said
    both = without(snapshot, {"ca": why, "ca_on": why})
    nothing = decide(labelled, both, now=AT, decision_id="d")
    assert nothing.permitted == ()
    assert refusal(labelled, nothing, both, now=AT).extension["rules"] == ["facts"]
    assert without(snapshot, {}) is snapshot
    assert without(snapshot, {"not there": "x"}) is snapshot
