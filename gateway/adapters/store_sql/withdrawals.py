"""The queries of withdrawn deployments: each works inside the transaction that it is handed.

A row says that a vendor contradicted these very facts of a deployment. It holds until the facts
change (their digest is part of the key) or a person clears it.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, select, update

from gateway.adapters.store_sql.budgets import insert
from gateway.adapters.store_sql.tables import withdrawals as table
from gateway.core.record import Entry

_TEXTS = ("tenant", "deployment", "facts", "call")


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """One contradiction: what was declared, what was reported, by which call, and who cleared it."""

    tenant: str
    deployment: str
    facts: str
    declared: tuple[str, ...]
    reported: tuple[str, ...]
    call: str
    at_us: int
    cleared_us: int | None
    cleared_by: str | None

    @property
    def active(self) -> bool:
        """Whether it keeps the deployment out: nobody cleared it, or it came again since."""
        return self.cleared_us is None or self.at_us > self.cleared_us


def project_mismatch(connection: Connection, entry: Entry) -> None:
    """Put one ``place.mismatch`` entry into the table; a later one of the same facts stands above it.

    Raises TypeError on an entry that is not of this shape.
    """
    data = entry.data
    declared, reported, at = data.get("declared"), data.get("reported"), data.get("at")
    texts = {name: data.get(name) for name in _TEXTS}
    if (
        not all(isinstance(value, str) for value in texts.values())
        or not isinstance(at, int)
        or not isinstance(declared, list)
        or not isinstance(reported, list)
    ):
        raise TypeError("an entry `place.mismatch` that is none")
    statement = insert(connection, table).values(
        tenant=texts["tenant"],
        deployment=texts["deployment"],
        facts=texts["facts"],
        call_id=texts["call"],
        declared=orjson.dumps(declared).decode(),
        reported=orjson.dumps(reported).decode(),
        at_us=at,
    )
    changed = ("call_id", "declared", "reported", "at_us")
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[table.c.tenant, table.c.deployment, table.c.facts],
            set_={name: statement.excluded[name] for name in changed},
            where=table.c.at_us < statement.excluded.at_us,
        )
    )


def withdrawn(connection: Connection, tenant: str | None = None) -> list[Withdrawn]:
    """Return every contradiction, cleared ones included, oldest first; of one tenant if given."""
    query = select(table).order_by(table.c.at_us, table.c.deployment)
    if tenant is not None:
        query = query.where(table.c.tenant == tenant)
    return [
        Withdrawn(
            tenant=row["tenant"],
            deployment=row["deployment"],
            facts=row["facts"],
            declared=tuple(orjson.loads(row["declared"])),
            reported=tuple(orjson.loads(row["reported"])),
            call=row["call_id"],
            at_us=row["at_us"],
            cleared_us=row["cleared_us"],
            cleared_by=row["cleared_by"],
        )
        for row in connection.execute(query).mappings()
    ]


def clear(connection: Connection, tenant: str, deployment: str, *, at_us: int, by: str) -> int:
    """Clear what keeps a deployment out, up to an instant; return how many rows that were."""
    found = [
        row
        for row in withdrawn(connection, tenant)
        if row.deployment == deployment and row.active and row.at_us <= at_us
    ]
    for row in found:
        connection.execute(
            update(table)
            .where(
                table.c.tenant == tenant,
                table.c.deployment == deployment,
                table.c.facts == row.facts,
                table.c.at_us <= at_us,
            )
            .values(cleared_us=at_us, cleared_by=by)
        )
    return len(found)
