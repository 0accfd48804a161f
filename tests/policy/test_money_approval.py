"""Finance approves what things may cost: refused without it, recorded either way."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from gateway.adapters.store_sql import bundles as rows
from gateway.adapters.store_sql import money_changes
from gateway.adapters.store_sql.tables import admin_log
from gateway.policy import publish as publishing
from gateway.policy.money_approval import missing_alone, record
from gateway.policy.publish import Actor, NotPublished, files_of
from gateway.policy.sign import Keyring, Signed, Signer, public_of, sign
from gateway.policy.stored import approver
from gateway.policy.watch import NotAccepted, Offered
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.policy.signed import BANK, KEYRING, edited, package, signature

NOW = 1_795_460_400_000_000_000
BY = Actor(name="ops", role="admin")
FINA = Ed25519PrivateKey.from_private_bytes(b"fina".ljust(32, b"."))
WITH_FINANCE = Keyring(
    signers=(*KEYRING.signers, Signer(name="fina", role="finance", public=public_of(FINA)))
)
RULES = ("anna", "sami")


def budget_changed():
    """The bank's files with one budget raised."""
    text = BANK["teams.yaml"].decode()
    line = next(line for line in text.splitlines() if "limit:" in line)
    amount = line.split('limit: "')[1].split('"')[0]
    return edited(f'limit: "{amount}"', 'limit: "123456.00"', "teams.yaml"), amount


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path):
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        yield made


def live(store, files, *names, keyring=WITH_FINANCE, finance=False, author="joe"):
    """Publish and activate files signed by these people."""
    opened_ = publishing.package_of(files, author=author, signatures=(), now=NOW)
    made = package(files, opened_.package.hash, *names, author=author)
    if finance:
        value = sign(FINA, made.hash, signer="fina", role="finance", author=author)
        made = replace(made, signatures=(*made.signatures, value))
    with store.write() as connection:
        publishing.publish(connection, replace(opened_, package=made), now=NOW, by=BY)
    with store.write() as connection:
        return publishing.activate(connection, made.hash, now=NOW, by=BY, keyring=keyring)


def recorded(store):
    with store.read() as connection:
        [tenant] = {row.tenant for row in rows.listed(connection)}
        return [
            (item.author, json.loads(item.approved_by), json.loads(item.changes))
            for item in money_changes.listed(connection, tenant)
        ]


def test_a_budget_goes_live_with_finances_signature_only(store):
    """Everybody else's are not enough; the refusal names the budget, old and new, and the fix."""
    live(store, BANK, *RULES)  # the first one changes nothing
    files, amount = budget_changed()
    with pytest.raises(NotPublished) as refused:
        live(store, files, *RULES)
    assert f"limit: {amount} → 123456.00" in str(refused.value)
    assert "teams.yaml:" in str(refused.value)
    assert "borderpost policy sign --as finance" in str(refused.value)
    done = live(store, files, *RULES, finance=True)
    assert [kind for kind, _ in done.entries] == ["bundle.activated", "money.changed"]
    assert done.entries[1][1]["approved_by"] == ["fina"]
    first, second = recorded(store)
    assert first == ("joe", [], [])
    assert second[:2] == ("joe", ["fina"])
    assert second[2][0].endswith(f"limit: {amount} → 123456.00")
    with store.read() as connection:
        actions = connection.execute(select(admin_log.c.action)).scalars().all()
    assert actions.count("money.changed") == 1


def test_finance_cannot_approve_what_finance_wrote(store):
    """An author's own signature does not count, whoever they are."""
    live(store, BANK, *RULES)
    files, _ = budget_changed()
    with pytest.raises(NotPublished, match="has not approved it"):
        live(store, files, *RULES, finance=True, author="fina")


def test_nobody_of_finance_in_the_keyring_is_a_refusal_too(store):
    """Doubt denies: the fix is a key of finance's."""
    live(store, BANK, *RULES, keyring=KEYRING)
    files, _ = budget_changed()
    with pytest.raises(NotPublished, match="nobody in the keyring has the role `finance`"):
        live(store, files, *RULES, keyring=KEYRING)


def test_what_is_no_money_needs_no_finance(store):
    """Back to the same budgets under other rules."""
    live(store, BANK, *RULES)
    done = live(store, edited("version: ", "version: 1", "policy.yaml"), *RULES)
    assert [kind for kind, _ in done.entries] == ["bundle.activated"]
    assert len(recorded(store)) == 1


def test_without_signing_the_change_is_recorded_with_its_author(store):
    """Nobody approved it, and the record says so."""
    live(store, BANK, keyring=None)
    files, _ = budget_changed()
    live(store, files, keyring=None)
    assert recorded(store)[-1][:2] == ("joe", [])


def test_every_worker_judges_for_itself(store, tmp_path):
    """A change that got into the database past us is not run: the keyring of each worker has the word."""
    import base64

    ring = tmp_path / "keyring.yaml"
    ring.write_text(
        "keys:\n"
        + "".join(
            f'  - {{name: {one.name}, role: {one.role}, public: "{base64.b64encode(one.public).decode()}"}}\n'
            for one in WITH_FINANCE.signers
        )
    )
    live(store, BANK, *RULES)
    files, _ = budget_changed()
    live(store, files, *RULES, keyring=None)  # somebody turned signing off for a moment
    check = approver(ring, store, lambda: NOW)
    opened_ = publishing.package_of(files, author="joe", signatures=(), now=NOW)
    signatures = tuple(signature(name, opened_.package.hash) for name in RULES)
    offered = Offered(files=files, hash=opened_.package.hash, author="joe", signatures=signatures)
    with pytest.raises(NotAccepted, match="has not approved it"):
        check(offered, opened_.bundle, opened_.snapshot)
    approved = sign(FINA, opened_.package.hash, signer="fina", role="finance", author="joe")
    check(replace(offered, signatures=(*signatures, approved)), opened_.bundle, opened_.snapshot)
    # In a folder no change is told from another: finance signs each bundle.
    alone = approver(ring, None, lambda: NOW)
    with pytest.raises(NotAccepted, match="a signature as finance is missing"):
        alone(offered, opened_.bundle, opened_.snapshot)
    alone(replace(offered, signatures=(*signatures, approved)), opened_.bundle, opened_.snapshot)


def test_a_folder_needs_finance_where_the_keyring_knows_it():
    """Where it does not, there is nobody to ask."""
    bundle = Signed(hash="h", author="joe", changes_need=(), signatures=())
    assert missing_alone(KEYRING, bundle) == ""
    assert "a signature as finance is missing" in missing_alone(WITH_FINANCE, bundle)


def test_replicas_record_a_change_once_and_what_is_gone_is_said(store):
    """The same bundle seen again is no change; content that is lost is named as lost."""
    files, _ = budget_changed()
    common = {"tenant": "maple", "by": "folder", "role": "platform", "approved_by": (), "now": NOW}

    def see(name, content, stored=lambda _: None):
        with store.write() as connection:
            return record(connection, bundle=name, files=content, author="", stored=stored, **common)

    assert see("b1", BANK) is None
    assert see("b1", BANK) is None
    changed = see("b2", files)
    assert changed is not None
    assert changed.entry[1]["changes"] == ["what it was before is not known any more"]
    assert changed.entry[1]["author"] == "unknown"
    assert see("b2", files) is None
    assert see("b3", BANK, stored=lambda _: files) is not None
    with store.read() as connection:
        assert len(money_changes.listed(connection, "maple")) == 3
        assert files_of(connection, "b1") is None
