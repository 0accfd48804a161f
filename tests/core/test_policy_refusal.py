"""What an app is told when policy refuses its call: no more than it may know, and what it can do."""

# ruff: noqa: E501 (sentences and files stand whole, as people read them)

from __future__ import annotations

import pytest

from gateway.core.classify import classify
from gateway.core.decide import decide
from gateway.core.errors import Code
from gateway.core.policy_refusal import not_loggable, refusal
from tests.policy.written import DAY_NS, NOW, call, compiled, found, snapshot

BANK = snapshot("bank")


def _refusal(app, model, *kinds, rules=BANK, now=NOW, **changes):
    labelled = classify(call(app, model, **changes), found(*kinds), rules, detectors_failed=False)
    decision = decide(labelled, rules, now=now, decision_id="dec_7Q2M")
    return refusal(labelled, decision, rules, now=now)


def test_the_refusal_that_a_developer_reads():
    """The sentence of the design: the rule, where it may run, that nothing was sent, what to use, whom to ask."""
    answer = _refusal("teller", "chat-pro")
    assert answer.code is Code.POLICY_REFUSED
    assert answer.retry is False
    assert answer.param == "model"
    assert answer.message == (
        "Refused by CA-1: Client data is processed, stored and logged only in Canada. 'chat-pro' may run in "
        "Quebec and the US. Nothing was sent. Use model 'chat', or ask privacy-office, quoting dec_7Q2M."
    )
    assert answer.extension == {
        "decision": "dec_7Q2M",
        "rules": ["CA-1", "V-1"],
        "labels": [{"name": "client", "set_by": "app teller"}],
        "use_instead": ["chat"],
        "ask": "privacy-office",
    }


@pytest.mark.parametrize(
    ("changes", "rule", "told"),
    [
        ({"features": frozenset({"web_search"})}, "features", "This request uses web_search; remove it."),
        ({"header_labels": ("nonsense",)}, "labels", "A header names a kind of data"),
        ({"now": NOW + 100 * DAY_NS}, "facts", "The facts behind 'chat' are due for a recheck."),
    ],
)
def test_what_no_policy_needs_to_write(changes, rule, told):
    """The built-in rules are named like the others, with a word on what to do."""
    answer = _refusal("teller", "chat", **changes)
    assert rule in answer.extension["rules"]
    assert told in answer.message or answer.message.startswith("Refused by V-1")


def test_no_rule_allows():
    """An app that no rule allows is refused by the built-in default."""
    answer = _refusal("canteen", "m", rules=snapshot("hospital"))
    assert answer.extension["rules"] == []
    assert "has no deployment" in answer.message


def test_a_duty_to_ask_names_whom():
    """`ask` refuses and names who can agree."""
    rules = compiled(
        policy="policy: p\ndata: {a: {}}\nrules: [{id: OK, says: By leave only., allow: true, do: [{ask: officer}]}]",
        deployments="deployments: {d: {vendor: v, uses: chat, seen: 2026-11-02, recheck_days: 90}}",
        connections='connections: {d: {api: openai, url: "https://a.example.com", model: m}}',
        routes="routes: {m: {try: [d]}}",
        teams="teams: {t: {apps: {one: {data: [a], models: [m]}}}}",
    )
    answer = _refusal("one", "m", rules=rules)
    assert answer.message == "Refused by OK: By leave only. Nothing was sent. Ask officer, quoting dec_7Q2M."
    assert answer.extension["ask"] == "officer"


def test_a_node_that_may_not_keep_a_record_may_not_serve():
    """The duty `log_in` names the places; a node with one sink outside refuses and says where it would log."""
    labelled = classify(call("teller", "chat"), (), BANK, detectors_failed=False)
    decision = decide(labelled, BANK, now=NOW, decision_id="dec_7Q2M")
    assert not_loggable(decision, frozenset({"CA-QC"})) is None
    answer = not_loggable(decision, frozenset({"CA-QC", "US"}))
    assert answer is not None
    assert (answer.code, answer.retry) == (Code.POLICY_REFUSED, False)
    assert "this node keeps its log in CA-QC, US. Nothing was sent." in answer.message
    assert "quoting dec_7Q2M" in answer.message
    assert answer.extension["rules"] == list(decision.rules)
