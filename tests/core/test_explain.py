"""Explanations: every failing rule, where it is written; and they agree with what decisions say."""

# ruff: noqa: E501 (sentences and files stand whole, as people read them)

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings

from gateway.core.classify import classify
from gateway.core.decide import decide
from gateway.core.explain import explain, text
from gateway.core.policy_refusal import refusal
from tests.policy.written import DAY_NS, NOW, call, calls, compiled, files, found, load_data, snapshot

BANK = snapshot("bank")


def _refusal(app, model, *kinds, rules=BANK, now=NOW, **changes):
    labelled = classify(call(app, model, **changes), found(*kinds), rules, detectors_failed=False)
    decision = decide(labelled, rules, now=now, decision_id="dec_7Q2M")
    return refusal(labelled, decision, rules, now=now)


def _text(app, model, *kinds, rules=BANK, now=NOW, **changes):
    labelled = classify(call(app, model, **changes), found(*kinds), rules, detectors_failed=False)
    return text(explain(labelled, rules, now=now))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), calls())
def test_a_refusal_names_no_upstream_and_an_explanation_agrees(data, asked):
    """Whatever is refused, the answer names aliases only; explain and decide never differ."""
    rules = load_data(data)
    labelled = classify(asked, (), rules, detectors_failed=False)
    decision = decide(labelled, rules, now=NOW, decision_id="dec_1")
    why = explain(labelled, rules, now=NOW)
    assert tuple(c.deployment for c in why.candidates if c.permitted) == decision.permitted
    for candidate in why.candidates:
        assert candidate.permitted is not any(reason.refuses for reason in candidate.reasons)
    if not decision.permitted:
        answer = refusal(labelled, decision, rules, now=NOW)
        shown = f"{answer.message} {answer.extension}"
        assert not re.search(r"\bd\d\b|\bv\d\b|example\.com", shown)
        assert answer.extension["rules"]


def test_the_explanation_that_a_lawyer_reads():
    """Each failing rule with its strength, the fact, file and line, source, age, and why no exception helps."""
    assert _text("teller", "chat-pro") == (
        f"REFUSED   policy maple-bank v7 ({BANK.hash[:4]}…), facts 2026-11-02 ({BANK.facts_hash[:4]}…)\n"
        "Labels: client (set by app teller, teams.yaml:8)\n"
        "bedrock-us-claude   refused\n"
        "  CA-1 hard       processed_in must be inside Canada; is CA-QC, US\n"
        "                  deployments.yaml:21, source AWS page, seen 2026-11-02, recheck by 2027-01-31\n"
        "  V-1  exception  vendor must be cohere, microsoft or self; is amazon\n"
        "                  deployments.yaml:21, source AWS page, seen 2026-11-02, recheck by 2027-01-31\n"
        "                  no exception can help: CA-1 is hard\n"
        "Use instead: chat → azure-cae-41mini\n"
        "  CA-1, CA-2, V-1 pass; allowed by OK-1\n"
        "Duties: answer ≤ 4,000 tokens; log in CA\n"
        "Not established: staff_access_from (unknown; no rule); tls_ends_in (unknown; no rule). "
        "Facts are declared, not proven by us."
    )


def test_an_exception_shows():
    """What passes by an exception only says so; what the exception does not reach says why."""
    assert "V-1 by exception" in _text("hackathon", "chat-lab")
    later = _text("hackathon", "chat-lab", now=NOW + 40 * DAY_NS)
    assert "the exception of j.roy ended on 2026-12-15" in later


def test_a_use_that_a_route_is_not_for():
    """A route for embeddings refuses chat, by the built-in rule `use`."""
    rules = compiled(
        policy="policy: p\ndata: {a: {}}\nrules: [{id: OK, says: all, allow: true}]",
        deployments="deployments: {d: {vendor: v, uses: [chat, embeddings], seen: 2026-11-02, recheck_days: 90}}",
        connections='connections: {d: {api: openai, url: "https://a.example.com", model: m}}',
        routes="routes: {e: {try: [d], use: embeddings}, c: {try: [d]}}",
        teams="teams: {t: {apps: {one: {data: [a], models: [e, c]}}}}",
    )
    answer = _refusal("one", "e", rules=rules)
    assert answer.extension["rules"] == ["use"]
    assert answer.extension["use_instead"] == ["c"]
    assert "'e' does not serve this kind of request." in answer.message
    assert "the route e is for embeddings, not for chat" in _text("one", "e", rules=rules)


def test_what_a_ladder_would_do_is_explained(tmp_path) -> None:
    """An app that allows degrading reads how; one that does not reads nothing of it."""
    from dataclasses import replace as changed

    from gateway.core.ladder import Cap, Cheaper
    from gateway.core.values import Label, LabelledCall
    from tests import spine

    compiled = spine.snapshot(tmp_path)
    call = spine.Spine(compiled).call()
    asked = LabelledCall(call=call, labels=(Label(name="client", set_by="app teller"),), findings=())
    assert "When a budget" not in text(explain(asked, compiled, now=spine.NOW))
    app = changed(compiled.apps["teller"], when_over=(Cheaper(), Cap(tokens=256)))
    willing = changed(compiled, apps={**compiled.apps, "teller": app})
    assert (
        "When a budget has no room: a cheaper permitted model, then answer ≤ 256 tokens, then refuse"
        in text(explain(asked, willing, now=spine.NOW))
    )
