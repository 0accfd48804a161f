"""The clearance: what may become an attempt, and what may not any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.classify import classify
from gateway.core.clear import attempt_name, clear
from gateway.core.decide import decide
from gateway.core.errors import Code, Refusal
from gateway.core.redact import redact
from gateway.core.snapshot import Snapshot
from gateway.core.values import Attempt, ClearedCall, Hold
from tests.spine import NOW, Spine, snapshot

DECADE = 3650 * 86400 * 10**9


@pytest.fixture
def compiled(tmp_path: Path) -> Snapshot:
    """The bank's snapshot."""
    return snapshot(tmp_path)


def cleared_call(compiled: Snapshot, model: str = "everywhere") -> ClearedCall:
    """Return a teller's call, decided and redacted under a snapshot."""
    call = Spine(compiled).call(model=model)
    labelled = classify(call, (), compiled, detectors_failed=False)
    cleared = redact(labelled, decide(labelled, compiled, now=NOW, decision_id="dec_1"), salt=b"s" * 32)
    assert isinstance(cleared, ClearedCall)
    return cleared


def attempt(
    compiled: Snapshot,
    deployment: str,
    *,
    cleared: ClearedCall | None = None,
    hold: str | None = None,
    now: int = NOW,
) -> Attempt | Refusal:
    """Try to clear a first attempt."""
    prepared = cleared or cleared_call(compiled)
    name = hold or attempt_name(prepared.labelled.call.id, 1)
    return clear(
        prepared,
        deployment,
        Hold(id=name, wants=()),
        compiled,
        now=now,
        number=1,
        output_cap=10,
        clamped=False,
        timeout_ms=1000,
    )


def test_a_permitted_deployment_is_cleared(compiled: Snapshot) -> None:
    """The attempt names the deployment, its connection, the hold and the snapshot."""
    made = attempt(compiled, "ca")
    assert isinstance(made, Attempt)
    assert made.deployment.id == made.connection.deployment == "ca"
    assert made.snapshot is compiled


@pytest.mark.parametrize("deployment", ["us", "nowhere", ""])
def test_what_was_not_permitted_is_not_cleared(compiled: Snapshot, deployment: str) -> None:
    """Neither a forbidden deployment of the route nor one that does not exist."""
    refused = attempt(compiled, deployment)
    assert isinstance(refused, Refusal)
    assert refused.code is Code.POLICY_REFUSED


def test_facts_that_expired_since_the_decision_are_not_cleared(compiled: Snapshot) -> None:
    """Decided in time, tried ten years later: refused at the socket."""
    assert isinstance(attempt(compiled, "ca", now=NOW + DECADE), Refusal)


def test_a_hold_of_another_try_is_not_accepted(compiled: Snapshot) -> None:
    """Each try has its own hold."""
    assert isinstance(attempt(compiled, "ca", hold="req_0#2"), Refusal)


def test_a_decision_of_another_snapshot_is_not_accepted(compiled: Snapshot) -> None:
    """A body that was redacted under an older snapshot may lack what the newer one masks."""
    cleared = cleared_call(compiled)
    stale = replace(cleared, decision=replace(cleared.decision, snapshot_hash="older"))
    assert isinstance(attempt(compiled, "ca", cleared=stale), Refusal)
