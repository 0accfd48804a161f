"""``borderpost keys``: shown once, stored as a hash, noted in log and journal."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from gateway.adapters.keys import hash_of
from gateway.adapters.store_sql import keys as rows
from gateway.adapters.store_sql.tables import admin_log
from gateway.settings import read_admin_tokens
from tests.cli.desk import Desk


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def stored(desk):
    store = desk.store()
    try:
        with store.read() as connection:
            return rows.all_keys(connection)
    finally:
        store.close()


def test_a_key_is_shown_once_alone_on_standard_output(desk):
    """So that a script can take it; the advice goes to standard error."""
    done = desk.run("keys", "create", "teller", "--label", "till 4")
    key = done.stdout.strip()
    assert done.exit_code == 0
    assert key.startswith("bp_live_")
    [row] = stored(desk)
    assert (row.app, row.label, row.sha256) == ("teller", "till 4", hash_of(key))
    assert key.rsplit("_", 1)[1] not in desk.run("keys", "list", "--format", "json").stdout
    assert "not stored" in done.stderr


def test_changes_are_logged_and_journalled(desk):
    """By the name of who ran the command."""
    desk.run("keys", "create", "teller")
    [row] = stored(desk)
    desk.run("keys", "revoke", row.id)
    assert {kind for kind in desk.kinds() if kind.startswith("key.")} == {"key.created", "key.revoked"}
    store = desk.store()
    with store.read() as connection:
        logged = connection.execute(select(admin_log.c.action, admin_log.c.role)).all()
    store.close()
    assert logged == [("key.created", "operator"), ("key.revoked", "operator")]


def test_an_expiry_is_the_end_of_a_local_day(desk):
    """In the organisation's time zone: Toronto's midnight is 05:00 UTC in winter."""
    assert desk.run("keys", "create", "teller", "--expires", "2099-01-31").exit_code == 0
    [row] = stored(desk)
    assert datetime.fromtimestamp(row.expires_us // 10**6, UTC) == datetime(2099, 2, 1, 5, tzinfo=UTC)
    assert desk.run("keys", "create", "teller", "--expires", "2001-01-31").exit_code == 2
    assert desk.run("keys", "create", "teller", "--expires", "soon").exit_code == 2
    assert len(stored(desk)) == 1


def test_a_rotation_leaves_the_old_key_its_overlap(desk):
    """And says until when."""
    desk.run("keys", "create", "teller")
    [old] = stored(desk)
    done = desk.run("keys", "rotate", old.id, "--overlap", "2h")
    assert done.exit_code == 0
    assert done.stdout.startswith("bp_live_")
    before, after = stored(desk)
    assert after.replaces == old.id
    left = before.revoked_us // 10**6 - time.time()
    assert 7100 < left <= 7200
    assert desk.run("keys", "rotate", old.id, "--overlap", "soon").exit_code == 2


def test_a_key_can_be_revoked_while_the_policies_are_broken(desk, tmp_path):
    """The emergency must not wait for a typing error."""
    desk.run("keys", "create", "teller")
    [row] = stored(desk)
    broken = Desk(tmp_path, policies=tmp_path / "nowhere")
    assert broken.run("keys", "revoke", row.id).exit_code == 0
    assert stored(desk)[0].revoked_us is not None
    again = desk.run("keys", "revoke", row.id)
    assert (again.exit_code, "revoked already" in again.stderr) == (2, True)


def test_an_unknown_app_or_key_is_said(desk):
    """With what there is."""
    done = desk.run("keys", "create", "tellr")
    assert done.exit_code == 2
    assert "teller" in done.stderr
    for verb in ("rotate", "revoke"):
        assert "no key `nobody`" in desk.run("keys", verb, "nobody").stderr


def test_the_list_shows_state_and_can_be_read_by_programs(desk):
    """As a table, and as JSON."""
    desk.run("keys", "create", "teller", "--label", "\x1b[31mred")
    desk.run("keys", "create", "hackathon", "--kind", "demo")
    table = desk.run("keys", "list").stdout
    assert "active" in table
    assert "\x1b" not in table
    [row] = json.loads(desk.run("keys", "list", "--app", "hackathon", "--format", "json").stdout)
    assert (row["app"], row["kind"], row["state"]) == ("hackathon", "demo", "active")


def test_an_admin_token_and_its_line_fit_together(desk, tmp_path):
    """The line goes into the file, the token to the person."""
    done = desk.run("keys", "admin-token", "--role", "finance", "--name", "anne")
    token = done.stdout.strip()
    file = tmp_path / "tokens"
    file.write_text(done.stderr.splitlines()[-1] + "\n")
    [read] = read_admin_tokens(file)
    assert (read.role, read.name) == ("finance", "anne")
    assert read.sha256 == hashlib.sha256(token.encode()).digest()
    assert token not in done.stderr
    assert desk.run("keys", "admin-token", "--role", "finance", "--name", "two words").exit_code == 2
