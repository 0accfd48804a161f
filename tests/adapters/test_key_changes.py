"""Changes of keys: what they store, what they log, and what they never show again."""

from __future__ import annotations

import orjson
import pytest
from sqlalchemy import select

from gateway.adapters import key_changes
from gateway.adapters.key_changes import By, NoSuchKey, state
from gateway.adapters.keys import hash_of
from gateway.adapters.store_sql import keys as rows
from gateway.adapters.store_sql.tables import admin_log
from tests.people import NOW, US, app, database, sqlite

BY = By(actor="anne", role="admin")


@pytest.fixture
def connection(tmp_path):
    """A transaction on an empty database."""
    with database(sqlite(tmp_path)) as store, store.write() as opened:
        yield opened


def test_a_key_is_stored_as_its_hash_only(connection):
    """Neither the database nor an entry nor a repr holds the secret."""
    made = key_changes.create(connection, app(), now=NOW, by=BY, label="till 4")
    secret = made.presented.rsplit("_", 1)[1]
    row = rows.one(connection, "maple", made.row.id)
    assert row is not None
    assert row.sha256 == hash_of(made.presented)
    logged = connection.scalar(select(admin_log.c.detail))
    for text in (repr(made), repr(row), str(made.entries), str(logged)):
        assert secret not in text
        assert row.sha256 not in text


def test_a_creation_is_logged_and_journalled(connection):
    """Who, when, for which app."""
    made = key_changes.create(connection, app(), now=NOW, by=BY)
    logged = connection.execute(select(admin_log)).one()
    assert (logged.actor, logged.action, logged.target, logged.at_us) == (
        "anne",
        "key.created",
        made.row.id,
        US,
    )
    [(kind, data)] = made.entries
    assert kind == "key.created"
    assert (data["key"], data["app"], data["by"]) == (made.row.id, "teller", "anne")


def test_a_rotation_overlaps(connection):
    """The successor works at once, the old key until the overlap ends."""
    old = key_changes.create(connection, app(), now=NOW, by=BY, label="till 4")
    new = key_changes.rotate(connection, app(), old.row.id, now=NOW, by=BY, overlap_s=60)
    assert new.row.replaces == old.row.id
    assert new.row.label == "till 4"
    row = rows.one(connection, "maple", old.row.id)
    assert row is not None
    assert row.revoked_us == US + 60_000_000
    assert [state(row, now=NOW + seconds * 10**9) for seconds in (0, 59, 60)] == [
        "ending",
        "ending",
        "revoked",
    ]
    assert [kind for kind, _ in new.entries] == ["key.created", "key.revoked"]


def test_a_revocation_brought_forward_counts_and_one_put_off_does_not(connection):
    """Revoking during an overlap ends it; rotating again never lengthens a life."""
    made = key_changes.create(connection, app(), now=NOW, by=BY)
    key_changes.revoke(connection, "maple", made.row.id, now=NOW, by=BY, at_us=US + 50)
    key_changes.revoke(connection, "maple", made.row.id, now=NOW, by=BY, at_us=US + 90)
    assert rows.one(connection, "maple", made.row.id).revoked_us == US + 50
    key_changes.revoke(connection, "maple", made.row.id, now=NOW, by=BY, at_us=US + 10)
    assert rows.one(connection, "maple", made.row.id).revoked_us == US + 10


def test_the_dead_the_foreign_and_the_unknown_cannot_be_changed(connection):
    """Each says why."""
    made = key_changes.create(connection, app(), now=NOW, by=BY)
    with pytest.raises(NoSuchKey, match="no key `nobody`"):
        key_changes.revoke(connection, "maple", "nobody", now=NOW, by=BY)
    with pytest.raises(NoSuchKey, match="no key"):
        key_changes.revoke(connection, "birch", made.row.id, now=NOW, by=BY)
    with pytest.raises(NoSuchKey, match="does not belong"):
        key_changes.rotate(connection, app("hackathon"), made.row.id, now=NOW, by=BY)
    key_changes.revoke(connection, "maple", made.row.id, now=NOW, by=BY)
    with pytest.raises(NoSuchKey, match="revoked already"):
        key_changes.rotate(connection, app(), made.row.id, now=NOW, by=BY)


def test_an_expiry_in_the_past_is_an_error(connection):
    """A key that is dead at birth is a typing error."""
    with pytest.raises(ValueError, match="in the past"):
        key_changes.create(connection, app(), now=NOW, by=BY, expires_us=US)


def test_entries_can_be_journalled(connection):
    """Canonical JSON takes them: texts, whole numbers, null."""
    made = key_changes.create(connection, app(), now=NOW, by=BY, expires_us=US + 1)
    rotated = key_changes.rotate(connection, app(), made.row.id, now=NOW, by=BY)
    for _, data in rotated.entries:
        assert all(value is None or isinstance(value, str | int) for value in data.values())
        assert orjson.loads(orjson.dumps(data)) == data
