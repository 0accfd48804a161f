"""Cedar, an engine that others wrote, and our tables agree on every call; so do our proofs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.classify import classify
from gateway.core.decide import decide
from gateway.core.places import inside
from gateway.policy.compile import compile_bundle
from gateway.policy.load import bundle_of
from gateway.policy.prove import prove_sentence
from tests.policy import cedar, oracle
from tests.policy.written import DAY_NS, LABELS, NOW, TODAY, call, calls, files, load_data

RANDOM = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@RANDOM
@given(files(), calls(), st.integers(0, 70))
def test_cedar_permits_the_same_deployments(data, asked, days):
    """Not one more, not one less, today and weeks later, when facts and exceptions have lapsed."""
    rules, now = load_data(data), NOW + days * DAY_NS
    labelled = classify(asked, (), rules, detectors_failed=False)
    ours = decide(labelled, rules, now=now, decision_id="d").permitted
    assert ours == cedar.permitted(data, labelled, now)


@st.composite
def softened(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Return a bundle in which an exception is all that may let a deployment pass."""
    data = draw(files())
    facts = {"vendor": "v1", "uses": ["chat", "embeddings"], "seen": "2026-11-20", "recheck_days": 60}
    abroad = {**facts, "processed_in": ["US"], "covers": ["web_search", "mcp"]}
    first = next(iter(data["deployments.yaml"]["deployments"]))
    data["deployments.yaml"]["deployments"][first] = abroad
    scope = draw(st.sampled_from([{}, {"app": ["one"]}, {"team": ["t2"]}, {"purpose": ["p1"]}]))
    about = draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=3, unique=True))
    days = draw(st.integers(-5, 60))
    exception = {
        "rule": "R1", "for": {**scope, "data": about}, "lets": {"processed_in": ["US"]}, "owner": "o",
        "approved_by": ["l", "s"], "until": (TODAY + timedelta(days=days)).isoformat(),
    }  # fmt: skip
    data["policy.yaml"]["rules"] = [
        {"id": "R0", "says": "s", "for": {}, "allow": True},
        {"id": "R1", "says": "s", "for": {}, "must": {"processed_in": ["Canada"]}, "strength": "exception"},
    ]
    data["policy.yaml"]["exceptions"] = [exception]
    return data


@RANDOM
@given(softened(), calls(), st.integers(0, 70))
def test_cedar_and_we_mean_the_same_by_an_exception(data, asked, days):
    """For whom, for which data and until when a rule is softened."""
    rules, now = load_data(data), NOW + days * DAY_NS
    labelled = classify(asked, (), rules, detectors_failed=False)
    ours = decide(labelled, rules, now=now, decision_id="d").permitted
    assert ours == cedar.permitted(data, labelled, now)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), calls())
def test_what_is_proved_cedar_never_permits(data, asked):
    """Where "never outside Canada" is proved, Cedar lets no such call out either."""
    raw = {name: orjson.dumps(value) for name, value in data.items()}
    loaded = bundle_of(raw, now=NOW)
    rules = compile_bundle(loaded, now=NOW)
    proof = prove_sentence(
        "A data never reaches a deployment outside Canada.", "here", loaded, rules, now=NOW
    )
    labelled = classify(asked, (), rules, detectors_failed=False)
    if not proof.holds or "a" not in labelled.label_names:
        return
    facts = data["deployments.yaml"]["deployments"]
    for name in cedar.permitted(data, labelled, NOW):
        known = oracle.fresh(facts[name], "processed_in", NOW) or ["unknown"]
        assert inside(frozenset(known), frozenset({"CA"}))


def test_cedar_sees_a_rule_that_we_would_forget():
    """The comparison can fail: without the rule, Cedar permits what our tables refuse."""
    facts = {
        "vendor": "v1",
        "uses": ["chat"],
        "seen": "2026-11-20",
        "recheck_days": 60,
        "processed_in": ["US"],
    }
    rules = [
        {"id": "R0", "says": "s", "for": {}, "allow": True},
        {"id": "R1", "says": "s", "for": {}, "must": {"processed_in": ["Canada"]}, "strength": "hard"},
    ]
    data = {
        "policy.yaml": {
            "policy": "p", "places": {"Canada": ["CA"]}, "rules": rules, "exceptions": [],
            "data": {"a": {"found_by": ["app", "header"]}},
        },
        "deployments.yaml": {"deployments": {"d0": facts}},
        "connections.yaml": {"connections": {"d0": {"api": "openai", "url": "https://a.test", "model": "m"}}},
        "routes.yaml": {"routes": {"m": {"try": ["d0"]}}},
        "teams.yaml": {"teams": {"t1": {"apps": {"one": {"data": ["a"], "models": ["m"]}}}}},
    }  # fmt: skip
    labelled = classify(call("one", "m"), (), load_data(data), detectors_failed=False)
    assert cedar.permitted(data, labelled, NOW) == ()
    data["policy.yaml"] = {**data["policy.yaml"], "rules": rules[:1]}
    assert cedar.permitted(data, labelled, NOW) == ("d0",)
