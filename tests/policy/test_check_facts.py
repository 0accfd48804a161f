"""Facts that must agree: days, documents of the vendor file, agreements per feature."""

# ruff: noqa: E501 (files stand whole, as people read them)

from __future__ import annotations

import pytest

from gateway.policy.compile import compile_bundle
from gateway.policy.problems import PolicyErrors
from tests.policy.written import DAY_NS, NOW, written

FACTS = "deployments: {{d: {{vendor: v, uses: chat, seen: 2026-11-02, recheck_days: 90, {more}}}}}"
VENDORS = f"""vendors:
  v:
    documents:
      dpa: {{until: 2026-12-10, evidence: "sha256:{"a" * 64}"}}
      baa: {{until: 2027-12-10, evidence: "sha256:{"b" * 64}", uses: [chat]}}
"""


def _bundle(more: str, vendors: str = VENDORS, **files: str):
    return written(
        policy=files.pop("policy", "policy: p"), deployments=FACTS.format(more=more), vendors=vendors, **files
    )


def _problems(more: str, vendors: str = VENDORS):
    with pytest.raises(PolicyErrors) as caught:
        _bundle(more, vendors)
    return [str(problem) for problem in caught.value.problems]


def test_documents_of_the_vendor_file_lapse_on_their_day():
    """`has: [dpa]` counts through the vendor file's day, and the deployment drops out after it."""
    bundle = _bundle(
        "has: [dpa]",
        policy="policy: p\nrules: [{id: R, says: s, must: {has: [dpa]}}, {id: OK, says: s, allow: true}]",
    )
    rules = compile_bundle(bundle, now=NOW).rules
    table = rules.rules[0].passes[""]
    end = NOW + 18 * DAY_NS  # midnight after 2026-12-10
    assert (table.at(end - 1), table.at(end)) == (1, 0)
    (notice,) = [str(w) for w in bundle.warnings if "vendors.yaml" in w.file]
    assert notice == (
        "vendors.yaml:4:7 vendors.v.documents.dpa: the document `dpa` of `v` ends on 2026-12-10; it stands behind d"
    )


def test_own_dates_stand_beside_the_vendor_file():
    """A date in the facts is the deployment's own, whatever the vendor file says."""
    d = compile_bundle(_bundle("has: {dpa: 2027-06-01, baa: on_file}"), now=NOW).deployments["d"]
    assert d.facts["has"] == {"dpa": "2027-06-01", "baa": "2027-12-10"}


def test_what_the_vendor_file_lacks():
    """A document on file that is not there stops the bundle, with the nearest name."""
    (problem,) = _problems("has: [dpaa]")
    assert "vendors.yaml has no document `dpaa` of `v`; did you mean `dpa`?" in problem
    (problem,) = _problems("has: {dpa: on_file}", "vendors: {}")
    assert problem.endswith("add it there, or write its last day here")
    (problem,) = _problems("has: {dpa: on_fiel}")
    assert "`on_fiel` is no date; write it as 2026-11-30, or on_file" in problem


def test_an_agreement_per_feature():
    """Facts cannot say that an agreement covers more than its paper does."""
    assert _bundle("has: [baa], baa_covers: [chat]")
    (problem,) = _problems("has: [baa], baa_covers: [chat, embeddings]")
    assert "the document `baa` of `v` does not cover embeddings" in problem


def test_single_facts_have_days():
    """A fact with a day of its own warns beforehand, says when it is over, and cannot be from the future."""
    soon = _bundle("processed_in: {value: [CA], seen: 2026-11-02, good_for_days: 30}")
    assert any("`processed_in` of `d` must be rechecked by 2026-12-02" in str(w) for w in soon.warnings)
    over = _bundle("processed_in: {value: [CA], seen: 2026-10-02, good_for_days: 30}")
    assert any("went stale on 2026-11-01: it is unknown now" in str(w) for w in over.warnings)
    (problem,) = _problems("processed_in: {value: [CA], seen: 2026-12-02}")
    assert "`2026-12-02` lies in the future" in problem


def test_a_vendor_that_nobody_uses_and_a_paper_without_evidence():
    """Both are said, and neither stops the bundle."""
    bundle = _bundle("has: {}", "vendors: {vv: {documents: {dpa: {until: 2028-01-01}}}}")
    said = " ".join(str(w) for w in bundle.warnings)
    assert "no deployment is of the vendor `vv`" in said
    assert "has no evidence on file" in said


@pytest.mark.parametrize(
    ("must", "message"),
    [
        ("{or_has: x}", "this asks nothing of a deployment"),
        ("{has: []}", "this asks nothing of a deployment"),
        ("{}", "this asks nothing of a deployment"),
        ("{rung: contract}", "no fact is tested here whose rung could be asked"),
        ("{rung: contract, vendor: v}", "no fact is tested here whose rung could be asked"),
        ("{rung: contrct, processed_in: CA}", "did you mean `contract`?"),
        ("{rung: {procesed_in: contract}}", "none of the words that may stand here"),
    ],
)
def test_a_must_that_would_hold_silently(must, message):
    """What asks nothing is a mistake, not a rule that always holds."""
    with pytest.raises(PolicyErrors) as caught:
        written(
            policy=f"policy: p\nrules: [{{id: R, says: s, must: {must}}}]",
            deployments=FACTS.format(more="has: {}"),
        )
    assert message in str(caught.value)
