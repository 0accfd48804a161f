"""The queries of alerts: each works inside the transaction that it is handed.

INVARIANT: whoever inserts the row with an alert's key tells it, and nobody else; a row that is claimed
and not finished within its lease is claimed again, so that a sender that died is made good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, cast

import orjson
from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from gateway.adapters.store_sql.budgets import insert
from gateway.adapters.store_sql.tables import budget_windows, keys
from gateway.adapters.store_sql.tables_alerts import alerts as table
from gateway.core.alerts import Alert

NOTED: Final = "-"
"""The destination of the row that every alert has: it decides who tells, and shows in lists."""

PENDING: Final = "pending"
SENT: Final = "sent"
UNDELIVERED: Final = "undelivered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One alert for one destination, as it stands."""

    tenant: str
    key: str
    destination: str
    id: str
    kind: str
    title: str
    facts: dict[str, str | int]
    at_us: int
    state: str
    tries: int
    lease_us: int
    ended_us: int | None = None
    why: str | None = None


def tell(
    connection: Connection, tenant: str, alert: Alert, destinations: Sequence[str], *, new_id: str
) -> bool:
    """Put an alert on its way, unless it was before; return whether it is new."""
    at_us = alert.at // 1000
    facts = orjson.dumps({"title": alert.title, "facts": dict(alert.facts)}).decode()
    row: dict[str, object] = {
        "tenant": tenant,
        "key": alert.key[:320],
        "id": new_id,
        "kind": alert.kind.value,
        "facts": facts,
        "at_us": at_us,
        "tries": 0,
        "due_us": at_us,
        "lease_us": 0,
        "holder": "",
    }
    first = connection.execute(
        insert(connection, table)
        .values(**row, destination=NOTED, state=SENT, ended_us=at_us)
        .on_conflict_do_nothing()
        .returning(table.c.key)
    )
    if first.first() is None:
        return False
    if destinations:
        connection.execute(
            table.insert(), [{**row, "destination": name, "state": PENDING} for name in destinations]
        )
    return True


def known(connection: Connection, tenant: str, keys: Iterable[str]) -> frozenset[str]:
    """Return which keys were told already."""
    wanted = sorted({key[:320] for key in keys})
    found: set[str] = set()
    for i in range(0, len(wanted), 500):
        query = select(table.c.key).where(
            table.c.tenant == tenant, table.c.destination == NOTED, table.c.key.in_(wanted[i : i + 500])
        )
        found.update(connection.execute(query).scalars())
    return frozenset(found)


def claim(connection: Connection, holder: str, *, now_us: int, lease_us: int, most: int = 16) -> list[Told]:
    """Take alerts that are due and that nobody sends just now; each is ours for ``lease_us``."""
    due = (
        select(table)
        .where(table.c.state == PENDING, table.c.due_us <= now_us, table.c.lease_us <= now_us)
        .order_by(table.c.due_us, table.c.tenant, table.c.key, table.c.destination)
        .limit(most)
    )
    taken: list[Told] = []
    for row in connection.execute(due).mappings().all():
        until = now_us + lease_us
        done = connection.execute(
            update(table)
            .where(
                table.c.tenant == row["tenant"],
                table.c.key == row["key"],
                table.c.destination == row["destination"],
                table.c.state == PENDING,
                table.c.lease_us == row["lease_us"],  # nobody was faster
                table.c.tries == row["tries"],
            )
            .values(lease_us=until, holder=holder, tries=row["tries"] + 1)
        )
        if done.rowcount == 1:
            taken.append(_told({**row, "lease_us": until, "tries": row["tries"] + 1}))
    return taken


def finish(connection: Connection, told: Told, *, state: str, now_us: int, why: str | None = None) -> None:
    """Say how the sending of a claimed alert ended: ``sent``, or ``undelivered`` for good."""
    connection.execute(
        update(table).where(_mine(told)).values(state=state, ended_us=now_us, lease_us=0, why=why)
    )


def again(connection: Connection, told: Told, *, due_us: int, why: str) -> None:
    """Put a claimed alert that failed back, to be sent not before an instant."""
    connection.execute(update(table).where(_mine(told)).values(due_us=due_us, lease_us=0, why=why))


def listing(connection: Connection, tenant: str, *, most: int = 200) -> list[Told]:
    """Return the alerts of a tenant, newest first, one per destination."""
    query = (
        select(table)
        .where(table.c.tenant == tenant)
        .order_by(table.c.at_us.desc(), table.c.key, table.c.destination)
        .limit(most)
    )
    return [_told(dict(row)) for row in connection.execute(query).mappings()]


def waiting(connection: Connection, tenant: str) -> dict[str, int]:
    """Return how many alerts are on their way, and how many never arrived."""
    query = (
        select(table.c.state, func.count())
        .where(table.c.tenant == tenant, table.c.state.in_((PENDING, UNDELIVERED)))
        .group_by(table.c.state)
    )
    counts = {str(state): int(count) for state, count in connection.execute(query)}
    return {PENDING: counts.get(PENDING, 0), UNDELIVERED: counts.get(UNDELIVERED, 0)}


def filled_in(connection: Connection, template: str, *, now_us: int) -> list[str]:
    """Return the budgets of a template (``key:*:CAD``) that have a window now."""
    before, _, after = template.partition("*")
    pattern = f"{_escaped(before)}%{_escaped(after)}"
    query = (
        select(budget_windows.c.budget)
        .where(budget_windows.c.budget.like(pattern, escape="\\"), budget_windows.c.resets_us > now_us)
        .distinct()
        .order_by(budget_windows.c.budget)
    )
    return [
        str(name)
        for name in connection.execute(query).scalars()
        if ":" not in str(name).removeprefix(before).removesuffix(after)
    ]


def app_of_key(connection: Connection, key_id: str) -> str | None:
    """Return the app that a key belongs to."""
    return apps_of_keys(connection, [key_id]).get(key_id)


def apps_of_keys(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    """Return the apps that keys belong to, by key id."""
    found: dict[str, str] = {}
    for i in range(0, len(names), 500):
        query = select(keys.c.id, keys.c.app).where(keys.c.id.in_(names[i : i + 500]))
        found.update({str(name): str(app) for name, app in connection.execute(query)})
    return found


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _mine(told: Told) -> ColumnElement[bool]:
    return and_(
        table.c.tenant == told.tenant,
        table.c.key == told.key,
        table.c.destination == told.destination,
        table.c.state == PENDING,
        table.c.tries == told.tries,
        table.c.lease_us == told.lease_us,
    )


def _told(row: dict[str, object]) -> Told:
    said = cast("dict[str, object]", orjson.loads(cast("str", row["facts"])))
    return Told(
        tenant=cast("str", row["tenant"]),
        key=cast("str", row["key"]),
        destination=cast("str", row["destination"]),
        id=cast("str", row["id"]),
        kind=cast("str", row["kind"]),
        title=str(said["title"]),
        facts=cast("dict[str, str | int]", said["facts"]),
        at_us=cast("int", row["at_us"]),
        state=cast("str", row["state"]),
        tries=cast("int", row["tries"]),
        lease_us=cast("int", row["lease_us"]),
        ended_us=cast("int | None", row["ended_us"]),
        why=cast("str | None", row["why"]),
    )
