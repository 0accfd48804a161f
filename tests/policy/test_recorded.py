"""Why a recorded decision: under the bundle that decided it where that is stored, else it says so."""

from __future__ import annotations

import pytest

from gateway.policy.publish import Actor, package_of, publish
from gateway.policy.recorded import recorded_why
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.adapters.store_sql.test_decisions import fill, row
from tests.policy.signed import BANK, edited
from tests.policy.written import NOW, snapshot

BANKS = snapshot("bank")
US = NOW // 1000


@pytest.fixture
def store(tmp_path):
    """A migrated store."""
    with opened(sqlite_url(tmp_path)) as made:
        yield made


def test_under_the_bundle_that_decided(store):
    """The one in force, or a stored one, at the instant of the call."""
    old = package_of(edited("version: 7", "version: 6"), author="joe", signatures=(), now=NOW)
    with store.write() as connection:
        publish(connection, old, now=NOW, by=Actor(name="ops", role="admin"))
    fill(
        store,
        row(1, snapshot=BANKS.hash, received_us=US),
        row(2, snapshot=old.package.hash, asked="chat-pro", outcome="policy_refused", received_us=US),
        row(3, snapshot="f" * 64, received_us=US),
    )
    with store.read() as connection:
        current = recorded_why(connection, "dec_1", BANKS, now=NOW + 10**9)
        stored = recorded_why(connection, "dec_2", BANKS, now=NOW + 10**9)
        lost = recorded_why(connection, "dec_3", BANKS, now=NOW + 10**9)
        assert recorded_why(connection, "dec_4", BANKS, now=NOW) is None
    assert current.exact
    assert current.why.permitted
    assert current.now == NOW
    assert stored.exact
    assert stored.why.version == 6
    assert "CA-1" in {reason.rule for c in stored.why.candidates for reason in c.reasons}
    assert stored.headline.startswith("Decision dec_2 of 2026-11-23T00:00:00Z, app teller, model chat-pro: ")
    assert not lost.exact
    assert "which the store does not have" in lost.headline
    assert BANK
