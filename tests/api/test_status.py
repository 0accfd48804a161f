"""What a node says of its controls, and that it refuses to start without one."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.api.status import (
    NANO_PER_DAY,
    Control,
    NotWired,
    Report,
    assert_wired,
    collect,
    policy_report,
    required_controls,
)
from gateway.policy.compile import compile_bundle
from gateway.policy.load import load_bundle
from gateway.settings import Detectors, Settings, Telemetry

POLICIES = Path(__file__).parents[2] / "policies"


@pytest.fixture(scope="module")
def snapshot():
    now = time.time_ns()
    return compile_bundle(load_bundle(POLICIES, now=now), now=now)


def all_of(snapshot, settings):
    return set(required_controls(snapshot, settings))


def test_reports_are_laid_together():
    """Controls of all rooms are in one list, in order, with a reason only where there is one."""
    off = Control(name="b", mode="off", on_failure="refuse", why="not asked for")
    shown = collect(
        [
            lambda: Report(name="a", controls=(Control(name="a", mode="enforcing", on_failure="refuse"),)),
            lambda: Report(name="b", controls=(off,), facts={"n": 1}),
        ]
    )
    assert shown["controls"] == [
        {"name": "a", "mode": "enforcing", "on_failure": "refuse"},
        {"name": "b", "mode": "off", "on_failure": "refuse", "why": "not asked for"},
    ]
    assert shown["b"] == {"n": 1}
    assert "a" not in shown


def test_the_policy_reports_its_hash_and_ageing_facts(snapshot):
    """Facts that end soon are listed with the days left; stale ones say so."""
    first, *others = snapshot.deployments.values()
    now = min(d.expires for d in snapshot.deployments.values()) - 3 * NANO_PER_DAY
    report = policy_report(snapshot, now=now)
    assert report.facts["snapshot"] == snapshot.hash
    assert report.facts["facts_expiring"][0]["days"] == 3
    late = policy_report(snapshot, now=max(d.expires for d in (first, *others)) + 1)
    assert [row["stale"] for row in late.facts["facts_expiring"]] == [True] * len(snapshot.deployments)
    early = policy_report(snapshot, now=now - 100 * NANO_PER_DAY)
    assert early.facts["facts_expiring"] == []


def test_single_facts_and_documents_that_age_are_listed(snapshot):
    """A document that ends before the facts do has its own line, by deployment and name."""
    name, one = next((name, d) for name, d in snapshot.deployments.items() if d.has)
    paper, ends = min(one.has.items(), key=lambda item: item[1])
    early, late = (policy_report(snapshot, now=now) for now in (ends - 100 * NANO_PER_DAY, ends))
    wanted = {"deployment": name, "fact": f"has.{paper}", "days": 0, "stale": True}
    assert wanted in late.facts["single_facts_expiring"]
    assert early.facts["single_facts_expiring"] == []


def test_everything_wired_starts(snapshot):
    """With each required control wired there is nothing to say."""
    settings = Settings()
    assert_wired(snapshot, settings, all_of(snapshot, settings))


def test_each_missing_control_refuses_start_up(snapshot):
    """Leave out any one: start-up is refused and the error names it and who asked for it."""
    settings = Settings(
        detectors=Detectors(mode="presidio"),
        telemetry=Telemetry(otlp_endpoint="https://c", otlp_place="CA"),
        admin_token_file=Path("tokens"),
    )
    needed = all_of(snapshot, settings)
    assert {"keys", "policy", "journal", "guard", "budgets", "otlp", "admin", "detector:presidio"} <= needed
    for control in needed:
        with pytest.raises(NotWired, match=f"`{control}` is asked for by"):
            assert_wired(snapshot, settings, needed - {control})


def test_a_kind_that_a_rule_needs_must_be_detectable(snapshot):
    """A policy that masks names does not start on a node whose detectors find none."""
    settings = Settings(detectors=Detectors(mode="off"))
    app = next(iter(snapshot.apps))
    changed = replace(snapshot, detectors_for={app: frozenset({"person"})})
    with pytest.raises(NotWired, match=r"detector:person.*detectors\.mode"):
        assert_wired(changed, settings, all_of(snapshot, settings) - {"detector:person"})


def test_a_shortest_retention_is_refused_while_nothing_deletes(snapshot):
    """`keep_log_days` with `at_most` is a promise to delete: without a control that does, no start."""
    rule = next(iter(snapshot.rules.rules))
    short = replace(rule, do=replace(rule.do, keep_log_days_at_most=30))
    promised = replace(snapshot, rules=replace(snapshot.rules, rules=(short, *snapshot.rules.rules[1:])))
    settings = Settings()
    wired = all_of(snapshot, settings)
    assert_wired(snapshot, settings, wired)
    with pytest.raises(NotWired, match=r"`retention` is asked for by `keep_log_days` with `at_most`"):
        assert_wired(promised, settings, wired)
