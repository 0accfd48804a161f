"""The admin API of bundles: published, refused, activated, listed, rolled back."""

from __future__ import annotations

import pytest

from gateway.adapters.memory_journal import MemoryJournal
from gateway.api.bundles import BundleDeps, router
from gateway.policy.sign import Keyring, plain
from gateway.policy.watch import NotAccepted
from tests.api.desk_under_test import ADMIN, CLOCK, as_role, client_of, issue_id
from tests.people import NOW, database, sqlite
from tests.policy.signed import BANK, KEYRING, edited, signature


class Bank:
    """The routes on an empty database."""

    def __init__(self, client, store, journal, state):
        self.client, self.store, self.journal, self.state = client, store, journal, state

    async def ask(self, method, path="bundles", role="admin", **options):
        return await self.client.request(method, f"/v1/admin/policy/{path}", headers=as_role(role), **options)

    async def publish(self, files=BANK, *names, author="joe", hash_=""):
        body = {
            "files": {name: raw.decode() for name, raw in files.items()},
            "author": author,
            "signatures": plain(signature(name, hash_, author=author) for name in names),
        }
        return await self.ask("POST", json=body)


@pytest.fixture
async def bank(tmp_path):
    state: dict[str, Keyring | None] = {"keyring": KEYRING}

    def accept(snapshot):
        if snapshot.policy_version == 99:
            raise NotAccepted("`detector:x` is not wired")

    with database(sqlite(tmp_path)) as store:
        journal = MemoryJournal(now=lambda: NOW)
        deps = BundleDeps(
            tokens=ADMIN, store=store, keyring=lambda: state["keyring"], accept=accept, source="store",
            journal=journal, clock=CLOCK, issue_id=issue_id,
        )  # fmt: skip
        async with client_of(router(deps)) as client:
            yield Bank(client, store, journal, state)


async def test_a_bundle_goes_live_once_it_is_signed(bank):
    """Stored unsigned with what is missing; signed, it is activated, listed and journalled."""
    first = (await bank.publish()).json()
    assert first["approved"] is False
    assert "a signature as legal is missing" in first["approval"]
    refused = await bank.ask("POST", f"bundles/{first['hash']}/activate")
    assert refused.status_code == 422
    assert "is not approved" in refused.json()["problems"][0]
    signed = (await bank.publish(BANK, "anna", "sami", hash_=first["hash"])).json()
    assert signed["approved"] is True
    done = await bank.ask("POST", f"bundles/{first['hash']}/activate", json={"revoke": "now"})
    assert done.status_code == 200
    assert done.json()["approval"] == "signed by anna as legal, sami as security"
    listed = (await bank.ask("GET", role="auditor")).json()
    assert [(row["active"], row["author"], len(row["signatures"])) for row in listed["data"]] == [
        (True, "joe", 2)
    ]
    assert listed["activations"][0]["revoke"] is True
    kinds = [entry.kind for entry in bank.journal.entries][1:]
    assert kinds == ["bundle.published", "bundle.published", "bundle.activated"]


async def test_a_change_is_shown_before_it_is_in_force(bank):
    """What it adds and removes against the active one, and a roll-back."""
    bank.state["keyring"] = None
    first = (await bank.publish()).json()
    await bank.ask("POST", f"bundles/{first['hash']}/activate")
    less = edited("try: [together-us, azure-cae-41mini]", "try: [azure-cae-41mini]", "routes.yaml")
    second = (await bank.publish(less)).json()
    assert second["not_ready"] == []
    assert second["widens"] is False
    assert "removes  public data of app hackathon → together-us in US" in second["changes"]
    assert second["approved"] is None
    assert (await bank.ask("POST", f"bundles/{second['hash']}/activate")).json()["widens"] is False
    back = (await bank.ask("POST", "rollback", json={})).json()
    assert back["hash"] == first["hash"]
    assert back["widens"] is True
    assert (await bank.ask("POST", "rollback", json={"to": second["hash"]})).json()["hash"] == second["hash"]


async def test_what_cannot_be_taken_says_why(bank):
    """Files that are wrong, an unknown hash, a control that is not wired, a body that is none."""
    bank.state["keyring"] = None
    wrong = await bank.publish(edited("processed_in: Quebec", "processed_in: Qebec"))
    assert wrong.status_code == 422
    assert "did you mean `Quebec`?" in wrong.json()["problems"][0]
    missing = await bank.ask("POST", f"bundles/{'0' * 64}/activate")
    assert "no bundle" in missing.json()["problems"][0]
    unwired = (await bank.publish(edited("version: 7", "version: 99"))).json()
    told = await bank.ask("POST", f"bundles/{unwired['hash']}/activate")
    assert "not wired" in told.json()["problems"][0]
    nothing = await bank.ask("POST", "rollback")
    assert "no other bundle" in nothing.json()["problems"][0]
    assert (await bank.ask("POST", content=b"?")).status_code == 400
    assert (await bank.ask("POST", json={"files": {}})).status_code == 400
    assert (await bank.ask("POST", json={"files": {"policy.yaml": "x"}, "more": 1})).status_code == 400
    bad = await bank.ask("POST", json={"files": {"policy.yaml": "policy: p"}, "signatures": [{"role": "x"}]})
    assert "a signature has" in bad.json()["problems"][0]


@pytest.mark.parametrize("role", ["finance", "auditor"])
async def test_only_an_admin_changes_what_is_in_force(bank, role):
    """Auditors read; nobody else may publish, activate or roll back."""
    for path in ("bundles", f"bundles/{'0' * 64}/activate", "rollback"):
        assert (await bank.ask("POST", path, role=role, json={})).status_code == 403
    assert (await bank.ask("GET", role=role)).status_code == (200 if role == "auditor" else 403)
