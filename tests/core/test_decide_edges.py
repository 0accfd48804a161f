"""Edges of the decision that mutation testing found untested: each of these died as a mutant that lived."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.core.classify import classify
from gateway.core.decide import applies, closed, decide, in_scope, judge, known, passes, permits, unmet
from gateway.core.rules import Exemption, Obligations, Scope, Subject
from tests import spine


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory):
    """The bank's compiled rules."""
    return spine.snapshot(tmp_path_factory.mktemp("bank")).rules


def subject(**changes: Any) -> Subject:
    """A subject of which nothing is known but the app and the use."""
    given: dict[str, Any] = {
        "app": "teller", "use": "chat", "place": None, "claims": (), "purpose": None,
        "features": frozenset(), "model": "chat", "labels": frozenset({"client"}),
    }  # fmt: skip
    return Subject(**{**given, **changes})


@pytest.mark.parametrize(
    ("labels", "so"),
    [(set(), False), ({"client"}, True), ({"client", "public"}, True), ({"client", "no such"}, False)],
)
def test_a_call_without_labels_is_not_known_and_one_unknown_label_is_enough(rules, labels, so):
    """Nothing is permitted for what nobody could name."""
    assert known(subject(labels=frozenset(labels)), rules) is so


def test_a_label_brings_what_it_is_also_and_a_name_nobody_knows_stays(rules):
    """However a label got on a call, remembered from another snapshot too: it closes upwards here."""
    assert closed(rules, frozenset({"quebec_client"})) == {"quebec_client", "client"}
    assert closed(rules, ("card_number", "no such")) == {"card_number", "client", "no such"}
    assert closed(rules, frozenset()) == frozenset()


def test_no_store_forbids_what_stores_and_only_that():
    """`store` and `background` make a vendor keep; a search does not. Without the duty nothing is missing."""
    asked = subject(features=frozenset({"store", "background", "web_search"}))
    assert unmet(asked, Obligations(no_store=True)) == {"without store", "without background"}
    assert unmet(asked, Obligations()) == frozenset()
    assert unmet(asked, Obligations(no_store=True, forbid_tools=frozenset({"web_search", "mcp"}))) == {
        "without store", "without background", "without web_search",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("least", "most", "impossible"),
    [(None, None, False), (10, None, False), (None, 10, False), (10, 10, False), (11, 10, True)],
)
def test_only_two_limits_that_contradict_cannot_be_kept(least, most, impossible):
    """One limit alone can always be kept, and so can two that meet."""
    duties = Obligations(keep_log_days_at_least=least, keep_log_days_at_most=most)
    assert bool(unmet(subject(), duties)) is impossible


def test_a_log_that_may_be_nowhere_cannot_be_kept():
    """Rules that together accept no place refuse; one place, or no such rule, does not."""
    assert unmet(subject(), Obligations(log_in=frozenset()))
    assert not unmet(subject(), Obligations(log_in=frozenset({"CA"})))
    assert not unmet(subject(), Obligations(log_in=None))


@pytest.mark.parametrize("doubt", [True, False])
@pytest.mark.parametrize(
    ("claims", "matches"),
    [
        ((("group", "doctors"),), True),
        ((("group", "clerks"), ("group", "doctors")), True),
        ((("group", "clerks"),), False),
        ((("tenant.plan", "doctors"),), None),  # no group is claimed: unknown
        ((), None),
    ],
)
def test_a_rule_for_a_group_looks_at_groups_that_are_claimed(rules, claims, matches, doubt):
    """A claim of another name is no group; no group at all is doubt, which each rule answers its own way."""
    found = in_scope(
        Scope(groups=frozenset({"doctors"})), subject(claims=claims), None, "maple-bank", doubt=doubt
    )
    assert found is (doubt if matches is None else matches)


@pytest.mark.parametrize("doubt", [True, False])
def test_each_part_of_a_scope_can_say_no(tmp_path, doubt):
    """Use, tenant, app, team, purpose and place: one that is known and differs keeps the rule away."""
    snapshot = spine.snapshot(tmp_path)
    teller = snapshot.apps["teller"]
    asked = subject(purpose="advice", place="CA-QC")
    fits: dict[str, Any] = {
        "uses": frozenset({"chat"}), "tenants": frozenset({"maple-bank"}), "apps": frozenset({"teller"}),
        "teams": frozenset({"branch"}), "purposes": frozenset({"advice"}), "caller_in": frozenset({"CA"}),
    }  # fmt: skip
    assert in_scope(Scope(**fits), asked, teller, "maple-bank", doubt=doubt)
    for part in fits:
        other = frozenset({"US"}) if part == "caller_in" else frozenset({"another"})
        assert not in_scope(Scope(**{**fits, part: other}), asked, teller, "maple-bank", doubt=doubt), part
    by_group = Scope(apps=frozenset({"registered"}))
    assert in_scope(by_group, asked, teller, "maple-bank", doubt=doubt)
    for part in ("apps", "teams"):
        named = Scope(**{part: fits[part]})
        assert in_scope(named, asked, None, "maple-bank", doubt=doubt) is doubt  # an app nobody knows


@pytest.mark.parametrize(
    ("at", "labels", "apps", "so"),
    [
        (99, {"client"}, None, True),
        (100, {"client"}, None, False),  # it ends at its instant, not after it
        (99, {"client", "public"}, None, False),  # a label that it does not name
        (99, {"client"}, {"hackathon"}, False),
        (99, {"client"}, {"teller"}, True),
    ],
)
def test_an_exemption_needs_its_time_its_scope_and_every_label(tmp_path, at, labels, apps, so):
    """Each of the three alone keeps it away."""
    exemption = Exemption(
        scope=Scope(apps=None if apps is None else frozenset(apps)),
        data=frozenset({"client"}),
        passes={},
        owner="j.roy",
        until=100,
        until_day="2026-12-15",
        at="policy.yaml:1",
    )
    asked = subject(labels=frozenset(labels))
    assert applies(exemption, asked, spine.snapshot(tmp_path), now=at) is so


@pytest.mark.parametrize(
    ("uses", "permitted"),
    [
        (None, ("ca", "ca_on")),
        (frozenset({"chat"}), ("ca", "ca_on")),
        (frozenset({"chat", "embeddings"}), ("ca", "ca_on")),
        (frozenset({"embeddings"}), ()),
    ],
)
def test_a_route_that_is_for_something_else_permits_nothing(tmp_path, uses, permitted):
    """A route may say what it is for; a chat on a route for embeddings is refused, whatever the facts say."""
    made = spine.snapshot(tmp_path)
    routes = {**made.routes, "chat": replace(made.routes["chat"], uses=uses)}
    verdict = judge(subject(), replace(made, routes=routes), now=spine.NOW)
    assert verdict.permitted == permitted
    assert bool(verdict.mask) is bool(permitted)


@pytest.mark.parametrize(("place", "outside"), [("CA-ON", False), ("US", True), (None, True)])
def test_a_caller_outside_passes_no_deployment_at_all(tmp_path, place, outside):
    """Not even the first one; with a `must` beside it or without."""
    snapshot = spine.snapshot(tmp_path)
    rule = next(rule for rule in snapshot.rules.rules if rule.id == "CA-1")
    both = replace(rule, caller_must_be_in=frozenset({"CA"}))
    alone = replace(both, passes=None, must=None)
    asked = subject(place=place)
    assert passes(alone, asked, snapshot, now=spine.NOW) == (0 if outside else None)
    here = sum(1 << snapshot.deployments[name].index for name in ("ca", "ca_on"))
    assert passes(both, asked, snapshot, now=spine.NOW) == (0 if outside else here)


def test_an_exemption_for_a_purpose_is_not_for_a_call_that_names_none(tmp_path):
    """What softens a rule must match for sure: doubt is no."""
    exemption = Exemption(
        scope=Scope(purposes=frozenset({"research"})), data=None, passes={}, owner="j.roy", until=100,
        until_day="2026-12-15", at="policy.yaml:1",
    )  # fmt: skip
    snapshot = spine.snapshot(tmp_path)
    assert applies(exemption, subject(purpose="research"), snapshot, now=1)
    assert not applies(exemption, subject(purpose=None), snapshot, now=1)


def test_a_layer_around_a_rule_must_match_too():
    """A unit's rule is for the unit alone, whoever else its own scope would fit."""
    scope = Scope(within=Scope(uses=frozenset({"embeddings"})))
    assert not in_scope(scope, subject(), None, "maple-bank", doubt=True)
    assert in_scope(scope, subject(use="embeddings"), None, "maple-bank", doubt=False)


def test_a_use_that_nobody_serves_permits_nobody(tmp_path):
    """Not even the deployment with the first bit."""
    snapshot = spine.snapshot(tmp_path)
    first = next(name for name, one in snapshot.deployments.items() if one.index == 0)
    for label in ("client", "public"):
        asked = subject(labels=frozenset({label}))
        served = judge(asked, snapshot, now=spine.NOW, candidates=(first,))
        nobody = judge(replace(asked, use="no such use"), snapshot, now=spine.NOW, candidates=(first,))
        assert (nobody.mask, nobody.permitted) == (0, ())
        assert served.permitted == (first,)


def test_a_rule_that_only_warns_speaks_of_whom_it_would_have_refused(tmp_path):
    """And is silent where everything that is permitted passes it."""
    made = spine.snapshot(tmp_path)
    soft = tuple(replace(rule, shadow=True) if rule.id == "CA-1" else rule for rule in made.rules.rules)
    snapshot = replace(made, rules=replace(made.rules, rules=soft, memo={}))
    inside = judge(subject(), snapshot, now=spine.NOW, candidates=("ca", "ca_on"))
    outside = judge(subject(), snapshot, now=spine.NOW, candidates=("ca", "us"))
    assert "us" in outside.permitted
    assert "CA-1" in outside.warnings
    assert "CA-1" not in inside.warnings
    last = judge(subject(), snapshot, now=spine.NOW, candidates=("us",))
    assert "CA-1" in last.warnings


def test_a_newer_snapshot_adds_the_labels_of_the_app_of_today(tmp_path):
    """The check at the socket, after a reload: the same labels and more, so it permits the same or less."""
    made = spine.snapshot(tmp_path)
    call = spine.Spine(made).call()
    labelled = classify(call, (), made, detectors_failed=False)
    decision = decide(labelled, made, now=spine.NOW, decision_id="d")
    assert permits(decision, "ca", made, now=spine.NOW)
    newer = replace(made, hash="another")
    assert permits(decision, "ca", newer, now=spine.NOW)
    # What the call was labelled with stays, though the app of today is registered for less.
    apps = {**made.apps, "teller": replace(made.apps["teller"], data=("public",))}
    assert permits(decision, "ca", replace(newer, apps=apps), now=spine.NOW)
    assert not permits(decision, "us", replace(newer, apps=apps), now=spine.NOW)
    apps = {**made.apps, "teller": replace(made.apps["teller"], data=("no such",))}
    assert not permits(decision, "ca", replace(newer, apps=apps), now=spine.NOW)
