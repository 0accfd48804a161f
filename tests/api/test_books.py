"""The books over HTTP: finance closes, an auditor reads, an app may neither."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.adapters.clock import SetClock
from gateway.adapters.memory_journal import MemoryJournal
from gateway.api.books import BookDeps, router
from gateway.core.gl import Books
from gateway.policy.sign import Unusable, public_of
from gateway.reports.statements import message
from tests.api.desk_under_test import ADMIN, as_role, client_of, issue_id
from tests.bookkeeping import at, bank, come, database

OCT, AFTER = at("2026-10-15 12:00"), at("2026-11-02 09:00")


class Desk:
    """Routes over a database with one attempt in October."""

    def __init__(self, store, folder):
        self.policy = bank()
        self.signs = None
        self.journal = MemoryJournal()
        self.clock = SetClock(AFTER)
        self.deps = BookDeps(
            tokens=ADMIN,
            store=store,
            snapshot=lambda: self.policy,
            keyring=lambda: None,
            sign=self.sign,
            journals=folder / "journal",
            journal=self.journal,
            clock=self.clock,
            issue_id=issue_id,
        )

    def sign(self):
        if isinstance(self.signs, Exception):
            raise self.signs
        return self.signs


@pytest.fixture
async def desk(request, tmp_path):
    with database("sqlite", request, tmp_path) as store:
        come(store, ("a1", OCT))
        made = Desk(store, tmp_path)
        async with client_of(router(made.deps)) as client:
            made.client = client
            yield made


async def ask(desk, method, path, role="finance", **options):
    return await desk.client.request(method, f"/v1/books/{path}", headers=as_role(role), **options)


async def test_a_month_is_closed_and_read_back(desk):
    """Standing, closing, closing again, statement and check."""
    before = (await ask(desk, "GET", "2026-10", role="auditor")).json()
    assert (before["status"], before["statements"]) == ("preliminary", [])
    done = await ask(desk, "POST", "2026-10/close", json={})
    assert done.status_code == 200
    body = done.json()
    assert (body["status"], body["fresh"], body["statement"]["rows"]["ledger"]) == ("closed", True, 1)
    assert (await ask(desk, "POST", "2026-10/close")).json()["sha256"] == body["sha256"]
    after = (await ask(desk, "GET", "2026-10", role="auditor")).json()
    assert (after["status"], after["statements"][0]["sha256"]) == ("closed", body["sha256"])
    statement = await ask(desk, "GET", "2026-10/statement", role="auditor")
    assert statement.headers["x-statement-sha256"] == sha256(statement.content).hexdigest()
    assert statement.headers["x-books-sha256"] == body["sha256"]
    assert json.loads(statement.content) == body["statement"]
    checked = (await ask(desk, "GET", "2026-10/verify", role="auditor")).json()
    assert checked["holds"]
    assert [entry.kind for entry in desk.journal.entries if entry.kind.startswith("period")] == [
        "period.closed"
    ]


async def test_only_finance_closes(desk):
    """An auditor reads; who has no token does neither."""
    assert (await ask(desk, "POST", "2026-10/close", role="auditor", json={})).status_code == 403
    assert (await desk.client.get("/v1/books/2026-10")).status_code == 401


async def test_a_refusal_says_why(desk):
    """409 with the reason; 404 for what is not there; 422 and 400 for what is no month or no body."""
    running = await ask(desk, "POST", "2026-11/close", json={})
    assert running.status_code == 409
    error = running.json()["error"]
    assert error["code"] == "period_not_closed"
    assert "runs until 2026-12-01 00:00" in error["message"]
    assert (await ask(desk, "GET", "2026-10/statement")).status_code == 404
    assert (await ask(desk, "GET", "2026-10/verify")).status_code == 404
    assert (await ask(desk, "GET", "2026-13")).status_code == 400
    assert (await ask(desk, "GET", "soon")).status_code == 400
    assert (await ask(desk, "POST", "2026-10/close", json={"forced": True})).status_code == 400
    assert (await ask(desk, "POST", "2026-10/close", content=b"{")).status_code == 400


async def test_where_two_people_close_the_first_is_told_to_wait(desk):
    """202 for the first; a second person closes the same rows."""
    desk.policy = bank(books=Books(two_people=True))
    first = await ask(desk, "POST", "2026-10/close", json={})
    assert (first.status_code, first.json()["waits_for"]) == (202, "a second person")
    assert (await ask(desk, "POST", "2026-10/close", json={})).status_code == 202
    second = await ask(desk, "POST", "2026-10/close", role="admin", json={})
    assert second.status_code == 200
    assert second.json()["statement"]["asked_by"] == "a-finance"


async def test_a_key_of_the_installation_signs(desk):
    """Signer, key and signature stand in the headers; a key that cannot be used closes nothing."""
    desk.signs = Unusable("`fina.pem` is no private key")
    refused = await ask(desk, "POST", "2026-10/close", json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "period_not_closed")
    assert (await ask(desk, "GET", "2026-10")).json()["status"] == "preliminary"
    key = Ed25519PrivateKey.generate()
    desk.signs = lambda message: ("Fina", public_of(key), key.sign(message))
    await ask(desk, "POST", "2026-10/close", json={})
    found = await ask(desk, "GET", "2026-10/statement")
    assert found.headers["x-statement-signer"] == "Fina"
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(found.headers["x-statement-public-key"]))
    public.verify(bytes.fromhex(found.headers["x-statement-signature"]), message(found.content))
