"""The base of the checks: a word is looked up once it is there, and named with its place."""

from __future__ import annotations

from gateway.policy.checker import Checker
from tests.policy.written import TODAY, written


def test_words_against_known_names():
    """The item's own place is named, with the nearest name; an absent list asks nothing."""
    bundle = written(policy="policy: p\nchanges_need: [legal, secruity]")
    check = Checker(bundle, TODAY)
    document = check.document("policy")
    check.known(document, ("changes_need",), "role", bundle.policy.changes_need, ["legal", "security"])
    check.known(document, ("owner",), "role", None, [])
    check.places(document, ("places",), ["CA-QC", "Qebec"])
    check.warn(document, ("policy",), "said")
    assert [str(problem) for problem in check.errors] == [
        "policy.yaml:2:23 changes_need[1]: unknown role `secruity`; did you mean `security`?",
        "policy.yaml:1:1 places: unknown place `Qebec`",
    ]
    assert [str(problem) for problem in check.warnings] == ["policy.yaml:1:1 policy: said"]
