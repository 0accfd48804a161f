"""Who wrote and signed a bundle, which one is in force, and decisions by their id.

Revision 0012.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward. Nothing is dropped."""
    op.add_column("bundles", sa.Column("author", sa.String(length=256), server_default="", nullable=False))
    op.create_table(
        "bundle_signatures",
        sa.Column("hash", sa.String(length=80), nullable=False),
        sa.Column("role", sa.String(length=128), nullable=False),
        sa.Column("signer", sa.String(length=256), nullable=False),
        sa.Column("author", sa.String(length=256), nullable=False),
        sa.Column("replaces", sa.String(length=80), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["bundles.hash"], name=op.f("fk_bundle_signatures_hash_bundles")),
        sa.PrimaryKeyConstraint("hash", "role", "signer", name=op.f("pk_bundle_signatures")),
    )
    op.create_table(
        "bundle_activations",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("hash", sa.String(length=80), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=256), nullable=False),
        sa.Column("revoke", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["bundles.hash"], name=op.f("fk_bundle_activations_hash_bundles")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bundle_activations")),
    )
    op.create_index(op.f("ix_records_decision"), "records", ["decision"])
