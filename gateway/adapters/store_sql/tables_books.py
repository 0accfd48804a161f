"""The accounting periods and what corrects them.

Same rules as :mod:`gateway.adapters.store_sql.tables`: units by suffix, no Numeric, no Float.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, String, Table, Text

from gateway.adapters.store_sql.tables import metadata

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("id", String(256), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("tenant", String(128), nullable=False),
    Column("billing_period", String(7), nullable=False),  # 2026-11
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("team", String(128), nullable=False),
    Column("app", String(128), nullable=False),
    Column("cost_centre", String(64)),
    Column("alias", String(128), nullable=False),
    Column("deployment", String(128), nullable=False),
    Column("vendor", String(128), nullable=False),
    Column("place", String(128), nullable=False),
    Column("model", String(256), nullable=False),
    Column("currency", String(16), nullable=False),
    Column("nano", BigInteger, nullable=False),
    Column("spend_currency", String(16), nullable=False),
    Column("spend_nano", BigInteger, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("unit", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("refers", String(256), nullable=False),
    Column("origin", String(256), nullable=False),
    Column("ratio_ppb", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("created_by", String(256), nullable=False),
)
"""Entries beside the attempts' rows (:class:`gateway.core.entries.Entry`). Never updated."""
Index(None, ledger_entries.c.tenant, ledger_entries.c.billing_period)
Index(None, ledger_entries.c.tenant, ledger_entries.c.start_us)
