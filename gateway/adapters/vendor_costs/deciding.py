"""Deciding about exceptions: accepting a difference with a reason, or booking it.

Both are recorded and neither is undone. A booking goes into the first open month, about its own time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection

from gateway.adapters.store_sql import our_hours, periods
from gateway.adapters.store_sql import vendor_costs as rows
from gateway.adapters.store_sql.entries import append
from gateway.adapters.store_sql.our_hours import Span
from gateway.adapters.store_sql.vendor_costs import Decision
from gateway.core import adjusting
from gateway.core.entries import Entry
from gateway.core.money import decimal_of
from gateway.core.periods import bookable

REASON = (3, 500)
"""Signs that a reason has at least and at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One exception, with what is needed to decide it. Amounts in the bill's currency.

    ``open_nano`` needs a decision; ``booked_nano`` of it was booked before; ``estimate_nano`` of it
    is what calls without usage were booked too high.
    """

    exception: str
    tenant: str
    vendor: str
    month: str
    start_us: int
    end_us: int
    model: str
    models: Sequence[str]  # of ours, by their ids
    currency: str
    open_nano: int
    booked_nano: int
    estimate_nano: int
    cause: str
    spend_currency: str
    spend_nano: int  # of what is to be booked, in the organisation's currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """Who decides, when, and why."""

    by: str
    at_us: int
    reason: str


def reason_of(text: str) -> str:
    """Return a reason as it is recorded. Raises ValueError on one that says nothing, or too much."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not REASON[0] <= len(plain) <= REASON[1]:
        raise ValueError(f"a reason has {REASON[0]} to {REASON[1]} signs; say why the difference is right")
    return plain


def told(case: Case, who: Decider, made: Sequence[Entry] | None) -> tuple[str, dict[str, object]]:
    """Return the journal entry of a decision: ``made`` is what was booked, None where it was accepted."""
    data: dict[str, object] = {
        "tenant": case.tenant,
        "exception": case.exception,
        "vendor": case.vendor,
        "month": case.month,
        "model": case.model,
        "amount": str(decimal_of(case.open_nano)),
        "currency": case.currency,
        "reason": who.reason,
        "by": who.by,
        "at": who.at_us,
    }
    if made is None:
        return "reconcile.accepted", data
    return "reconcile.adjusted", {**data, "entries": [entry.id for entry in made]}


def accept(connection: Connection, case: Case, who: Decider) -> None:
    """Record that a difference stands as it is."""
    _record(connection, case, who, "accept")


def adjust(connection: Connection, case: Case, who: Decider) -> list[Entry]:
    """Book a difference and record it; return the entries. Booking the same one again books nothing."""
    periods.hold(connection)
    delta = case.open_nano - case.booked_nano
    what = adjusting.Difference(
        exception=case.exception,
        tenant=case.tenant,
        vendor=case.vendor,
        model=case.model,
        start_us=case.start_us,
        end_us=case.end_us,
        billing_period=bookable(case.month, periods.frontier(connection, case.tenant)),
        currency=case.currency,
        estimate_nano=case.estimate_nano if not case.booked_nano else 0,
        nano=delta,
        spend_currency=case.spend_currency,
        spend_nano=case.spend_nano,
        cause=case.cause,
        reason=who.reason,
        by=who.by,
        at_us=who.at_us,
        # The same exception at another amount, later, is another booking.
        version=sha256(f"{case.open_nano}/{case.booked_nano}".encode()).hexdigest()[:8],
    )
    made = adjusting.entries(
        what,
        estimated=_shares(connection, case, estimated=True) if what.estimate_nano else [],
        users=_shares(connection, case, estimated=False),
    )
    append(connection, made)
    _record(connection, case, who, "adjust")
    return made


def _shares(connection: Connection, case: Case, *, estimated: bool) -> list[adjusting.Share]:
    span = Span(tenant=case.tenant, vendor=case.vendor, start_us=case.start_us, end_us=case.end_us)
    return our_hours.shares(connection, span, models=case.models, estimated=estimated)


def _record(connection: Connection, case: Case, who: Decider, action: str) -> None:
    rows.decide(
        connection,
        Decision(
            tenant=case.tenant,
            exception=case.exception,
            vendor=case.vendor,
            month=case.month,
            start_us=case.start_us,
            model=case.model,
            currency=case.currency,
            open_nano=case.open_nano,
            action=action,
            reason=who.reason,
            decided_us=who.at_us,
            decided_by=who.by,
        ),
    )
