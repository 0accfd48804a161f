"""Explanations in words."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.classify import classify
from gateway.core.explain import explain
from gateway.core.explanation import BUILT_IN, duties, text
from gateway.core.rules import Obligations
from tests.policy.written import NOW, call, found, snapshot


def _shown(app, model, *kinds):
    rules = snapshot("bank")
    labelled = classify(call(app, model), found(*kinds), rules, detectors_failed=False)
    return text(explain(labelled, rules, now=NOW))


def test_what_is_permitted_says_by_what():
    """A permitted deployment names the rules that it passes, those by exception, and what allows it."""
    shown = _shown("hackathon", "chat-lab")
    assert shown.startswith("ALLOWED   policy maple-bank v7 (")
    assert "Labels: public (set by app hackathon, teams.yaml:13)" in shown
    assert "together-us        permitted\n  V-1 passes; V-1 by exception; allowed by OK-1" in shown


def test_what_is_not_established_is_said():
    """Facts that no matching rule tests are listed with their values."""
    assert "processed_in (US / CA-QC; no rule)" in _shown("hackathon", "chat-lab")
    assert "processed_in" not in _shown("teller", "chat").rpartition("Not established")[2]


def test_a_model_that_is_no_route():
    """An explanation of nothing says that there is no route."""
    assert "no route is called nonsense" in _shown("teller", "nonsense")


def test_built_in_rules_have_sentences():
    """Each built-in rule says something to people."""
    assert set(BUILT_IN) == {"labels", "default", "facts", "use", "features"}


def test_duties_in_words():
    """Every duty has words, the strictest first."""
    words = duties(
        Obligations(
            block=frozenset({"secret"}),
            tokenise=frozenset({"card"}),
            mask=frozenset({"sin", "person"}),
            answer_tokens=4000,
            log_in=frozenset({"CA"}),
            forbid_tools=frozenset({"mcp"}),
            no_store=True,
            keep_log_days_at_least=183,
            keep_log_days_at_most=365,
            cache_scope="tenant",
            marks=frozenset({"needs_human_review"}),
            disclose_ai=True,
            ask=("officer",),
        )
    )
    assert words == [
        "ask officer",
        "block secret",
        "tokenise card",
        "mask person, sin",
        "answer ≤ 4,000 tokens",
        "log in CA",
        "no mcp",
        "store nothing",
        "keep logs ≥ 183 days",
        "keep logs ≤ 365 days",
        "share caches within tenant only",
        "mark needs_human_review",
        "say that it is AI",
    ]


def test_how_well_facts_are_known_is_said():
    """Where facts are better than declared, the text says by what; it never claims a proof."""
    rules = snapshot("bank")
    why = explain(classify(call("teller"), (), rules, detectors_failed=False), rules, now=NOW)
    assert text(why).endswith("Facts are declared, not proven by us.")
    known = (("stored_in", "declared"), ("processed_in", "probe"), ("vendor", "declared"))
    better = replace(why, candidates=tuple(replace(c, known_by=known) for c in why.candidates))
    assert text(better).endswith(
        "Facts are known by declared: stored_in, vendor; probe: processed_in; none is proven by us."
    )
