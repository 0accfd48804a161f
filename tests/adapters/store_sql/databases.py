"""Databases for tests: a fresh SQLite file, or the module's PostgreSQL emptied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, func, select, text

from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.every_table import metadata
from gateway.adapters.store_sql.schema import migrate
from gateway.adapters.store_sql.tables import budget_windows, slices


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """A migrated store, emptied first, closed afterwards."""
    store = Store(url)
    try:
        migrate(store)
        with store.write() as connection:
            emptied(connection)
        yield store
    finally:
        store.close()


def emptied(connection: Connection) -> None:
    """Delete every row, also of tables that refuse it: a test starts from nothing."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # no trigger fires
        kept: list[tuple[str, str]] = []
    else:
        found = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        kept = [(str(name), str(sql)) for name, sql in found]
        for name, _ in kept:
            connection.execute(text(f"DROP TRIGGER {name}"))
    for table in reversed(metadata.sorted_tables):
        connection.execute(table.delete())
    for _, sql in kept:
        connection.exec_driver_sql(sql)


def sqlite_url(folder: Path) -> str:
    """A SQLite file in a folder."""
    return f"sqlite:///{folder / 'state.db'}"


def committed_is_the_sum_of_granted(store: Store) -> bool:
    """The invariant of the shared windows."""
    with store.read() as connection:
        windows = {
            (b, w): committed
            for b, w, committed in connection.execute(
                select(budget_windows.c.budget, budget_windows.c.window, budget_windows.c.committed)
            )
        }
        granted = {
            (b, w): int(total)
            for b, w, total in connection.execute(
                select(slices.c.budget, slices.c.window, func.sum(slices.c.granted)).group_by(
                    slices.c.budget, slices.c.window
                )
            )
        }
    return all(granted.get(key, 0) == total for key, total in windows.items()) and granted.keys() <= (
        windows.keys()
    )
