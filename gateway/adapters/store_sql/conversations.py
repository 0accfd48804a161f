"""The queries of conversations: each works inside the transaction that it is handed."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from gateway.adapters.store_sql.budgets import insert
from gateway.adapters.store_sql.tables import conversation_labels as table


def labels(connection: Connection, name: str, *, now_us: int) -> frozenset[str]:
    """Return the labels of a conversation that are not forgotten."""
    query = select(table.c.label).where(table.c.conversation == name, table.c.expires_us > now_us)
    return frozenset(connection.execute(query).scalars())


def learn(connection: Connection, name: str, found: frozenset[str], *, until_us: int) -> None:
    """Add labels, and keep those that are there until ``until_us`` at least."""
    for label in sorted(found):
        statement = insert(connection, table).values(conversation=name, label=label, expires_us=until_us)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[table.c.conversation, table.c.label],
                set_={"expires_us": statement.excluded.expires_us},
                where=table.c.expires_us < statement.excluded.expires_us,
            )
        )


def forget(connection: Connection, *, now_us: int) -> int:
    """Delete what is over; return how many labels that were."""
    return connection.execute(delete(table).where(table.c.expires_us <= now_us)).rowcount
