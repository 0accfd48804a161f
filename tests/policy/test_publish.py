"""Publishing: content-addressed, approved, tested and proved before it is in force."""

# ruff: noqa: E501 (sentences and files stand whole, as people read them)

from __future__ import annotations

import zlib
from dataclasses import replace

import orjson
import pytest
from sqlalchemy import update

from gateway.adapters.store_sql import bundles as rows
from gateway.adapters.store_sql.tables import admin_log, bundles
from gateway.policy import publish as publishing
from gateway.policy.problems import PolicyErrors
from gateway.policy.publish import (
    Actor,
    NotPublished,
    activate,
    find,
    open_package,
    pack,
    package_of,
    publish,
    ready,
    rollback,
    unpack,
)
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.policy.signed import BANK, KEYRING, edited, signature
from tests.policy.written import NOW

BY = Actor(name="ops", role="admin")
NARROWER = edited(
    "rules:\n",
    "rules:\n  - {id: LAB, says: The lab is closed., for: {app: hackathon}, must: {vendor: [self]}, strength: warn}\n",
)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path):
    """A migrated store on either database."""
    url = sqlite_url(tmp_path) if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    with opened(url) as made:
        yield made


def _opened(files, *names, author="joe", replaces=""):
    plain = package_of(files, author=author, signatures=(), now=NOW)
    signed = tuple(signature(name, plain.package.hash, author=author, replaces=replaces) for name in names)
    return package_of(files, author=author, signatures=signed, now=NOW)


def _publish(store, bundle):
    with store.write() as connection:
        return publish(connection, bundle, now=NOW, by=BY)


def _activate(store, bundle, keyring=KEYRING, **more):
    with store.write() as connection:
        return activate(connection, bundle.package.hash, now=NOW, by=BY, keyring=keyring, **more)


def test_what_is_stored_is_what_was_published(store):
    """The same files come back under the same hash, with author and signatures; twice is once."""
    bundle = _opened(BANK, "anna", "sami")
    entries = _publish(store, bundle)
    assert [kind for kind, _ in entries] == ["bundle.published"]
    _publish(store, bundle)
    with store.read() as connection:
        assert find(connection, bundle.package.hash) == bundle.package
        assert find(connection, "0" * 64) is None
        assert [row.hash for row in rows.listed(connection)] == [bundle.package.hash]
        log = connection.execute(admin_log.select()).mappings().all()
    assert {line["action"] for line in log} == {"bundle.published"}
    assert orjson.loads(log[0]["detail"])["signatures"] == [
        {"role": "legal", "signer": "anna"},
        {"role": "security", "signer": "sami"},
    ]


def test_only_what_is_approved_is_in_force(store):
    """Unsigned and under-signed are refused with the reason; a signature that is added later counts."""
    bundle = _opened(BANK, "anna")
    _publish(store, bundle)
    with pytest.raises(NotPublished, match="a signature as security is missing"):
        _activate(store, bundle)
    with store.read() as connection:
        assert rows.active(connection) is None
    _publish(store, _opened(BANK, "sami"))
    done = _activate(store, bundle)
    assert done.approval is not None
    assert done.approval.signed == (("legal", "anna"), ("security", "sami"))
    assert [kind for kind, _ in done.entries] == ["bundle.activated"]
    with store.read() as connection:
        active = rows.active(connection)
    assert active is not None
    assert active.hash == bundle.package.hash


def test_without_signing_anybody_with_the_role_activates(store):
    """Where signing is off, nothing is asked."""
    bundle = _opened(BANK)
    _publish(store, bundle)
    assert _activate(store, bundle, keyring=None).approval is None


def test_narrowing_needs_one_approver_and_widening_two(store):
    """One signature that names the bundle in force is enough to take away, not to add."""
    before = _opened(BANK, "anna", "sami")
    _publish(store, before)
    _activate(store, before)
    less = edited("lets: {vendor: [together]}", "lets: {vendor: [together, amazon]}")
    narrower = _opened(less, "anna", replaces=before.package.hash)
    _publish(store, narrower)
    with pytest.raises(NotPublished, match="signature as security"):
        _activate(store, narrower)  # an exception that lets another vendor is doubt: it widens
    gone = edited(
        "chat-lab: {try: [together-us, azure-cae-41mini]}",
        "chat-lab: {try: [azure-cae-41mini]}",
        "routes.yaml",
    )
    narrower = _opened(gone, "anna", replaces=before.package.hash)
    _publish(store, narrower)
    change = _activate(store, narrower).change
    assert change is not None
    assert not change.widens
    back = _opened(BANK, "lea", replaces=narrower.package.hash)
    assert back.package.hash == before.package.hash
    wider = _opened(edited("version: 7", "version: 8"), "anna", replaces=narrower.package.hash)
    _publish(store, wider)
    with pytest.raises(NotPublished, match="signature as security is missing"):
        _activate(store, wider)


def test_what_was_approved_can_be_rolled_back_to(store):
    """By its hash, or to the one before; its own signatures stand."""
    first, second = _opened(BANK, "anna", "sami"), _opened(NARROWER, "anna", "sami")
    for bundle in (first, second):
        _publish(store, bundle)
    with store.read() as connection, pytest.raises(NotPublished, match="no other bundle"):
        rollback(connection)
    _activate(store, first)
    _activate(store, second)
    with store.write() as connection:
        assert rollback(connection) == first.package.hash
    assert _activate(store, first).active
    with store.read() as connection:
        assert rollback(connection) == second.package.hash
        assert [one.hash for one in rows.activations(connection)] == [
            first.package.hash,
            second.package.hash,
            first.package.hash,
        ]


def test_tampered_content_is_refused(store):
    """A bundle whose content was changed in the database is not what its name says."""
    bundle = _opened(BANK, "anna", "sami")
    _publish(store, bundle)
    for content in (
        pack(edited("CA, US", "CA")) if False else pack(NARROWER),
        b"garbage",
        zlib.compress(b"[]"),
    ):
        with store.write() as connection:
            connection.execute(update(bundles).values(content=content))
        with pytest.raises(NotPublished, match=r"not what its name says|no bundle"):
            _activate(store, bundle)


def test_a_forged_signature_is_refused(store):
    """A row that somebody wrote into the table counts for nothing."""
    bundle = _opened(BANK, "anna")
    _publish(store, bundle)
    forged = replace(signature("anna", bundle.package.hash), role="security", signer="sami")
    with store.write() as connection:
        rows.add_signature(
            connection,
            rows.SignatureRow(
                hash=bundle.package.hash,
                role="security",
                signer="sami",
                author="joe",
                replaces="",
                value=forged.value,
                at_us=1,
            ),
        )
    with pytest.raises(NotPublished, match="not over this content"):
        _activate(store, bundle)


def test_failing_tests_and_broken_proofs_do_not_go_live(store):
    """The reason names the test or the path."""
    broken = _opened(
        edited("prove:\n", "prove:\n  - Public data never reaches a deployment outside Canada.\n"),
        "anna",
        "sami",
    )
    assert "not proved: Public data" in ready(broken, now=NOW)[0]
    _publish(store, broken)
    with pytest.raises(NotPublished, match="chat-lab → together-us"):
        _activate(store, broken)
    failing = _opened(edited("expect: allowed", "expect: refused"), "anna", "sami")
    _publish(store, failing)
    with pytest.raises(NotPublished, match="test failed"):
        _activate(store, failing)


def test_a_bundle_of_another_organisation_or_author_is_refused(store):
    """One installation is one organisation's; who wrote a bundle does not change."""
    bundle = _opened(BANK, "anna", "sami")
    _publish(store, bundle)
    _activate(store, bundle)
    with pytest.raises(NotPublished, match="this installation is"):
        _publish(store, _opened(edited("policy: maple-bank", "policy: birch-bank")))
    with pytest.raises(NotPublished, match="signed as written by `joe`"):
        _publish(store, _opened(BANK, author="sami"))
    with pytest.raises(NotPublished, match="no bundle"), store.write() as connection:
        activate(connection, "f" * 64, now=NOW, by=BY, keyring=None)


def test_packages_are_the_same_bytes_and_bounded():
    """The order of files does not count; a bomb does not unpack."""
    assert pack(BANK) == pack(dict(reversed(BANK.items())))
    assert unpack(pack(BANK)) == BANK
    with pytest.raises(NotPublished):
        unpack(zlib.compress(b" " * (publishing.MOST_BYTES + 10)))
    with pytest.raises(PolicyErrors):
        open_package(publishing.Package(hash="x", files={"policy.yaml": b"nonsense: 1"}), now=NOW)
