"""Closing a month.

Closing is one instant: from then on nothing is booked in the month, whatever arrives. Then its rows
are hashed and its figures frozen in a statement. Crashing in between is no harm: closing again goes on
where it stopped, to the same hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson
from sqlalchemy import Connection

from gateway.adapters.store_sql import Store, corrections
from gateway.adapters.store_sql import books as rows
from gateway.adapters.store_sql.books import Closed, Statement, Unread
from gateway.adapters.store_sql.keys import log_action
from gateway.adapters.store_sql.periods import frontier, hold
from gateway.adapters.unread import unread_here
from gateway.core.money import decimal_of
from gateway.core.periods import Status, bounds, following
from gateway.core.periods import status as status_of
from gateway.core.snapshot import Snapshot
from gateway.reports.period import minute_of, month, month_of
from gateway.reports.statements import (
    By,
    NotClosed,
    Sign,
    Stated,
    first,
    logged,
    named,
    signed,
    stated,
    tallied,
)
from gateway.reports.unbooked import unbooked


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One period as it stands."""

    period: str
    status: Status
    start_us: int
    end_us: int
    statements: tuple[Statement, ...]
    unread: tuple[Unread, ...]
    later: int  # entries and late attempts about it that no statement of it has yet


# ----------------------------------------------------------------------------- standing


def window(connection: Connection, snapshot: Snapshot, name: str) -> tuple[int, int]:
    """Return the bounds (µs) of a period: as closed, or as it will be. Raises ValueError on no month."""
    calendar = month(name, snapshot.timezone)
    found = rows.closed(connection, snapshot.tenant, name)
    if found is not None:
        return found.start_us, found.end_us
    return bounds(name, (calendar.start_us, calendar.end_us), frontier(connection, snapshot.tenant))


def standing(
    connection: Connection, snapshot: Snapshot, name: str, *, now: int, journals: Path | None
) -> Standing:
    """Return where a period stands. ``journals`` is the folder of this machine's journals."""
    start_us, end_us = window(connection, snapshot, name)
    found = rows.closed(connection, snapshot.tenant, name)
    statements = rows.statements(connection, snapshot.tenant, name)
    later = 0
    if found is not None:
        stated = named(statements[-1]) if len(statements) > 1 else []
        about = corrections.about(
            connection, tenant=snapshot.tenant, period=name, start_us=start_us, end_us=end_us
        )
        later = len(set(about) - set(stated))
    return Standing(
        period=name,
        status=status_of(
            versions=len(statements), closed=found is not None, end_us=end_us, now_us=now // 1000
        ),
        start_us=start_us,
        end_us=end_us,
        statements=tuple(statements),
        unread=()
        if found is not None or now // 1000 < end_us
        else tuple(_waits_for(connection, snapshot, journals, start_us, end_us)),
        later=later,
    )


def shown(item: Standing) -> dict[str, object]:
    """Return a period as programs read it."""
    return {
        "period": item.period,
        "status": item.status,
        "start_us": item.start_us,
        "end_us": item.end_us,
        "booked_later": item.later,
        "unread": [
            {"writer": one.writer, "host": one.host, "place": one.place, "why": one.why}
            for one in item.unread
        ],
        "statements": [
            {
                "version": one.version,
                "sha256": one.sha256,
                "made_us": one.made_us,
                "made_by": one.made_by,
                "signed_by": one.signer or None,
            }
            for one in item.statements
        ],
    }


def periods(connection: Connection, snapshot: Snapshot, *, now: int) -> list[str]:
    """Return every period that is closed or has rows, oldest first, up to the running month."""
    closed = [item.period for item in rows.all_closed(connection, snapshot.tenant)]
    last = month_of(now, snapshot.timezone)
    first = _first_open(connection, snapshot)
    found, name = closed, first or last
    while name <= last:
        found.append(name)
        name = following(name)
    return sorted(set(found))


def _first_open(connection: Connection, snapshot: Snapshot) -> str | None:
    """Return the first month that is not closed and has rows."""
    edge = frontier(connection, snapshot.tenant)
    started = rows.earliest_open(
        connection, tenant=snapshot.tenant, after_us=edge.end_us if edge is not None else 0
    )
    entry = rows.earliest_entry(
        connection, tenant=snapshot.tenant, after=edge.period if edge is not None else ""
    )
    found = [] if entry is None else [entry]
    if started is not None:
        name = month_of(started * 1000, snapshot.timezone)
        # What starts after the frontier is of a later month, also if the time zone was changed.
        found.append(name if edge is None else max(name, following(edge.period)))
    return min(found, default=None)


def _waits_for(
    connection: Connection, snapshot: Snapshot, journals: Path | None, start_us: int, end_us: int
) -> list[Unread]:
    return [
        *_unread(connection, journals, end_us),
        *unbooked(connection, snapshot, start_us=start_us, end_us=end_us),
    ]


def _unread(connection: Connection, journals: Path | None, end_us: int) -> list[Unread]:
    found = {item.writer: item for item in rows.unread(connection, end_us)}
    if journals is not None:
        here = unread_here(journals, rows.read_up_to(connection), end_us=end_us)
        found |= {item.writer: item for item in here}
    return [found[writer] for writer in sorted(found)]


# ------------------------------------------------------------------------------ closing


def close(
    store: Store,
    snapshot: Snapshot,
    name: str,
    *,
    now: int,
    by: By,
    journals: Path | None,
    sign: Sign | None = None,
    force: bool = False,
    reason: str = "",
) -> Stated:
    """Close a month and state it; a closed one is only stated. Blocks; call it off the event loop.

    ``force`` closes although journals are unread, for a ``reason`` that the statement shows.
    Raises NotClosed (then nothing is changed) and ValueError on what is no month.
    """
    with store.write() as connection:
        hold(connection, closing=True)
        found = rows.closed(connection, snapshot.tenant, name)
        if found is None:
            found = _may_close(
                connection, snapshot, name, now=now, by=by, journals=journals, force=force, reason=reason
            )
            waits = _second(connection, snapshot, found, by=by, now=now)
            if waits is not None:
                return waits
            rows.close(connection, found)
    with store.read() as connection:
        had = rows.statements(connection, snapshot.tenant, name)
        if had:
            return stated(had[0])
        tally = tallied(connection, snapshot.currency, found)
        asked = _asked_by(connection, found, tally.sha256)
    statement = first(snapshot, found, tally, now=now, asked=asked)
    made = signed(snapshot, name, 1, tally.sha256, statement, now=now, by=by, sign=sign)
    detail: dict[str, object] = {
        "period": name,
        "sha256": tally.sha256,
        "rows": tally.rows,
        "spend": f"{decimal_of(tally.nano):f}",
        "currency": snapshot.currency,
        "reason": found.reason,
        "unread": [item["writer"] for item in cast("list[dict[str, str]]", orjson.loads(found.unread))],
        "asked_by": asked,
    }
    with store.write() as connection:
        hold(connection, closing=True)
        raced = rows.statements(connection, snapshot.tenant, name)
        if raced:
            return stated(raced[0])
        rows.state(connection, made, bytes(tally.marks))
        return logged(connection, snapshot, made, "period.closed", detail, now=now, by=by)


def _may_close(
    connection: Connection,
    snapshot: Snapshot,
    name: str,
    *,
    now: int,
    by: By,
    journals: Path | None,
    force: bool,
    reason: str,
) -> Closed:
    start_us, end_us = window(connection, snapshot, name)
    edge = frontier(connection, snapshot.tenant)
    if now // 1000 < end_us:
        ends = minute_of(end_us * 1000, snapshot.timezone)
        raise NotClosed(f"{name} runs until {ends} ({snapshot.timezone}); a month is closed after its end")
    if edge is not None and name <= edge.period:
        raise NotClosed(f"{name} had no rows when {edge.period} was closed, and takes none any more")
    first = _first_open(connection, snapshot)
    if first is not None and first < name:
        raise NotClosed(f"{first} is not closed and comes before {name}: close {first} first")
    unread = _waits_for(connection, snapshot, journals, start_us, end_us)
    if unread and not force:
        raise NotClosed(
            f"{name} may not be whole yet: {'; '.join(str(item) for item in unread)}. A gateway that runs on "
            "the same data folder reads and books it by itself, some hours after the end of the month; or "
            "close with --force and a --reason"
        )
    if force and not reason.strip():
        raise NotClosed("--force needs a --reason, which the statement shows")
    return Closed(
        tenant=snapshot.tenant,
        period=name,
        timezone=snapshot.timezone,
        start_us=start_us,
        end_us=end_us,
        closed_us=now // 1000,
        closed_by=by.name,
        role=by.role,
        reason=reason.strip() if unread else "",
        unread=rows.unread_json(unread),
    )


def _second(connection: Connection, snapshot: Snapshot, item: Closed, *, by: By, now: int) -> Stated | None:
    """Where two people close: None if somebody else asked for these very rows, else what waits."""
    if not snapshot.books.two_people:
        return None
    tally = tallied(connection, snapshot.currency, item)
    asked = rows.proposals(connection, snapshot.tenant, item.period)
    if any(who != by.name and sha256 == tally.sha256 for who, sha256 in asked):
        return None
    rows.propose(
        connection,
        tenant=snapshot.tenant,
        period=item.period,
        sha256=tally.sha256,
        at_us=now // 1000,
        by=by.name,
        role=by.role,
    )
    detail: dict[str, object] = {"period": item.period, "sha256": tally.sha256}
    log_action(
        connection,
        at_us=now // 1000,
        tenant=snapshot.tenant,
        actor=by.name,
        role=by.role,
        action="period.proposed",
        target=item.period,
        detail=detail,
    )
    entry = {"tenant": snapshot.tenant, "by": by.name, "role": by.role, "at": now // 1000, **detail}
    return Stated(
        period=item.period,
        version=0,
        sha256=tally.sha256,
        fresh=True,
        waits=True,
        statement={},
        entries=(("period.proposed", entry),),
    )


def _asked_by(connection: Connection, item: Closed, sha256: str) -> str:
    asked = rows.proposals(connection, item.tenant, item.period)
    return next((who for who, what in reversed(asked) if what == sha256 and who != item.closed_by), "")
