"""`borderpost policy keygen | sign | publish | bundles | rollback | diff | replay` at a terminal."""

from __future__ import annotations

import shutil

import pytest

from tests.adapters.store_sql.test_decisions import row
from tests.cli.desk import STARTER, Desk


@pytest.fixture
def desk(tmp_path):
    """A desk with a copy of the starter policies."""
    policies = shutil.copytree(
        STARTER, tmp_path / "policies", ignore=shutil.ignore_patterns("examples", "schema", "packs")
    )
    return Desk(tmp_path, policies)


def _edit(desk, old, new, file="policy.yaml"):
    path = desk.policies / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def _people(desk):
    lines = []
    for name, role in (("anna", "legal"), ("sami", "security")):
        made = desk.run("policy", "keygen", str(desk.folder / f"{name}.pem"), "--name", name, "--role", role)
        assert made.exit_code == 0
        lines.append(made.output)
    ring = desk.folder / "keyring.yaml"
    ring.write_text("keys:\n" + "".join(f"  {line}" for line in lines))
    return {
        "BORDERPOST_POLICY_KEYRING": str(ring),
        "BORDERPOST_POLICY_SIGNING": "required",
        "BORDERPOST_POLICY_SOURCE": "store",
    }


def test_a_key_is_made_once(desk):
    """The private half is for its owner alone, and is never overwritten."""
    file = desk.folder / "anna.pem"
    words = ("policy", "keygen", str(file), "--name", "anna", "--role", "legal")
    assert desk.run(*words).output.startswith("- {name: anna, role: legal, public: ")
    assert file.stat().st_mode & 0o777 == 0o600
    again = desk.run(*words)
    assert again.exit_code == 2
    assert "a key is never overwritten" in again.output
    assert desk.run("policy", "keygen", "/nonexistent/x", "--name", "a", "--role", "b").exit_code == 2


def test_from_key_to_force(desk):
    """Make keys, sign, publish, list, narrow, roll back: each step says what it did, and is journalled."""
    ring = _people(desk)
    folder = str(desk.policies)
    refused = desk.run("policy", "publish", folder, "--author", "joe", **ring)
    assert refused.exit_code == 1
    assert "a signature as legal is missing" in refused.output
    for name, role in (("anna", "legal"), ("sami", "security")):
        key = str(desk.folder / f"{name}.pem")
        signed = desk.run("policy", "sign", folder, "--as", role, "--key", key, "--author", "joe", **ring)
        assert signed.exit_code == 0, signed.output
    done = desk.run("policy", "publish", folder, **ring)
    assert done.exit_code == 0, done.output
    assert "signed by anna as legal, sami as security" in done.output
    hash_ = done.output.split("stored ")[1].split()[0]
    listed = desk.run("policy", "bundles", **ring).output
    assert f"ACTIVE  {hash_}  by joe" in listed
    _edit(desk, "chat-eu:", "chat-europe:", "routes.yaml")
    _edit(desk, "chat-eu", "chat-europe", "teams.yaml")
    stored = desk.run("policy", "publish", folder, "--store-only", **ring)
    assert stored.exit_code == 0, stored.output
    assert "in force" not in stored.output
    none = desk.run("policy", "rollback", **ring)
    assert none.exit_code == 1
    assert "no other bundle was ever in force" in none.output
    assert desk.run("policy", "rollback", hash_, **ring).exit_code == 0
    kinds = desk.kinds()
    assert kinds.count("bundle.activated") == 2
    assert kinds.count("bundle.published") == 3


def test_signing_without_a_keyring_or_with_a_strangers_key(desk):
    """Whose signatures count must be known, and the author's do not."""
    folder = str(desk.policies)
    ring = _people(desk)
    key = str(desk.folder / "anna.pem")
    words = ("policy", "sign", folder, "--key", key)
    assert "whose signatures count" in desk.run(*words, "--as", "legal", "--author", "joe").output
    assert "not as `security`" in desk.run(*words, "--as", "security", "--author", "joe", **ring).output
    own = desk.run(*words, "--as", "legal", "--author", "anna", **ring)
    assert own.exit_code == 2
    assert "an author cannot approve" in own.output


def test_publishing_without_signing_says_so(desk):
    """And that these settings run the folder."""
    done = desk.run("policy", "publish", str(desk.policies))
    assert done.exit_code == 0, done.output
    assert "signing is off" in done.output
    assert "run the folder" in done.output
    _edit(desk, "processed_in: Quebec", "processed_in: Qebec")
    wrong = desk.run("policy", "publish", str(desk.policies))
    assert wrong.exit_code == 2
    assert "did you mean `Quebec`?" in wrong.output


def test_diff(desk):
    """Narrowing is status 0 with one approver, widening 1 with two."""
    same = desk.run("policy", "diff", str(STARTER), str(STARTER))
    assert same.exit_code == 0
    assert same.output == "no egress is added or removed; 1 approver\n"
    _edit(desk, "for: {app: registered, use: [chat, embeddings]}", "for: {app: registered, use: [chat]}")
    narrower = desk.run("policy", "diff", str(STARTER), str(desk.policies))
    assert narrower.exit_code == 0
    assert "removes  client data of app teller → demo-ca-qc in CA-QC for embeddings" in narrower.output
    wider = desk.run("policy", "diff", str(desk.policies), str(STARTER))
    assert wider.exit_code == 1
    assert "adds     client data of app teller → demo-ca-qc in CA-QC for embeddings, by" in wider.output


def _records(desk, count):
    from gateway.adapters.store_sql.tables import records

    store = desk.store()
    with store.write() as connection:
        connection.execute(
            records.insert(),
            [row(i, tenant="maple-bank", received_us=1_795_400_000_000_000 + i) for i in range(count)]
            + [row(count, tenant="maple-bank", received_us=1_795_400_000_000_000, decision=None)],
        )
    store.close()


def test_replay(desk):
    """How many recorded calls would change, by app and rule."""
    _records(desk, 312)
    _edit(desk, "processed_in: Canada, stored_in: Canada", "processed_in: [FR], stored_in: Canada")
    words = ("policy", "replay", "--from", "2026-11-01", "--to", "2026-11-30", "--folder", str(STARTER))
    same = desk.run(*words)
    assert same.exit_code == 0, same.output
    assert "0 of 313 calls would change" in same.output
    changed = desk.run(*words, "--candidate", str(desk.policies))
    assert changed.exit_code == 1
    assert changed.output == (
        "312 of 313 calls would change\n"
        "     312  teller · chat: would be refused by CA-1\n"
        "1 came to no decision (unknown model, malformed body): not replayed\n"
    )
    assert desk.run(*words[:3], "yesterday", "--to", "2026-11-30").exit_code == 2
    assert desk.run("policy", "replay", "--from", "2026-11-30", "--to", "2026-11-01").exit_code == 2


def test_explain_a_recorded_decision(desk):
    """By its id; one that is not there is status 2."""
    _records(desk, 2)
    told = desk.run("policy", "explain", "--decision", "dec_1", "--folder", str(STARTER))
    assert told.exit_code == 0, told.output
    assert told.output.startswith("Decision dec_1 of ")
    assert "which the store does not have" in told.output
    assert desk.run("policy", "explain", "--decision", "dec_9", "--folder", str(STARTER)).exit_code == 2
    assert desk.run("policy", "explain", "--folder", str(STARTER)).exit_code == 2
