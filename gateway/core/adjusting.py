"""From a difference that finance decided to book to the ledger entries that book it.

What calls without usage were booked too high goes back to those very calls first; the rest is shared
over those who used the model in that window, by what they spent; what nobody of ours used is
unallocated, and shown as such. INVARIANT: the entries of a difference sum to it, to the nano-unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.core.entries import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Who spent on a model in a window, and how much (in the price's currency); ``attempt`` for one call."""

    team: str
    app: str
    cost_centre: str | None
    alias: str
    deployment: str
    place: str
    model: str
    nano: int
    attempt: str = ""
    currency: str = ""  # of a single call: its price's
    spend_nano: int = 0  # of a single call: what was booked in the organisation's currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An exception that is to be booked. Amounts in the bill's currency and in the organisation's."""

    exception: str
    tenant: str
    vendor: str
    model: str
    start_us: int
    end_us: int
    billing_period: str
    currency: str
    estimate_nano: int  # of it: what calls without usage were booked too high, negative
    nano: int  # all of it
    spend_currency: str
    spend_nano: int
    cause: str
    reason: str
    by: str
    at_us: int
    version: str  # of the difference, so that another one later is another set of entries


def entries(what: Difference, *, estimated: Sequence[Share], users: Sequence[Share]) -> list[Entry]:
    """Return the entries that book a difference."""
    first = what.estimate_nano if estimated else 0
    parts = shared(first, [one.nano for one in estimated]) if first else []
    rest = what.nano - first
    nobody = Share(
        team="", app="", cost_centre=None, alias="", deployment="", place="", model=what.model, nano=0
    )
    sharers = [one for one in users if one.nano] or [nobody]
    parts += shared(rest, [abs(one.nano) for one in sharers])
    who: list[Share] = [*(estimated if first else ()), *sharers]
    spend = shared(what.spend_nano, parts) if what.nano else [0] * len(parts)
    made: list[Entry] = []
    for one, nano, spend_nano in zip(who, parts, spend, strict=True):
        if not (nano or spend_nano):
            continue
        if one.attempt and one.currency == what.currency:
            # Reversed and booked anew: what is estimated is then right by plain summing.
            back = _entry(what, one, -one.nano, -one.spend_nano, len(made))
            made.append(replace(back, estimated=True, ratio_ppb=0))
            nano, spend_nano = nano + one.nano, spend_nano + one.spend_nano  # noqa: PLW2901 (what is known)
        made.append(_entry(what, one, nano, spend_nano, len(made)))
    return made


def shared(amount: int, weights: Sequence[int]) -> list[int]:
    """Share an amount by weights, to the unit: largest remainder, ties to the earlier one."""
    total = sum(weights)
    if not total:
        weights, total = [1] * len(weights), len(weights)
    if not weights:
        return []
    floors = [amount * weight // total for weight in weights]
    sign = 1 if total > 0 else -1
    order = sorted(range(len(weights)), key=lambda i: (-sign * (amount * weights[i] % total), i))
    for i in order[: amount - sum(floors)]:
        floors[i] += 1
    return floors


def _entry(what: Difference, one: Share, nano: int, spend_nano: int, number: int) -> Entry:
    why = what.reason.strip().rstrip(".")
    return Entry(
        id=f"reconcile:{what.exception}:{what.version}:{number}",
        kind="adjust",
        tenant=what.tenant,
        billing_period=what.billing_period,
        start_us=what.start_us,
        end_us=what.end_us,
        team=one.team,
        app=one.app,
        cost_centre=one.cost_centre,
        alias=one.alias,
        deployment=one.deployment,
        vendor=what.vendor,
        place=one.place,
        model=one.model,
        currency=what.currency,
        nano=nano,
        spend_currency=what.spend_currency,
        spend_nano=spend_nano,
        quantity=0,
        unit="",
        reason=f"{what.vendor}'s bill differs ({what.cause}): {why}.",
        refers=one.attempt or what.exception,
        origin=what.exception,
        ratio_ppb=round(nano * 1_000_000_000 / what.nano) if what.nano else 0,
        estimated=False,
        created_us=what.at_us,
        created_by=what.by,
    )
