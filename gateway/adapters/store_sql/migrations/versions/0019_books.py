"""Periods that close, and entries that correct; the database refuses to change what is booked.

Revision 0019.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward. Nothing is dropped."""
    op.create_table(
        "ledger_entries",
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("billing_period", sa.String(length=7), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.Column("team", sa.String(length=128), nullable=False),
        sa.Column("app", sa.String(length=128), nullable=False),
        sa.Column("cost_centre", sa.String(length=64), nullable=True),
        sa.Column("alias", sa.String(length=128), nullable=False),
        sa.Column("deployment", sa.String(length=128), nullable=False),
        sa.Column("vendor", sa.String(length=128), nullable=False),
        sa.Column("place", sa.String(length=128), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("currency", sa.String(length=16), nullable=False),
        sa.Column("nano", sa.BigInteger(), nullable=False),
        sa.Column("spend_currency", sa.String(length=16), nullable=False),
        sa.Column("spend_nano", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("refers", sa.String(length=256), nullable=False),
        sa.Column("origin", sa.String(length=256), nullable=False),
        sa.Column("ratio_ppb", sa.BigInteger(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entries")),
    )
    op.create_index(
        op.f("ix_ledger_entries_tenant_billing_period"), "ledger_entries", ["tenant", "billing_period"]
    )
    op.create_index(op.f("ix_ledger_entries_tenant_start_us"), "ledger_entries", ["tenant", "start_us"])
    op.create_index(op.f("ix_ledger_entries_tenant_refers"), "ledger_entries", ["tenant", "refers"])
    op.create_table(
        "closed_periods",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("period", sa.String(length=7), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_by", sa.String(length=256), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("unread", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "period", name=op.f("pk_closed_periods")),
    )
    op.create_table(
        "period_statements",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("period", sa.String(length=7), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("made_us", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(length=256), nullable=False),
        sa.Column("signer", sa.String(length=256), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "period", "version", name=op.f("pk_period_statements")),
    )
    op.create_table(
        "period_marks",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("period", sa.String(length=7), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "period", "version", "number", name=op.f("pk_period_marks")),
    )
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "period_proposals",
        sa.Column("id", row_id, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("period", sa.String(length=7), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=256), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_period_proposals")),
    )
    op.create_index(op.f("ix_period_proposals_tenant_period"), "period_proposals", ["tenant", "period"])
    op.create_table(
        "money_changes",
        sa.Column("id", row_id, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("bundle", sa.String(length=80), nullable=False),
        sa.Column("replaces", sa.String(length=80), nullable=False),
        sa.Column("money", sa.String(length=64), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.String(length=256), nullable=False),
        sa.Column("by", sa.String(length=256), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_money_changes")),
    )
    op.create_index(op.f("ix_money_changes_tenant_at_us"), "money_changes", ["tenant", "at_us"])
    op.add_column("cursors", sa.Column("read_us", sa.BigInteger(), nullable=True))
    op.add_column("ledger", sa.Column("billing_period", sa.String(length=7), nullable=True))
    late = sa.text("billing_period IS NOT NULL")
    op.create_index(
        "ix_ledger_late", "ledger", ["tenant", "billing_period"], sqlite_where=late, postgresql_where=late
    )
    for statement in (_sqlite if op.get_bind().dialect.name == "sqlite" else _postgresql)():
        op.execute(statement)


# A database that refuses is the last line: whoever holds the password must first remove the trigger,
# and the hash of a closed period still tells.

_ONLY_GROW = (
    "ledger_entries", "closed_periods", "period_statements", "period_marks", "period_proposals", "money_changes",
)
_REFUSED = "the books only grow: what is booked is corrected by an entry, never changed"
_CLOSED = "the period is closed: book into the open one"
_OF_A_CLOSED_PERIOD = """EXISTS (SELECT 1 FROM closed_periods AS c WHERE c.tenant = OLD.tenant AND (
    (OLD.billing_period IS NULL AND OLD.started_us < c.end_us) OR OLD.billing_period <= c.period))"""
_INTO_A_CLOSED_PERIOD = """EXISTS (SELECT 1 FROM closed_periods AS c
    WHERE c.tenant = NEW.tenant AND NEW.billing_period <= c.period)"""


def _sqlite() -> list[str]:
    made = []
    for action in ("update", "delete"):
        for table in _ONLY_GROW:
            made.append(
                f"CREATE TRIGGER {table}_no_{action} BEFORE {action.upper()} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
            )
        made.append(
            f"CREATE TRIGGER ledger_closed_no_{action} BEFORE {action.upper()} ON ledger "
            f"WHEN {_OF_A_CLOSED_PERIOD} BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
        )
    made.append(
        "CREATE TRIGGER ledger_entries_open_only BEFORE INSERT ON ledger_entries "
        f"WHEN {_INTO_A_CLOSED_PERIOD} BEGIN SELECT RAISE(ABORT, '{_CLOSED}'); END"
    )
    return made


def _postgresql() -> list[str]:
    made = [
        "CREATE OR REPLACE FUNCTION borderpost_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$",
        "CREATE OR REPLACE FUNCTION borderpost_refuse_closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {_OF_A_CLOSED_PERIOD} THEN RAISE EXCEPTION '{_REFUSED}'; END IF; "
        "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$",
        "CREATE OR REPLACE FUNCTION borderpost_open_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {_INTO_A_CLOSED_PERIOD} THEN RAISE EXCEPTION '{_CLOSED}'; END IF; RETURN NEW; END $$",
    ]
    for table in _ONLY_GROW:
        made += [
            f"CREATE TRIGGER {table}_only_grows BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION borderpost_refuse()",
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION borderpost_refuse()",
        ]
    made += [
        "CREATE TRIGGER ledger_closed BEFORE UPDATE OR DELETE ON ledger "
        "FOR EACH ROW EXECUTE FUNCTION borderpost_refuse_closed()",
        "CREATE TRIGGER ledger_entries_open_only BEFORE INSERT ON ledger_entries "
        "FOR EACH ROW EXECUTE FUNCTION borderpost_open_only()",
    ]
    return made
