"""Which alerts were given; what billed beyond its bound; what was degraded.

Revision 0018.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward. Nothing is dropped."""
    op.add_column("records", sa.Column("degraded", sa.Text(), nullable=True))
    op.create_table(
        "suspensions",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("deployment", sa.String(length=128), nullable=False),
        sa.Column("call_id", sa.String(length=80), nullable=False),
        sa.Column("attempt_id", sa.String(length=80), nullable=False),
        sa.Column("bound_nano", sa.BigInteger(), nullable=False),
        sa.Column("billed_nano", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("over", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("cleared_us", sa.BigInteger(), nullable=True),
        sa.Column("cleared_by", sa.String(length=256), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "deployment", name=op.f("pk_suspensions")),
    )
    op.create_table(
        "alerts",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("key", sa.String(length=320), nullable=False),
        sa.Column("destination", sa.String(length=128), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_us", sa.BigInteger(), nullable=False),
        sa.Column("lease_us", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("why", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "key", "destination", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_state_due_us"), "alerts", ["state", "due_us"], unique=False)
    op.create_index(op.f("ix_alerts_tenant_at_us"), "alerts", ["tenant", "at_us"], unique=False)
