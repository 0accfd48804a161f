"""Coverage of rules by tests, and rules that others shadow."""

# ruff: noqa: E501 (sentences and files stand whole, as people read them)

from __future__ import annotations

from gateway.policy.coverage import coverage, shadowed, sourced
from tests.policy.written import NOW, bundle, compiled, snapshot, written

POLICY = """policy: p
places: {{Canada: [CA], Wide: [CA, US]}}
data: {{a: {{}}, b: {{is_also: a}}}}
rules:
  - {{id: NARROW, says: s, for: {{data: a}}, must: {{processed_in: Canada}}}}
  - {{id: WIDE, says: s, for: {{data: {wide}}}, must: {{processed_in: {place}}}}}
  - {{id: OK, says: s, for: {{use: chat}}, allow: true}}
"""
REST = {
    "deployments": "deployments:\n  us: {vendor: v, processed_in: [US], uses: chat, seen: 2026-11-02, recheck_days: 90}\n"
    "  fr: {vendor: v, processed_in: [FR], uses: chat, seen: 2026-11-02, recheck_days: 90}\n",
    "teams": "teams: {t: {apps: {one: {data: a, models: []}}}}",
}


def test_rules_without_a_test_are_named():
    """As `policy check` warns of them."""
    said = coverage(bundle("bank"), snapshot("bank"))
    assert "CA-1" in said.tested
    assert str(said).startswith(
        f"{len(said.tested)} of {len(said.tested) + len(said.untested)} rules have a test"
    )
    files = {**REST, "policy": POLICY.format(wide="a", place="Wide")}
    assert coverage(written(**files), compiled(**files)).untested == ("NARROW", "WIDE", "OK")


def test_a_rule_that_another_makes_needless():
    """It refuses nothing that the other would not refuse, and the warning says which and where."""
    files = {**REST, "policy": POLICY.format(wide="a", place="Wide")}
    (warning,) = shadowed(compiled(**files), now=NOW)
    assert str(warning).startswith(
        "policy.yaml:6:1 the rule `WIDE` refuses nothing that NARROW would not refuse"
    )


def test_two_laws_may_ask_for_the_same_thing():
    """A rule that names its source stands for it, and stays when the other law changes: no warning."""
    plain = {**REST, "policy": POLICY.format(wide="a", place="Wide")}
    assert sourced(written(**plain)) == frozenset()
    named = {**plain, "policy": plain["policy"].replace("id: WIDE,", "id: WIDE, source: Act s. 17,")}
    assert sourced(written(**named)) == {"WIDE"}
    assert shadowed(compiled(**named), now=NOW, apart=sourced(written(**named))) == []


def test_a_rule_that_does_something_alone_is_not_shadowed():
    """For data that the other does not look at, or for a place that the other lets pass."""
    other = {
        **REST,
        "policy": POLICY.format(wide="a", place="CA-QC").replace(
            "must: {processed_in: Canada}", "must: {vendor: v}"
        ),
    }
    assert shadowed(compiled(**other), now=NOW) == []
