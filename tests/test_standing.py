"""What /status says of a worker's parts: which controls stand in for what does not answer, and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import standing
from gateway.adapters.alerts import Alerts, Watched
from gateway.adapters.children import UNCONFINED, Confinement
from gateway.adapters.clock import SetClock
from gateway.adapters.conversations import SqlConversations
from gateway.adapters.journal_file import FileJournal
from gateway.adapters.keys import KeySnapshot
from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.memory_telemetry import MemoryTelemetry
from gateway.adapters.projector import Projector
from gateway.adapters.store_sql import Store
from gateway.adapters.suspensions import Suspensions
from gateway.adapters.withdrawals import Withdrawals
from gateway.api.status import Control, Report
from gateway.core.observed import mismatch
from gateway.core.overruns import Overrun
from gateway.policy.watch import PolicySource
from tests import spine
from tests.people import NOW, database, sqlite
from tests.policy.pools import FILES
from tests.policy.written import compiled

TENANT = "maple-bank"


def controls(report: Report) -> dict[str, Control]:
    """A report's controls by name; each says what it does when it fails."""
    assert all(control.on_failure for control in report.controls)
    return {control.name: control for control in report.controls}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with database(sqlite(tmp_path)) as made:
        yield made


# ------------------------------------------------------------------ this worker


@pytest.fixture
def worker(store: Store, tmp_path: Path) -> Iterator[Any]:
    """The parts of one worker, and what is reported of them."""
    journal = FileJournal.claim(tmp_path / "journal", place="p")
    spine.snapshot(tmp_path / "policies")
    source = PolicySource(tmp_path / "policies")
    source.load(now=spine.NOW)
    budgets, projector = LeasedBudgets(store, journal.writer), Projector(store, journal.folder)
    yield SimpleNamespace(
        journal=journal,
        source=source,
        budgets=budgets,
        projector=projector,
        report=lambda: standing.worker_report(source, budgets, projector, journal),
    )
    journal.close()


def test_a_worker_in_order_says_so(worker: Any) -> None:
    """Budgets, journal and detectors enforce; what is not in the tables yet is counted."""
    report = worker.report()
    assert {name: control.mode for name, control in controls(report).items()} == {
        "budgets": "enforcing", "journal": "enforcing", "detectors": "enforcing",
    }  # fmt: skip
    assert report.facts["writer"] == worker.journal.writer
    assert (report.facts["held"], report.facts["slices"]) == (0, {})
    assert report.facts["journal_lag"] == worker.journal.seq > 0
    worker.projector.step()
    assert worker.report().facts["journal_lag"] == 0
    assert (report.facts["policy_problems"], report.facts["policy_behind_s"]) == ([], None)


def test_a_database_that_gives_no_lease_degrades_budgets_alone(worker: Any) -> None:
    """With what follows for callers."""
    worker.budgets.reachable = False
    found = controls(worker.report())
    assert (found["budgets"].mode, found["journal"].mode) == ("degraded", "enforcing")
    assert found["budgets"].why == "the database did not answer the last lease"
    assert "slices" in found["budgets"].on_failure


def test_a_journal_that_cannot_be_written_is_told_with_its_reason(worker: Any) -> None:
    """Calls are refused then, so that an operator must find out here."""
    worker.journal.close()
    found = controls(worker.report())["journal"]
    assert (found.mode, found.on_failure, found.why) == ("degraded", "refuse", "the journal is closed")


def test_a_bundle_that_is_not_taken_is_told_with_its_problems(worker: Any, tmp_path: Path) -> None:
    """Since when, and what is wrong with it."""
    (tmp_path / "policies" / "routes.yaml").write_text("routes: {chat: {try: [nowhere]}}")
    worker.source.poll(now=spine.NOW)
    facts = worker.report().facts
    assert "nowhere" in str(facts["policy_problems"])
    assert facts["policy_behind_s"] is not None


# ------------------------------------------------------------------ keys


async def test_keys_are_degraded_from_when_the_database_last_confirmed_them(store: Store) -> None:
    """Before the first read, and again when it is too long ago; the report says how long they last."""
    clock = SetClock(NOW)
    keys = KeySnapshot(store, dict, clock, valid_s=300)
    [control] = standing.keys_report(keys, clock).controls
    assert (control.mode, standing.keys_report(keys, clock).facts) == ("degraded", {"age_s": None})
    assert "300 s" in control.on_failure
    await keys.refresh()
    assert standing.keys_report(keys, clock).controls[0].mode == "enforcing"
    clock.advance(seconds=standing.STALE_S)
    assert standing.keys_report(keys, clock).controls[0].mode == "enforcing"
    clock.advance(nanoseconds=1_000_000)
    report = standing.keys_report(keys, clock)
    assert (report.controls[0].mode, report.facts) == ("degraded", {"age_s": pytest.approx(5.001)})


# ------------------------------------------------------------------ the border


async def test_the_border_says_what_is_out_and_why(store: Store, tmp_path: Path) -> None:
    """A deployment whose vendor contradicted its facts, and whether other workers' findings are known."""
    snapshot = spine.snapshot(tmp_path / "policies")
    withdrawals = Withdrawals(store, tenant=TENANT)
    conversations = SqlConversations(store, SetClock(NOW), b"k" * 32)
    source = PolicySource(tmp_path / "policies")
    source.load(now=spine.NOW)

    def report(confinement: Confinement = UNCONFINED) -> Report:
        return standing.border_report(source, withdrawals, conversations, confinement)

    found = controls(report())
    assert (found["place_checks"].mode, found["conversations"].mode) == ("degraded", "enforcing")
    await withdrawals.refresh()
    assert controls(report())["place_checks"].why is None
    seen = mismatch("us", snapshot.deployments["ca"], call="c", attempt="c#1", at=spine.NOW)
    assert seen is not None
    withdrawals.note(seen)
    withdrawn = report().facts["withdrawn"]
    assert isinstance(withdrawn, dict)
    assert "ran in the US" in withdrawn["ca"]
    conversations.reachable = False
    assert controls(report())["conversations"].mode == "degraded"


def test_what_keeps_children_off_the_network_is_no_secret(store: Store, tmp_path: Path) -> None:
    """An auditor reads whether the host gives each child a namespace, or the audit hook stands alone."""
    spine.snapshot(tmp_path / "policies")
    source = PolicySource(tmp_path / "policies")
    source.load(now=spine.NOW)
    said = {}
    for confinement in (UNCONFINED, Confinement(means="namespace")):
        report = standing.border_report(
            source,
            Withdrawals(store, tenant=TENANT),
            SqlConversations(store, SetClock(NOW), b"k" * 32),
            confinement,
        )
        assert report.facts["children_kept_off_the_network_by"] == confinement.means
        said[confinement.means] = controls(report)["children"].on_failure
    assert said["audit_hook"].startswith("none")
    assert "audit hook in each child" in said["namespace"]


# ------------------------------------------------------------------ money


async def test_bills_beyond_their_bound_and_alerts_are_told(store: Store, tmp_path: Path) -> None:
    """What is suspended and why, how many alerts wait, and whether the database answers for both."""
    snapshot = spine.snapshot(tmp_path / "policies")
    suspensions = Suspensions(store, tenant=TENANT)

    async def send(*_: object) -> None:
        raise AssertionError("nobody is told here")

    alerts = Alerts(
        store,
        Watched(
            snapshot=lambda: snapshot,
            budgets=LeasedBudgets(store, "w"),
            journal=lambda: None,
            writer="w",
            place="p",
        ),
        send,
        clock=SetClock(spine.NOW),
        telemetry=MemoryTelemetry(),
    )
    found = controls(standing.money_report(suspensions, alerts))
    assert (found["overruns"].mode, found["alerts"].mode) == ("degraded", "enforcing")
    await suspensions.refresh()
    suspensions.note(
        Overrun(
            deployment="ca", call="req_1", attempt="req_1#1", bound=5, billed=9, currency="USD",
            over=("team:branch:CAD",), at=spine.NOW,
        )
    )  # fmt: skip
    alerts.reachable = False
    report = standing.money_report(suspensions, alerts)
    found = controls(report)
    assert (found["overruns"].mode, found["alerts"].mode) == ("enforcing", "degraded")
    assert found["alerts"].why == "the database did not answer"
    assert "billed beyond its bound on req_1" in str(report.facts["suspended"])
    assert report.facts["alerts"] == {"pending": 0, "undelivered": 0}


def test_status_says_which_gpu_pools_cannot_be_closed() -> None:
    """Without pools there is no control; with one that waits it is degraded, with why."""
    without = {name: text for name, text in FILES.items() if name != "pools"}
    assert standing.gpu_report(compiled(**without), {}).controls == ()
    (control,) = standing.gpu_report(compiled(**FILES), {"llama-ca": "no rate of exchange"}).controls
    assert (control.name, control.mode, control.why) == ("gpu_hours", "degraded", "no rate of exchange")
    report = standing.gpu_report(compiled(**FILES), {})
    assert (report.controls[0].mode, report.controls[0].why) == ("enforcing", None)
    assert report.facts == {"pools": ["llama-ca"], "uncalibrated": []}
