"""What a call takes of GPUs, for budgets in GPU-seconds: at most before it is sent, and after it ended.

A vendor's hardware is the vendor's: nothing of ours. A deployment of our own without a pool takes
what nobody knows, which a hard budget refuses (``core/wants.py``). The estimate is of a call that
has its replica to itself, so what the close of the hour attributes to it is less, but for wrong
coefficients.
"""

from __future__ import annotations

from gateway.core.gpu import estimate_micro_gpu_seconds
from gateway.core.snapshot import Snapshot
from gateway.core.values import Usage

OURS = "self"
"""The operator of deployments on hardware of our own."""


def most(snapshot: Snapshot, deployment_id: str, *, input_tokens: int, output_tokens: int) -> int | None:
    """Return the micro-GPU-seconds that a call may take, at most; None where that is not known."""
    pool = snapshot.pool_of.get(deployment_id)
    if pool is not None:
        return estimate_micro_gpu_seconds(pool, input_tokens, output_tokens)
    deployment = snapshot.deployments.get(deployment_id)
    return None if deployment is None or OURS in {deployment.operator, deployment.vendor} else 0


def used(
    snapshot: Snapshot, deployment_id: str, usage: Usage | None, *, started: int, ended: int, beside: int = 1
) -> int | None:
    """Return what a call that ended took; None where its usage never came, so that its hold is booked.

    ``beside`` calls of the pool were in flight when it was sent, itself included: they shared its steps.
    The worker knows its own calls only, so with several workers the estimate errs high.
    """
    pool = snapshot.pool_of.get(deployment_id)
    if pool is None:
        return most(snapshot, deployment_id, input_tokens=0, output_tokens=0)
    if usage is None:
        return None
    return estimate_micro_gpu_seconds(
        pool,
        usage.total_input - usage.cache_read,
        usage.total_output,
        max(1, beside // max(1, pool.replicas_at(started))),
        cached_tokens=usage.cache_read,
        duration_us=max(0, ended - started) // 1000,
    )
