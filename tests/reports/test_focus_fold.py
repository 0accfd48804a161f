"""Folding attempts and entries: every grouping sums to the ledger, to the nano-unit."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.store_sql.reports import LedgerRow
from gateway.core.windows import windows
from gateway.reports.focus_fold import RATIOS, Charges, parsed, parts, weight
from tests.people import TORONTO
from tests.reports.focus_month import START, charge, entry, shares, us

BASE: dict[str, Any] = {
    "attempt_id": "a/1", "call_id": "a", "number": 1, "started_us": us(START) + 1, "ended_us": us(START) + 2,
    "tenant": "maple", "team": "branch", "app": "teller", "key_id": "k1", "cost_centre": "4410",
    "alias": "chat",
    "deployment": "d", "vendor": "microsoft", "place": "CA-QC", "model": "m", "vendor_model": None,
    "vendor_id": None,
    "surface": "chat", "status": "served", "code": None, "input": 0, "cache_read": 0, "cache_write_5m": 0,
    "cache_write_1h": 0, "output": 0, "reasoning": 0, "input_audio": 0, "output_audio": 0, "input_image": 0,
    "units": "{}", "currency": "USD", "nano": 0, "list_nano": None, "contracted_nano": None,
    "spend_currency": "CAD",
    "spend_nano": 0, "estimated": False, "overrun": False, "at_most": False, "tier": "",
    "served_place": "", "band": 0,
    "snapshot": "s", "price_ids": "", "lines": "[]", "billing_period": None,
}  # fmt: skip
NOVEMBER = tuple(bound // 1000 for bound in windows("month", TORONTO, us(START) * 1000))


def attempt(**changes):
    names = LedgerRow.__dataclass_fields__
    return LedgerRow(**{name: value for name, value in {**BASE, **changes}.items() if name in names})


def folded(*attempts, entries=(), grain="day", zone=TORONTO, bounds=NOVEMBER):
    charges = Charges(start_us=bounds[0], end_us=bounds[1], timezone=zone, grain=grain)
    charges.attempts(attempts)
    charges.entries(entries)
    return charges


def line(meter, quantity, price, per=1_000_000, listed=None):
    told = {"meter": meter, "quantity": quantity, "price_id": "p", "unit_price": price, "per": per}
    return told | ({"list_unit_price": listed} if listed else {})


def priced(lines, spend=0, **changes):
    return attempt(lines=orjson.dumps(lines).decode(), nano=charge(lines), spend_nano=spend, **changes)


_PRICES = st.decimals(min_value=0, max_value=10_000, places=7).map(str)
_LINES = st.lists(
    st.tuples(st.sampled_from(["input", "output", "cache_read", "request"]), st.integers(1, 10**7),
    _PRICES), min_size=1, max_size=5
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.tuples(_LINES, st.integers(0, 10**15)), min_size=1, max_size=8))
def test_meters_share_what_was_billed_to_the_nano_unit(calls):
    """However prices fall, the parts sum to each attempt's amount, in both currencies; none is negative."""
    attempts = [priced([line(*one) for one in lines], spend) for lines, spend in calls]
    charges = folded(*attempts)
    assert sum(found.nano for found in charges.used.values()) == sum(one.nano for one in attempts)
    assert sum(found.spend_nano for found in charges.used.values()) == sum(one.spend_nano for one in attempts)
    assert sum(found.quantity for found in charges.used.values()) == sum(
        n for lines, _ in calls for _, n, _ in lines
    )
    assert all(found.nano >= 0 and found.spend_nano >= 0 for found in charges.used.values())


@settings(deadline=None)
@given(_LINES)
def test_a_meters_part_is_its_price_times_its_quantity(lines):
    """To within a nano-unit and a half: the rounding of the whole, and a remainder."""
    told = [line(*one) for one in lines]
    one = priced(told)
    charges = folded(one)
    exact: dict[Any, Fraction] = {}
    for item in told:
        key = (item["meter"], item["unit_price"])
        exact[key] = (
            exact.get(key, Fraction(0))
            + Fraction(item["unit_price"]) * item["quantity"] / item["per"] * 10**9
        )
    for key, found in charges.used.items():
        told_here = [
            item for item in told if (item["meter"], item["unit_price"]) == (key.meter, key.unit_price)
        ]
        # Half a unit for the rounding of the whole, less than one for each line's remainder.
        assert abs(found.nano - exact[key.meter, key.unit_price]) < Fraction(3, 2) * len(told_here)


def test_what_was_never_billed_is_no_row_and_what_lacks_a_price_is_counted():
    """A failed try costs nothing; a served one without a price is a hole that must show."""
    charges = folded(attempt(nano=None, currency=None, status="failed"), attempt(nano=None, currency=None))
    assert (charges.used, charges.unitemised, charges.unpriced) == ({}, {}, 1)


def test_free_use_is_told_at_a_price_of_nothing():
    """Its buckets are usage all the same."""
    charges = folded(attempt(input=7, output=3, units='{"web_search":2}'))
    assert {key.meter: (found.quantity, key.unit_price, found.nano) for key,
    found in charges.used.items()} == {
        "input": (7, "0", 0), "output": (3, "0", 0), "web_search": (2, "0", 0),
    }  # fmt: skip


def test_an_amount_without_lines_is_kept():
    """An amount is never dropped for want of detail."""
    charges = folded(attempt(nano=5, spend_nano=7), attempt(nano=6, spend_nano=8))
    assert [(found.nano, found.spend_nano) for found in charges.unitemised.values()] == [(11, 15)]


@pytest.mark.parametrize(
    ("zone", "grain", "at", "start", "end"),
    [
        # The day on which Toronto's summer time ends has 25 hours.
        (TORONTO, "day", (2026, 11, 1, 12), (2026, 11, 1, 4), (2026, 11, 2, 5)),
        (TORONTO, "hour", (2026, 11, 1, 6, 59), (2026, 11, 1, 6), (2026, 11, 1, 7)),
        ("Asia/Kolkata", "day", (2026, 11, 10, 18, 29), (2026, 11, 9, 18, 30), (2026, 11, 10, 18, 30)),
        ("Asia/Kolkata", "hour", (2026, 11, 10, 18, 31), (2026, 11, 10, 18, 30), (2026, 11, 10, 19, 30)),
        # Lord Howe turns its clock by half an hour: that day's last hour has thirty minutes.
        ("Australia/Lord_Howe", "hour", (2026, 4, 5, 13, 20), (2026, 4, 5, 13), (2026, 4, 5, 13, 30)),
        ("Asia/Kathmandu", "hour", (2026, 11, 10, 18, 14), (2026, 11, 10, 17, 15), (2026, 11, 10, 18, 15)),
    ],
)
def test_hours_and_days_are_the_organisations(zone, grain, at, start, end):
    """With the clock changes and the odd quarters of an hour."""
    bounds = (us(datetime(2026, 4, 1, tzinfo=UTC)), us(datetime(2026, 12, 1, tzinfo=UTC)))
    one = priced([line("input", 1, "1")], started_us=us(datetime(*at, tzinfo=UTC)))
    (key,) = folded(one, zone=zone, grain=grain, bounds=bounds).used
    assert (key.start_us, key.end_us) == (us(datetime(*start, tzinfo=UTC)), us(datetime(*end, tzinfo=UTC)))


@settings(deadline=None)
@given(st.integers(NOVEMBER[0], NOVEMBER[1] - 1), st.sampled_from(["day", "hour"]))
def test_every_charge_period_lies_in_its_billing_period(at, grain):
    """And holds the instant of its attempt."""
    (key,) = folded(priced([line("input", 1, "1")], started_us=at), grain=grain).used
    assert NOVEMBER[0] <= key.start_us <= at < key.end_us <= NOVEMBER[1]


def test_shares_of_a_day_are_one_charge_whose_parts_close():
    """48 hours of a pool: two days; ratios, hours and amounts add up exactly."""
    booked = list(shares(48))
    charges = folded(entries=booked)
    found = dict(parts(charges.shared))
    pools = [origin for origin in found if origin[0] == "gpu"]
    assert len(pools) == 2
    assert len([origin for origin in found if origin[0] == "reserved"]) == 2
    for origin, several in found.items():
        assert sum(part.ratio for part in several) == RATIOS
        assert len({part.unit_price for part in several}) == 1
        if origin[0] == "gpu":
            assert several[0].unit_price == Decimal("2.49")
    # The first day has 25 hours; four GPUs ran for 48 hours in all.
    hours = [sum(part.nano_hours for part in found[origin]) for origin in pools]
    assert hours == [100 * 10**9, 92 * 10**9]
    total = sum(one.nano for one in booked)
    assert sum(part.sum.nano for several in found.values() for part in several) == total


def test_a_correction_within_the_period_is_part_of_its_share():
    """A closed hour that was split again: the difference joins the row that it corrects."""
    first = next(iter(shares(1)))
    delta = entry(
        first.id.replace(":1:use:", ":2:use:"), kind="correction", start_us=first.start_us,
        end_us=first.end_us,
        team=first.team, app=first.app, cost_centre=first.cost_centre, deployment=first.deployment,
        vendor="self",
        place="CA-QC", model="llama", currency="CAD", nano=-100, spend_nano=-100, quantity=-50,
        unit="micro-gpu-seconds", origin=first.origin, ratio_ppb=-1,
    )  # fmt: skip
    charges = folded(entries=[first, delta])
    ((key, found),) = charges.shared.items()
    assert (found.nano, found.micro, key.part) == (first.nano - 100, first.quantity - 50, "use")
    assert charges.single == []


def test_a_share_about_another_period_stays_an_entry_of_its_own():
    """It is a correction there."""
    october = us(datetime(2026, 10, 3, tzinfo=UTC))
    late = entry("gpu:p:1:1:use:x", kind="gpu", start_us=october, end_us=october + 3_600_000_000,
    origin=f"gpu:p:{october}",
                 unit="micro-gpu-seconds", quantity=5)  # fmt: skip
    assert folded(entries=[late]).single == [late]


def test_shares_without_time_or_below_zero_are_amounts():
    """Nothing to split by is no reason to lose the money."""
    origin = f"gpu:p:{us(START)}"
    odd = entry("gpu:p:0:1:use:x", kind="gpu", end_us=us(START) + 3_600_000_000, origin=origin,
    unit="micro-gpu-seconds",
                quantity=0, nano=9)  # fmt: skip
    ((_, several),) = parts(folded(entries=[odd]).shared)
    assert [(part.sum.nano, part.ratio) for part in several] == [(9, 0)]


def test_lines_are_read_once_and_weighed_by_price():
    """A price of nothing weighs nothing; three decimals of a cent do."""
    assert parsed(orjson.dumps([line("input", 0, "1"), line("output", 2, "3", listed="4")]).decode()) == (
        ("p", 2, "output", "3", "4", 1_000_000),
    )
    assert weight("0", 1) == 0
    assert weight("0.0003", 1) == 300 * weight("1", 1_000_000)
