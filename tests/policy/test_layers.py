"""Layers: a unit's file is for its own teams or apps, adds rules, and can only narrow."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from gateway.core.classify import classify
from gateway.core.decide import decide, judge, subject_of
from gateway.policy.compile import compile_bundle
from gateway.policy.load import bundle_of
from gateway.policy.problems import PolicyErrors
from gateway.policy.render import render
from gateway.policy.review import review
from tests.policy.written import NOW, call, calls, files, load_data

FILES = {
    "policy.yaml": """policy: p
data: {a: {}}
rules:
  - {id: OK, says: s, allow: true}
exceptions:
  - {rule: W-2, for: {app: x}, lets: {vendor: [v]}, owner: o, approved_by: [legal], until: 2026-12-15}
""",
    "teams.yaml": """teams:
  t: {apps: {x: {data: [a], models: [m]}, y: {data: [a], models: [m], groups: [g]}}}
  u: {apps: {z: {data: [a], models: [m]}}}
""",
    "deployments.yaml": """deployments:
  d: {vendor: v, uses: chat, seen: 2026-11-02, recheck_days: 90}
  e: {vendor: w, uses: chat, seen: 2026-11-02, recheck_days: 90}
""",
    "connections.yaml": """connections:
  d: {api: openai, url: "https://a.example.com/v1", model: m}
  e: {api: openai, url: "https://a.example.com/v1", model: m}
""",
    "routes.yaml": "routes: {m: {try: [d, e]}}",
    "units/wealth.yaml": """unit: wealth
owner: wealth-risk
for: {team: t}
rules:
  - {id: W-1, says: s, for: {app: g}, must: {vendor: v}}
  - {id: W-2, says: s, for: {data: a}, must: {vendor: w}, strength: exception}
tests:
  - {say: x, app: x, try: d, expect: allowed, by_exception: W-2}
""",
}


def _bundle(**changes: str):
    given_files = {**FILES, **{f"{name}.yaml": text for name, text in changes.items()}}
    return bundle_of({name: text.encode() for name, text in given_files.items()}, now=NOW)


def _permitted(app, snapshot):
    labelled = classify(call(app, "m"), (), snapshot, detectors_failed=False)
    return decide(labelled, snapshot, now=NOW, decision_id="d").permitted


def test_a_layer_is_for_its_own():
    """Both must match, the layer's scope and the rule's; other teams are as before."""
    snapshot = compile_bundle(_bundle(), now=NOW)
    assert _permitted("z", snapshot) == ("d", "e")
    assert _permitted("x", snapshot) == ("d", "e")  # W-2 by its exception; W-1 is for the group
    assert _permitted("y", snapshot) == ()  # W-1 wants v, W-2 wants w
    rule = next(r for r in snapshot.rules.rules if r.id == "W-1")
    assert (rule.unit, rule.owner, rule.at) == ("wealth", "wealth-risk", "units/wealth.yaml:5")
    assert "Added by wealth; it can only narrow." in render(snapshot)
    assert "Ajoutée par wealth" in render(snapshot, language="fr")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("must: {vendor: v}", "allow: true", "a layer can only narrow, so its rules may not allow"),
        ("team: t", "team: tt", "unknown team `tt`"),
        ("{team: t}", "{}", "a layer is for a team or an app"),
        ("id: W-1", "id: OK", "the id `OK` stands twice"),
        ("owner: wealth-risk", "exceptions: []", "unknown key `exceptions`"),
        ("{data: a}", "{data: b}", "unknown kind of data `b`"),
    ],
)
def test_what_a_layer_may_not(old, new, message):
    """It cannot allow, make exceptions or name what is not there; the place is in its own file."""
    with pytest.raises(PolicyErrors) as caught:
        _bundle(**{"units/wealth": FILES["units/wealth.yaml"].replace(old, new)})
    assert any(message in str(p) and p.file == "units/wealth.yaml" for p in caught.value.problems)


def test_a_rule_of_a_layer_that_matches_nobody_is_said():
    """The warning stands in the layer's file."""
    bundle = _bundle(**{"units/wealth": FILES["units/wealth.yaml"].replace("{app: g}", "{app: z}")})
    said = [str(w) for w in review(bundle, compile_bundle(bundle, now=NOW), now=NOW)]
    assert "units/wealth.yaml:5:5 rules[0]: the rule `W-1` matches no app of teams.yaml" in said


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), calls())
def test_layers_never_permit_more(data, asked):
    """Whatever a layer says, nothing is permitted that was not permitted without it."""
    with_it = load_data(data)
    exceptions = [e for e in data["policy.yaml"]["exceptions"] if not e["rule"].startswith("U")]
    bare = {name: value for name, value in data.items() if name != "units/u.yaml"}
    without = load_data({**bare, "policy.yaml": {**data["policy.yaml"], "exceptions": exceptions}})
    subject = subject_of(classify(asked, (), without, detectors_failed=False), without)
    assert judge(subject, with_it, now=NOW).mask & ~judge(subject, without, now=NOW).mask == 0
