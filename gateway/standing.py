"""What ``/status`` says of a worker's parts: which controls enforce, which stand in, and why.

Apart from what ``api/status.py`` and ``api/money_status.py`` say of the policy and of who approves
money: these look at parts that run. No report holds content, a key or an address.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from gateway.adapters.alerts import Alerts
from gateway.adapters.children import Confinement
from gateway.adapters.conversations import SqlConversations
from gateway.adapters.journal_file import FileJournal
from gateway.adapters.keys import KeySnapshot
from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.projector import Projector
from gateway.adapters.suspensions import Suspensions
from gateway.adapters.withdrawals import Withdrawals
from gateway.api.status import Control, Report
from gateway.core.snapshot import Snapshot
from gateway.policy.watch import PolicySource
from gateway.ports import Clock

STALE_S: Final = 5.0
"""Keys that the database has not confirmed for longer are told as degraded."""


def worker_report(
    source: PolicySource, budgets: LeasedBudgets, projector: Projector, journal: FileJournal
) -> Report:
    """Return what ``/status`` shows of this worker's state."""
    away = not budgets.reachable
    return Report(
        name="worker",
        controls=(
            Control(
                name="budgets",
                mode="degraded" if away else "enforcing",
                on_failure="calls spend the slices that this worker holds, then are refused",
                why="the database did not answer the last lease" if away else None,
            ),
            Control(
                name="journal",
                mode="degraded" if journal.broken else "enforcing",
                on_failure="refuse",
                why=journal.broken,
            ),
            Control(
                name="detectors",
                mode="enforcing",
                on_failure=source.snapshot.degraded_modes.get("detectors", "refuse"),
            ),
        ),
        facts={
            "writer": journal.writer,
            "journal_seq": journal.seq,
            "journal_lag": projector.lag(journal.seq),
            "slices": budgets.room(),
            "held": budgets.held,
            "policy_problems": [str(problem) for problem in source.problems],
            "policy_behind_s": source.behind_s(now=time.time_ns()),
        },
    )


def keys_report(keys: KeySnapshot, clock: Clock) -> Report:
    """Return what ``/status`` shows of the keys."""
    age = keys.age_s(clock.now())
    return Report(
        name="keys",
        controls=(
            Control(
                name="keys",
                mode="degraded" if age is None or age > STALE_S else "enforcing",
                on_failure=f"keys are accepted for {keys.valid_s:g} s without the database, then refused",
            ),
        ),
        facts={"age_s": age},
    )


def border_report(
    source: PolicySource,
    withdrawals: Withdrawals,
    conversations: SqlConversations,
    confinement: Confinement,
) -> Report:
    """Return what ``/status`` shows of contradicted facts and of what conversations were about."""
    return Report(
        name="border",
        controls=(
            Control(
                name="place_checks",
                mode="enforcing" if withdrawals.fresh else "degraded",
                on_failure="what this worker saw itself stays out; what others saw is not known",
                why=None if withdrawals.fresh else "the database did not answer",
            ),
            Control(
                name="conversations",
                mode="enforcing" if conversations.reachable else "degraded",
                on_failure="a call that names a conversation is treated as unlabelled too",
                why=None if conversations.reachable else "the database did not answer the last call",
            ),
            Control(
                name="children",
                mode="enforcing",
                on_failure="an audit hook in each child refuses every connection"
                if confinement.means == "namespace"
                else "none: this host lets no process leave the network, so the audit hook stands alone",
            ),
        ),
        facts={
            "withdrawn": withdrawals.reasons(source.snapshot),
            "conversations_waiting": conversations.pending,
            "children_kept_off_the_network_by": confinement.means,
        },
    )


def gpu_report(snapshot: Snapshot, problems: Mapping[str, str]) -> Report:
    """Return what ``/status`` shows of GPU pools: which cannot be closed, and which are not calibrated."""
    controls = () if not snapshot.pools else (
        Control(
            name="gpu_hours",
            mode="degraded" if problems else "enforcing",
            on_failure="hours wait and are closed later; GPU budgets hold by their calls' estimates",
            why="; ".join(problems.values()) or None,
        ),
    )  # fmt: skip
    return Report(
        name="gpu",
        controls=controls,
        facts={
            "pools": sorted(snapshot.pools),
            "uncalibrated": sorted(p.id for p in snapshot.pools.values() if not p.coefficients.calibrated),
        },
    )


def money_report(suspensions: Suspensions, alerts: Alerts) -> Report:
    """Return what ``/status`` shows of bills beyond their bound, and of alerts."""
    return Report(
        name="money",
        controls=(
            Control(
                name="overruns",
                mode="enforcing" if suspensions.fresh else "degraded",
                on_failure="what this worker booked itself stays suspended; what others booked is not known",
                why=None if suspensions.fresh else "the database did not answer",
            ),
            Control(
                name="alerts",
                mode="enforcing" if alerts.reachable else "degraded",
                on_failure="alerts wait until the database answers",
                why=None if alerts.reachable else "the database did not answer",
            ),
        ),
        facts={"suspended": dict(suspensions.suspended()), "alerts": dict(alerts.standing)},
    )
