"""A month waits for its shares of capacity: windows of reservations, hours of GPU pools."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.adapters.reserved_capacity import GRACE_S, ReservedCapacity
from gateway.adapters.store_sql import gpu
from gateway.reports.closing import close, standing
from gateway.reports.statements import NotClosed
from gateway.reports.unbooked import unbooked
from tests.adapters.test_reserved_capacity import BEGIN, HOUR, bank, used
from tests.bookkeeping import FINA, database

END = BEGIN + (30 * 24 + 1) * HOUR  # November in Toronto has an hour more
US = 1000
AFTER = END + 3 * HOUR


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    with database(request.param, request, tmp_path) as made:
        yield made


def lacks(store, policy):
    with store.read() as connection:
        return [str(item) for item in unbooked(connection, policy, start_us=BEGIN // US, end_us=END // US)]


def november(store, policy, **options):
    return close(store, policy, "2026-11", now=AFTER, by=FINA, journals=None, **options)


def test_reserved_capacity_is_booked_before_a_month_is_closed(store):
    """Its windows are days; the refusal says how many lack and what books them."""
    policy = bank()
    used(store, "2026-11-05T12:00:00", "teller", 100)
    [said] = lacks(store, policy)
    assert said.startswith("reserved capacity `here-2026-11`: 30 of its windows are not booked")
    with pytest.raises(NotClosed, match="borderpost prices reserved --month"):
        november(store, policy)
    with store.read() as connection:
        here = standing(connection, policy, "2026-11", now=AFTER, journals=None)
    assert [str(item) for item in here.unread] == [said]
    ReservedCapacity(store, lambda: policy, now=lambda: END + GRACE_S * 10**9).step()
    assert lacks(store, policy) == []
    done = november(store, policy)
    kinds = {group["kind"] for group in done.statement["groups"]}
    assert kinds == {"usage", "reserved"}
    assert done.statement["unread"] == []


def test_it_may_be_closed_without_for_a_reason(store):
    """What is booked of it afterwards is the next month's."""
    policy = bank()
    used(store, "2026-11-05T12:00:00", "teller", 100)
    done = november(store, policy, force=True, reason="the contract is disputed")
    assert [item["writer"] for item in done.statement["unread"]] == ["reserved capacity `here-2026-11`"]
    ReservedCapacity(store, lambda: policy, now=lambda: END + GRACE_S * 10**9).step()
    with store.read() as connection:
        here = standing(connection, policy, "2026-11", now=AFTER, journals=None)
    assert here.later > 0


def test_a_pool_is_booked_to_its_last_hour_before_a_month_is_closed(store):
    """A pool that nobody used yet is not waited for; nor one that begins later."""
    policy = replace(bank(), prices={}, pools={"a100": None})
    hour = 3_600_000_000
    last = END // US - hour
    assert lacks(store, policy) == []
    with store.write() as connection:
        gpu.begin(connection, tenant="maple", pool="a100", since_us=END // US)
    assert lacks(store, policy) == []
    with store.write() as connection:
        gpu.begin(connection, tenant="maple", pool="a100", since_us=last - hour)
    [said] = lacks(store, policy)
    assert said.startswith("GPU pool `a100`: it is booked up to 2026-11-30 22:00;")
