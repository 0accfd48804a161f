"""Sums kept ready, so that a report does not read every row.

Revision 0021.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

HOUR = 3_600_000_000
DAY = 24 * HOUR
NAMED = (
    "tenant", "team", "app", "alias", "deployment", "vendor", "place", "model", "surface",
)
MAYBE = ("cost_centre", "currency", "spend_currency", "billing_period")
BUCKETS = (
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning",
    "input_audio", "output_audio", "input_image",
)
SUMS = {
    "calls": "SUM(CASE WHEN NOT EXISTS (SELECT 1 FROM ledger AS later WHERE later.call_id = l.call_id"
    " AND later.number > l.number) THEN 1 ELSE 0 END)",
    "attempts": "COUNT(*)",
    "served": "SUM(CASE WHEN l.status = 'served' THEN 1 ELSE 0 END)",
    "failed": "SUM(CASE WHEN l.status = 'failed' THEN 1 ELSE 0 END)",
    "unpriced": "SUM(CASE WHEN l.nano IS NULL AND l.status <> 'failed' THEN 1 ELSE 0 END)",
    "priced": "COUNT(l.nano)",
    "estimates": "SUM(CASE WHEN l.estimated THEN 1 ELSE 0 END)",
    "overruns": "SUM(CASE WHEN l.overrun THEN 1 ELSE 0 END)",
    **{name: f"SUM(l.{name})" for name in BUCKETS},
    "nano": "SUM(l.nano)",
    "list_nano": "SUM(COALESCE(l.list_nano, l.nano))",
    "contracted_nano": "SUM(COALESCE(l.contracted_nano, l.nano))",
    "spend_nano": "SUM(l.spend_nano)",
    "estimated_nano": "SUM(CASE WHEN l.estimated THEN l.spend_nano ELSE 0 END)",
}


def upgrade() -> None:
    """Bring the schema forward. Nothing is dropped."""
    op.create_table(
        "rollup_groups",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("span", sa.String(length=4), nullable=False),
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("team", sa.String(length=128), nullable=False),
        sa.Column("app", sa.String(length=128), nullable=False),
        sa.Column("cost_centre", sa.String(length=64), nullable=False),
        sa.Column("alias", sa.String(length=128), nullable=False),
        sa.Column("deployment", sa.String(length=128), nullable=False),
        sa.Column("vendor", sa.String(length=128), nullable=False),
        sa.Column("place", sa.String(length=128), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("surface", sa.String(length=32), nullable=False),
        sa.Column("currency", sa.String(length=16), nullable=False),
        sa.Column("spend_currency", sa.String(length=16), nullable=False),
        sa.Column("billing_period", sa.String(length=7), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollup_groups")),
        sa.UniqueConstraint(
            "span", "tenant", "team", "app", "cost_centre", "alias", "deployment", "vendor", "place",
            "model", "surface", "currency", "spend_currency", "billing_period", "key_id",
            name="uq_rollup_groups_everything",
        ),
    )
    op.create_table(
        "rollups",
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS),
        sa.ForeignKeyConstraint(
            ["group_id"], ["rollup_groups.id"], name=op.f("fk_rollups_group_id_rollup_groups")
        ),
        sa.PrimaryKeyConstraint("group_id", "start_us", name=op.f("pk_rollups")),
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": 70},
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        # A large ledger takes longer than a call may.
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    tenants = connection.execute(
        sa.text("SELECT tenant, MIN(started_us), MAX(started_us) FROM ledger GROUP BY tenant")
    ).all()
    for tenant, first, last in tenants:
        for day in range(first // DAY * DAY, last + 1, DAY):
            _fill(connection, tenant, day)


def _fill(connection: sa.Connection, tenant: str, day: int) -> None:
    """Sum one UTC day of a tenant by the hour, and with the key by the day."""
    for span, width, key in (("hour", HOUR, "''"), ("day", DAY, "l.key_id")):
        keyed = {
            **{name: f"l.{name}" for name in NAMED},
            **{name: f"COALESCE(l.{name}, '')" for name in MAYBE},
            "key_id": key,
        }
        start = f"l.started_us - l.started_us % {width}"
        rows = "ledger l WHERE l.tenant = :tenant AND l.started_us >= :day AND l.started_us < :day + :width"
        given = {"tenant": tenant, "day": day, "width": DAY}
        names = ", ".join(keyed)
        columns = ", ".join(f"{expression} AS {name}" for name, expression in keyed.items())
        by = ", ".join(expression for expression in keyed.values() if expression != "''")
        sums = ", ".join(f"COALESCE({expression}, 0) AS {name}" for name, expression in SUMS.items())
        connection.execute(
            sa.text(
                f"INSERT INTO rollup_groups (span, {names})"
                f" SELECT DISTINCT '{span}', {columns} FROM {rows} ON CONFLICT DO NOTHING"
            ),
            given,
        )
        same = " AND ".join(f"g.{name} = s.{name}" for name in keyed)
        connection.execute(
            sa.text(
                f"INSERT INTO rollups (group_id, start_us, {', '.join(SUMS)}) SELECT"
                # A look into the index: the new table is not counted yet, and a join would not use it.
                f" (SELECT g.id FROM rollup_groups g WHERE g.span = '{span}' AND {same}),"
                f" s.start_us, {', '.join(f's.{name}' for name in SUMS)} FROM"
                f" (SELECT {columns}, {start} AS start_us, {sums} FROM {rows} GROUP BY {by}, {start}) s"
            ),
            given,
        )
