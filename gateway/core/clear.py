"""The clearance: the only place that makes an :class:`~gateway.core.values.Attempt`.

A call is decided when it arrives; the world may have moved by the time a try
starts (a reload, a fact that expired, a retry minutes later). So each try is
cleared again, under the snapshot current at its start, for the very deployment
that it names. INVARIANT: whatever reaches ``Upstream.open`` passed here.
"""

from __future__ import annotations

from gateway.core.decide import permits
from gateway.core.errors import Code, Refusal
from gateway.core.snapshot import Snapshot
from gateway.core.values import Attempt, ClearedCall, Hold


def clear(
    cleared: ClearedCall,
    deployment_id: str,
    hold: Hold,
    snapshot: Snapshot,
    *,
    now: int,
    number: int,
    output_cap: int,
    clamped: bool,
    timeout_ms: int,
) -> Attempt | Refusal:
    """Clear one try under ``snapshot`` at ``now``.

    Refuses when the deployment or its connection is gone, when the decision did
    not permit it, when it was decided under another snapshot, when its facts
    have expired, or when the hold is not for this try.
    """
    deployment = snapshot.deployments.get(deployment_id)
    connection = snapshot.connections.get(deployment_id)
    attempt_id = attempt_name(cleared.labelled.call.id, number)
    if (
        deployment is None
        or connection is None
        or hold.id != attempt_id
        or cleared.decision.snapshot_hash != snapshot.hash
        or deployment_id not in cleared.decision.permitted
        or not permits(cleared.labelled, deployment_id, snapshot, now=now)
    ):
        return Refusal(
            code=Code.POLICY_REFUSED,
            message="The deployment is no longer permitted for this call. Nothing was sent.",
            extension={"decision": cleared.decision.id},
            retry=False,
        )
    return Attempt(
        id=attempt_id,
        number=number,
        cleared=cleared,
        deployment=deployment,
        connection=connection,
        hold=hold,
        snapshot=snapshot,
        output_cap=output_cap,
        clamped=clamped,
        started=now,
        timeout_ms=timeout_ms,
    )


def attempt_name(call_id: str, number: int) -> str:
    """Return the id of try ``number`` (from 1) of a call; its hold carries the same id."""
    return f"{call_id}#{number}"
