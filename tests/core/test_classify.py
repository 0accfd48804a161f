"""Classification: every source adds, none removes, and doubt denies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.classify import classify
from gateway.core.decide import decide
from tests.policy.written import NOW, call, compiled, found, snapshot

BANK = snapshot("bank")
SAAS = snapshot("saas")


def _labels(rules, asked, *kinds, failed=False):
    labelled = classify(asked, found(*kinds), rules, detectors_failed=failed)
    return {label.name: label.set_by for label in labelled.labels}


def test_the_registration_of_the_app():
    """An app's own labels come first and say who set them."""
    assert _labels(BANK, call("teller")) == {"client": "app teller"}


def test_what_a_kind_is_also():
    """A kind brings what it is also; each label is set by the first who named it."""
    assert _labels(BANK, call("hackathon"), "card") == {
        "public": "app hackathon",
        "card_number": "detector:card",
        "client": "detector:card",
    }
    assert _labels(BANK, call("teller"), "card")["client"] == "app teller"


def test_a_finding_that_sets_nothing():
    """A kind that no data kind is found by adds nothing."""
    assert _labels(BANK, call("teller"), "iban") == {"client": "app teller"}


def test_unlabelled_counts_as_the_strictest_named():
    """An app without registration is held to `treat_as`; an unknown app too."""
    assert _labels(SAAS, call("toy")) == {"strict_tenant": "unlabelled", "tenant": "unlabelled"}
    assert _labels(BANK, call("nobody")) == {"client": "unlabelled"}


def test_a_header_does_not_lift_unlabelled():
    """A header that says `public` adds to what counts as unlabelled; it does not replace it."""
    rules = compiled(
        policy="""
policy: p
data: {public: {found_by: [app, header]}, client: {}, unlabelled: {treat_as: client}}
""",
        teams="teams: {t: {apps: {one: {models: []}}}}",
    )
    assert _labels(rules, call("one", header_labels=("public",))) == {
        "client": "unlabelled",
        "public": "header",
    }


def test_a_verified_claim_lifts_unlabelled():
    """A claim is as good as a registration."""
    asked = call("toy", claims=(("tenant.plan", "eu-only"),))
    assert _labels(SAAS, asked) == {"strict_tenant": "tenant.plan=eu-only", "tenant": "tenant.plan=eu-only"}
    assert _labels(SAAS, call("toy", claims=(("tenant.plan", "free"),)))["tenant"] == "unlabelled"


def test_the_callers_place_is_a_claim():
    """`province=QC` is met by a caller in CA-QC, and by nobody else."""
    assert _labels(BANK, call("teller", place="CA-QC"))["quebec_client"] == "province=QC"
    assert "quebec_client" not in _labels(BANK, call("teller", place="CA-ON"))
    assert "quebec_client" not in _labels(BANK, call("teller"))


def test_a_header_adds_what_headers_may_set():
    """A header narrows a teller's call to Quebec."""
    assert _labels(BANK, call("teller", header_labels=("quebec_client",)))["quebec_client"] == "header"


def test_a_header_that_nobody_knows_is_refused():
    """An unknown name, or one that headers may not set, is doubt: nothing permits the call."""
    for name in ("no_such_kind", "card_number", "unlabelled", "unknown", ""):
        labelled = classify(call("teller", header_labels=(name,)), (), BANK, detectors_failed=False)
        assert {label.name for label in labelled.labels} == {"client", "unknown"}
        assert decide(labelled, BANK, now=NOW, decision_id="d").permitted == ()


def test_a_failed_detector_is_as_good_as_unlabelled():
    """What could not be read is treated like what nobody labelled, whatever the app registered."""
    assert _labels(BANK, call("hackathon"), failed=True) == {
        "public": "app hackathon",
        "client": "detector failure",
    }


def test_without_a_word_on_unlabelled_nothing_is_permitted():
    """A policy that does not say what unlabelled data counts as refuses it."""
    rules = compiled(
        policy="policy: p\nrules: [{id: OK, says: all, allow: true}]",
        deployments="deployments: {d: {vendor: v, uses: chat, seen: 2026-11-02, recheck_days: 90}}",
        connections='connections: {d: {api: openai, url: "https://a.example.com", model: m}}',
        routes="routes: {m: {try: [d]}}",
        teams="teams: {t: {apps: {one: {models: [m]}}}}",
    )
    labelled = classify(call("one", "m"), (), rules, detectors_failed=False)
    assert [label.name for label in labelled.labels] == ["unlabelled"]
    assert decide(labelled, rules, now=NOW, decision_id="d").permitted == ()


@given(
    st.sampled_from(["teller", "hackathon", "nobody"]),
    st.lists(st.sampled_from(["client", "quebec_client", "x"]), max_size=3),
    st.lists(st.sampled_from(["person", "card", "sin"]), max_size=3),
    st.booleans(),
    st.sampled_from([None, "CA-QC"]),
)
def test_every_source_only_adds(app, headers, kinds, failed, place):
    """With more sources there are at least the labels that there were with fewer."""
    bare = set(_labels(BANK, call(app)))
    full = set(_labels(BANK, call(app, header_labels=tuple(headers), place=place), *kinds, failed=failed))
    assert bare <= full or app == "nobody"
    assert {"client"} <= full or bare == {"public"}
