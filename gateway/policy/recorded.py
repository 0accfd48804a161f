"""Why a recorded decision came out as it did: asked by its id, from the store's records.

It is explained under the bundle that decided it, at the instant at which it did, where the store has
that bundle; else under the one in force, and the answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from gateway.adapters.store_sql import decisions
from gateway.adapters.store_sql.decisions import DecisionRow, RecordedRow
from gateway.core.explanation import Explanation
from gateway.core.snapshot import Snapshot
from gateway.policy.problems import PolicyErrors
from gateway.policy.publish import NotPublished, find, open_package
from gateway.policy.replay import Recorded, recorded, why


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A recorded decision with its explanation. ``exact``: under the bundle that decided it."""

    row: RecordedRow
    seen: Recorded
    why: Explanation
    snapshot: Snapshot
    now: int  # the instant that it was explained for
    exact: bool

    @property
    def headline(self) -> str:
        """The decision in a sentence, and under which bundle it is explained."""
        at = datetime.fromtimestamp(self.row.received_us // 1_000_000, UTC)
        head = (
            f"Decision {self.row.decision} of {at:%Y-%m-%dT%H:%M:%SZ}, app {self.row.subject.app}, "
            f"model {self.row.subject.asked}: {self.row.subject.outcome} ({self.row.status})"
        )
        if self.exact:
            return f"{head}\nExplained under {self.row.snapshot[:12]}, which decided it, at that instant."
        return (
            f"{head}\nDecided under {self.row.snapshot[:12]}, which the store does not have; explained under "
            f"{self.snapshot.hash[:12]} as of now, so reasons may differ."
        )


def recorded_of(row: DecisionRow) -> Recorded:
    """Return a row of the records as the value that a replay looks at."""
    return recorded(
        app=row.app,
        team=row.team,
        surface=row.surface,
        asked=row.asked,
        labels=row.labels,
        features=row.features,
        masked=row.masked,
        purpose=row.use,
        place=row.place,
        outcome=row.outcome,
    )


def recorded_why(connection: Connection, decision: str, current: Snapshot, *, now: int) -> Told | None:
    """Return a recorded decision with its explanation, or None if there is none of this id."""
    row = decisions.by_id(connection, decision)
    if row is None:
        return None
    seen = recorded_of(row.subject)
    snapshot, at, exact = current, now, False
    if row.snapshot == current.hash:
        at, exact = row.received_us * 1000, True
    elif (stored := _stored(connection, row.snapshot, now=now)) is not None:
        snapshot, at, exact = stored, row.received_us * 1000, True
    return Told(row=row, seen=seen, why=why(seen, snapshot, now=at), snapshot=snapshot, now=at, exact=exact)


def _stored(connection: Connection, hash_: str, *, now: int) -> Snapshot | None:
    """Return the snapshot of a stored bundle; None if it is not there, or cannot be read any more."""
    try:
        package = find(connection, hash_)
        return open_package(package, now=now).snapshot if package is not None else None
    except (NotPublished, PolicyErrors):
        return None
