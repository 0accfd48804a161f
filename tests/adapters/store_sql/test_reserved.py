"""What is counted of a reserved deployment's use, and that a window's shares go in together or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.entries import booked as all_booked
from gateway.adapters.store_sql.reserved import book, booked, uses
from gateway.core.entries import Entry
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.adapters.test_reserved_capacity import used
from tests.core.maple import at

IDLE = Entry(
    id="reserved:p:2026-11-01T00:00:00Z:::", kind="reserved", tenant="maple", billing_period="2026-11",
    start_us=10, end_us=20, team="", app="", cost_centre=None, alias="", deployment="here", vendor="v",
    place="CA-QC", model="m", currency="USD", nano=3, spend_currency="CAD", spend_nano=4, quantity=0,
    unit="tokens", reason="idle", refers="p", origin="reserved:p:2026-11-01T00:00:00Z", ratio_ppb=10**9,
    estimated=False, created_us=1, created_by="test",
)  # fmt: skip


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Both databases."""
    url = sqlite_url(tmp_path) if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    with opened(url) as made:
        yield made


def test_use_is_counted_by_user_in_the_half_open_window(store: Store) -> None:
    """By team, app and cost centre as the rows froze them; the end belongs to the next window."""
    used(store, "2026-11-10T00:00:00", "teller", 5)
    used(store, "2026-11-10T01:00:00", "teller", 7)
    used(store, "2026-11-10T02:00:00", "teller", 1, centre=None)
    used(store, "2026-11-11T00:00:00", "teller", 100)
    with store.read() as connection:
        found = uses(
            connection,
            tenant="maple",
            deployment="here",
            start_us=at("2026-11-10") // 1000,
            end_us=at("2026-11-11") // 1000,
        )
        other = uses(connection, tenant="maple", deployment="there", start_us=0, end_us=2**60)
    assert {(use.user, use.requests, use.tokens) for use in found} == {
        (("branch", "teller", "4410"), 2, 12),
        (("branch", "teller", None), 1, 1),
    }
    assert other == []


def test_a_window_goes_in_whole_or_not_at_all(store: Store) -> None:
    """Who finds the idle share booked adds nothing, not even a user that the first one did not count."""
    teller = replace(IDLE, id=IDLE.id + "teller", team="branch", app="teller")
    vault = replace(IDLE, id=IDLE.id + "vault", team="branch", app="vault")
    with store.write() as connection:
        assert book(connection, [IDLE, teller]) == 2
    with store.write() as connection:
        assert book(connection, [IDLE, teller, vault]) == 0
    with store.read() as connection:
        names = [entry.app for entry in all_booked(connection, tenant="maple", billing_period="2026-11")]
        origins = booked(connection, tenant="maple", deployment="here", since_us=10)
        later = booked(connection, tenant="maple", deployment="here", since_us=11)
    assert names == ["", "teller"]
    assert (origins, later) == ({IDLE.origin}, set())
