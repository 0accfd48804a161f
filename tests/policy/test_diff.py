"""What a change lets out: golden sentences, and that nothing which leaves anew is left out."""

# ruff: noqa: E501 (sentences and files stand whole, as people read them)

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.classify import classify
from gateway.core.decide import decide
from gateway.policy.compile import compile_bundle
from gateway.policy.diff import difference, egress
from gateway.policy.load import bundle_of
from gateway.policy.problems import PolicyErrors
from tests.policy.signed import BANK, edited
from tests.policy.written import DAY_NS, NOW, calls, compiled, files, load_data


def _snapshot(data):
    return compile_bundle(bundle_of(data, now=NOW), now=NOW)


def _diff(new, old=BANK):
    return difference(_snapshot(old), _snapshot(new), now=NOW)


def test_nothing_changes():
    """The same policy, and one with another comment or version, need one approver."""
    assert str(_diff(BANK)) == "no egress is added or removed; 1 approver"
    assert not _diff(edited("version: 7", "version: 8")).changes


def test_a_rule_that_is_loosened():
    """Which data of which app goes where, by which alias: the sentences that a lawyer reads."""
    stricter = edited("vendor: [microsoft, cohere, self]", "vendor: [cohere, self]")
    assert str(_diff(BANK, stricter)) == (
        "adds     card_number data of app hackathon → azure-cae-41mini in CA-QC, by chat-lab (deployments.yaml:2)\n"
        "adds     client data of app hackathon → azure-cae-41mini in CA-QC, by chat-lab (deployments.yaml:2)\n"
        "adds     public data of app hackathon → azure-cae-41mini in CA-QC, by chat-lab (deployments.yaml:2)\n"
        "adds     quebec_client data of app hackathon → azure-cae-41mini in CA-QC, by chat-lab (deployments.yaml:2)\n"
        "adds     card_number data of app teller → azure-cae-41mini in CA-QC, by chat (deployments.yaml:2)\n"
        "adds     client data of app teller → azure-cae-41mini in CA-QC, by chat (deployments.yaml:2)\n"
        "adds     quebec_client data of app teller → azure-cae-41mini in CA-QC, by chat (deployments.yaml:2)\n"
        "lifts    an exception to V-1, owned by j.roy, until 2026-12-15 (policy.yaml:58)\n"
        "this change widens: 2 approvers"
    )


def test_a_rule_that_is_tightened():
    """Only removals: one approver."""
    change = _diff(
        edited(
            "rules:\n",
            "rules:\n  - {id: LAB, says: The lab is closed., for: {app: hackathon}, must: {vendor: [nobody]}}\n",
        )
    )
    assert not change.widens
    assert {one.kind for one in change.changes} == {"removes"}
    assert "removes  public data of app hackathon → together-us in US" in str(change)
    assert str(change).endswith("this change only narrows: 1 approver")


def test_a_route_with_a_further_fallback():
    """A deployment that an alias may try after errors is an egress."""
    line = "chat-lab: {try: [together-us, azure-cae-41mini]}"
    less = edited(line, "chat-lab: {try: [together-us]}", "routes.yaml")
    change = _diff(BANK, less)
    assert {one.kind for one in change.changes} == {"adds"}
    assert "client data of app hackathon → azure-cae-41mini in CA-QC, by chat-lab" in str(change)
    assert not _diff(less, BANK).widens


SMALL = {
    "policy": """policy: p
places: {Canada: [CA]}
data: {a: {found_by: [app, "detector:sin"]}, b: {is_also: a}, unlabelled: {treat_as: a}}
rules:
  - {id: R, says: s, for: {data: a}, must: {processed_in: Canada}, strength: exception}
  - {id: M, says: s, for: {data: a}, do: [{mask: [sin]}]}
  - {id: OK, says: s, for: {use: chat}, allow: true}
""",
    "deployments": """deployments:
  d: {vendor: v, processed_in: [CA], uses: chat, seen: 2026-11-02, recheck_days: 60}
  e: {vendor: v, processed_in: [US], uses: chat, seen: 2026-11-02, recheck_days: 60}
""",
    "connections": """connections:
  d: {api: openai, url: "https://a.example.com/v1", model: m}
  e: {api: openai, url: "https://b.example.com/v1", model: m}
""",
    "routes": "routes: {m: {try: [d, e]}}\n",
    "teams": "teams: {t: {apps: {one: {data: [a], models: [m]}}}}\n",
}


def _small(**changes):
    base = dict(SMALL)
    for file, (old, new) in changes.items():
        assert old in base[file]
        base[file] = base[file].replace(old, new, 1)
    return compiled(**base)


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (
            "policy",
            "do: [{mask: [sin]}]",
            "do: [disclose_ai]",
            "lifts    a data of app one need no longer: mask sin",
        ),
        ("policy", '"detector:sin"', "header", "lifts    a data is no longer found by detector:sin"),
        ("policy", "is_also: a", "says: x", "lifts    b data is no longer a"),
        ("policy", "treat_as: a", "treat_as: b", ""),
        (
            "policy",
            "unlabelled: {treat_as: a}",
            "c: {}",
            "what nobody labelled counted as a, becomes unlabelled",
        ),
        (
            "policy",
            "for: {data: a}, must",
            "for: {data: a, purpose: x}, must",
            "adds     a data of app one → e in US, by m",
        ),
        ("policy", "strength: exception", "shadow: true", "adds     a data of app one → e in US, by m"),
        ("teams", "data: [a]", "data: []", "lifts    calls of app one are no longer a by registration"),
        ("deployments", "d: {vendor: v", "d: {vendor: w", "moves    d: vendor was v, becomes w"),
        ("deployments", "processed_in: [CA]", "processed_in: [CA-QC]", ""),
        (
            "deployments",
            "recheck_days: 60",
            "recheck_days: 90",
            "extends  a data of app one → d in CA until 2027-01-01 → until 2027-01-31",
        ),
        (
            "deployments",
            "recheck_days: 60",
            "recheck_days: 30",
            "removes  a data of app one → d in CA until 2026-12-02",
        ),
        (
            "deployments",
            "d: {vendor: v",
            "d: {covers: [web_search], vendor: v",
            "adds     d may be asked for web_search",
        ),
        (
            "connections",
            "https://a.",
            "https://c.",
            "moves    d is reached in another way (connections.yaml:2)",
        ),
        ("policy", "for: {use: chat}", "for: {use: chat, purpose: x}", "depends on purpose"),
    ],
)
def test_each_kind_of_change(file, old, new, says):
    """Every way in which bytes, duties or labels can change is a sentence; what only narrows is none of them."""
    change = difference(_small(), _small(**{file: (old, new)}), now=NOW)
    assert says in str(change)
    assert change.widens is (bool(says) and not says.startswith("removes"))
    assert "example.com" not in str(change)


def test_an_exception_is_named_with_its_owner():
    """New, longer or wider: it is listed; removing it is not."""
    line = "exceptions: [{rule: R, for: {data: [a, b]}, lets: {processed_in: US}, owner: j.roy, approved_by: [x], until: 2026-12-01}]\n"
    base = dict(SMALL)
    more = compiled(**{**base, "policy": SMALL["policy"] + line})
    change = difference(_small(), more, now=NOW)
    assert "lifts    an exception to R, owned by j.roy, until 2026-12-01" in str(change)
    assert not difference(more, _small(), now=NOW).widens
    longer = compiled(**{**base, "policy": SMALL["policy"] + line.replace("2026-12-01", "2027-01-01")})
    assert difference(more, longer, now=NOW).widens
    assert not difference(more, _small(), now=NOW + 30 * DAY_NS).widens


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), files(), calls(), st.integers(0, 60))
def test_what_does_not_widen_lets_nothing_out(old, new, asked, days):
    """Soundness: if a change only narrows, no call reaches what it did not reach, now or later."""
    # A neighbour of the old policy: some of its rules taken from another, or dropped.
    rules = [
        mine if i % 2 else theirs
        for i, (mine, theirs) in enumerate(
            zip(old["policy.yaml"]["rules"], new["policy.yaml"]["rules"], strict=False)
        )
    ]
    ids = {rule["id"] for rule in rules if rule.get("strength") == "exception" and "must" in rule}
    policy = {**old["policy.yaml"], "rules": rules}
    policy["exceptions"] = [one for one in policy["exceptions"] if one["rule"] in ids]
    new = {**old, "policy.yaml": policy}
    try:
        load_data(new)
    except PolicyErrors:
        return
    before, after = load_data(old), load_data(new)
    if difference(before, after, now=NOW).widens:
        return
    now = NOW + days * DAY_NS
    was = decide(classify(asked, (), before, detectors_failed=False), before, now=now, decision_id="d")
    is_ = decide(classify(asked, (), after, detectors_failed=False), after, now=now, decision_id="d")
    assert set(is_.permitted) <= set(was.permitted)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(files())
def test_a_policy_does_not_widen_itself(data):
    """The same content has no difference."""
    assert not difference(load_data(data), load_data(data), now=NOW).changes


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), st.integers(0, 3))
def test_dropping_a_restriction_widens_or_changes_nothing(data, number):
    """A rule taken away is listed whenever any egress depends on it."""
    rules = data["policy.yaml"]["rules"]
    gone = rules[min(number, len(rules) - 1)]
    if gone.get("allow"):
        return
    kept = [rule for rule in rules if rule is not gone]
    exceptions = [one for one in data["policy.yaml"]["exceptions"] if one["rule"] != gone["id"]]
    less = {**data, "policy.yaml": {**data["policy.yaml"], "rules": kept, "exceptions": exceptions}}
    before, after = load_data(data), load_data(less)
    grown = set(egress(after, now=NOW)) - set(egress(before, now=NOW))
    assert difference(before, after, now=NOW).widens or not grown


def test_replacing_the_memo_is_not_needed():
    """Names are worked out per snapshot; a copy with other deployments does not see the old ones."""
    one = _small()
    assert egress(one, now=NOW)
    assert egress(replace(one), now=NOW) == egress(one, now=NOW)
