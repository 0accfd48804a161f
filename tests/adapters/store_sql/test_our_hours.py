"""Our side of a bill sums to the ledger, to the nano, whatever rows round, discount or lack."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.store_sql.our_hours import Span, _exact, _shared, hours, reported, shares
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.adapters.vendor_costs.bank import DAY, HOUR, OCTOBER, PRICE, call
from tests.people import book

MONTH = (OCTOBER, OCTOBER + 31 * DAY)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = sqlite_url(tmp_path)
    if request.param == "postgresql":
        url = os.environ.get("BORDERPOST_TEST_POSTGRES", "")
        if not url:
            pytest.skip("BORDERPOST_TEST_POSTGRES names no PostgreSQL")
    with opened(url) as store:
        yield store


def read(store, *rows, span=MONTH, vendor="microsoft", cuts=()):
    with store.write() as connection:
        book(connection, *rows)
    with store.read() as connection:
        return hours(
            connection, Span(tenant="maple", vendor=vendor, start_us=span[0], end_us=span[1]), cuts=cuts
        )


def test_hours_meters_and_prices_are_those_of_the_rows(store) -> None:
    found = read(
        store,
        call("a", 5, {"input": 1_000, "output": 10}),
        call("b", 5, {"input": 2_000, "cache_read": 7}),
        call("c", 6, {"input": 1_000, "output": 10}),
    )
    by = {(one.start_us, one.meter): (one.quantity, one.nano) for one in found}
    at, later = OCTOBER + 5 * HOUR, OCTOBER + 6 * HOUR
    assert by == {
        (at, "input"): (3_000, 1_320_000),
        (at, "output"): (10, 17_600),
        (at, "cache_read"): (7, 770),
        (later, "input"): (1_000, 440_000),
        (later, "output"): (10, 17_600),
    }


def test_amounts_sum_to_the_ledger_whatever_its_lines_add_up_to(store) -> None:
    """A discount, a rounding, a free call, one without a price, one that failed."""
    rows = [
        call("discount", 1, {"input": 1_000, "output": 10}) | {"nano": 333_333},
        call("free", 2, {"input": 1_000}) | {"nano": 0, "lines": "[]"},
        call("unpriced", 3, {"input": 500}) | {"nano": None, "currency": None, "lines": "[]"},
        call("failed", 4, {}) | {"nano": None, "status": "failed", "lines": "[]"},
        call("odd", 5, {}) | {"nano": 17, "lines": "[]"},
        call("hold", 6, {"input": 900, "output": 4_096}, estimated=True),
    ]
    found = read(store, *rows)
    sums = defaultdict(int)
    for one in found:
        sums[one.currency] += one.nano
    assert sums["USD"] == 333_333 + 17 + rows[5]["nano"]
    counts = {(one.start_us, one.meter): one.quantity for one in found if one.quantity}
    assert counts[OCTOBER + 2 * HOUR, "input"] == 1_000  # free: counted by its buckets
    assert counts[OCTOBER + 3 * HOUR, "input"] == 500
    assert counts[OCTOBER + 6 * HOUR, "output"] == 4_096  # estimated: counted by its hold
    assert [one.estimated for one in found if one.start_us == OCTOBER + 6 * HOUR] == [True, True]


def test_reasoning_is_counted_with_the_output(store) -> None:
    both = [("output", 10, "2"), ("reasoning", 5, "4")]
    lines = json.dumps(
        [{"meter": name, "quantity": n, "unit_price": price, "per": 1_000_000} for name, n, price in both]
    )
    (one,) = read(store, call("a", 1, {}) | {"lines": lines, "nano": 40_000, "output": 15, "reasoning": 5})
    assert (one.meter, one.quantity, one.nano) == ("output", 15, 40_000)


def test_the_span_is_half_open_and_the_vendor_is_asked_for(store) -> None:
    rows = [
        call("in", 0, {"input": 1}),
        call("out", 24, {"input": 1}),
        call("other", 1, {"input": 1}, vendor="x"),
    ]
    assert len(read(store, *rows, span=(OCTOBER, OCTOBER + DAY))) == 1


def test_who_spent_is_asked_by_model_and_single_calls_where_usage_never_came(store) -> None:
    with store.write() as connection:
        book(
            connection,
            call("a", 1, {"input": 10}),
            call("b", 2, {"input": 30}),
            call("c", 3, {"input": 50}, app="hackathon", team="lab"),
            call("d", 4, {"input": 70}, estimated=True),
            call("e", 5, {"input": 90}, model="other"),
        )
    span = Span(tenant="maple", vendor="microsoft", start_us=OCTOBER, end_us=OCTOBER + DAY)
    with store.read() as connection:
        users = shares(connection, span, models=["gpt-4.1-mini"], estimated=False)
        lost = shares(connection, span, models=["gpt-4.1-mini"], estimated=True)
        assert shares(connection, span, models=[], estimated=False) == []
    assert [(one.app, one.nano) for one in users] == [("teller", 17_600), ("hackathon", 22_000)]
    assert [(one.attempt, one.nano) for one in lost] == [("d/1", 30_800)]


@given(
    st.integers(min_value=-(10**15), max_value=10**15),
    st.lists(st.fractions(min_value=0, max_value=10**6), min_size=1, max_size=9),
)
def test_shares_sum_to_the_amount(nano, weights) -> None:
    parts = _shared(nano, weights)
    assert sum(parts) == nano
    total = sum(weights, Fraction(0))
    if total:
        assert all(abs(part - nano * weight / total) < 1 for part, weight in zip(parts, weights, strict=True))


WHEN = st.integers(min_value=0, max_value=4 * 24 * 60 - 1)  # minutes
USED = st.fixed_dictionaries(
    {"input": st.integers(min_value=1, max_value=10**7)},
    optional={"output": st.integers(min_value=1, max_value=10**6), "cache_read": st.integers(1, 10**6)},
)
OTHER = {"input": "0.50", "output": "2", "cache_read": "0.11"}


@settings(deadline=None, max_examples=25)
@given(
    calls=st.lists(
        st.tuples(WHEN, USED, st.sampled_from(["plain", "plain", "dear", "estimated", "free", "model"])),
        max_size=30,
    ),
    cut=st.integers(min_value=1, max_value=4 * 24 * 60 - 1),
)
def test_what_the_roll_ups_give_is_what_every_row_gives(tmp_path_factory, calls, cut) -> None:
    """To the nano and the token, whatever prices an hour mixes and wherever a cut falls."""
    minute = 60_000_000
    rows = []
    for number, (at, tokens, kind) in enumerate(calls):
        made = call(
            f"c{number}", 0, tokens, price=OTHER if kind == "dear" else PRICE, estimated=kind == "estimated",
            model="other" if kind == "model" else "gpt-4.1-mini",
        )  # fmt: skip
        if kind == "free":
            made |= {"nano": 0, "lines": "[]"}
        rows.append(made | {"started_us": OCTOBER + at * minute})
    span = Span(tenant="maple", vendor="microsoft", start_us=OCTOBER + 7 * minute, end_us=OCTOBER + 4 * DAY)
    at = OCTOBER + cut * minute
    with opened(sqlite_url(tmp_path_factory.mktemp("o"))) as store:
        with store.write() as connection:
            book(connection, *rows)
        with store.read() as connection:
            quick = hours(connection, span, cuts=(at,))
            slow = [
                *_exact(connection, replace(span, end_us=max(at, span.start_us))),
                *_exact(connection, replace(span, start_us=max(at, span.start_us))),
            ]
    one, other = summed(quick), summed(slow)
    assert one.keys() == other.keys()
    for key, (quantity, nano) in one.items():
        assert quantity == other[key][0]
        # What rows rounded is shared over the meters: a nano-unit a row at most, either way.
        assert abs(nano - other[key][1]) <= len(rows), key
    assert sum(one.nano for one in quick) == sum(
        made["nano"] for made in rows if span.start_us <= made["started_us"] < span.end_us
    )


def summed(found):
    """Quantities and amounts by what they are told apart by."""
    sums = defaultdict(lambda: (0, 0))
    for one in found:
        key = (one.start_us, one.deployment, one.model, one.estimated, one.meter)
        sums[key] = (sums[key][0] + one.quantity, sums[key][1] + one.nano)
    return {key: value for key, value in sums.items() if value != (0, 0)}


def test_the_names_that_replies_give_are_known(store) -> None:
    with store.write() as connection:
        book(
            connection,
            call("a", 1, {"input": 1}, vendor_model="gpt-4.1-mini-2025-04-14"),
            call("b", 30, {"input": 1}, deployment="west", model="mini-west"),
        )
    span = Span(tenant="maple", vendor="microsoft", start_us=OCTOBER, end_us=OCTOBER + 2 * DAY)
    with store.read() as connection:
        assert reported(connection, span) == [
            ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"), ("mini-west", "mini-west"),
        ]  # fmt: skip
