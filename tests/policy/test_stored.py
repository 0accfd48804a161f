"""The store as the origin of policies: what is active is in force, if its signatures say so."""

from __future__ import annotations

import base64

import pytest
from sqlalchemy import update

from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql import bundles as rows
from gateway.adapters.store_sql.tables import bundle_signatures, bundles
from gateway.policy.problems import PolicyErrors
from gateway.policy.publish import Actor, activate, pack, package_of, publish
from gateway.policy.sign import Unusable, put_beside
from gateway.policy.stored import Keeper, judges, source_of
from gateway.settings import Settings
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.policy.signed import BANK, KEYRING, edited, signature
from tests.policy.written import NOW

BY = Actor(name="ops", role="admin")


@pytest.fixture
def store(tmp_path):
    """A migrated store."""
    with opened(sqlite_url(tmp_path)) as made:
        yield made


@pytest.fixture
def ring(tmp_path):
    """The keyring as a file."""
    path = tmp_path / "keyring.yaml"
    lines = [
        f'  - {{name: {one.name}, role: {one.role}, public: "{base64.b64encode(one.public).decode()}"}}'
        for one in KEYRING.signers
    ]
    path.write_text("keys:\n" + "\n".join(lines) + "\n")
    return path


def _settings(tmp_path, ring, **more):
    environ = {
        "BORDERPOST_DATA_DIR": str(tmp_path),
        "BORDERPOST_POLICIES": str(tmp_path / "policies"),
        "BORDERPOST_POLICY_KEYRING": str(ring),
        **{f"BORDERPOST_{name.upper()}": value for name, value in more.items()},
    }
    return Settings.load(None, environ)


def _go_live(store, files, *names, keyring=KEYRING, revoke=False):
    plain = package_of(files, author="joe", signatures=(), now=NOW)
    signed = tuple(signature(name, plain.package.hash) for name in names)
    bundle = package_of(files, author="joe", signatures=signed, now=NOW)
    with store.write() as connection:
        publish(connection, bundle, now=NOW, by=BY)
        activate(connection, bundle.package.hash, now=NOW, by=BY, keyring=keyring, revoke=revoke)
    return bundle.package.hash


def _source(store, tmp_path, ring, signing="required"):
    settings = _settings(tmp_path, ring, policy_source="store", policy_signing=signing)
    return source_of(settings, store, lambda: NOW)


def test_the_active_hash_is_in_force(store, tmp_path, ring):
    """A change is seen at the next look, and told with its `revoke`."""
    source = _source(store, tmp_path, ring)
    with pytest.raises(PolicyErrors, match="no bundle is active"):
        source.load(now=NOW)
    first = _go_live(store, BANK, "anna", "sami")
    told = []
    source.changed = lambda snapshot, offered: told.append((snapshot.hash, offered.revoke))
    assert source.load(now=NOW).hash == first
    assert source.poll(now=NOW) is None
    second = _go_live(store, edited("version: 7", "version: 8"), "anna", "sami", revoke=True)
    source.poll(now=NOW)
    assert source.snapshot.hash == second
    assert told == [(first, False), (second, True)]


def test_a_worker_judges_signatures_itself(store, tmp_path, ring):
    """What a gateway without signing, or a hand in the database, put in force is not in force here."""
    good = _go_live(store, BANK, "anna", "sami")
    source = _source(store, tmp_path, ring)
    source.load(now=NOW)
    _go_live(store, edited("version: 7", "version: 8"), "anna", keyring=None)
    source.poll(now=NOW)
    assert source.snapshot.hash == good
    assert "a signature as security is missing" in str(source.problems[0])
    with store.write() as connection:
        connection.execute(update(bundle_signatures).values(value=bytes(64)))
    fresh = _source(store, tmp_path, ring)
    with pytest.raises(PolicyErrors, match="not over this content"):
        fresh.load(now=NOW)
    assert _source(store, tmp_path, ring, signing="off").load(now=NOW).policy_version == 8


def test_changed_content_is_refused(store, tmp_path, ring):
    """Also where signing is off: a hash is what its content says."""
    _go_live(store, BANK, "anna", "sami")
    with store.write() as connection:
        connection.execute(update(bundles).values(content=pack(edited("version: 7", "version: 9"))))
    for signing in ("off", "required"):
        with pytest.raises(PolicyErrors, match="not what its name says"):
            _source(store, tmp_path, ring, signing).load(now=NOW)
    with store.write() as connection:
        connection.execute(update(bundles).values(content=b"?"))
    with pytest.raises(PolicyErrors, match="no bundle"):
        _source(store, tmp_path, ring).load(now=NOW)


def test_a_store_that_is_away_lets_the_last_good_one_stand_in_for_a_while(tmp_path, ring):
    """Then it is stale; when the store is back, it is fresh again."""
    with opened(sqlite_url(tmp_path)) as store:
        _go_live(store, BANK, "anna", "sami")
    away = Store("postgresql://postgres@127.0.0.1:1/none")
    with opened(sqlite_url(tmp_path)) as store:
        _go_live(store, BANK, "anna", "sami")
        source = _source(store, tmp_path, ring)
        source.load(now=NOW)
        there = source.origin
        source.origin = _source(away, tmp_path, ring).origin
        source.poll(now=NOW)
        assert "does not answer" in str(source.problems[0])
        assert not source.stale(now=NOW + 59 * 10**9, most_s=60)
        assert source.stale(now=NOW + 61 * 10**9, most_s=60)
        assert source.behind_s(now=NOW + 61 * 10**9) == 61.0
        source.origin = there
        source.poll(now=NOW + 62 * 10**9)
        assert not source.stale(now=NOW + 10**12, most_s=60)
        assert source.problems == ()
    away.close()


def test_a_signed_folder(store, tmp_path, ring):
    """Signatures stand beside the files; an edit makes them worthless, and the last good one stays."""
    folder = tmp_path / "policies"
    folder.mkdir()
    for name, raw in BANK.items():
        (folder / name).write_bytes(raw)
    source = source_of(_settings(tmp_path, ring, policy_signing="required"), store, lambda: NOW)
    with pytest.raises(PolicyErrors, match="is not approved: signed by nobody"):
        source.load(now=NOW)
    hash_ = package_of(BANK, author="joe", signatures=(), now=NOW).package.hash
    put_beside(folder, "joe", [signature(name, hash_) for name in ("anna", "sami")])
    assert source.load(now=NOW).hash == hash_
    (folder / "routes.yaml").write_bytes(BANK["routes.yaml"] + b"\n  more: {try: [together-us]}\n")
    source.poll(now=NOW)
    assert source.snapshot.hash == hash_
    assert "not over this content" in str(source.problems[0])
    (folder / "signatures.json").write_text("?")
    source.poll(now=NOW)
    assert "sign again" in str(source.problems[0])


def test_a_keyring_that_is_gone_refuses(store, tmp_path, ring):
    """Whose signatures count is not known: nothing is in force."""
    _go_live(store, BANK, "anna", "sami")
    settings = _settings(tmp_path, ring, policy_source="store", policy_signing="required")
    assert judges(settings) == KEYRING
    ring.unlink()
    with pytest.raises(PolicyErrors, match="cannot be read"):
        source_of(settings, store, lambda: NOW).load(now=NOW)
    with pytest.raises(Unusable):
        judges(settings)
    assert judges(_settings(tmp_path, ring)) is None


async def test_a_folders_bundles_are_kept_for_explaining(store, tmp_path, ring):
    """Each is stored once, and none of them is active by that."""
    folder = tmp_path / "policies"
    folder.mkdir()
    for name, raw in BANK.items():
        (folder / name).write_bytes(raw)
    source = source_of(_settings(tmp_path, ring), store, lambda: NOW)
    source.load(now=NOW)
    keeper = Keeper(store, source)
    await keeper.keep(now=NOW)
    await keeper.keep(now=NOW)
    with store.read() as connection:
        assert [row.hash for row in rows.listed(connection)] == [source.snapshot.hash]
        assert rows.active(connection) is None
