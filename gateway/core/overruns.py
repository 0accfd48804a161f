"""A vendor that billed more than the bound it was held to: what it means, and for whom.

The hold of an attempt is an upper bound. A bill beyond it says that the bound is wrong for that
deployment, so a hard budget can no longer be kept there: the deployment is suspended for apps with
a hard budget until a person clears it. Apps without one may go on. The amount is booked all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.snapshot import BudgetLimit, Snapshot
from gateway.core.values import Attempt, Charge, Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrun:
    """One attempt that was billed beyond its bound. Amounts are nano-units of ``currency``; no content."""

    deployment: str
    call: str
    attempt: str
    bound: int
    billed: int
    currency: str
    over: tuple[str, ...]  # budgets whose hold it passed
    at: int  # nanoseconds


def overrun(
    attempt: Attempt,
    *,
    bound: Charge,
    charge: Charge | None,
    spends: Mapping[str, int],
    hold: Hold,
    at: int,
) -> Overrun:
    """Return what a settlement that passed its hold says about the deployment."""
    return Overrun(
        deployment=attempt.deployment.id,
        call=attempt.cleared.labelled.call.id,
        attempt=attempt.id,
        bound=bound.nano,
        billed=charge.nano if charge is not None else bound.nano,
        currency=bound.currency,
        over=tuple(w.budget for w in hold.wants if spends.get(w.budget, 0) > w.amount),
        at=at,
    )


def entry(found: Overrun, *, tenant: str, snapshot: str) -> dict[str, object]:
    """Build the journal entry ``deployment.overrun``. ``at`` in microseconds."""
    return {
        "tenant": tenant,
        "deployment": found.deployment,
        "call": found.call,
        "attempt": found.attempt,
        "bound": str(found.bound),
        "billed": str(found.billed),
        "currency": found.currency,
        "over": list(found.over),
        "snapshot": snapshot,
        "at": found.at // 1000,
    }


def is_limited(snapshot: Snapshot, app_id: str) -> bool:
    """Return whether a hard budget may apply to an app's calls: of any level, but no rate."""
    app = snapshot.apps.get(app_id)
    if app is None:
        return True
    own = (*app.budgets, *app.key_budgets, *app.user_budgets)
    shared = (*snapshot.model_budgets.values(), *snapshot.data_budgets.values())
    return any(map(_hard, own)) or any(_hard(limit) for limits in shared for limit in limits)


def _hard(limit: BudgetLimit) -> bool:
    return not limit.soft and not limit.rate


def reason(found: Overrun) -> str:
    """Return why a deployment is suspended, in words for people."""
    return f"it billed beyond its bound on {found.call}, passing {', '.join(found.over) or 'its hold'}"
