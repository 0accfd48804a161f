"""The queries of feedback: projection of journal entries, and what a POST must look up.

The journal entry carries no free text, since the journal is content-free and cannot be
erased from; a comment is kept sealed in the content store and never in these rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, and_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.store_sql.tables import feedback, feedback_history, records
from gateway.core.record import Entry

Value = str | int | None

_TEXTS = ("target", "key", "rater", "feedback_id", "tenant", "app", "call_id")
_MAYBE_TEXTS = ("value", "label", "rater_kind", "place")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a feedback id was first used for."""

    target: str
    key: str
    value: str | None


def project_feedback(connection: Connection, entry: Entry) -> None:
    """Put one ``feedback`` entry into the tables. Idempotent by writer and sequence, and by feedback id.

    The newest rating per (target, key, rater) counts; every other stays in the history.
    Raises TypeError on an entry that is not of this shape.
    """
    row = _row(entry)
    same = and_(
        feedback_history.c.tenant == row["tenant"], feedback_history.c.feedback_id == row["feedback_id"]
    )
    if connection.scalar(select(feedback_history.c.id).where(same).limit(1)) is not None:
        return
    if not _insert(connection, feedback_history, row):
        return
    if _insert(connection, feedback, row):
        return
    current = and_(*[feedback.c[name] == row[name] for name in ("target", "key", "rater")])
    old = connection.execute(
        select(feedback.c.writer, feedback.c.seq, feedback.c.received_us).where(current)
    ).first()
    if old is None:
        # Another target already carries this feedback id; two that race are settled by its uniqueness.
        return
    if (old.received_us, old.writer, old.seq) > (row["received_us"], row["writer"], row["seq"]):
        # Projected late: a newer rating stands already.
        _supersede(connection, str(row["writer"]), row["seq"], old.received_us)
        return
    connection.execute(update(feedback).where(current).values({**row, "comment": None}))
    _supersede(connection, old.writer, old.seq, row["received_us"])


def stored(connection: Connection, *, tenant: str, feedback_id: str) -> Stored | None:
    """Return what a feedback id was used for, or None."""
    row = connection.execute(
        select(feedback_history.c.target, feedback_history.c.key, feedback_history.c.value).where(
            feedback_history.c.tenant == tenant, feedback_history.c.feedback_id == feedback_id
        )
    ).first()
    return None if row is None else Stored(target=row.target, key=row.key, value=row.value)


def call_of(connection: Connection, *, tenant: str, vendor_id: str) -> str | None:
    """Return the call that a vendor's reply id names; None if the tenant has none, or more than one."""
    found = connection.scalars(
        select(records.c.call_id).where(records.c.tenant == tenant, records.c.vendor_id == vendor_id).limit(2)
    ).all()
    return found[0] if len(found) == 1 else None


def _insert(connection: Connection, table: Table, row: dict[str, Value]) -> bool:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    fresh = dialect.insert(table).values(row).on_conflict_do_nothing().returning(table.c.seq)
    return connection.execute(fresh).first() is not None


def _supersede(connection: Connection, writer: str, seq: Value, at_us: Value) -> None:
    mine: ColumnElement[bool] = and_(feedback_history.c.writer == writer, feedback_history.c.seq == seq)
    connection.execute(update(feedback_history).where(mine).values(superseded_us=at_us))


def _row(entry: Entry) -> dict[str, Value]:
    data = entry.data
    row: dict[str, Value] = {"writer": entry.writer, "seq": entry.seq}
    for name in _TEXTS:
        text = data.get(name)
        if not isinstance(text, str):
            raise TypeError(f"feedback entry {entry.seq} of `{entry.writer}` has no `{name}`")
        row[name] = text
    for name in _MAYBE_TEXTS:
        text = data.get(name)
        row[name] = text if isinstance(text, str) else None
    for name in ("choice", "thumb"):
        number = data.get(name)
        row[name] = number if isinstance(number, int) else None
    for name in ("occurred_us", "received_us"):
        number = data.get(name)
        if not isinstance(number, int):
            raise TypeError(f"feedback entry {entry.seq} of `{entry.writer}` has no `{name}`")
        row[name] = number
    thumb = row["thumb"]
    row["score_ppm"] = thumb * 1_000_000 if isinstance(thumb, int) else None
    return row
