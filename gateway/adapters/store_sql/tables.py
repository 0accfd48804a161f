"""Every table of the SQL store, for SQLite and PostgreSQL alike.

The journal is the truth; these tables are for asking questions and for what
workers share (keys, budget windows, slices, idempotency). Each room keeps its
queries in its own module beside this one; the tables live together so that one
Alembic history covers them.

Units, by suffix: ``_us`` microseconds since the Unix epoch, UTC; ``_nano`` int64
nano-units of the currency that stands beside it. JSON is canonical text.

INVARIANT: no column is Numeric or Float: SQLite sums those as binary floats
(promise 6). ``tests/adapters/store_sql/test_tables.py`` holds it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself for INTEGER PRIMARY KEY only.
RowId = BigInteger().with_variant(Integer(), "sqlite")

# ------------------------------------------------------------------------ keys

keys = Table(
    "keys",
    metadata,
    Column("id", String(64), primary_key=True),  # public part of the key: bp_live_<id>_<secret>
    Column("tenant", String(128), nullable=False),
    Column("app", String(128), nullable=False),
    Column("kind", String(16), nullable=False, server_default="live"),  # live | demo
    Column("label", Text, nullable=False, server_default=""),
    Column("sha256", String(64), nullable=False, unique=True),  # hex of the whole presented key
    Column("user", String(256)),  # Caller.user, where the key is one person's
    Column("place", String(16)),  # Caller.place
    Column("created_us", BigInteger, nullable=False),
    Column("created_by", String(256), nullable=False, server_default=""),
    Column("expires_us", BigInteger),
    Column("revoked_us", BigInteger),  # in the future while a rotation overlaps
    Column("revoked_by", String(256)),
    Column("replaces", String(64)),  # key id that a rotation replaced
)
"""API keys, hashed. What is revoked or expired stays, for the records that name it."""

counters = Table(
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),  # "keys": moved by every change of a key
    Column("value", BigInteger, nullable=False),
)
"""Change counters, so that workers learn of a change by reading one row."""

# --------------------------------------------------------------------- budgets

writers = Table(
    "writers",
    metadata,
    Column("id", String(64), primary_key=True),  # never reused: a writer is one life of one process
    Column("place", String(32), nullable=False),
    Column("host", String(256), nullable=False),
    Column("state", String(16), nullable=False),  # open | closed
    Column("opened_us", BigInteger, nullable=False),
    Column("closed_us", BigInteger),
    Column("closed_by", String(64)),  # itself, or the writer that adopted it
)
"""Owners of slices: the fence. A closed writer can never be granted anything."""

budget_windows = Table(
    "budget_windows",
    metadata,
    Column("budget", String(256), nullable=False),
    Column("window", String(40), nullable=False),  # start, RFC 3339 UTC; "now": calls at once
    Column("unit", String(16), nullable=False),  # a currency (amounts in nano-units), or of core/units.py
    Column("resets_us", BigInteger, nullable=False),
    Column("committed", BigInteger, nullable=False),
    Column("contended_us", BigInteger, nullable=False, server_default="0"),  # last refusal
    Column("base", BigInteger),  # the limit that was last declared, without what was taken over
    Column("carried", BigInteger),  # taken over from the window before; null until that is decided
    Column("passed", BigInteger, nullable=False, server_default="0"),  # passed on to the next window
    PrimaryKeyConstraint("budget", "window"),
    CheckConstraint("committed >= 0", name="committed"),
)
"""One row per budget and window. INVARIANT: committed = Σ granted of its slices."""
Index(None, budget_windows.c.budget, budget_windows.c.resets_us)

slices = Table(
    "slices",
    metadata,
    Column("writer", String(64), ForeignKey("writers.id"), nullable=False),
    Column("budget", String(256), nullable=False),
    Column("window", String(40), nullable=False),
    Column("granted", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False, server_default="0"),  # by the projector, with the ledger rows
    PrimaryKeyConstraint("writer", "budget", "window"),
    CheckConstraint("granted >= 0", name="granted"),
)
"""What each writer may admit against. Not given back by time, only by reading its journal."""
Index(None, slices.c.budget, slices.c.window)

# ---------------------------------------------------------------------- ledger

ledger = Table(
    "ledger",
    metadata,
    Column("attempt_id", String(80), primary_key=True),
    Column("call_id", String(80), nullable=False),
    Column("writer", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),  # of the entry that booked it
    Column("number", Integer, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger, nullable=False),
    Column("first_us", BigInteger),  # when a stream's first chunk came; null: a plain reply, or none
    Column("tenant", String(128), nullable=False),
    Column("team", String(128), nullable=False),
    Column("app", String(128), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("cost_centre", String(64)),  # frozen: moving a team does not rewrite history
    Column("alias", String(128), nullable=False),
    Column("deployment", String(128), nullable=False),
    Column("vendor", String(128), nullable=False),
    Column("place", String(128), nullable=False),  # sorted places, joined by a comma
    Column("model", String(256), nullable=False),
    Column("vendor_model", String(256)),
    Column("vendor_id", String(256)),
    Column("surface", String(32), nullable=False),
    Column("status", String(16), nullable=False),  # served | failed | abandoned | cut
    Column("code", String(64)),
    # Disjoint buckets, named as in core.values.Usage; zero where usage never came.
    Column("input", BigInteger, nullable=False, server_default="0"),
    Column("cache_read", BigInteger, nullable=False, server_default="0"),
    Column("cache_write_5m", BigInteger, nullable=False, server_default="0"),
    Column("cache_write_1h", BigInteger, nullable=False, server_default="0"),
    Column("output", BigInteger, nullable=False, server_default="0"),
    Column("reasoning", BigInteger, nullable=False, server_default="0"),
    Column("input_audio", BigInteger, nullable=False, server_default="0"),
    Column("output_audio", BigInteger, nullable=False, server_default="0"),
    Column("input_image", BigInteger, nullable=False, server_default="0"),
    Column("currency", String(16)),  # of the price; null when unpriced
    Column("nano", BigInteger),  # in that currency; null when unpriced
    Column("spend_currency", String(16)),  # of the organisation; null when unpriced or no rate
    Column("spend_nano", BigInteger),
    Column("estimated", Boolean, nullable=False),
    Column("overrun", Boolean, nullable=False),
    Column("snapshot", String(80), nullable=False),
    Column("price_ids", Text, nullable=False, server_default=""),  # sorted, joined by a comma
    Column("lines", Text, nullable=False, server_default="[]"),  # JSON of the charge lines
    Column("list_nano", BigInteger),  # before any discount; null: as nano
    Column("contracted_nano", BigInteger),  # of what is paid by time: as if by the call; null: as nano
    Column("tier", String(32), nullable=False, server_default=""),  # as the vendor served it; "" standard
    Column("served_place", String(64), nullable=False, server_default=""),  # where prices depend on it
    Column("band", BigInteger, nullable=False, server_default="0"),  # prompt length that re-priced it
    Column("units", Text, nullable=False, server_default="{}"),  # JSON of rarer buckets: {"web_search": 2}
    Column("at_most", Boolean, nullable=False, server_default=false()),  # booked at its hold, rounded upward
    Column("billing_period", String(7)),  # of a late row: where it is booked; null: the month of its start
    UniqueConstraint("writer", "seq", "attempt_id"),
)
"""One row per upstream attempt, whatever happened. Never updated."""
Index(None, ledger.c.tenant, ledger.c.started_us)
Index(None, ledger.c.call_id)
Index(
    "ix_ledger_late",
    ledger.c.tenant,
    ledger.c.billing_period,
    # Late rows only: the others pay nothing for it.
    sqlite_where=ledger.c.billing_period.is_not(None),
    postgresql_where=ledger.c.billing_period.is_not(None),
)

records = Table(
    "records",
    metadata,
    Column("call_id", String(80), primary_key=True),
    Column("writer", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("tenant", String(128), nullable=False),
    Column("team", String(128), nullable=False),
    Column("app", String(128), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("surface", String(32), nullable=False),
    Column("asked", String(256), nullable=False),
    Column("alias", String(128)),
    Column("stream", Boolean, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger, nullable=False),
    Column("outcome", String(64), nullable=False),  # "served" or a code of core.errors
    Column("status", Integer, nullable=False),
    Column("decision", String(80)),
    Column("rules", Text, nullable=False),  # JSON array of ids
    Column("labels", Text, nullable=False),  # JSON array of {name, set_by}
    Column("features", Text, nullable=False),  # JSON array
    Column("masked", Text, nullable=False),  # JSON object kind → count
    Column("masked_reply", Text, nullable=False),
    Column("degraded", Text),  # JSON object: what a ladder did before it was served
    Column("attempts", Integer, nullable=False),
    Column("snapshot", String(80), nullable=False),
    Column("use", String(128)),
    Column("attempt_id", String(80)),  # the last try
    Column("deployment", String(128)),
    Column("vendor_id", String(256)),
    Column("vendor_model", String(256)),
    UniqueConstraint("writer", "seq", "call_id"),
)
"""One row per call, content-free."""
Index(None, records.c.tenant, records.c.received_us)
Index(None, records.c.tenant, records.c.vendor_id)
Index(None, records.c.decision)

# -------------------------------------------------------------------- feedback


def _feedback_columns() -> list[Column[object]]:
    """The columns that the current rating and its history share."""
    return [
        Column("target", String(96), nullable=False),  # call id, or call id "." choice
        Column("key", String(64), nullable=False),  # thumbs, value …
        Column("rater", String(80), nullable=False),  # pseudonym
        Column("feedback_id", String(80), nullable=False),
        Column("tenant", String(128), nullable=False),
        Column("app", String(128), nullable=False),
        Column("call_id", String(80), nullable=False),
        Column("choice", Integer),
        Column("thumb", Integer),  # 1 up, 0 down
        Column("value", Text),  # a decimal string, as sent
        Column("score_ppm", Integer),  # normalised 0..1 in millionths
        Column("label", String(128)),
        Column("comment", Text),  # always null: comments are sealed, in `content`
        Column("rater_kind", String(16)),  # end_user | developer | reviewer | judge | code
        Column("place", String(32)),
        Column("occurred_us", BigInteger, nullable=False),
        Column("received_us", BigInteger, nullable=False),
        Column("writer", String(64), nullable=False),
        Column("seq", BigInteger, nullable=False),
    ]


feedback = Table(
    "feedback",
    metadata,
    *_feedback_columns(),
    PrimaryKeyConstraint("target", "key", "rater"),
    UniqueConstraint("tenant", "feedback_id"),
)
"""The rating that counts per (target, key, rater)."""
Index(None, feedback.c.tenant, feedback.c.occurred_us)
Index(None, feedback.c.call_id)

feedback_history = Table(
    "feedback_history",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    *_feedback_columns(),
    Column("superseded_us", BigInteger),
    UniqueConstraint("writer", "seq"),
)
"""Every rating ever accepted, superseded ones included."""
Index(None, feedback_history.c.target, feedback_history.c.key, feedback_history.c.rater)
Index(None, feedback_history.c.tenant, feedback_history.c.feedback_id)

# ----------------------------------------------------------------- idempotency

idempotency = Table(
    "idempotency",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("key_hash", String(64), nullable=False),  # SHA-256 of the Idempotency-Key
    Column("digest", String(64), nullable=False),  # of the request
    Column("state", String(16), nullable=False),  # running | done | too_large
    Column("owner", String(64)),  # writer that runs it
    Column("status", Integer),
    Column("sealed", LargeBinary),  # the reply, under a key that only the caller can derive
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "key_id", "key_hash"),
)
"""Replies kept for the same caller's retry."""
Index(None, idempotency.c.expires_us)

# ----------------------------------------------------------- bundles and cursors

bundles = Table(
    "bundles",
    metadata,
    Column("hash", String(80), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("published_us", BigInteger, nullable=False),
    Column("published_by", String(256), nullable=False, server_default=""),
    Column("active", Boolean, nullable=False),
    Column("author", String(256), nullable=False, server_default=""),  # who wrote it; not who stored it
)
"""Policy bundles by content address. The newest of ``bundle_activations`` is in force."""

cursors = Table(
    "cursors",
    metadata,
    Column("writer", String(64), primary_key=True),
    Column("seq", BigInteger, nullable=False),  # last entry that is in the tables
    Column("updated_us", BigInteger, nullable=False),
    Column("read_us", BigInteger),  # an instant at which nothing unread was left in the journal
)
"""How far each journal has been projected; moved in the same transaction as the rows."""

admin_log = Table(
    "admin_log",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("at_us", BigInteger, nullable=False),
    Column("tenant", String(128), nullable=False),
    Column("actor", String(256), nullable=False),
    Column("role", String(32), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(256), nullable=False),
    Column("detail", Text, nullable=False, server_default="{}"),  # JSON, no secrets
)
"""What people with roles did."""

# ------------------------------------------------------- where vendors say they ran

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("deployment", String(128), nullable=False),
    Column("facts", String(64), nullable=False),  # digest of the facts that were contradicted
    Column("declared", Text, nullable=False),  # JSON array of places
    Column("reported", Text, nullable=False),  # JSON array of places
    Column("call_id", String(80), nullable=False),  # the call that found it out
    Column("at_us", BigInteger, nullable=False),
    Column("cleared_us", BigInteger),
    Column("cleared_by", String(256)),
    PrimaryKeyConstraint("tenant", "deployment", "facts"),
)
"""Deployments whose vendor reported another place than their facts; out until the facts change."""

# --------------------------------------------------------------- conversations

conversation_labels = Table(
    "conversation_labels",
    metadata,
    Column("conversation", String(64), nullable=False),  # HMAC of tenant, app and the app's name for it
    Column("label", String(128), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("conversation", "label"),
)
"""Labels that stay with a conversation; nothing of its content and no name of it."""
Index(None, conversation_labels.c.expires_us)

# ---------------------------------------------------------- who approved a bundle

bundle_signatures = Table(
    "bundle_signatures",
    metadata,
    Column("hash", String(80), ForeignKey("bundles.hash"), nullable=False),
    Column("role", String(128), nullable=False),
    Column("signer", String(256), nullable=False),
    Column("author", String(256), nullable=False),  # of the bundle, as signed
    Column("replaces", String(80), nullable=False),  # the bundle that the signer compared with, or ""
    Column("value", LargeBinary, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("hash", "role", "signer"),
)
"""Signatures as given; whether one holds, the keyring outside the database says."""

bundle_activations = Table(
    "bundle_activations",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("tenant", String(128), nullable=False),
    Column("hash", String(80), ForeignKey("bundles.hash"), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("by", String(256), nullable=False),
    Column("revoke", Boolean, nullable=False),  # end attempts in flight that it does not permit
)
"""Every time that a bundle was put in force. The newest counts."""

# -------------------------------------------------------------------- content

content_keys = Table(
    "content_keys",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("subject", String(128), nullable=False),  # a pseudonym
    Column("place", String(32), nullable=False),
    Column("generation", BigInteger, nullable=False),  # grows with each erasure
    Column("wrapped", LargeBinary),  # under the place's root key; null once destroyed
    Column("created_us", BigInteger, nullable=False),
    Column("erased_us", BigInteger),
    Column("erased_by", String(256)),
    PrimaryKeyConstraint("tenant", "subject", "place", "generation"),
)
"""The key of each subject in each place. A destroyed one stays as its own tombstone."""

content = Table(
    "content",
    metadata,
    Column("tenant", String(128), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("name", String(160), nullable=False),
    Column("place", String(32), nullable=False),
    Column("generation", BigInteger, nullable=False),  # of the key
    Column("sealed", LargeBinary, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "subject", "kind", "name", "place"),
)
"""Pieces of content, each sealed under its subject's key."""
Index(None, content.c.expires_us)
