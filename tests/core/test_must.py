"""`must`: each test over facts, until when it holds, and what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core import must
from gateway.core.must import fact_of, failing, holds_until, passes_until, sentence, widen
from gateway.core.rules import (
    FOREVER,
    NEVER,
    BoundTest,
    DocumentTest,
    Must,
    PlaceTest,
    RungTest,
    UseTest,
    ValueTest,
)
from gateway.core.snapshot import Provenance
from tests.policy.written import NOW, snapshot

AZURE = snapshot("bank").deployments["azure-cae-41mini"]
OPENAI = snapshot("bank").deployments["openai-ca"]
CANADA = PlaceTest(fact="processed_in", allowed=frozenset({"CA"}), shown="Canada")
STAFF = PlaceTest(fact="staff_access_from", allowed=frozenset({"CA"}), shown="Canada")


def _with(**facts):
    return replace(AZURE, facts={**AZURE.facts, **facts})


@pytest.mark.parametrize(
    ("test", "deployment", "until"),
    [
        (CANADA, AZURE, FOREVER),
        (CANADA, OPENAI, NEVER),  # [unknown]
        (STAFF, AZURE, NEVER),  # CA, US
        (PlaceTest(fact="vendor", allowed=frozenset({"CA"}), shown="x"), AZURE, NEVER),
        (ValueTest(fact="vendor", values=frozenset({"microsoft", "self"})), AZURE, FOREVER),
        (ValueTest(fact="vendor", values=frozenset({"self"})), AZURE, NEVER),
        (ValueTest(fact="human_review", values=frozenset({"never"})), AZURE, NEVER),  # not written
        (ValueTest(fact="x", values=frozenset({"unknown"})), _with(x="unknown"), NEVER),
        (ValueTest(fact="x", values=frozenset({"a", "b"})), _with(x=["a", "b"]), FOREVER),
        (ValueTest(fact="x", values=frozenset({"a"})), _with(x=["a", "b"]), NEVER),
        (ValueTest(fact="x", values=frozenset({"a"})), _with(x=[]), NEVER),
        (ValueTest(fact="x", values=frozenset({"true"})), _with(x=True), FOREVER),
        (BoundTest(fact="keeps_content_days", at_most=0), AZURE, FOREVER),
        (BoundTest(fact="keeps_content_days", at_least=1), AZURE, NEVER),
        (BoundTest(fact="x", at_most=5), _with(x=6), NEVER),
        (BoundTest(fact="x", at_most=5), _with(x="unknown"), NEVER),
        (BoundTest(fact="x", at_most=5), _with(x=True), NEVER),
        (BoundTest(fact="x", at_most=5), AZURE, NEVER),
        (DocumentTest(document="dpa"), AZURE, AZURE.has["dpa"]),
        (DocumentTest(document="baa"), AZURE, NEVER),
        (UseTest(fact="baa_covers"), _with(baa_covers=["chat"]), FOREVER),
        (UseTest(fact="baa_covers"), _with(baa_covers=["embeddings"]), NEVER),
        (UseTest(fact="baa_covers"), _with(baa_covers=None), NEVER),
    ],
)
def test_each_test(test, deployment, until):
    """A fact holds for good, never, or until its document ends; what is unknown never holds."""
    assert holds_until(test, deployment, "chat") == until


def test_or_has_stands_in_for_places_only():
    """A dated document replaces a failing place test, not a failing vendor list, and ends with its day."""
    at_home = Must(tests=(STAFF,), or_has=("dpa",))
    assert passes_until(at_home, AZURE, "chat") == AZURE.has["dpa"]
    vendor = ValueTest(fact="vendor", values=frozenset({"self"}))
    assert passes_until(replace(at_home, tests=(STAFF, vendor)), AZURE, "chat") == NEVER
    assert failing(at_home, AZURE, "chat", NOW) == ()
    assert failing(at_home, AZURE, "chat", AZURE.has["dpa"]) == (STAFF,)


def test_the_earliest_end_counts():
    """A whole `must` holds until its first document ends."""
    both = Must(tests=(DocumentTest(document="soc2"), DocumentTest(document="dpa"), CANADA))
    assert passes_until(both, AZURE, "chat") == AZURE.has["dpa"] < AZURE.has["soc2"]


def test_an_exception_widens_only_what_it_lets():
    """Each fact is widened by the same fact of `lets`; others stay as strict as they were."""
    strict = Must(
        tests=(
            CANADA,
            ValueTest(fact="vendor", values=frozenset({"a"})),
            BoundTest(fact="keeps_content_days", at_most=30),
            BoundTest(fact="n", at_least=9),
            DocumentTest(document="dpa"),
            DocumentTest(document="soc2"),
            STAFF,
        )
    )
    lets = Must(
        tests=(
            PlaceTest(fact="processed_in", allowed=frozenset({"US"}), shown="US"),
            ValueTest(fact="vendor", values=frozenset({"b"})),
            BoundTest(fact="keeps_content_days", at_most=60),
            BoundTest(fact="n", at_least=5),
            DocumentTest(document="soc2"),
        )
    )
    assert widen(strict, lets).tests == (
        PlaceTest(fact="processed_in", allowed=frozenset({"CA", "US"}), shown="Canada or US"),
        ValueTest(fact="vendor", values=frozenset({"a", "b"})),
        BoundTest(fact="keeps_content_days", at_most=60),
        BoundTest(fact="n", at_least=5),
        DocumentTest(document="dpa"),
        STAFF,
    )


def test_an_exception_cannot_tighten():
    """A `lets` that is narrower than the rule changes nothing."""
    rule = Must(tests=(BoundTest(fact="n", at_most=30),))
    assert widen(rule, Must(tests=(BoundTest(fact="n", at_most=5),))) == rule


def test_sentences():
    """What a test asks, and what the fact says, in words."""
    assert sentence(CANADA, AZURE, "chat", NOW) == "processed_in must be inside Canada; is CA-QC"
    assert sentence(CANADA, OPENAI, "chat", NOW) == "processed_in must be inside Canada; is unknown"
    vendors = ValueTest(fact="vendor", values=frozenset({"self", "cohere", "microsoft"}))
    assert sentence(vendors, OPENAI, "chat", NOW) == "vendor must be cohere, microsoft or self; is openai"
    days = BoundTest(fact="keeps_content_days", at_most=30)
    assert sentence(days, OPENAI, "chat", NOW) == "keeps_content_days must be at most 30; is 30"
    assert (
        sentence(BoundTest(fact="n", at_least=1), OPENAI, "chat", NOW) == "n must be at least 1; is unknown"
    )
    paper = DocumentTest(document="dpa")
    assert sentence(paper, AZURE, "chat", NOW) == "document dpa is needed; is on file"
    assert sentence(paper, AZURE, "chat", FOREVER) == "document dpa is needed; has ended"
    assert sentence(DocumentTest(document="x"), AZURE, "chat", NOW) == "document x is needed; is not on file"
    covers = UseTest(fact="baa_covers")
    assert sentence(covers, AZURE, "chat", NOW) == "baa_covers must name chat; is unknown"
    assert (fact_of(paper), fact_of(covers)) == ("has", "baa_covers")


def test_place_facts_by_name():
    """Each residency fact is read from its own field; another name is unknown."""
    assert must.place_fact(AZURE, "staff_access_from") == {"CA", "US"}
    assert must.place_fact(AZURE, "vendor_logs_in") == {"CA"}
    assert must.place_fact(AZURE, "stored_in") == {"CA-QC"}
    assert must.place_fact(AZURE, "tls_ends_in") is None
    assert must.place_fact(AZURE, "moon") is None


# ------------------------------------------------------- facts with a day and a rung


def _known_by(rung: str, ends: int, **more):
    own = Provenance(source="a page", seen="2026-11-01", recheck_by="2026-12-01", ends=ends, rung=rung)
    return replace(AZURE, provenance={"processed_in": own}, **more)


def test_a_fact_with_a_day_of_its_own_is_unknown_after_it():
    """It holds until its day, though the deployment's facts are good for longer."""
    deployment = _known_by("page", NOW + 5)
    assert holds_until(CANADA, deployment, "chat") == NOW + 5
    assert holds_until(replace(CANADA, fact="stored_in"), deployment, "chat") == FOREVER
    assert sentence(CANADA, deployment, "chat", NOW + 5) == "processed_in had to be rechecked by 2026-12-01"
    # A place that is wrong anyway says so, also when it is stale.
    abroad = replace(deployment, processed_in=frozenset({"US"}))
    assert sentence(CANADA, abroad, "chat", NOW + 5) == "processed_in must be inside Canada; is US"


def test_how_well_a_fact_is_known():
    """A fact's own rung, else its deployment's; a rung lapses with the fact."""
    contract = RungTest(
        fact="processed_in", rungs=frozenset({"contract", "probe", "response"}), shown="contract"
    )
    assert holds_until(contract, _known_by("page", NOW + 5), "chat") == NEVER
    assert holds_until(contract, _known_by("probe", NOW + 5), "chat") == NOW + 5
    assert holds_until(contract, replace(AZURE, rung="contract"), "chat") == FOREVER
    assert holds_until(contract, AZURE, "chat") == NEVER
    assert sentence(contract, AZURE, "chat", NOW) == "processed_in must be known by contract; is declared"
    assert fact_of(contract) == "processed_in"


def test_a_document_does_not_stand_in_for_a_rung():
    """`or_has` replaces a place that fails, not how well the place is known."""
    contract = RungTest(fact="staff_access_from", rungs=frozenset({"contract"}), shown="contract")
    assert passes_until(Must(tests=(STAFF, contract), or_has=("dpa",)), AZURE, "chat") == NEVER
