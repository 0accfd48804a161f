"""Withdrawn deployments, and the labels of conversations.

Revision 0013.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward. Nothing is dropped."""
    op.create_table(
        "withdrawals",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("deployment", sa.String(length=128), nullable=False),
        sa.Column("facts", sa.String(length=64), nullable=False),
        sa.Column("declared", sa.Text(), nullable=False),
        sa.Column("reported", sa.Text(), nullable=False),
        sa.Column("call_id", sa.String(length=80), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("cleared_us", sa.BigInteger(), nullable=True),
        sa.Column("cleared_by", sa.String(length=256), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "deployment", "facts", name=op.f("pk_withdrawals")),
    )
    op.create_table(
        "conversation_labels",
        sa.Column("conversation", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=128), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("conversation", "label", name=op.f("pk_conversation_labels")),
    )
    op.create_index(
        op.f("ix_conversation_labels_expires_us"), "conversation_labels", ["expires_us"], unique=False
    )
