"""GPU pools, and their hours as they were closed.

Same rules as :mod:`gateway.adapters.store_sql.tables`: units by suffix, no Numeric, no Float.
``_micro`` are micro-GPU-seconds: one GPU for one microsecond. INVARIANT: an hour is added, never changed.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, PrimaryKeyConstraint, String, Table, Text

from gateway.adapters.store_sql.tables import metadata

gpu_pools = Table(
    "gpu_pools",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("pool", String(128), nullable=False),
    Column("since_us", BigInteger, nullable=False),  # the first hour that is closed
    PrimaryKeyConstraint("tenant", "pool"),
)
"""From when on each pool's hours are booked: its first call here, or when the gateway first knew it;
earlier where finance says so."""

gpu_hours = Table(
    "gpu_hours",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("pool", String(128), nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),  # 1: as closed; more: with the corrections so far
    Column("method", String(32), nullable=False),
    Column("billed_micro", BigInteger, nullable=False),
    Column("used_micro", BigInteger, nullable=False),
    Column("idle_micro", BigInteger, nullable=False),  # laid on teams by the pool's rule
    Column("unallocated_micro", BigInteger, nullable=False),
    Column("currency", String(16), nullable=False),
    Column("nano", BigInteger, nullable=False),
    Column("spend_currency", String(16), nullable=False),
    Column("spend_nano", BigInteger, nullable=False),
    Column(
        "attempts", BigInteger, nullable=False
    ),  # ledger rows that overlap it: more came since if more are there
    Column("lost", BigInteger, nullable=False),  # of them without usage
    Column("prompt_tokens", BigInteger, nullable=False),  # uncached, of attempts that ended in the hour
    Column("output_tokens", BigInteger, nullable=False),
    Column("coefficients", Text, nullable=False),  # JSON, as used
    Column("calibrated", Boolean, nullable=False),
    Column("snapshot", String(80), nullable=False),
    Column("why", Text, nullable=False, server_default=""),  # of a revision
    Column("closed_us", BigInteger, nullable=False),
    Column("closed_by", String(256), nullable=False),
    PrimaryKeyConstraint("tenant", "pool", "start_us", "revision"),
)
"""Each closed hour of each pool. Its rows are entries of ``ledger_entries`` with this hour as origin."""
