"""The cheap refusal: what is turned away before any work is done for it.

Requests per minute and calls at once are windows like those of budgets, leased by every worker,
so that they hold over all workers and replicas. A call asks for them before anything else; when
it ends, its place among the calls at once is given back and its request is spent. Tokens per
minute are held with each attempt, when its bound is known (``core/wants.py``). Sizes are checked
where the body is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.snapshot import Snapshot
from gateway.core.units import CONCURRENT, REQUESTS
from gateway.core.values import Caller, Hold, Want
from gateway.core.wants import per_call


def admission(snapshot: Snapshot, caller: Caller, *, at: int) -> tuple[Want, ...]:
    """Return what a call must hold before anything is done for it; () where no rate applies."""
    app = snapshot.apps.get(caller.app)
    if app is None or not (app.rates or app.key_rates or app.user_rates):
        return ()
    return tuple(level.want(1) for level in per_call(snapshot, app, caller, at=at))


def name_of(call_id: str) -> str:
    """Return the id of a call's admission, which is no attempt's."""
    return f"{call_id}.in"


def used(hold: Hold) -> dict[str, int]:
    """Return what a call has used of its admission once it ended: the request, and no place any more."""
    return {want.budget: 0 if want.unit == CONCURRENT else want.amount for want in hold.wants}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many requests a minute may have, and has left until it ends, for the answer's headers."""

    limit: int
    left: int
    resets: int


def pace(hold: Hold, left: Callable[[Want], int | None]) -> Pace | None:
    """Return the tightest rate of requests that a call was admitted under; None where there is none."""
    found: Pace | None = None
    for want in hold.wants:
        rest = left(want) if want.unit == REQUESTS else None
        if rest is not None and (found is None or rest < found.left):
            found = Pace(limit=want.limit, left=rest, resets=want.resets)
    return found
