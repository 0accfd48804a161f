"""Budgets of more units, levels and windows: what a window took over, and what it passed on.

Revision 0017.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward. Nothing is dropped."""
    op.add_column("budget_windows", sa.Column("base", sa.BigInteger()))
    op.add_column("budget_windows", sa.Column("carried", sa.BigInteger()))
    op.add_column("budget_windows", sa.Column("passed", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("ix_budget_windows_budget_resets_us", "budget_windows", ["budget", "resets_us"])
