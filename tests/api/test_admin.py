"""The admin API: keys shown once, changes logged, roles held."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from gateway.adapters.keys import KeySnapshot
from gateway.adapters.memory_journal import MemoryJournal
from gateway.adapters.store_sql.tables import admin_log
from gateway.api.admin import AdminDeps, Reloaded, router
from gateway.core.errors import Refusal
from gateway.core.values import Caller
from tests.api.desk_under_test import ADMIN, CLOCK, as_role, client_of, issue_id
from tests.people import NOW, app, database, snapshot, sqlite

BUNDLE = snapshot(app())


class Bank:
    """The admin routes on a small bank."""

    def __init__(self, client, store, journal, reloads):
        self.client, self.store, self.journal = client, store, journal
        self.reloads = reloads
        self.keys = KeySnapshot(store, lambda: BUNDLE.apps, CLOCK)

    async def ask(self, method, path, role="admin", **options):
        return await self.client.request(method, f"/v1/admin/{path}", headers=as_role(role), **options)

    async def find(self, key):
        await self.keys.refresh()
        return self.keys.find(key, NOW)


@pytest.fixture
async def bank(tmp_path):
    reloads = []

    async def reload():
        return reloads.pop()

    with database(sqlite(tmp_path)) as store:
        journal = MemoryJournal(now=lambda: NOW)
        deps = AdminDeps(
            tokens=ADMIN, store=store, snapshot=lambda: BUNDLE, reload=reload,
            journal=journal, clock=CLOCK, issue_id=issue_id,
        )  # fmt: skip
        async with client_of(router(deps)) as client:
            yield Bank(client, store, journal, reloads)


async def test_a_key_is_made_shown_once_and_works(bank):
    """Created, used, listed without its secret, logged, journalled."""
    made = await bank.ask("POST", "keys", json={"app": "teller", "label": "till 4"})
    assert made.status_code == 201
    key = made.json()["key"]
    assert isinstance(await bank.find(key), Caller)
    listed = await bank.ask("GET", "keys")
    secret = key.rsplit("_", 1)[1]
    assert [row["id"] for row in listed.json()["data"]] == [made.json()["id"]]
    assert secret not in listed.text
    assert "sha256" not in listed.text
    assert [entry.kind for entry in bank.journal.entries][1:] == ["key.created"]
    assert not any(secret.encode() in line for line in bank.journal.lines)
    with bank.store.read() as connection:
        assert connection.execute(select(admin_log.c.actor, admin_log.c.role)).all() == [("a-admin", "admin")]


async def test_a_key_is_rotated_and_revoked(bank):
    """The old one goes on until it is revoked; the successor stays."""
    old = (await bank.ask("POST", "keys", json={"app": "teller"})).json()
    new = await bank.ask("POST", f"keys/{old['id']}/rotate", json={"overlap_s": 60})
    assert new.status_code == 201
    assert new.json()["replaces"] == old["id"]
    assert isinstance(await bank.find(old["key"]), Caller)
    gone = await bank.ask("DELETE", f"keys/{old['id']}")
    assert gone.json() == {"id": old["id"], "state": "revoked"}
    assert isinstance(await bank.find(old["key"]), Refusal)
    assert isinstance(await bank.find(new.json()["key"]), Caller)
    states = {row["id"]: row["state"] for row in (await bank.ask("GET", "keys?app=teller")).json()["data"]}
    assert states == {old["id"]: "revoked", new.json()["id"]: "active"}
    assert (await bank.ask("GET", "keys?app=other")).json()["data"] == []


async def test_a_rotation_needs_no_body(bank):
    """A day of overlap unless said otherwise."""
    old = (await bank.ask("POST", "keys", json={"app": "teller"})).json()
    assert (await bank.ask("POST", f"keys/{old['id']}/rotate")).status_code == 201


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"app": "nobody"}, "app"),
        ({}, "app"),
        ({"app": "teller", "colour": "red"}, "colour"),
        ({"app": "teller", "kind": "free"}, "kind"),
        ({"app": "teller", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"app": "teller", "expires_at": "2027-01-01T00:00:00"}, "expires_at"),
    ],
)
async def test_a_wrong_field_is_named(bank, body, param):
    """400, and no key is made. A time without a zone is no time."""
    answer = await bank.ask("POST", "keys", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert (await bank.ask("GET", "keys")).json()["data"] == []


async def test_an_expiry_is_kept(bank):
    """To the microsecond, from any zone."""
    made = await bank.ask("POST", "keys", json={"app": "teller", "expires_at": "2026-12-01T00:00:00-05:00"})
    assert made.json()["expires_us"] == 1_796_101_200_000_000


async def test_what_is_not_there_is_a_404(bank):
    """Also what is dead already."""
    for method, path in (("DELETE", "keys/nobody"), ("POST", "keys/nobody/rotate")):
        answer = await bank.ask(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "target_not_found")


async def test_a_revocation_does_not_wait_for_the_journal(bank):
    """It stands in the database; the answer says that it was not noted. A new key is not shown then."""
    made = (await bank.ask("POST", "keys", json={"app": "teller"})).json()
    bank.journal.failing = True
    answer = await bank.ask("DELETE", f"keys/{made['id']}")
    assert answer.json()["error"]["code"] == "journal_unavailable"
    assert isinstance(await bank.find(made["key"]), Refusal)
    lost = await bank.ask("POST", "keys", json={"app": "teller"})
    assert lost.status_code == 503
    assert "bp_live" not in lost.text


@pytest.mark.parametrize(
    ("method", "path", "roles"),
    [
        ("GET", "keys", {"admin", "auditor"}),
        ("POST", "keys", {"admin"}),
        ("POST", "keys/x/rotate", {"admin"}),
        ("DELETE", "keys/x", {"admin"}),
        ("GET", "policy", {"admin", "auditor", "finance"}),
        ("POST", "policy/reload", {"admin"}),
    ],
)
async def test_each_route_has_its_roles(bank, method, path, roles):
    """Nobody without a token; the others are told which role it takes."""
    assert (await bank.client.request(method, f"/v1/admin/{path}")).status_code == 401
    for role in {"admin", "auditor", "finance"} - roles:
        assert (await bank.ask(method, path, role)).status_code == 403
    for role in roles:
        bank.reloads.append(Reloaded(hash="h", changed=False))
        assert (await bank.ask(method, path, role)).status_code not in {401, 403}


async def test_a_reload_says_what_it_did(bank):
    """A bundle with problems is a 422 that lists them; the last good one goes on."""
    bank.reloads.append(Reloaded(hash="sha256:b", changed=True))
    assert (await bank.ask("POST", "policy/reload")).json() == {
        "hash": "sha256:b",
        "changed": True,
        "problems": [],
    }
    bank.reloads.append(Reloaded(hash="sha256:b", changed=False, problems=("policy.yaml:3:1 …",)))
    answer = await bank.ask("POST", "policy/reload")
    assert (answer.status_code, answer.json()["problems"]) == (422, ["policy.yaml:3:1 …"])


async def test_the_policy_in_force_is_named_by_its_hash(bank):
    """What a record names can be compared."""
    body = (await bank.ask("GET", "policy", "auditor")).json()
    assert (body["hash"], body["apps"]) == (BUNDLE.hash, ["teller"])
