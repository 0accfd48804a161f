"""What vendors say that we owe.

Revision 0020.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema forward. Nothing is dropped."""
    op.create_table(
        "vendor_imports",
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("vendor", sa.String(128), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("file", sa.String(256), nullable=False),
        sa.Column("covers_start_us", sa.BigInteger(), nullable=False),
        sa.Column("covers_end_us", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(16), nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("line_count", sa.BigInteger(), nullable=False),
        sa.Column("total_nano", sa.BigInteger(), nullable=False),
        sa.Column("invoice", sa.String(128), nullable=False, server_default=""),
        sa.Column("invoice_nano", sa.BigInteger()),
        sa.Column("supersedes", sa.String(64), nullable=False, server_default=""),
        sa.Column("imported_us", sa.BigInteger(), nullable=False),
        sa.Column("imported_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_vendor_imports")),
    )
    op.create_table(
        "vendor_lines",
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("import_id", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("file_row", sa.BigInteger(), nullable=False),
        sa.Column("vendor", sa.String(128), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("sku", sa.String(512), nullable=False),
        sa.Column("meter", sa.String(128), nullable=False),
        sa.Column("quantity", sa.String(64)),
        sa.Column("unit", sa.String(64), nullable=False),
        sa.Column("amount", sa.String(64)),
        sa.Column("nano", sa.BigInteger()),
        sa.Column("currency", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("ref", sa.String(512), nullable=False),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("pricing_nano", sa.BigInteger()),
        sa.Column("pricing_currency", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "import_id", "number", name=op.f("pk_vendor_lines")),
    )
    op.create_index(
        op.f("ix_vendor_lines_tenant_vendor_month"), "vendor_lines", ["tenant", "vendor", "month"]
    )
    op.create_table(
        "vendor_decisions",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("exception", sa.String(64), nullable=False),
        sa.Column("vendor", sa.String(128), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("currency", sa.String(16), nullable=False),
        sa.Column("open_nano", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_us", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vendor_decisions")),
    )
    op.create_index(op.f("ix_vendor_decisions_tenant_month"), "vendor_decisions", ["tenant", "month"])
