"""GPU time of own models, split over who used it.

Revision 0022.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward. Nothing is dropped."""
    op.add_column("ledger", sa.Column("first_us", sa.BigInteger(), nullable=True))
    op.create_table(
        "gpu_pools",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("pool", sa.String(length=128), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "pool", name=op.f("pk_gpu_pools")),
    )
    op.create_table(
        "gpu_hours",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("pool", sa.String(length=128), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("method", sa.String(length=32), nullable=False),
        sa.Column("billed_micro", sa.BigInteger(), nullable=False),
        sa.Column("used_micro", sa.BigInteger(), nullable=False),
        sa.Column("idle_micro", sa.BigInteger(), nullable=False),
        sa.Column("unallocated_micro", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=16), nullable=False),
        sa.Column("nano", sa.BigInteger(), nullable=False),
        sa.Column("spend_currency", sa.String(length=16), nullable=False),
        sa.Column("spend_nano", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("coefficients", sa.Text(), nullable=False),
        sa.Column("calibrated", sa.Boolean(), nullable=False),
        sa.Column("snapshot", sa.String(length=80), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("closed_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_by", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "pool", "start_us", "revision", name=op.f("pk_gpu_hours")),
    )
