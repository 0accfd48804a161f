"""Proofs: what holds holds for every call; what does not comes with a path."""

# ruff: noqa: E501, ISC004 (sentences and files stand whole, as people read them)

from __future__ import annotations

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from gateway.core.classify import classify
from gateway.core.decide import decide
from gateway.core.places import inside
from gateway.policy.compile import compile_bundle
from gateway.policy.load import bundle_of, load_bundle, read_folder
from gateway.policy.prove import TEMPLATES, Goal, Reaches, parse, prove, prove_sentence, widest
from tests.policy.oracle import fresh, permitted
from tests.policy.written import APPS, HERE, NOW, STARTER, bundle, calls, compiled, files, load_data, snapshot

BANK = read_folder(HERE / "bundles" / "bank")


def _prove(text, **changed):
    edited = {**BANK, **changed}
    loaded = bundle_of(edited, now=NOW)
    return prove_sentence(text, "here", loaded, compile_bundle(loaded, now=NOW), now=NOW)


def test_the_banks_sentence_holds():
    """Client data never leaves Canada, over every app, alias, fallback and use; so do the starter's."""
    (proof,) = prove(bundle("bank"), snapshot("bank"), now=NOW)
    assert proof.holds
    assert proof.paths > 0
    starter = load_bundle(STARTER, now=NOW)
    proofs = prove(starter, compile_bundle(starter, now=NOW), now=NOW)
    assert [proof.sentence for proof in proofs if not proof.holds] == []


def test_a_counterexample_is_a_path():
    """Public text does leave Canada: by which app, alias, hop and fact."""
    proof = _prove("Public data never reaches a deployment outside Canada.")
    assert proof.broken == (
        "public data, app hackathon → chat-lab → together-us: processed_in must be inside Canada; is US "
        "(deployments.yaml:23)",
    )


def test_a_fallback_is_a_path_too():
    """A second try that leaves the country breaks the sentence, though the first one does not."""
    weak = BANK["policy.yaml"].replace(b"id: CA-1\n", b"id: CA-1\n    shadow: true\n")
    routes = BANK["routes.yaml"].replace(b"try: [azure-cae-41mini]", b"try: [azure-cae-41mini, together-us]")
    rules = weak.replace(b"for: {app: hackathon, data: public}", b"for: {data: any}")
    text = "Client data never reaches a deployment outside Canada"
    proof = _prove(text, **{"policy.yaml": rules, "routes.yaml": routes})
    assert any("→ azure-cae-41mini → on error → together-us" in path for path in proof.broken)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "Cleint data never reaches a deployment outside Canada.",
            "unknown kind of data `Cleint`; did you mean `client`?",
        ),
        (
            "Client data never reaches a deployment outside Canda.",
            "unknown place `Canda`; did you mean `Canada`?",
        ),
        ("Client data never reaches a deployment outside of Canada.", "unknown place `of Canada`"),
        ("All is well.", "no such sentence can be proved"),
    ],
)
def test_sentences_that_mean_nothing(text, error):
    """A sentence is one of a closed set, about things that exist."""
    proof = _prove(text)
    assert not proof.holds
    assert error in proof.error


def test_every_template_is_understood():
    """Each published example parses, and labels are written with spaces or without."""
    loaded = bundle("bank")
    assert all(isinstance(parse(text, loaded), Goal) for text in TEMPLATES)
    goal = parse("Quebec client data is never stored outside CA-QC", loaded)
    assert isinstance(goal, Goal)
    assert goal.label == "quebec_client"


def test_what_may_be_unknown_is_taken_as_the_caller_would_like():
    """A rule that binds only some purposes proves nothing for the others."""
    policy = "policy: p\nplaces: {Canada: [CA]}\ndata: {a: {}}\nrules:\n  - {id: OK, says: s, allow: true}\n"
    rule = "  - {{id: R, says: s, for: {{data: a{scope}}}, must: {{processed_in: Canada}}}}\n"
    rest = {
        "deployments": "deployments: {d: {vendor: v, processed_in: [US], uses: chat, seen: 2026-11-02, recheck_days: 90}}",
        "teams": "teams: {t: {apps: {one: {data: a, models: []}}}}",
    }
    for scope, reached in (
        ("", 0),
        (", purpose: x", 1),
        (", group: x", 1),
        (", caller_in: Canada", 1),
        (", app: one", 0),
    ):
        rules = compiled(policy=policy + rule.format(scope=scope), **rest)
        assert widest(rules.apps["one"], "chat", frozenset({"a"}), rules, now=NOW) == reached


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), calls())
def test_no_call_reaches_more_than_the_widest(data, asked):
    """Soundness: whatever a call with some label may reach, the proof has looked at."""
    rules = load_data(data)
    labelled = classify(asked, (), rules, detectors_failed=False)
    decision = decide(labelled, rules, now=NOW, decision_id="d")
    app = rules.apps[asked.caller.app]
    assert asked.caller.app in APPS
    use = "embeddings" if asked.surface == "embeddings" else "chat"
    for label in labelled.label_names & set(rules.rules.labels):
        base = frozenset(app.data).union(*(rules.rules.labels[name].closure for name in app.data))
        labels = (base | rules.rules.labels[label].closure) & labelled.label_names
        reached = widest(app, use, labels, rules, now=NOW)
        assert all(reached >> rules.deployments[name].index & 1 for name in decision.permitted)


SENTENCE = "A data never reaches a deployment outside Canada."


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), calls())
def test_what_is_proved_holds_for_a_plain_oracle(data, asked):
    """A second opinion without tables: where the sentence is proved, it permits nothing outside, and where a
    plain look permits something outside, the sentence is broken with a path that names the deployment.
    """
    raw = {name: orjson.dumps(value) for name, value in data.items()}
    loaded = bundle_of(raw, now=NOW)
    rules = compile_bundle(loaded, now=NOW)
    proof = prove_sentence(SENTENCE, "here", loaded, rules, now=NOW)
    assert not proof.error
    labelled = classify(asked, (), rules, detectors_failed=False)
    if "a" not in labelled.label_names:
        return
    facts = data["deployments.yaml"]["deployments"]
    outside = [
        name
        for name in permitted(data, labelled, NOW)
        if not inside(frozenset(fresh(facts[name], "processed_in", NOW) or ["unknown"]), frozenset({"CA"}))
    ]
    for name in outside:
        assert any(f"→ {name}: " in path for path in proof.broken)


def test_apps_of_one_kind_share_their_answers():
    """And the shared answer is the one that each would get alone."""
    rules = snapshot("bank")
    reaches = Reaches(rules, now=NOW)
    for app in rules.apps.values():
        for use in ("chat", "embeddings", "files"):
            for labels in (frozenset({"client"}), frozenset({"public"})):
                assert reaches.of(app, use, labels) == widest(app, use, labels, rules, now=NOW)
                assert reaches.of(app, use, labels) == widest(app, use, labels, rules, now=NOW)
