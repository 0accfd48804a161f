"""A policy goes live: two processes over one store run what was activated last, and nothing unsigned."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance import bank
from tests.acceptance.commands import admin_tokens, borderpost
from tests.acceptance.running import Running, eventually
from tests.fakes.vendor import FakeVendor, Script
from tests.policy.signed import KEYS, PEOPLE

Places = dict[str, FakeVendor]
WITHIN_S = 2.0


class Town:
    """Two gateways over one database, people with keys, and the folder that they write in."""

    def __init__(self, folder: Path, vendors: Places) -> None:
        self.policies = folder / "policies"
        self.files = bank.bundle(vendors)
        self.files["policy.yaml"]["changes_need"] = ["legal", "security"]
        bank.write(self.policies, self.files)
        ring = folder / "keyring.yaml"
        lines = []
        for name, role in PEOPLE.items():
            key = KEYS[name]
            raw = base64.b64encode(key.public_key().public_bytes_raw()).decode()
            lines.append(f'  - {{name: {name}, role: {role}, public: "{raw}"}}')
            from cryptography.hazmat.primitives import serialization as pem

            (folder / f"{name}.pem").write_bytes(
                key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
            )
        ring.write_text("keys:\n" + "\n".join(lines) + "\n")
        self.folder = folder
        tokens, self.tokens = admin_tokens(folder, "auditor", "admin")
        self.settings = {
            "BORDERPOST_DATABASE_URL": f"sqlite:///{folder / 'shared.db'}",
            "BORDERPOST_POLICY_SOURCE": "store",
            "BORDERPOST_POLICY_SIGNING": "required",
            "BORDERPOST_POLICY_KEYRING": str(ring),
            "BORDERPOST_ADMIN_TOKEN_FILE": str(tokens),
        }
        self.gateways: list[Running] = []

    def command(self, *arguments: str | Path) -> tuple[int, str]:
        """Run a command with the settings; return its status and all that it said."""
        done = borderpost(
            *arguments,
            BORDERPOST_DATA_DIR=str(self.folder / "desk"),
            BORDERPOST_POLICIES=str(self.policies),
            BORDERPOST_PLACE="CA-QC",
            **self.settings,
        )
        return done.returncode, done.stdout + done.stderr

    def edit(self, **changes: object) -> None:
        """Write the files with parts of the policy changed."""
        self.files["policy.yaml"].update(changes)
        bank.write(self.policies, self.files)

    def sign(self, *names: str, author: str = "joe", replaces: str = "") -> None:
        """Have people sign what stands in the folder."""
        for name in names:
            status, said = self.command(
                "policy", "sign", self.policies, "--as", PEOPLE[name], "--key", self.folder / f"{name}.pem",
                "--author", author, "--replaces", replaces,
            )  # fmt: skip
            assert status == 0, said

    def publish(self, *more: str) -> tuple[int, str]:
        """Publish what stands in the folder."""
        return self.command("policy", "publish", self.policies, *more)

    def start(self) -> None:
        """Start two gateways that share ids."""
        for name in ("a", "b"):
            running = Running(
                folder=self.folder / name, policies=self.folder / "none", settings=self.settings
            )
            if self.gateways:
                (running.data / "vault").mkdir(parents=True, mode=0o700)
                target = running.data / "vault" / "root.key"
                target.write_bytes((self.gateways[0].data / "vault" / "root.key").read_bytes())
                target.chmod(0o600)
            self.gateways.append(running.start())

    def active(self) -> list[tuple[str, int]]:
        """The hash and version that each gateway runs."""
        found = []
        for gateway in self.gateways:
            policy = httpx.get(f"{gateway.url}/status", trust_env=False).json()["policy"]
            found.append((policy["snapshot"], policy["version"]))
        return found


@pytest.fixture(scope="module")
def town(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The town, with its first policy in force."""
    made = Town(tmp_path_factory.mktemp("town"), places)
    try:
        status, said = made.publish()
        assert status == 1
        assert "a signature as legal is missing; a signature as security is missing" in said
        made.sign("anna", "sami")
        status, said = made.publish()
        assert status == 0, said
        assert "signed by anna as legal, sami as security" in said
        made.start()
        yield made
    finally:
        for gateway in made.gateways:
            gateway.kill()


def test_both_processes_see_an_activation_within_two_seconds(town: Town) -> None:
    """Without a restart, whichever of the ways it came by; the one before comes back by a roll-back."""
    (before, _), (same, _) = town.active()
    assert before == same
    town.edit(version=2)
    town.sign("anna", "sami")
    began = time.monotonic()
    status, said = town.publish()
    published = time.monotonic()
    assert status == 0, said
    eventually(lambda: [version for _, version in town.active()] == [2, 2], WITHIN_S + 0.5)
    assert time.monotonic() - published < WITHIN_S + (published - began)
    status, said = town.command("policy", "rollback")
    assert status == 0, said
    eventually(lambda: [hash_ for hash_, _ in town.active()] == [before, before], WITHIN_S + 0.5)
    assert "ACTIVE" in town.command("policy", "bundles")[1]


def test_an_author_cannot_approve_and_a_tampered_bundle_is_not_run(town: Town) -> None:
    """The own signature is refused at signing; a changed row is refused by each worker."""
    before = town.active()
    town.edit(version=3)
    status, said = town.command(
        "policy",
        "sign",
        town.policies,
        "--as",
        "legal",
        "--key",
        town.folder / "anna.pem",
        "--author",
        "anna",
    )
    assert status == 2
    assert "an author cannot approve" in said
    town.sign("anna")
    status, said = town.publish()
    assert status == 1
    assert "a signature as security is missing" in said
    hash_ = said.split("stored ")[1].split()[0]
    gateway = town.gateways[0]
    from sqlalchemy import text

    from gateway.adapters.store_sql import Store

    store = Store(gateway.database_url)
    with store.write() as connection:  # a hand in the database puts it in force
        connection.execute(
            text(
                "INSERT INTO bundle_activations (tenant, hash, at_us, by, revoke) "
                f"VALUES ('maple-bank', '{hash_}', 1, 'eve', false)"
            )
        )
        connection.execute(text("UPDATE counters SET value = value + 1 WHERE name = 'bundles'"))
    store.close()

    def refused() -> bool:
        told = [httpx.get(f"{g.url}/status", trust_env=False).text for g in town.gateways]
        return all("is not approved" in text for text in told)

    eventually(refused, 5)
    assert town.active() == before
    assert town.command("policy", "rollback", before[0][0])[0] == 0


def test_a_decision_is_explained_to_its_app_and_to_an_auditor(town: Town, places: Places) -> None:
    """By the id that the refusal gave, under the bundle that decided; by command line too."""
    gateway = town.gateways[0]
    key = gateway.key("teller")
    for request in range(2):
        got = httpx.post(
            f"{town.gateways[request].url}/v1/chat/completions",
            headers={"authorization": f"Bearer {key}"},
            json={"model": "chat-pro", "messages": [{"role": "user", "content": "hello"}]},
            trust_env=False,
        )
        if got.status_code == 403:
            break
    decision = got.json()["error"]["borderpost"]["decision"]
    url = f"{gateway.url}/v1/decisions/{decision}"

    def told(token: str) -> httpx.Response:
        return httpx.get(url, headers={"authorization": f"Bearer {token}"}, trust_env=False)

    eventually(lambda: told(key).status_code == 200, 8)
    mine = told(key)
    assert "CA-1" in [rule["id"] for rule in mine.json()["rules"]]
    assert mine.json()["policy"]["same"] is True
    assert all(f":{vendor.port}" not in mine.text for vendor in places.values())
    assert told(gateway.key("hackathon")).status_code == 404
    full = told(town.tokens["auditor"]).json()
    assert full["explanation"]["candidates"]
    status, said = town.command("policy", "explain", "--decision", decision, "--folder", town.policies)
    assert status == 1
    assert "which decided it, at that instant" in said
    assert "CA-1" in said


def test_revoke_now_ends_a_stream_that_the_new_policy_forbids(town: Town, places: Places) -> None:
    """Without it an answer in flight would finish under its own snapshot."""
    gateway = town.gateways[1]
    key = gateway.key("teller")
    places["ca"].script(Script(text="and so on ", endless=True, pause_ms=200))
    seen: list[bytes] = []
    ended = threading.Event()

    def read() -> None:
        with httpx.stream(
            "POST",
            f"{gateway.url}/v1/chat/completions",
            headers={"authorization": f"Bearer {key}"},
            json={
                "model": "chat",
                "stream": True,
                "max_tokens": 4000,
                "messages": [{"role": "user", "content": "hello"}],
            },
            timeout=60,
            trust_env=False,
        ) as reply:
            seen.extend(reply.iter_raw())
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    eventually(lambda: seen, 10)
    rule = {
        "id": "STOP",
        "says": "Nothing is sent to anybody.",
        "for": {"data": "any"},
        "must": {"vendor": ["nobody"]},
        "strength": "hard",
    }
    town.edit(version=9, rules=[*town.files["policy.yaml"]["rules"], rule])
    (before, _), _ = town.active()
    town.sign("anna", replaces=before)
    status, said = town.publish("--revoke", "now")
    assert status == 0, said
    assert "this change only narrows: 1 approver" in said
    assert ended.wait(10)
    assert b"policy_refused" in b"".join(seen)
    eventually(lambda: [version for _, version in town.active()] == [9, 9], WITHIN_S + 0.5)
