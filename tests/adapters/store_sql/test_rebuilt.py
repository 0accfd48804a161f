"""Counters of windows: summed over writers, oldest first."""

from __future__ import annotations

from sqlalchemy import insert

from gateway.adapters.store_sql.rebuilt import counters, from_ledger
from gateway.adapters.store_sql.tables import budget_windows, slices, writers
from tests.bookkeeping import at, come, database

OCT = at("2026-10-15 12:00")


def test_a_window_is_summed_over_its_writers(request, tmp_path):
    """And knows who they are; a name may hold a colon."""
    with database("sqlite", request, tmp_path) as store:
        come(store, ("a1", OCT), team="a:b")
        with store.write() as connection:
            for writer in ("w1", "w2"):
                connection.execute(
                    insert(writers).values(id=writer, place="CA", host="h", state="open", opened_us=0)
                )
            for window in ("2026-10-01T04:00:00Z", "2026-09-01T04:00:00Z"):
                connection.execute(
                    insert(budget_windows).values(
                        budget="team:a:b:CAD", window=window, unit="CAD",
                        resets_us=at("2026-11-01 00:00") // 1000, committed=5,
                    )
                )  # fmt: skip
            for writer, spent in (("w1", 2), ("w2", 3)):
                connection.execute(
                    insert(slices).values(
                        writer=writer,
                        budget="team:a:b:CAD",
                        window="2026-10-01T04:00:00Z",
                        granted=5,
                        spent=spent,
                    )
                )
        with store.read() as connection:
            older, newer = counters(connection)
            assert (older.spent, older.writers) == (0, ())
            assert (newer.spent, newer.writers) == (5, ("w1", "w2"))
            assert from_ledger(connection, "maple", newer) == (1_392_500_000, 0, 0)
