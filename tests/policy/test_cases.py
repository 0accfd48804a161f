"""Tests beside the rules: they pass as the design says, and fail in words."""

# ruff: noqa: E501, ISC004 (sentences and files stand whole, as people read them)

from __future__ import annotations

import pytest

from gateway.policy.cases import run, subject_for
from gateway.policy.compile import compile_bundle
from gateway.policy.load import bundle_of, load_bundle, read_folder
from tests.policy.written import HERE, NOW, STARTER, bundle, snapshot

BANK = read_folder(HERE / "bundles" / "bank")


@pytest.mark.parametrize("name", ["bank", "hospital", "saas"])
def test_the_readers_own_tests_pass(name):
    """The five tests of the bank, and those of the hospital and the SaaS firm."""
    outcomes = run(bundle(name), snapshot(name), now=NOW)
    assert len(outcomes) >= 5
    assert [outcome.failure for outcome in outcomes if not outcome.passed] == []


def test_what_we_ship_passes_its_tests():
    """The starter policies hold their own tests."""
    starter = load_bundle(STARTER, now=NOW)
    assert [o.failure for o in run(starter, compile_bundle(starter, now=NOW), now=NOW) if not o.passed] == []


def _failures(old: str, new: str) -> list[str]:
    text = BANK["policy.yaml"].decode()
    assert old in text
    changed = bundle_of({**BANK, "policy.yaml": text.replace(old, new, 1).encode()}, now=NOW)
    return [o.failure for o in run(changed, compile_bundle(changed, now=NOW), now=NOW) if not o.passed]


CA1 = "must: {processed_in: Canada, stored_in: Canada, vendor_logs_in: Canada}"


def test_a_rule_made_too_weak():
    """Who opens CA-1 reads which test fell, and why it was allowed or by what it is refused now."""
    weak = CA1.replace("processed_in: Canada, ", "")
    assert _failures(CA1, weak) == [
        "“Claude from ca-central-1” (teller with client data on bedrock-us-claude): expected refused by CA-1, "
        "was refused by V-1 only"
    ]
    allowed = _failures(
        "vendor: [microsoft, cohere, self]", "vendor: [microsoft, cohere, self, amazon]"
    ) + _failures(f"{CA1}\n    strength: hard", f"{CA1}\n    strength: warn")
    assert any("expected refused by CA-1, was refused by V-1 only" in failure for failure in allowed)


def test_expected_refused_was_allowed():
    """The sentence says what let it pass."""
    case = "try: azure-cae-41mini, expect: allowed}"
    assert _failures(case, "try: azure-cae-41mini, expect: refused, by: CA-1}") == [
        "“teller bot in Montreal” (teller with quebec_client data on azure-cae-41mini): CA-1: expected refused, was "
        "allowed because azure-cae-41mini passes CA-1, CA-2, QC-1 and V-1, and OK-1 allows it"
    ]


def test_expected_allowed_was_refused():
    """The sentence names the rule, the fact and its line."""
    case = "data: [client], try: openai-ca, expect: refused, by: CA-1}"
    (failure,) = _failures(case, "data: [client], try: openai-ca, expect: allowed}")
    assert (
        "CA-1 refuses openai-ca: processed_in must be inside Canada; is unknown (deployments.yaml:19)"
        in failure
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "by_exception: V-1",
            "by_exception: QC-1",
            "expected allowed by an exception to QC-1, but none was needed",
        ),
        ("with: [tokenise]", "with: [mask]", "expected with mask, but the duties are tokenise card"),
        ("with: [tokenise]", "with: [tokenise sin]", "expected with tokenise sin"),
        ("with: [tokenise]", "by: QC-1", "expected QC-1 to match, but CA-1, CA-2, PCI-1, V-1 and OK-1 did"),
    ],
)
def test_other_differences(old, new, said):
    """Exceptions, duties and matching rules are compared too."""
    assert any(said in failure for failure in _failures(old, new))


@pytest.mark.parametrize("duty", ["tokenise", "tokenise card", "answer_tokens", "log_in", "log in CA"])
def test_duties_as_people_write_them(duty):
    """`with` takes a duty by its verb, with its kind, or as explain prints it."""
    assert _failures("with: [tokenise]", f"with: [{duty}]") == []


def test_a_test_with_a_day_of_its_own():
    """`at` pins a test to a day, so that it outlives an exception."""
    assert _failures("by_exception: V-1}", "by_exception: V-1, at: 2026-12-15}") == []
    (failure,) = _failures("by_exception: V-1}", "by_exception: V-1, at: 2026-12-16}")
    assert "V-1 refuses together-us" in failure


def test_a_subject_has_the_apps_labels():
    """A test's data adds to what the app is registered for; without either it is unlabelled."""
    subject, labels = subject_for(snapshot("bank"), app="hackathon", data=("quebec_client",), model="chat")
    assert subject.labels == {"public", "quebec_client", "client"}
    assert {label.set_by for label in labels} == {"app hackathon", "test"}
    assert subject_for(snapshot("saas"), app="toy", data=(), model="m")[0].labels == {
        "strict_tenant",
        "tenant",
    }
