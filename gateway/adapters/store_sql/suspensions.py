"""The queries of suspended deployments: each works inside the transaction that it is handed.

A row is the last bill of a deployment that was beyond its bound. It suspends the deployment for hard
budgets until a person clears it; a later overrun suspends it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import orjson
from sqlalchemy import Connection, and_, or_, select, update

from gateway.adapters.store_sql.budgets import insert
from gateway.adapters.store_sql.tables_alerts import suspensions as table
from gateway.core.overruns import Overrun, reason
from gateway.core.record import Entry

_TEXTS = ("tenant", "deployment", "call", "attempt", "bound", "billed", "currency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """The last overrun of one deployment, and who cleared it."""

    tenant: str
    found: Overrun
    cleared_us: int | None
    cleared_by: str | None

    @property
    def active(self) -> bool:
        """Whether it suspends: nobody cleared it, or it came again since."""
        return self.cleared_us is None or self.found.at // 1000 > self.cleared_us

    @property
    def why(self) -> str:
        """Why, in words."""
        return reason(self.found)


def project_overrun(connection: Connection, entry: Entry) -> None:
    """Put one ``deployment.overrun`` entry into the table; a later one stands above it.

    Raises TypeError on an entry that is not of this shape.
    """
    data = entry.data
    over, at = data.get("over"), data.get("at")
    texts = {name: data.get(name) for name in _TEXTS}
    if (
        not all(isinstance(value, str) for value in texts.values())
        or not isinstance(at, int)
        or not isinstance(over, list)
    ):
        raise TypeError("an entry `deployment.overrun` that is none")
    statement = insert(connection, table).values(
        tenant=texts["tenant"],
        deployment=texts["deployment"],
        call_id=texts["call"],
        attempt_id=texts["attempt"],
        bound_nano=int(str(texts["bound"])),
        billed_nano=int(str(texts["billed"])),
        currency=texts["currency"],
        over=orjson.dumps(cast("list[object]", over)).decode(),
        at_us=at,
    )
    changed = ("call_id", "attempt_id", "bound_nano", "billed_nano", "currency", "over", "at_us")
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[table.c.tenant, table.c.deployment],
            set_={name: statement.excluded[name] for name in changed},
            where=table.c.at_us < statement.excluded.at_us,
        )
    )


def suspended(connection: Connection, tenant: str) -> list[Suspended]:
    """Return every deployment of a tenant that ever overran, cleared ones included, oldest first."""
    query = select(table).where(table.c.tenant == tenant).order_by(table.c.at_us, table.c.deployment)
    return [
        Suspended(
            tenant=row["tenant"],
            found=Overrun(
                deployment=row["deployment"],
                call=row["call_id"],
                attempt=row["attempt_id"],
                bound=row["bound_nano"],
                billed=row["billed_nano"],
                currency=row["currency"],
                over=tuple(orjson.loads(row["over"])),
                at=row["at_us"] * 1000,
            ),
            cleared_us=row["cleared_us"],
            cleared_by=row["cleared_by"],
        )
        for row in connection.execute(query).mappings()
    ]


def clear(connection: Connection, tenant: str, deployment: str, *, at_us: int, by: str) -> bool:
    """Clear a suspension that came before an instant; return whether there was one."""
    done = connection.execute(
        update(table)
        .where(
            and_(
                table.c.tenant == tenant,
                table.c.deployment == deployment,
                table.c.at_us <= at_us,
                or_(table.c.cleared_us.is_(None), table.c.cleared_us < table.c.at_us),
            )
        )
        .values(cleared_us=at_us, cleared_by=by)
    )
    return done.rowcount > 0
