"""Corrections of what is booked, and the trail of one attempt. Nothing that stands is changed.

A correction is an entry beside the ledger: in the month that it is about while that is open, in the
open month once it is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import cast

from sqlalchemy import Connection

from gateway.adapters.journal_read import Garbled, parse, segments
from gateway.adapters.store_sql import corrections as rows
from gateway.adapters.store_sql.entries import append
from gateway.adapters.store_sql.keys import log_action
from gateway.adapters.store_sql.periods import frontier
from gateway.core.books import Delta, Row, deltas
from gateway.core.entries import Entry
from gateway.core.errors import Refusal
from gateway.core.money import decimal_of, nano_of
from gateway.core.periods import bookable
from gateway.core.prices import convert
from gateway.core.record import Entry as Line
from gateway.core.snapshot import Snapshot
from gateway.core.trail import Step, steps
from gateway.core.units import shown
from gateway.reports.period import month_of
from gateway.reports.statements import By, Entries


class NotCorrected(Exception):
    """Nothing was corrected; the text says why and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """What a correction booked. ``booked`` is empty where the amount was right already."""

    booked: tuple[Entry, ...]
    entries: Entries  # for the journal


def correct(
    connection: Connection,
    snapshot: Snapshot,
    attempt: str,
    *,
    to: Decimal,
    reason: str,
    now: int,
    by: By,
) -> Corrected:
    """Bring what an attempt costs to an amount in the currency of its price.

    The same correction again books nothing. Raises NotCorrected.
    """
    if not reason.strip():
        raise NotCorrected("a correction needs a --reason, which finance reads in the report")
    row = rows.attempt(connection, snapshot.tenant, attempt)
    if row is None:
        raise NotCorrected(f"no attempt `{attempt}` is in the ledger; its id is the call's with #1, #2 …")
    had = rows.entries_about(connection, snapshot.tenant, attempt)
    known = rows.known(row, had)
    currency = known.currency or snapshot.currency
    started = int(cast("int", row["started_us"])) * 1000
    try:
        to_nano = nano_of(to)
    except ValueError as wrong:
        raise NotCorrected(str(wrong)) from None
    spend = convert(snapshot, to_nano, currency, snapshot.currency, at=started, ceiling=False)
    if isinstance(spend, Refusal):
        raise NotCorrected(spend.message)
    needed = deltas(known, to_nano=to_nano, to_spend_nano=spend)
    edge = frontier(connection, snapshot.tenant)
    own = str(row["billing_period"] or month_of(started, snapshot.timezone))
    period = bookable(own, edge)
    number = len({str(item["id"]).rsplit(":", 1)[0] for item in had}) + 1
    booked = tuple(
        _entry(
            snapshot,
            row,
            delta,
            name=f"correct:{attempt}:{number}:{delta.name}",
            period=period,
            late=period != own,
            currency=currency,
            reason=reason.strip(),
            now=now,
            by=by,
        )
        for delta in needed
    )
    if append(connection, booked) != len(booked):
        raise NotCorrected("somebody corrected this attempt at the same time; look at it and try again")
    if not booked:
        return Corrected(booked=(), entries=())
    detail: dict[str, object] = {
        "attempt": attempt,
        "from": f"{decimal_of(known.nano):f}",
        "to": f"{decimal_of(to_nano):f}",
        "currency": currency,
        "billing_period": period,
        "entries": [item.id for item in booked],
        "reason": reason.strip(),
    }
    log_action(
        connection,
        at_us=now // 1000,
        tenant=snapshot.tenant,
        actor=by.name,
        role=by.role,
        action="ledger.corrected",
        target=attempt,
        detail=detail,
    )
    entry: Mapping[str, object] = {
        "tenant": snapshot.tenant,
        "by": by.name,
        "role": by.role,
        "at": now // 1000,
        **detail,
    }
    return Corrected(booked=booked, entries=(("ledger.corrected", entry),))


def _entry(
    snapshot: Snapshot,
    row: Row,
    delta: Delta,
    *,
    name: str,
    period: str,
    late: bool,
    currency: str,
    reason: str,
    now: int,
    by: By,
) -> Entry:
    started, ended = cast("int", row["started_us"]), cast("int", row["ended_us"])
    centre = row["cost_centre"]
    return Entry(
        id=name,
        kind="correction" if late else "adjust",
        tenant=snapshot.tenant,
        billing_period=period,
        start_us=started,
        end_us=max(ended, started + 1),
        team=str(row["team"]),
        app=str(row["app"]),
        cost_centre=None if centre is None else str(centre),
        alias=str(row["alias"]),
        deployment=str(row["deployment"]),
        vendor=str(row["vendor"]),
        place=str(row["place"]),
        model=str(row["model"]),
        currency=currency,
        nano=delta.nano,
        spend_currency=snapshot.currency,
        spend_nano=delta.spend_nano,
        quantity=0,
        unit="",
        reason=reason,
        refers=str(row["attempt_id"]),
        origin="",
        ratio_ppb=0,
        estimated=delta.estimated,
        created_us=now // 1000,
        created_by=by.name,
    )


# --------------------------------------------------------------------------------- trail


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """All that is known of an attempt's money. ``missing`` says what could not be read."""

    attempt: str
    steps: tuple[Step, ...]
    total: str  # what it costs now, in the organisation's currency
    missing: str


def trail(connection: Connection, snapshot: Snapshot, attempt: str, *, journals: Path) -> Trail:
    """Return an attempt's trail: from the journal on this machine, the ledger and its entries.

    Raises NotCorrected if neither knows it.
    """
    row = rows.attempt(connection, snapshot.tenant, attempt)
    writer = str(row["writer"]) if row is not None else None
    found = steps(_lines(journals, attempt, writer), attempt)
    missing = ""
    if row is None and not found:
        raise NotCorrected(f"no attempt `{attempt}` is in the ledger, nor in a journal on this machine")
    if row is not None and not any(step.what == "settled" for step in found):
        missing = f"the journal of writer `{writer}` is not on this machine: holds and releases are there"
        found.append(_from_ledger(row))
    if row is None:
        missing = "it is not in the ledger yet"
    entries = rows.entries_about(connection, snapshot.tenant, attempt)
    found += [_from_entry(entry) for entry in entries]
    known = rows.known(row, entries).spend_nano if row is not None else 0
    return Trail(
        attempt=attempt,
        steps=tuple(found),
        total=f"{shown(known, snapshot.currency)} {snapshot.currency}",
        missing=missing,
    )


def _from_ledger(row: Row) -> Step:
    nano, currency = row["spend_nano"], row["spend_currency"]
    return Step(
        at_us=int(cast("int", row["ended_us"])),
        what="settled",
        budget="",
        amount=shown(int(nano), str(currency)) if nano is not None else "not priced",
        unit=str(currency or ""),
        note=f"{row['status']}, estimated" if row["estimated"] else str(row["status"]),
        where=f"{row['writer']}:{row['seq']}",
    )


def _from_entry(row: Row) -> Step:
    return Step(
        at_us=int(cast("int", row["created_us"])),
        what="corrected" if row["kind"] == "correction" else "adjusted",
        budget="",
        amount=shown(int(cast("int", row["spend_nano"])), str(row["spend_currency"])),
        unit=str(row["spend_currency"]),
        note=f"{row['reason']} ({row['created_by']}, booked in {row['billing_period']})",
        where=str(row["id"]),
    )


def _lines(journals: Path, attempt: str, writer: str | None) -> Iterator[Line]:
    """Yield the journal's entries that name an attempt: of one writer, or of all on this machine."""
    wanted = attempt.encode()
    for folder in sorted(journals.glob(f"*/{writer or '*'}")):
        for segment in segments(folder):
            with segment.open("rb") as file:
                for text in file:
                    if wanted in text and text.endswith(b"\n"):
                        try:
                            yield parse(text[:-1])
                        except Garbled:
                            continue
