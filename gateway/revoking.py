"""Attempts in flight, and ending those that a new policy forbids (``revoke: now``).

Attempts finish under the snapshot that cleared them; only a bundle that was put in force with
``revoke: now`` ends some early. INVARIANT: an attempt that the new snapshot permits is left alone,
and one that it does not is ended once, whoever waits for it: a plain reply, or a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from gateway.core.decide import Decision, permits
from gateway.core.errors import Code, Refusal, UpstreamFailed
from gateway.core.snapshot import Snapshot


class Sent:
    """One attempt from its first byte to its end: ``with sent:`` around what waits for the vendor."""

    __slots__ = ("_before", "_revoked", "_task", "decision", "deployment", "end_stream")

    def __init__(self, decision: Decision, deployment: str) -> None:
        """Start with nobody waiting."""
        self.decision = decision
        self.deployment = deployment
        self.end_stream: Callable[[UpstreamFailed], None] | None = None
        """How a stream is ended, once there is one."""
        self._task: asyncio.Task[object] | None = None
        self._before = 0
        self._revoked = False

    def __enter__(self) -> Self:
        """Wait in the running task. Raises RuntimeError outside of one."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an attempt waits within a task")
        self._task, self._before = task, task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop waiting. Raises UpstreamFailed if it was a revocation that ended the block."""
        task, self._task = self._task, None
        # As `within`: our cancellation is taken back, and counts only if it is the only one.
        if (
            self._revoked
            and task is not None
            and task.uncancel() <= self._before
            and kind is asyncio.CancelledError
        ):
            raise revoked() from error

    def revoke(self) -> None:
        """End the attempt. Later calls do nothing."""
        if self._revoked:
            return
        if self.end_stream is not None:
            self.end_stream(revoked())
        elif self._task is not None:
            self._revoked = True
            self._task.cancel()


class InFlight:
    """Every attempt of this worker that was sent and has not ended."""

    def __init__(self) -> None:
        """Start with none."""
        self._sent: set[Sent] = set()

    def enter(self, decision: Decision, deployment: str) -> Sent:
        """Note an attempt before its first byte."""
        sent = Sent(decision, deployment)
        self._sent.add(sent)
        return sent

    def count(self, deployments: Collection[str]) -> int:
        """Return how many attempts are on their way to some deployments."""
        return sum(1 for sent in self._sent if sent.deployment in deployments)

    def leave(self, sent: Sent) -> None:
        """Forget an attempt that has ended."""
        self._sent.discard(sent)

    def revoke(self, snapshot: Snapshot, *, now: int) -> int:
        """End every attempt that a snapshot does not permit; return how many."""
        ended = [
            sent for sent in self._sent if not permits(sent.decision, sent.deployment, snapshot, now=now)
        ]
        for sent in ended:
            sent.revoke()
        return len(ended)


def revoked() -> UpstreamFailed:
    """Return the failure of an attempt that a new policy ended; another candidate may follow."""
    refusal = Refusal(
        code=Code.POLICY_REFUSED,
        message="This answer was ended: a new policy no longer permits this model for this data, and was put "
        "in force at once. What had been sent before stays sent.",
        param="model",
        retry=False,
    )
    return UpstreamFailed(refusal, retryable=True, sent=True)


def stale(owner: str) -> Refusal:
    """Return the refusal of every call while the policy that should be in force cannot be taken."""
    return Refusal(
        code=Code.POLICY_REFUSED,
        message="The policy bundle is stale: the one that should be in force cannot be taken, and the last "
        f"good one may stand in no longer. Nothing was sent. Ask {owner}.",
        extension={"rules": ["stale"], "ask": owner},
        retry=False,
    )
