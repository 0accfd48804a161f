"""What a try used beyond tokens, and how it was priced.

Revision 0016. Rows from before keep working: their list and contracted amounts are null, which reads
as the amount charged; they had no tier, no band and no other unit.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward. Nothing is dropped."""
    for column in (
        sa.Column("list_nano", sa.BigInteger(), nullable=True),
        sa.Column("contracted_nano", sa.BigInteger(), nullable=True),
        sa.Column("tier", sa.String(length=32), nullable=False, server_default=""),
        sa.Column("served_place", sa.String(length=64), nullable=False, server_default=""),
        sa.Column("band", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("units", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("at_most", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("ledger", column)
