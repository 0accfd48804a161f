"""What the decision promises: default deny, labels only narrow, time only narrows, order is nothing."""

# ruff: noqa: E501 (sentences and files stand whole, as people read them)

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.classify import classify
from gateway.core.decide import Decision, decide, judge, permits, subject_of
from gateway.core.rules import Lapsing, Obligations, merge
from gateway.core.values import Surface
from tests.policy import oracle
from tests.policy.written import (
    DAY_NS,
    LABELS,
    NOW,
    call,
    calls,
    compiled,
    files,
    found,
    load_data,
    snapshot,
)

RANDOM = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


def _permitted(data, asked, now=NOW):
    rules = load_data(data)
    labelled = classify(asked, (), rules, detectors_failed=False)
    return decide(labelled, rules, now=now, decision_id="dec_1").permitted


@settings(RANDOM, max_examples=150)
@given(files(), calls(), st.integers(-2, 70))
def test_agrees_with_the_oracle(data, asked, days):
    """The compiled tables and a naive reading of the files permit the same deployments, at any time."""
    rules = load_data(data)
    labelled = classify(asked, (), rules, detectors_failed=False)
    now = NOW + days * DAY_NS
    decision = decide(labelled, rules, now=now, decision_id="dec_1")
    assert decision.permitted == oracle.permitted(data, labelled, now)


@RANDOM
@given(files(), calls(), st.sampled_from(LABELS))
def test_a_label_more_never_permits_more(data, asked, label):
    """Whatever was permitted with a further label was permitted without it."""
    rules = load_data(data)
    subject = subject_of(classify(asked, (), rules, detectors_failed=False), rules)
    more = replace(subject, labels=subject.labels | rules.rules.labels[label].closure)
    assert judge(more, rules, now=NOW).mask & ~judge(subject, rules, now=NOW).mask == 0


@RANDOM
@given(files(), calls(), st.randoms())
def test_the_order_of_rules_is_nothing(data, asked, chance):
    """Shuffled rules and exceptions give the same permitted set and the same duties."""
    before = load_data(data)
    labelled = classify(asked, (), before, detectors_failed=False)
    shuffled = {**data, "policy.yaml": {**data["policy.yaml"]}}
    for key in ("rules", "exceptions"):
        shuffled["policy.yaml"][key] = chance.sample(data["policy.yaml"][key], len(data["policy.yaml"][key]))
    after = load_data(shuffled)
    first = decide(labelled, before, now=NOW, decision_id="d")
    second = decide(labelled, after, now=NOW, decision_id="d")
    assert (first.permitted, first.obligations) == (second.permitted, second.obligations)
    assert set(first.rules) == set(second.rules)


@RANDOM
@given(files(), calls(), st.integers(0, 70), st.integers(0, 70))
def test_time_only_narrows(data, asked, sooner, later):
    """Facts, documents and exceptions lapse and never come back under one snapshot."""
    rules = load_data(data)
    labelled = classify(asked, (), rules, detectors_failed=False)
    first, last = sorted((sooner, later))
    early = decide(labelled, rules, now=NOW + first * DAY_NS, decision_id="d").permitted
    late = decide(labelled, rules, now=NOW + last * DAY_NS, decision_id="d").permitted
    assert set(late) <= set(early)


@RANDOM
@given(
    files(), calls(), st.sampled_from(["processed_in", "stored_in", "trains_on_data", "keeps_content_days"])
)
def test_an_unknown_fact_never_passes(data, asked, fact):
    """A fact taken away never permits more than the fact did."""
    known = _permitted(data, asked)
    deployments = {
        name: {key: value for key, value in facts.items() if key != fact}
        for name, facts in data["deployments.yaml"]["deployments"].items()
    }
    assert set(_permitted({**data, "deployments.yaml": {"deployments": deployments}}, asked)) <= set(known)


@RANDOM
@given(files(), calls())
def test_no_rules_permit_nothing(data, asked):
    """An empty policy denies everything."""
    empty = {**data, "policy.yaml": {**data["policy.yaml"], "rules": [], "exceptions": []}}
    assert _permitted(empty, asked) == ()


@RANDOM
@given(files(), calls(), st.integers(0, 70))
def test_the_memo_changes_nothing(data, asked, days):
    """A decision from the memo is the decision that judging afresh gives."""
    rules = load_data(data)
    labelled = classify(asked, (), rules, detectors_failed=False)
    now = NOW + days * DAY_NS
    decide(labelled, rules, now=NOW, decision_id="d")
    decide(labelled, rules, now=now, decision_id="d")
    again = decide(labelled, rules, now=now, decision_id="d")
    fresh = judge(subject_of(labelled, rules), rules, now=now)
    assert (again.permitted, again.obligations) == (fresh.permitted, fresh.obligations)


def _bank(app, model, *kinds, now=NOW, **changes):
    rules = snapshot("bank")
    labelled = classify(call(app, model, **changes), found(*kinds), rules, detectors_failed=False)
    return decide(labelled, rules, now=now, decision_id="dec_1")


def test_the_hackathon_goes_to_canada_when_a_name_is_found():
    """A finding adds `client`, so the exception no longer covers every label and the US drops out."""
    assert _bank("hackathon", "chat-lab").permitted == ("together-us", "azure-cae-41mini")
    assert _bank("hackathon", "chat-lab", "person").permitted == ("azure-cae-41mini",)


def test_permitted_keeps_the_order_of_the_route():
    """The order of tries is the route's, and candidates are all of them."""
    decision = _bank("hackathon", "chat-lab", "person")
    assert decision.candidates == ("together-us", "azure-cae-41mini")


def test_an_alias_by_another_name_decides_the_same():
    """`also_called` names reach the same deployments as the alias."""
    assert _bank("teller", "gpt-4.1-mini").permitted == _bank("teller", "chat").permitted != ()


def test_an_exception_ends_with_its_day():
    """The exception holds through its last day, UTC, and not an instant longer."""
    last = NOW + 23 * DAY_NS  # midnight at the end of 2026-12-15
    assert "together-us" in _bank("hackathon", "chat-lab", now=last - 1).permitted
    assert "together-us" not in _bank("hackathon", "chat-lab", now=last).permitted


def test_stale_facts_refuse_from_that_instant():
    """Facts seen on 2 November for 90 days count through 31 January."""
    end = NOW + 70 * DAY_NS  # midnight after 2027-01-31
    assert _bank("teller", "chat", now=end - 1).permitted == ("azure-cae-41mini",)
    assert _bank("teller", "chat", now=end).permitted == ()


def test_a_feature_that_no_facts_cover_refuses():
    """Web search would make the vendor forward what it read."""
    assert _bank("teller", "chat", features=frozenset({"web_search"})).permitted == ()


def test_a_feature_nobody_knows_refuses():
    """A feature that the compiler never heard of is covered by nothing."""
    assert _bank("teller", "chat", features=frozenset({"teleport"})).permitted == ()


def test_another_use_than_the_facts_name_refuses():
    """The deployment's facts name chat only."""
    assert _bank("teller", "chat", surface=Surface.EMBEDDINGS).permitted == ()


def test_an_unknown_app_or_model_gets_nothing():
    """Neither an app that is not registered nor a name without a route finds a deployment."""
    assert _bank("nobody", "chat").permitted == ()
    assert _bank("teller", "no-such-model").permitted == ()


def test_duties_follow_the_finding():
    """A card found makes the token duty, with the kind that found it."""
    assert _bank("teller", "chat").obligations.tokenise == frozenset()
    decision = _bank("teller", "chat", "card")
    assert decision.obligations.tokenise == {"card"}
    assert decision.obligations.answer_tokens == 4000
    assert decision.obligations.log_in == {"CA"}
    assert "PCI-1" in decision.rules


def test_permits_asks_again_at_the_socket():
    """The check at the socket sees that facts went stale since the decision."""
    rules = snapshot("bank")
    labelled = classify(call("teller"), (), rules, detectors_failed=False)
    decision = decide(labelled, rules, now=NOW, decision_id="d")
    for about in (decision, labelled):
        assert permits(about, "azure-cae-41mini", rules, now=NOW)
        assert not permits(about, "azure-cae-41mini", rules, now=NOW + 70 * DAY_NS)
        assert not permits(about, "together-us", rules, now=NOW)
    assert not permits(Decision(id="made-by-hand"), "azure-cae-41mini", rules, now=NOW)


OPEN = """
policy: small
data: {client: {found_by: [app]}, public: {}, unlabelled: {treat_as: client}}
rules:
  - {id: OK, says: all may chat, for: {app: registered}, allow: true}
"""
ONE = {
    "deployments": "deployments: {d: {vendor: v, processed_in: [US], uses: [chat], covers: [mcp], seen: 2026-11-02, recheck_days: 90}}",
    "connections": 'connections: {d: {api: openai, url: "https://a.example.com", model: m}}',
    "routes": "routes: {m: {try: [d]}}",
    "teams": "teams: {t: {apps: {one: {data: [public], models: [m]}}}}",
}


def test_a_newer_snapshot_counts_at_the_socket():
    """Under another snapshot its rules, its labels for the app and its duties are asked."""
    before = compiled(policy=OPEN, **ONE)
    labelled = classify(call("one", "m"), (), before, detectors_failed=False)
    decision = decide(labelled, before, now=NOW, decision_id="d")
    rule = "  - {{id: N, says: n, for: {{data: {data}}}, {what}}}\n"
    same = compiled(policy=OPEN + rule.format(data="client", what="must: {processed_in: CA}"), **ONE)
    assert permits(decision, "d", same, now=NOW)
    stricter = compiled(policy=OPEN + rule.format(data="any", what="must: {processed_in: CA}"), **ONE)
    assert not permits(decision, "d", stricter, now=NOW)
    duty = compiled(policy=OPEN + rule.format(data="any", what="do: [{mask: [sin]}]"), **ONE)
    assert not permits(decision, "d", duty, now=NOW)
    relabelled = {**ONE, "teams": ONE["teams"].replace("data: [public]", "data: [client]")}
    labels = compiled(policy=OPEN + rule.format(data="client", what="must: {processed_in: CA}"), **relabelled)
    assert not permits(decision, "d", labels, now=NOW)


@pytest.mark.parametrize(
    ("rule", "features", "allowed"),
    [
        ("do: [{forbid_tools: [mcp]}]", {"mcp"}, False),
        ("do: [{forbid_tools: [mcp]}]", set(), True),
        ("do: [{ask: officer}]", set(), False),
        ("do: [{log_in: CA}, {log_in: US}]", set(), False),
        ("do: [{log_in: CA}, {log_in: CA-QC}]", set(), True),
        ("must: {caller_in: CA}", set(), False),
        ("must: {processed_in: CA}, strength: warn", set(), True),
        ("must: {processed_in: CA}, shadow: true", set(), True),
    ],
)
def test_duties_that_cannot_be_done_refuse(rule, features, allowed):
    """A duty that contradicts the request, or another duty, refuses; warnings and shadows do not."""
    rules = compiled(policy=f"{OPEN}  - {{id: N, says: n, {rule}}}\n", **ONE)
    labelled = classify(call("one", "m", features=frozenset(features)), (), rules, detectors_failed=False)
    decision = decide(labelled, rules, now=NOW, decision_id="d")
    assert bool(decision.permitted) is allowed
    assert decision.warnings == (("N",) if "warn" in rule or "shadow" in rule else ())


def test_a_rule_in_shadow_allows_nothing_and_asks_for_nothing():
    """What stands in shadow is recorded: it neither allows a call nor puts a duty on it."""
    shadowed = compiled(policy=OPEN.replace("allow: true", "allow: true, shadow: true"), **ONE)
    labelled = classify(call("one", "m"), (), shadowed, detectors_failed=False)
    assert decide(labelled, shadowed, now=NOW, decision_id="d").permitted == ()
    duty = "  - {id: N, says: n, do: [{mask: [sin]}, {answer_tokens: {at_most: 1}}], shadow: true}\n"
    rules = compiled(policy=OPEN + duty, **ONE)
    decision = decide(
        classify(call("one", "m"), (), rules, detectors_failed=False), rules, now=NOW, decision_id="d"
    )
    assert decision.permitted == ("d",)
    assert decision.obligations == Obligations()
    assert "N" in decision.rules


EXCEPTED = """
policy: small
data: {a: {}, b: {}, c: {is_also: a}, d: {is_also: [a, b]}, unlabelled: {treat_as: a}}
rules:
  - {id: OK, says: all may chat, allow: true}
  - {id: V, says: only w, must: {vendor: w}, strength: exception}
exceptions:
  - {rule: V, for: {data: a, app: one}, lets: {vendor: v}, owner: o, approved_by: [l], until: 2026-12-15}
"""


@pytest.mark.parametrize(
    ("data", "allowed"),
    [
        ("[a]", True),
        ("[c]", True),
        ("[b]", False),
        ("[a, b]", False),
        ("[c, b]", False),
        ("[d]", False),
        ("[]", True),
    ],
)
def test_an_exception_is_for_every_label_or_for_none(data, allowed):
    """One label that the exception does not name, nor one that it is also, and it does not apply."""
    rules = compiled(policy=EXCEPTED, **{**ONE, "teams": ONE["teams"].replace("[public]", data)})
    labelled = classify(call("one", "m"), (), rules, detectors_failed=False)
    assert bool(decide(labelled, rules, now=NOW, decision_id="d").permitted) is allowed


def test_an_exception_is_for_its_app_only():
    """Another app with the same data is refused."""
    teams = "teams: {t: {apps: {one: {data: [a], models: [m]}, two: {data: [a], models: [m]}}}}"
    rules = compiled(policy=EXCEPTED, **{**ONE, "teams": teams})
    labelled = classify(call("two", "m"), (), rules, detectors_failed=False)
    assert decide(labelled, rules, now=NOW, decision_id="d").permitted == ()


def test_a_rule_over_the_callers_place():
    """`caller_in` under must is one rule for "nobody outside Canada"; an unknown place is outside."""
    rules = compiled(policy=OPEN + "  - {id: N, says: n, must: {caller_in: CA}}\n", **ONE)
    for place, allowed in (("CA-QC", True), ("FR", False), (None, False)):
        labelled = classify(call("one", "m", place=place), (), rules, detectors_failed=False)
        assert bool(decide(labelled, rules, now=NOW, decision_id="d").permitted) is allowed


@pytest.mark.parametrize(
    ("place", "purpose", "allowed"),
    [
        ("CA", None, False),  # unknown purpose: the rule binds
        ("FR", None, True),  # but not where another part of `for` is known not to match
        ("FR", "p1", True),
        ("CA", "p2", True),
        ("CA", "p1", False),
        (None, "p1", False),
        (None, "p2", True),
    ],
)
def test_doubt_about_one_part_does_not_hide_another(place, purpose, allowed):
    """Each part of `for` is asked; what is unknown counts as matching for that part only."""
    rule = "  - {id: N, says: n, for: {purpose: p1, caller_in: CA}, must: {processed_in: CA}}\n"
    rules = compiled(policy=OPEN + rule, **ONE)
    asked = call("one", "m", place=place, purpose=purpose)
    labelled = classify(asked, (), rules, detectors_failed=False)
    assert bool(decide(labelled, rules, now=NOW, decision_id="d").permitted) is allowed


def test_the_memo_is_bounded():
    """Callers who vary what they send cannot make the tables grow without end."""
    rules = compiled(policy=OPEN, **ONE)
    for i in range(9000):
        asked = call("one", "m", purpose=f"p{i}", header_labels=(f"h{i}",))
        decide(classify(asked, (), rules, detectors_failed=False), rules, now=NOW, decision_id="d")
    assert len(rules.rules.memo) <= 8_192
    assert len(rules.rules.label_memo) <= 8_192


def test_merging_takes_the_strictest():
    """Block beats tokenise beats mask; the smallest cap, the longest minimum, the shortest maximum."""
    merged = merge(
        (
            Obligations(
                mask=frozenset({"sin", "card", "email"}), answer_tokens=4000, keep_log_days_at_least=10
            ),
            Obligations(tokenise=frozenset({"sin", "card"}), answer_tokens=500, keep_log_days_at_least=183),
            Obligations(block=frozenset({"card"}), keep_log_days_at_most=365, cache_scope="tenant"),
            Obligations(log_in=frozenset({"CA"}), cache_scope="app", ask=("b",)),
            Obligations(log_in=frozenset({"CA-QC", "US"}), keep_log_days_at_most=200, ask=("a",)),
        )
    )
    assert (merged.block, merged.tokenise, merged.mask) == ({"card"}, {"sin"}, {"email"})
    assert merged.answer_tokens == 500
    assert (merged.keep_log_days_at_least, merged.keep_log_days_at_most) == (183, 200)
    assert merged.log_in == {"CA-QC"}
    assert (merged.cache_scope, merged.ask) == ("app", ("a", "b"))


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 20), max_size=8), st.integers(0, 25))
def test_a_lapsing_set_is_what_has_not_ended(untils, now):
    """Bit i is set exactly until its instant, that instant excluded."""
    wanted = sum(1 << index for index, until in untils.items() if until > now)
    assert Lapsing.of(untils.items()).at(now) == wanted
