"""Databases for tests: a fresh SQLite file, or the module's PostgreSQL emptied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import func, select

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
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        yield store
    finally:
        store.close()


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
