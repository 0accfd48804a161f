"""Upgrading a database that has a ledger fills the sums: no report reads nothing after an upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

from gateway.adapters.store_sql import Store, rollups, schema
from gateway.adapters.store_sql.every_table import metadata
from gateway.adapters.store_sql.reports import spend
from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_rollups import BUCKETS, MEASURES, SHARED, rollup_groups
from gateway.adapters.store_sql.tables_rollups import rollups as sums
from gateway.core import record
from tests.adapters.store_sql.databases import sqlite_url
from tests.adapters.store_sql.test_rollups import BASE, HOUR, row


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty database."""
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    made = Store(url)
    with made.write() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    yield made
    made.close()


def upgraded(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def test_an_upgrade_fills_the_sums_of_the_rows_that_are_there(store: Store) -> None:
    """Retries, holes, late rows, two organisations: the same sums as if the projector had kept them."""
    rows = [
        row(tenant, f"c{number}", 1 + number % 2, started_us=BASE + number * 7 * HOUR // 2, **changes)
        for tenant in ("maple", "birch")
        for number, changes in enumerate([
            {"cost_centre": "4410", "currency": "USD", "nano": 5, "spend_currency": "CAD", "spend_nano": 7},
            {"status": "failed", "estimated": True},
            {"currency": "EUR", "nano": 9, "list_nano": 11, "billing_period": "2026-12"},
            {"input": 3, "cache_read": 4, "output": 5, "overrun": True},
        ])
    ]  # fmt: skip
    rows.append(row("maple", "c0", 2, deployment="there"))
    with store.write() as connection:
        upgraded(connection, "0020")
        known = {column["name"] for column in inspect(connection).get_columns("ledger")}
        connection.execute(
            ledger.insert(), [{name: value for name, value in each.items() if name in known} for each in rows]
        )
    assert schema.migrate(store)
    with store.read() as connection:
        for tenant in ("maple", "birch"):
            for day in rollups.days(connection, tenant=tenant):
                assert rollups.differences(connection, tenant=tenant, day_us=day) == []
        [found] = spend(
            connection, tenant="maple", start_us=BASE, end_us=BASE + 24 * HOUR, by=(), currency="CAD",
            where={"deployment": "there"},
        )  # fmt: skip
        assert (found.calls, found.attempts) == (1, 1)


def test_every_bucket_of_usage_is_summed() -> None:
    """What is metered is reported; every sum is whole and 64 bits wide; every dimension is of the ledger."""
    assert set(BUCKETS) == set(record.BUCKETS)
    assert set(MEASURES) == {column.name for column in sums.columns} - {"group_id", "start_us"}
    assert {column.type.python_type for column in sums.columns} == {int}
    assert {*SHARED, "key_id"} <= set(ledger.columns.keys())
    assert {*SHARED, "key_id", "span", "id"} == set(rollup_groups.columns.keys())
