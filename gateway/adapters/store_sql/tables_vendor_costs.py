"""What vendors' cost exports say, line by line, and what was decided about the differences.

Same rules as :mod:`gateway.adapters.store_sql.tables`: units by suffix, no Numeric, no Float.
Nothing here is changed or deleted: a corrected file supersedes by its own row.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text

from gateway.adapters.store_sql.tables import RowId, metadata

vendor_imports = Table(
    "vendor_imports",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("id", String(64), nullable=False),  # SHA-256 of the file; with its mapping, where it has one
    Column("vendor", String(128), nullable=False),  # as the deployments' facts name it
    Column("source", String(32), nullable=False),  # openai-costs, focus, csv …
    Column("file", String(256), nullable=False),  # its name, for people
    Column("covers_start_us", BigInteger, nullable=False),
    Column("covers_end_us", BigInteger, nullable=False),
    Column("currency", String(16), nullable=False),  # "" for counts without charges
    Column("places", Integer, nullable=False),  # decimals of its amounts
    Column("line_count", BigInteger, nullable=False),
    Column("total_nano", BigInteger, nullable=False),
    Column("invoice", String(128), nullable=False, server_default=""),
    Column("invoice_nano", BigInteger),  # what the invoice says in all
    Column("supersedes", String(64), nullable=False, server_default=""),  # the import that this one replaces
    Column("imported_us", BigInteger, nullable=False),
    Column("imported_by", String(256), nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
)
"""One row per file. An import that another one supersedes counts no more."""

vendor_lines = Table(
    "vendor_lines",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("import_id", String(64), nullable=False),
    Column("number", BigInteger, nullable=False),  # from 1, in the order of the file
    Column("file_row", BigInteger, nullable=False),
    Column("vendor", String(128), nullable=False),
    Column("month", String(7), nullable=False),  # billing period, 2026-11
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("account", String(256), nullable=False),
    Column("model", String(512), nullable=False),  # as the vendor calls it
    Column("sku", String(512), nullable=False),
    Column("meter", String(128), nullable=False),
    Column("quantity", String(64)),  # an exact decimal
    Column("unit", String(64), nullable=False),
    Column("amount", String(64)),  # an exact decimal, as the file has it
    Column("nano", BigInteger),  # the same, rounded once
    Column("currency", String(16), nullable=False),
    Column("kind", String(16), nullable=False),  # usage | fee | tax | credit | discount
    Column("ref", String(512), nullable=False),
    Column("digest", String(128), nullable=False),
    Column("pricing_nano", BigInteger),
    Column("pricing_currency", String(16), nullable=False),
    PrimaryKeyConstraint("tenant", "import_id", "number"),
)
"""One row per line of a file."""
Index(None, vendor_lines.c.tenant, vendor_lines.c.vendor, vendor_lines.c.month)

vendor_decisions = Table(
    "vendor_decisions",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("tenant", String(128), nullable=False),
    Column("exception", String(64), nullable=False),
    Column("vendor", String(128), nullable=False),
    Column("month", String(7), nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("model", String(512), nullable=False),
    Column("currency", String(16), nullable=False),
    Column("open_nano", BigInteger, nullable=False),  # as decided; another amount opens it again
    Column("action", String(16), nullable=False),  # accept | adjust
    Column("reason", Text, nullable=False),
    Column("decided_us", BigInteger, nullable=False),
    Column("decided_by", String(256), nullable=False),
)
"""What finance decided about exceptions. Append-only; the newest of an exception counts."""
Index(None, vendor_decisions.c.tenant, vendor_decisions.c.month)
