"""The first schema.

Revision 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward. Nothing is dropped."""
    op.create_table(
        "admin_log",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=256), nullable=False),
        sa.Column("detail", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admin_log")),
    )
    op.create_table(
        "budget_windows",
        sa.Column("budget", sa.String(length=256), nullable=False),
        sa.Column("window", sa.String(length=40), nullable=False),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("resets_us", sa.BigInteger(), nullable=False),
        sa.Column("committed", sa.BigInteger(), nullable=False),
        sa.Column("contended_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("committed >= 0", name=op.f("ck_budget_windows_committed")),
        sa.PrimaryKeyConstraint("budget", "window", name=op.f("pk_budget_windows")),
    )
    op.create_table(
        "bundles",
        sa.Column("hash", sa.String(length=80), nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("published_us", sa.BigInteger(), nullable=False),
        sa.Column("published_by", sa.String(length=256), server_default="", nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_bundles")),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "cursors",
        sa.Column("writer", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("writer", name=op.f("pk_cursors")),
    )
    op.create_table(
        "feedback",
        sa.Column("target", sa.String(length=96), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("rater", sa.String(length=80), nullable=False),
        sa.Column("feedback_id", sa.String(length=80), nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("app", sa.String(length=128), nullable=False),
        sa.Column("call_id", sa.String(length=80), nullable=False),
        sa.Column("choice", sa.Integer(), nullable=True),
        sa.Column("thumb", sa.Integer(), nullable=True),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("score_ppm", sa.Integer(), nullable=True),
        sa.Column("label", sa.String(length=128), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("rater_kind", sa.String(length=16), nullable=True),
        sa.Column("place", sa.String(length=32), nullable=True),
        sa.Column("occurred_us", sa.BigInteger(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("writer", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target", "key", "rater", name=op.f("pk_feedback")),
        sa.UniqueConstraint("tenant", "feedback_id", name=op.f("uq_feedback_tenant_feedback_id")),
    )
    op.create_index(op.f("ix_feedback_call_id"), "feedback", ["call_id"], unique=False)
    op.create_index(
        op.f("ix_feedback_tenant_occurred_us"), "feedback", ["tenant", "occurred_us"], unique=False
    )
    op.create_table(
        "feedback_history",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("target", sa.String(length=96), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("rater", sa.String(length=80), nullable=False),
        sa.Column("feedback_id", sa.String(length=80), nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("app", sa.String(length=128), nullable=False),
        sa.Column("call_id", sa.String(length=80), nullable=False),
        sa.Column("choice", sa.Integer(), nullable=True),
        sa.Column("thumb", sa.Integer(), nullable=True),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("score_ppm", sa.Integer(), nullable=True),
        sa.Column("label", sa.String(length=128), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("rater_kind", sa.String(length=16), nullable=True),
        sa.Column("place", sa.String(length=32), nullable=True),
        sa.Column("occurred_us", sa.BigInteger(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("writer", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("superseded_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback_history")),
        sa.UniqueConstraint("writer", "seq", name=op.f("uq_feedback_history_writer_seq")),
    )
    op.create_index(
        op.f("ix_feedback_history_tenant_feedback_id"),
        "feedback_history",
        ["tenant", "feedback_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_feedback_history_target_key_rater"),
        "feedback_history",
        ["target", "key", "rater"],
        unique=False,
    )
    op.create_table(
        "idempotency",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key_id", "key_hash", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_expires_us"), "idempotency", ["expires_us"], unique=False)
    op.create_table(
        "keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("app", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), server_default="live", nullable=False),
        sa.Column("label", sa.Text(), server_default="", nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=256), nullable=True),
        sa.Column("place", sa.String(length=16), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=256), server_default="", nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.Column("revoked_by", sa.String(length=256), nullable=True),
        sa.Column("replaces", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
        sa.UniqueConstraint("sha256", name=op.f("uq_keys_sha256")),
    )
    op.create_table(
        "ledger",
        sa.Column("attempt_id", sa.String(length=80), nullable=False),
        sa.Column("call_id", sa.String(length=80), nullable=False),
        sa.Column("writer", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("team", sa.String(length=128), nullable=False),
        sa.Column("app", sa.String(length=128), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("cost_centre", sa.String(length=64), nullable=True),
        sa.Column("alias", sa.String(length=128), nullable=False),
        sa.Column("deployment", sa.String(length=128), nullable=False),
        sa.Column("vendor", sa.String(length=128), nullable=False),
        sa.Column("place", sa.String(length=128), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("vendor_model", sa.String(length=256), nullable=True),
        sa.Column("vendor_id", sa.String(length=256), nullable=True),
        sa.Column("surface", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("input", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_read", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_5m", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_1h", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reasoning", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("input_audio", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_audio", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("input_image", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("currency", sa.String(length=16), nullable=True),
        sa.Column("nano", sa.BigInteger(), nullable=True),
        sa.Column("spend_currency", sa.String(length=16), nullable=True),
        sa.Column("spend_nano", sa.BigInteger(), nullable=True),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("overrun", sa.Boolean(), nullable=False),
        sa.Column("snapshot", sa.String(length=80), nullable=False),
        sa.Column("price_ids", sa.Text(), server_default="", nullable=False),
        sa.Column("lines", sa.Text(), server_default="[]", nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_ledger")),
        sa.UniqueConstraint("writer", "seq", "attempt_id", name=op.f("uq_ledger_writer_seq_attempt_id")),
    )
    op.create_index(op.f("ix_ledger_call_id"), "ledger", ["call_id"], unique=False)
    op.create_index(op.f("ix_ledger_tenant_started_us"), "ledger", ["tenant", "started_us"], unique=False)
    op.create_table(
        "records",
        sa.Column("call_id", sa.String(length=80), nullable=False),
        sa.Column("writer", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("team", sa.String(length=128), nullable=False),
        sa.Column("app", sa.String(length=128), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("surface", sa.String(length=32), nullable=False),
        sa.Column("asked", sa.String(length=256), nullable=False),
        sa.Column("alias", sa.String(length=128), nullable=True),
        sa.Column("stream", sa.Boolean(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("decision", sa.String(length=80), nullable=True),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("features", sa.Text(), nullable=False),
        sa.Column("masked", sa.Text(), nullable=False),
        sa.Column("masked_reply", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("snapshot", sa.String(length=80), nullable=False),
        sa.Column("use", sa.String(length=128), nullable=True),
        sa.Column("attempt_id", sa.String(length=80), nullable=True),
        sa.Column("deployment", sa.String(length=128), nullable=True),
        sa.Column("vendor_id", sa.String(length=256), nullable=True),
        sa.Column("vendor_model", sa.String(length=256), nullable=True),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_records")),
        sa.UniqueConstraint("writer", "seq", "call_id", name=op.f("uq_records_writer_seq_call_id")),
    )
    op.create_index(op.f("ix_records_tenant_received_us"), "records", ["tenant", "received_us"], unique=False)
    op.create_index(op.f("ix_records_tenant_vendor_id"), "records", ["tenant", "vendor_id"], unique=False)
    op.create_table(
        "writers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("place", sa.String(length=32), nullable=False),
        sa.Column("host", sa.String(length=256), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_us", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_writers")),
    )
    op.create_table(
        "slices",
        sa.Column("writer", sa.String(length=64), nullable=False),
        sa.Column("budget", sa.String(length=256), nullable=False),
        sa.Column("window", sa.String(length=40), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("granted >= 0", name=op.f("ck_slices_granted")),
        sa.ForeignKeyConstraint(["writer"], ["writers.id"], name=op.f("fk_slices_writer_writers")),
        sa.PrimaryKeyConstraint("writer", "budget", "window", name=op.f("pk_slices")),
    )
    op.create_index(op.f("ix_slices_budget_window"), "slices", ["budget", "window"], unique=False)
