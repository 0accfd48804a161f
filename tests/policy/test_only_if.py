"""`only_if`: it can only take away, doubt is no, and what cannot work is said at load."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.classify import classify
from gateway.core.decide import decide, judge, subject_of
from gateway.core.explain import explain
from gateway.core.rules import Subject
from gateway.policy.only_if import NotUsable, condition
from gateway.policy.problems import PolicyErrors
from tests.policy.written import CONDITIONS, NOW, call, calls, compiled, files, load_data, written

APPS = {"teller": ("branch", frozenset({"registered", "clerks"}))}


def _subject(**changes):
    plain = Subject(
        app="teller",
        use="chat",
        place="CA-QC",
        claims=(("group", "staff"), ("group", "night")),
        purpose="service",
        features=frozenset({"mcp"}),
        model="chat",
        labels=frozenset({"client"}),
    )
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('app == "teller" && team == "branch" && use == "chat" && model == "chat"', True),
        ('"clerks" in groups && "mcp" in features', True),
        ('claims.group.exists(g, g == "night")', True),
        ('claims.group.all(g, g == "night")', False),
        ('place.startsWith("CA") && purpose == "service"', True),
        ('has(claims.plan) && "gold" in claims.plan', False),
    ],
)
def test_what_it_sees(text, holds):
    """Who calls and for what: app, team, groups, claims, place, purpose, features."""
    assert condition(text, APPS)(_subject()) is holds


@pytest.mark.parametrize(
    "text",
    ['place != "US"', '!(place == "US")', 'purpose != "x"', '"x" in claims.plan', '!("x" in claims.plan)'],
)
def test_doubt_is_no(text):
    """Looking at what is unknown of a call never holds, however the question is turned."""
    assert condition(text, APPS)(_subject(place=None, purpose=None)) is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("app ==", "this is no CEL expression"),
        ("app", "this is no condition"),
        ('tema == "x"', "`tema` is nothing that a call has"),
        ('"client" in labels', "`labels` is nothing that a call has"),
        ("size(app) > 'x'", "this fails on a made-up call"),
        ("startswith(app, 'x')", "this fails on a made-up call"),
        ("true" + " && true" * 200, "longer than 500 characters"),
    ],
)
def test_what_cannot_work_is_said_at_load(text, message):
    """A slip is found when the policy is loaded, not when a call comes; labels cannot be looked at."""
    with pytest.raises(NotUsable) as caught:
        condition(text, APPS)
    assert message in str(caught.value)


POLICY = """policy: p
data: {{a: {{}}}}
rules:
  - {{id: OK, says: s, for: {{app: x}}, allow: true, do: [{{mark: m}}], only_if: '{only_if}'}}
  - {{id: M, says: s, for: {{data: a}}, must: {{vendor: v}}}}
"""
TEAMS = "teams: {t: {apps: {x: {data: [a], models: [m]}}}}"
FACTS = "deployments: {d: {vendor: v, uses: chat, seen: 2026-11-02, recheck_days: 90}}"
WIRES = 'connections: {d: {api: openai, url: "https://a.example.com/v1", model: m}}'


def _bundle(only_if):
    return {
        "policy": POLICY.format(only_if=only_if),
        "teams": TEAMS,
        "deployments": FACTS,
        "connections": WIRES,
        "routes": "routes: {m: {try: [d]}}",
    }


def test_a_rule_that_allows_only_if():
    """The permission is there or not; the rule's duties bind either way, and explain says the condition."""
    rules = compiled(**_bundle('place == "CA-QC"'))
    here = classify(call("x", "m", place="CA-QC"), (), rules, detectors_failed=False)
    away = classify(call("x", "m"), (), rules, detectors_failed=False)
    assert decide(here, rules, now=NOW, decision_id="d").permitted == ("d",)
    refused = decide(away, rules, now=NOW, decision_id="d")
    assert refused.permitted == ()
    assert refused.obligations.marks == {"m"}
    why = explain(away, rules, now=NOW)
    assert why.candidates[0].reasons[0].fact == (
        'no rule allows this app this use (OK only if place == "CA-QC")'
    )


def test_only_on_a_rule_that_allows():
    """On another rule it would widen: it is refused with the fix."""
    files_ = _bundle("true")
    files_["policy"] = files_["policy"].replace("must: {vendor: v}", "must: {vendor: v}, only_if: 'true'")
    with pytest.raises(PolicyErrors, match="this rule allows nothing; put it on the rule with allow: true"):
        written(**files_)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), calls(), st.sampled_from(sorted(CONDITIONS)))
def test_it_never_permits_more(data, asked, text):
    """Whatever the expression, nothing is permitted that was not permitted without it."""
    rules = data["policy.yaml"]["rules"]
    bare = [{key: value for key, value in rule.items() if key != "only_if"} for rule in rules]
    with_it = [{**rule, "only_if": text} if rule.get("allow") else rule for rule in bare]
    before, after = (
        load_data({**data, "policy.yaml": {**data["policy.yaml"], "rules": given_rules}})
        for given_rules in (bare, with_it)
    )
    subject = subject_of(classify(asked, (), before, detectors_failed=False), before)
    wider, narrower = judge(subject, before, now=NOW), judge(subject, after, now=NOW)
    assert narrower.mask & ~wider.mask == 0
    assert narrower.obligations == wider.obligations


def test_the_library_is_loaded_only_where_it_is_used():
    """A policy without an expression does not pay for the library."""
    code = (
        "import sys, pathlib; from gateway.policy.load import load_bundle;"
        f"load_bundle(pathlib.Path('policies'), now={NOW}); print('cel' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
