"""Which alerts were given, once per threshold and window; and which deployments billed beyond their bound.

Same rules as :mod:`gateway.adapters.store_sql.tables`: units by suffix, no Numeric, no Float.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from gateway.adapters.store_sql.tables import metadata

suspensions = Table(
    "suspensions",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("deployment", String(128), primary_key=True),
    Column("call_id", String(80), nullable=False),
    Column("attempt_id", String(80), nullable=False),
    Column("bound_nano", BigInteger, nullable=False),
    Column("billed_nano", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("over", Text, nullable=False),  # JSON array of budget ids
    Column("at_us", BigInteger, nullable=False),
    Column("cleared_us", BigInteger),
    Column("cleared_by", String(256)),
)
"""The last overrun of each deployment. It suspends the deployment for hard budgets until it is cleared."""

alerts = Table(
    "alerts",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("key", String(320), primary_key=True),  # "threshold:team:branch:CAD:<window>:80"
    Column("destination", String(128), primary_key=True),
    Column("id", String(40), nullable=False),  # told to receivers, so that they can drop a repeat
    Column("kind", String(32), nullable=False),
    Column("facts", Text, nullable=False),  # JSON object, content-free
    Column("at_us", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # pending | sent | undelivered
    Column("tries", Integer, nullable=False),
    Column("due_us", BigInteger, nullable=False),  # not before
    Column("lease_us", BigInteger, nullable=False),  # whoever sends has until then
    Column("holder", String(64), nullable=False),
    Column("ended_us", BigInteger),
    Column("why", String(64)),  # of the last failure, one word
)
"""One row per alert and destination: whose row it is was decided by its key, once."""
Index(None, alerts.c.state, alerts.c.due_us)
Index(None, alerts.c.tenant, alerts.c.at_us)
