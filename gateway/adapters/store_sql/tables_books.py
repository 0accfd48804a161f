"""The accounting periods, what closes them and what corrects them.

Same rules as :mod:`gateway.adapters.store_sql.tables`: units by suffix, no Numeric, no Float.

INVARIANT: every table here only grows. The database itself refuses to change or delete a row
(triggers of migration 0019), and to change or delete a ledger row of a closed period.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from gateway.adapters.store_sql.tables import RowId, metadata

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
Index(None, ledger_entries.c.tenant, ledger_entries.c.refers)

closed_periods = Table(
    "closed_periods",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("period", String(7), nullable=False),  # 2026-11
    Column("timezone", String(64), nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),  # what starts before belongs to it, or to an earlier one
    Column("closed_us", BigInteger, nullable=False),
    Column("closed_by", String(256), nullable=False),
    Column("role", String(32), nullable=False),
    Column(
        "reason", Text, nullable=False
    ),  # why it was closed although journals were unread; "" if none were
    Column("unread", Text, nullable=False),  # JSON array of {writer, host, place, why}
    PrimaryKeyConstraint("tenant", "period"),
)
"""The periods into which nothing is booked any more, from the instant of the row on."""

period_statements = Table(
    "period_statements",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("period", String(7), nullable=False),
    Column("version", Integer, nullable=False),  # 1: as closed; 2 and more: restated
    Column("sha256", String(64), nullable=False),  # of the rows that it covers
    Column("statement", Text, nullable=False),  # canonical JSON (RFC 8785)
    Column("made_us", BigInteger, nullable=False),
    Column("made_by", String(256), nullable=False),
    Column("signer", String(256), nullable=False),  # "" where nobody signed
    Column("public", LargeBinary),  # Ed25519, raw
    Column("signature", LargeBinary),
    PrimaryKeyConstraint("tenant", "period", "version"),
)
"""What each closed period says, as it was frozen: figures, GL lines, hash. Restated: a version more."""

period_marks = Table(
    "period_marks",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("period", String(7), nullable=False),
    Column("version", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("marks", LargeBinary, nullable=False),  # eight bytes of each row's SHA-256, in order
    PrimaryKeyConstraint("tenant", "period", "version", "number"),
)
"""A short mark of each row of a closed period, so that a check can name the first row that differs."""

period_proposals = Table(
    "period_proposals",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("tenant", String(128), nullable=False),
    Column("period", String(7), nullable=False),
    Column("sha256", String(64), nullable=False),  # of the rows as the person saw them
    Column("at_us", BigInteger, nullable=False),
    Column("by", String(256), nullable=False),
    Column("role", String(32), nullable=False),
)
"""Who asked for which content to be closed, where two people close a period."""
Index(None, period_proposals.c.tenant, period_proposals.c.period)

money_changes = Table(
    "money_changes",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("tenant", String(128), nullable=False),
    Column("bundle", String(80), nullable=False),
    Column("replaces", String(80), nullable=False),  # "" for the first one
    Column("money", String(64), nullable=False),  # SHA-256 of the budgets, prices and accounts
    Column("at_us", BigInteger, nullable=False),
    Column("author", String(256), nullable=False),  # "" unknown
    Column("by", String(256), nullable=False),  # who put it in force
    Column("approved_by", Text, nullable=False),  # JSON array of people who signed as finance
    Column("changes", Text, nullable=False),  # JSON array of sentences: what, old → new
)
"""Every change of budgets, prices and accounts that came into force, and who of finance approved it."""
Index(None, money_changes.c.tenant, money_changes.c.at_us)
