"""Bundles in the store: content that never changes, signatures, and the one in force."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.store_sql import Store, bundles
from gateway.adapters.store_sql.bundles import BundleRow, SignatureRow
from tests.adapters.store_sql.databases import opened, sqlite_url

ROW = BundleRow(
    hash="a" * 64,
    tenant="maple",
    content=b"one",
    published_us=1,
    published_by="ops",
    author="",
    active=False,
)
SIGNED = SignatureRow(
    hash=ROW.hash, role="legal", signer="anna", author="joe", replaces="", value=b"v", at_us=2
)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Both databases."""
    url = sqlite_url(tmp_path) if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    with opened(url) as made:
        yield made


def test_content_is_stored_once(store: Store) -> None:
    """The same hash again changes nothing; an author is named apart."""
    with store.write() as connection:
        assert bundles.add(connection, ROW)
        assert not bundles.add(connection, replace(ROW, content=b"two", author="eve"))
        assert bundles.one(connection, ROW.hash) == ROW
        bundles.name_author(connection, ROW.hash, "joe")
        assert bundles.one(connection, ROW.hash) == replace(ROW, author="joe")
        assert bundles.listed(connection) == [replace(ROW, author="joe", content=b"")]


def test_a_signature_replaces_the_same_persons_earlier_one(store: Store) -> None:
    """In the same role; the same one again is no change."""
    with store.write() as connection:
        bundles.add(connection, ROW)
        assert bundles.add_signature(connection, SIGNED)
        assert not bundles.add_signature(connection, SIGNED)
        assert bundles.add_signature(connection, replace(SIGNED, value=b"w", replaces="b" * 64))
        assert bundles.add_signature(connection, replace(SIGNED, signer="lea"))
        found = bundles.signatures(connection, ROW.hash)
    assert [(one.signer, one.value) for one in found] == [("anna", b"w"), ("lea", b"v")]


def test_an_activation_moves_the_counter(store: Store) -> None:
    """Workers read one number; the newest activation counts, and the one before it is known."""
    other = replace(ROW, hash="b" * 64)
    with store.write() as connection:
        assert bundles.version(connection) == 0
        assert bundles.active(connection) is None
        assert bundles.before_active(connection) is None
        for row in (ROW, other):
            bundles.add(connection, row)
            bundles.activate(connection, row.hash, tenant="maple", at_us=3, by="ops", revoke=row is other)
        assert bundles.version(connection) == 2
        assert bundles.active(connection) == replace(other, active=True)
        assert bundles.before_active(connection) == ROW.hash
        last = bundles.last_activation(connection)
        assert last is not None
        assert (last.hash, last.revoke, last.by) == (other.hash, True, "ops")
        assert [one.hash for one in bundles.activations(connection)] == [other.hash, ROW.hash]
        one = bundles.one(connection, ROW.hash)
        assert one is not None
        assert not one.active
