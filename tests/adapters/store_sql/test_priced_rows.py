"""Every priced row of a period is read once, in order, however many batches that takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from gateway.adapters.store_sql import priced_rows
from gateway.adapters.store_sql.priced_rows import priced
from gateway.adapters.store_sql.tables import ledger
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.adapters.test_reserved_capacity import used
from tests.core.maple import at


def test_batches_neither_skip_nor_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a batch ends between two rows of the same instant; unpriced rows are left out."""
    monkeypatch.setattr(priced_rows, "_BATCH", 2)
    with opened(sqlite_url(tmp_path)) as store:
        for app in ("a", "b", "c", "d"):
            used(store, "2026-11-10T00:00:00", app, 1)
        for app in ("a", "unpriced"):
            used(store, "2026-11-10T01:00:00", app, 1)
        used(store, "2026-11-11T00:00:00", "a", 1)
        with store.write() as connection:
            connection.execute(update(ledger).where(ledger.c.app == "unpriced").values(nano=None))
        with store.read() as connection:
            start, end = at("2026-11-10") // 1000, at("2026-11-11") // 1000
            found = [
                str(row["attempt_id"])
                for row in priced(connection, tenant="maple", start_us=start, end_us=end)
            ]
    assert found == [
        *(f"2026-11-10T00:00:00.{app}" for app in ("a", "b", "c", "d")),
        "2026-11-10T01:00:00.a",
    ]
