"""Sums of the ledger, kept ready for reports.

Same rules as :mod:`gateway.adapters.store_sql.tables`: units by suffix, no Numeric, no Float.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, PrimaryKeyConstraint, String, Table
from sqlalchemy import UniqueConstraint as Unique

from gateway.adapters.store_sql.tables import RowId, metadata

SHARED = (
    "tenant", "team", "app", "cost_centre", "alias", "deployment", "vendor", "place", "model",
    "surface", "currency", "spend_currency", "billing_period",
)  # fmt: skip
"""The columns of the ledger that every sum is told apart by. What is null there is ``""`` here."""

BUCKETS = (
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning",
    "input_audio", "output_audio", "input_image",
)  # fmt: skip
"""Columns of the ledger that are summed as they are."""

MEASURES = (
    "calls", "attempts", "served", "failed", "unpriced", "priced", "estimates", "overruns", *BUCKETS,
    "nano", "list_nano", "contracted_nano", "spend_nano", "estimated_nano",
)  # fmt: skip
"""What is summed. A call counts once, where its last attempt went. ``nano``, ``list_nano`` and
``contracted_nano`` in ``currency``, the others in ``spend_currency``."""

rollup_groups = Table(
    "rollup_groups",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("span", String(4), nullable=False),  # hour | day: of UTC
    Column("tenant", String(128), nullable=False),
    Column("team", String(128), nullable=False),
    Column("app", String(128), nullable=False),
    Column("cost_centre", String(64), nullable=False),
    Column("alias", String(128), nullable=False),
    Column("deployment", String(128), nullable=False),
    Column("vendor", String(128), nullable=False),
    Column("place", String(128), nullable=False),
    Column("model", String(256), nullable=False),
    Column("surface", String(32), nullable=False),
    Column("currency", String(16), nullable=False),
    Column("spend_currency", String(16), nullable=False),
    Column("billing_period", String(7), nullable=False),
    Column("key_id", String(64), nullable=False),  # "" in sums by the hour
    Unique("span", *SHARED, "key_id", name="uq_rollup_groups_everything"),
)
"""What sums are told apart by, once, so that a sum names it by a number. Never updated."""

rollups = Table(
    "rollups",
    metadata,
    Column("group_id", BigInteger, ForeignKey("rollup_groups.id"), nullable=False),
    Column("start_us", BigInteger, nullable=False),  # of a whole hour or day of UTC
    *(Column(name, BigInteger, nullable=False) for name in MEASURES),
    PrimaryKeyConstraint("group_id", "start_us"),
    sqlite_with_rowid=False,
    # Updated in place, many times in its hour: room on the page keeps the index out of it.
    postgresql_with={"fillfactor": 70},
)
"""Sums of the ledger's rows per group and hour (or day), by start of the attempt.

Written with the rows, in the same transaction. INVARIANT: equal to the same sums over ``ledger``.
"""
