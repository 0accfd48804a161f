"""Warnings that need the tables."""

# ruff: noqa: E501 (sentences and files stand whole, as people read them)

from __future__ import annotations

from gateway.policy.compile import compile_bundle
from gateway.policy.load import load_bundle
from gateway.policy.review import review
from tests.policy.written import NOW, STARTER, bundle, snapshot, written


def test_an_app_that_gets_nothing():
    """The sentence names the app, the alias and the rules, at the alias in teams.yaml."""
    (problem,) = review(bundle("bank"), snapshot("bank"), now=NOW)
    assert str(problem) == (
        "teams.yaml:8:47 teams.branch.apps.teller.models[1]: `teller` gets nothing from `chat-pro`: "
        "CA-1, V-1 refuse all of it"
    )


def test_what_we_ship_warns_of_one_thing_only():
    """The starter has one alias that refuses on purpose, and every rule has a test."""
    starter = load_bundle(STARTER, now=NOW)
    assert starter.warnings == ()
    (problem,) = review(starter, compile_bundle(starter, now=NOW), now=NOW)
    assert "`teller` gets nothing from `chat-pro`" in problem.message


def test_a_rule_for_nobody_and_a_sentence_without_meaning():
    """A rule that no app of the bundle can meet is said; so is a sentence that cannot be proved."""
    loaded = written(
        policy="policy: p\nrules: [{id: R, says: s, for: {tenant: elsewhere}, allow: true}]\nprove: [All is well.]",
        teams="teams: {t: {apps: {one: {models: []}}}}",
    )
    said = [problem.message for problem in review(loaded, compile_bundle(loaded, now=NOW), now=NOW)]
    assert said[0] == "rules[0]: the rule `R` matches no app of teams.yaml"
    assert "no such sentence can be proved" in said[1]
