"""Ledger entries: booked once whatever happens, and read back as they were."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.adapters.store_sql import entries
from gateway.core.entries import Entry
from tests.people import database, sqlite

ONE = Entry(
    id="gpu:pool:2026-11-01T00:00:00Z:branch:teller", kind="gpu", tenant="t", billing_period="2026-11",
    start_us=1, end_us=2, team="branch", app="teller", cost_centre="4410", alias="chat", deployment="own",
    vendor="self", place="CA-QC", model="llama", currency="CAD", nano=2**53 + 1, spend_currency="CAD",
    spend_nano=2**53 + 1, quantity=7, unit="micro-gpu-seconds", reason="A share.", refers="", origin="hour",
    ratio_ppb=500_000_000, estimated=True, created_us=3, created_by="w",
)  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as opened:
        yield opened


def test_an_entry_is_booked_once_and_never_changed(store):
    """The same id again is no second charge, whatever it says; amounts come back to the unit."""
    other = replace(ONE, id="b", cost_centre=None, nano=-5)
    with store.write() as connection:
        assert entries.append(connection, [ONE, other]) == 2
        assert entries.append(connection, [replace(ONE, nano=1)]) == 0
        assert entries.booked(connection, tenant="t", billing_period="2026-11") == [other, ONE]
        assert entries.booked(connection, tenant="u", billing_period="2026-11") == []
        assert entries.booked(connection, tenant="t", billing_period="2026-12") == []
