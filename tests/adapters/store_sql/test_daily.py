"""Usage by local day is what the rows and entries of each day sum to: any zone, both databases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql import entries as books
from gateway.adapters.store_sql.daily import by_day
from gateway.adapters.store_sql.reports import spend
from gateway.core.entries import Entry
from gateway.core.windows import windows
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.adapters.store_sql.test_rollups import BASE, HOUR, calls, made, put, row, slow_is_fine

NAMES = count(1)
ZONES = ("UTC", "America/Toronto", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe")
BUCKETS = ("input", "cache_read", "output")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One database of each kind for all examples: each is a tenant of its own."""
    folder: Path = tmp_path_factory.mktemp("daily")
    url = sqlite_url(folder) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        yield made


def entry(tenant: str, at_us: int, nano: int, currency: str = "CAD") -> Entry:
    """A correction of an app."""
    return Entry(
        id=f"e{next(NAMES)}{tenant}", kind="correction", tenant=tenant, billing_period="2026-11",
        start_us=at_us, end_us=at_us + 1, team="branch", app="teller", cost_centre=None, alias="chat",
        deployment="here", vendor="v", place="CA", model="m", currency=currency, nano=nano,
        spend_currency=currency, spend_nano=nano, quantity=0, unit="", reason="a test", refers="", origin="",
        ratio_ppb=0, estimated=False, created_us=at_us, created_by="test",
    )  # fmt: skip


def days_of(zone: str, start: int, end: int) -> list[tuple[int, int]]:
    """The local days of a span, walked one by one."""
    found = []
    while start < end:
        until = min(windows("day", zone, start * 1000)[1] // 1000, end)
        found.append((start, until))
        start = until
    return found


def counted(
    rows: list[dict[str, Any]], entries: list[Entry], since: int, until: int, by: tuple[str, ...]
) -> dict[tuple[str, ...], tuple[int, int, int]]:
    """Calls, tokens and spend of one day, counted one by one."""
    last: dict[str, int] = {}
    for values in rows:
        last[values["call_id"]] = max(values["number"], last.get(values["call_id"], 0))
    found: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for values in rows:
        if since <= values["started_us"] < until:
            into = found[tuple(values[name] or "" for name in by)]
            into[0] += values["number"] == last[values["call_id"]]
            into[1] += sum(values[name] for name in BUCKETS)
            into[2] += (values["spend_nano"] or 0) if values["spend_currency"] == "CAD" else 0
    for entry in entries:
        if since <= entry.start_us < until:
            into = found[tuple(getattr(entry, name) or "" for name in by)]
            into[2] += entry.spend_nano if entry.spend_currency == "CAD" else 0
    return {group: (c, t, n) for group, (c, t, n) in found.items()}


@settings(slow_is_fine, max_examples=40)
@given(
    drawn=calls,
    booked=st.lists(
        st.tuples(
            st.integers(BASE - 40 * HOUR, BASE + 40 * HOUR),
            st.integers(-(10**12), 10**12),
            st.sampled_from(["CAD", "EUR"]),
        ),
        max_size=4,
    ),
    zone=st.sampled_from(ZONES),
    by=st.sampled_from([(), ("team",), ("cost_centre", "app", "model"), ("deployment",)]),
    start=st.integers(BASE - 40 * HOUR, BASE) | st.integers(-40, 0).map(lambda hours: BASE + hours * HOUR),
    length=st.integers(0, 80 * HOUR),
)
def test_days_are_what_their_rows_and_entries_sum_to(
    store: Store, drawn: Any, booked: Any, zone: str, by: tuple[str, ...], start: int, length: int
) -> None:
    """Midnight at half and quarter hours, days of 25 hours, spans cut anywhere; every day is there once."""
    tenant = f"d{next(NAMES)}"
    rows = made(tenant, drawn)
    for values in rows:
        values["billing_period"] = None
    entries = [entry(tenant, *each) for each in booked]
    put(store, rows, Random(1))  # noqa: S311 (an order)
    with store.write() as connection:
        books.append(connection, entries)
    end = start + length
    with store.read() as connection:
        found = by_day(
            connection, tenant=tenant, start_us=start, end_us=end, timezone=zone, by=by, currency="CAD"
        )
    assert [(day.start_us, day.end_us) for day in found] == days_of(zone, start, end)
    for day in found:
        usage = {group: (used.calls, used.tokens, used.nano) for group, used in day.usage.items()}
        assert usage == counted(rows, entries, day.start_us, day.end_us, by)


@pytest.mark.parametrize("zone", ["America/Toronto", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_three_months_with_a_change_of_clocks_are_those_of_the_reports(store: Store, zone: str) -> None:
    """A call every 7 hours and 13 minutes for 100 days: the same amounts as asking for each day alone."""
    tenant = f"d{next(NAMES)}"
    start = BASE - 60 * 24 * HOUR
    rows = [
        row(
            tenant, f"c{number}", 1, started_us=start + number * 25_980_000_000, spend_currency="CAD",
            spend_nano=number + 1, nano=1,
        )
        for number in range(330)
    ]  # fmt: skip
    put(store, rows, Random(2))  # noqa: S311 (an order)
    end = start + 100 * 24 * HOUR
    with store.read() as connection:
        found = by_day(
            connection, tenant=tenant, start_us=start, end_us=end, timezone=zone, by=("team",), currency="CAD"
        )
        for day in found:
            alone = spend(
                connection,
                tenant=tenant,
                start_us=day.start_us,
                end_us=day.end_us,
                by=("team",),
                currency="CAD",
            )
            assert [(("branch",), used.calls, used.nano) for used in day.usage.values()] == [
                (item.group, item.calls, item.spend_nano) for item in alone
            ]
    assert sum(used.calls for day in found for used in day.usage.values()) == len(rows)


@pytest.mark.parametrize("name", ["key", "charge_kind", "weather"])
def test_what_the_sums_by_the_hour_do_not_know_is_no_grouping(store: Store, name: str) -> None:
    with store.read() as connection, pytest.raises(KeyError):
        by_day(connection, tenant="t", start_us=0, end_us=HOUR, timezone="UTC", by=(name,), currency="CAD")
