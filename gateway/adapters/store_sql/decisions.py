"""The queries of recorded decisions: one by its id, or many as groups of equal ones.

A record holds labels and what a decision looked at, never a prompt. Equal decisions are grouped in
the database, since a month has a hundred thousand of them and few kinds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Label, and_, case, func, literal_column, select

from gateway.adapters.store_sql.tables import keys, records

# The decision was about the model that stood in, where a cheaper one did.
# Written out, since PostgreSQL takes two parameters of one value for two things.
_STOOD_IN = records.c.degraded.like(literal_column("""'%"cheaper"%'"""))
_ASKED = case((_STOOD_IN, records.c.alias), else_=records.c.asked)

_SUBJECT = (
    records.c.app,
    records.c.team,
    records.c.surface,
    _ASKED.label("asked"),
    records.c.alias,
    records.c.labels,
    records.c.features,
    records.c.masked,
    records.c.use,
    records.c.outcome,
    keys.c.place,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """What a record says that a decision looked at. JSON columns are text as stored."""

    app: str
    team: str
    surface: str
    asked: str
    alias: str | None
    labels: str
    features: str
    masked: str
    use: str | None
    outcome: str
    place: str | None  # of the key


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRow:
    """One recorded decision by its id."""

    subject: DecisionRow
    decision: str
    call_id: str
    tenant: str
    snapshot: str
    received_us: int
    status: int
    deployment: str | None
    rules: str
    degraded: str | None = None  # JSON object: what a ladder did


def by_id(connection: Connection, decision: str) -> RecordedRow | None:
    """Return the record of a decision, or None."""
    query = (
        select(
            *_SUBJECT,
            records.c.call_id,
            records.c.tenant,
            records.c.snapshot,
            records.c.received_us,
            records.c.status,
            records.c.deployment,
            records.c.rules,
            records.c.degraded,
        )
        .select_from(records.outerjoin(keys, keys.c.id == records.c.key_id))
        .where(records.c.decision == decision)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return RecordedRow(
        subject=_subject(row),
        decision=decision,
        call_id=row.call_id,
        tenant=row.tenant,
        snapshot=row.snapshot,
        received_us=row.received_us,
        status=row.status,
        deployment=row.deployment,
        rules=row.rules,
        degraded=row.degraded,
    )


def groups(
    connection: Connection, tenant: str, *, start_us: int, end_us: int
) -> Iterator[tuple[DecisionRow, int]]:
    """Yield equal decisions of calls received in ``start_us`` ≤ t < ``end_us``, and how many they are."""
    query = (
        select(*_SUBJECT, func.count().label("calls"))
        .select_from(records.outerjoin(keys, keys.c.id == records.c.key_id))
        .where(_received(tenant, start_us, end_us), records.c.decision.is_not(None))
        .group_by(*(each.element if isinstance(each, Label) else each for each in _SUBJECT))
    )
    for row in connection.execution_options(yield_per=1_000).execute(query):
        yield _subject(row), int(row.calls)


def undecided(connection: Connection, tenant: str, *, start_us: int, end_us: int) -> int:
    """Return how many calls of that time came to no decision: an unknown model, a malformed body."""
    query = (
        select(func.count())
        .select_from(records)
        .where(_received(tenant, start_us, end_us), records.c.decision.is_(None))
    )
    return int(connection.scalar(query) or 0)


def _received(tenant: str, start_us: int, end_us: int) -> ColumnElement[bool]:
    return and_(records.c.tenant == tenant, records.c.received_us >= start_us, records.c.received_us < end_us)


def _subject(row: Any) -> DecisionRow:  # Any: SQLAlchemy's row of these columns
    return DecisionRow(
        app=row.app,
        team=row.team,
        surface=row.surface,
        asked=row.asked,
        alias=row.alias,
        labels=row.labels,
        features=row.features,
        masked=row.masked,
        use=row.use,
        outcome=row.outcome,
        place=row.place,
    )
