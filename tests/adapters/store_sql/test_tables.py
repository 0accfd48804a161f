"""The tables: integers for money, one history for both databases."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import BigInteger, Float, Numeric

from gateway.adapters.store_sql import tables
from gateway.adapters.store_sql.every_table import metadata
from gateway.core.record import BUCKETS


def test_no_column_is_numeric_or_float() -> None:
    """SQLite sums NUMERIC as binary floats: money at rest is integers in every engine (promise 6)."""
    wrong = [
        str(column)
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Numeric | Float)
    ]
    assert wrong == []
    folder = Path(tables.__file__).parent
    for path in folder.rglob("*.py"):
        text = re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.search(r"\b(Numeric|Float|REAL|DECIMAL|DOUBLE)\b", text), path


def test_amounts_and_instants_are_64_bit() -> None:
    """What is called nano, µs or an amount of a budget does not fit 32 bits."""
    names = {"committed", "granted", "spent", "nano", *BUCKETS}
    for table in metadata.sorted_tables:
        for column in table.columns:
            if column.name.endswith(("_us", "_nano")) or column.name in names:
                assert isinstance(column.type, BigInteger), column


def test_the_ledger_has_every_bucket_of_usage() -> None:
    """A bucket that is metered and priced has its column."""
    assert set(BUCKETS) <= set(metadata.tables["ledger"].columns.keys())
