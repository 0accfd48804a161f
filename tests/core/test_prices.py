"""Charges and bounds: exact to the last nano, never below the meter, unknown rather than zero."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Code, Refusal
from gateway.core.prices import bound, charge, convert, price_at
from gateway.core.snapshot import Rate
from gateway.core.values import Charge, Usage
from tests.core.maple import NOW, at, price, snapshot

COUNTS = st.integers(0, 10**7)
USAGES = st.builds(
    Usage,
    input=COUNTS,
    cache_read=COUNTS,
    cache_write_5m=COUNTS,
    output=COUNTS,
    reasoning=st.integers(0, 10**4),
)


def test_a_charge_by_hand() -> None:
    """1,000 × 0.44 + 500 × 0.11 + 100 × 1.76 per million USD is 671,000 nano-dollars."""
    made = charge(snapshot(), "here", Usage(input=1000, cache_read=500, output=100), at=NOW)
    assert isinstance(made, Charge)
    assert (made.nano, made.currency) == (671_000, "USD")
    assert [(line.meter, line.quantity, line.unit_price, line.per) for line in made.lines] == [
        ("input", 1000, "0.44", 1_000_000),
        ("cache_read", 500, "0.11", 1_000_000),
        ("output", 100, "1.76", 1_000_000),
    ]
    assert {line.price_id for line in made.lines} == {"here-2026-11"}


@given(USAGES)
def test_a_charge_is_rounded_once(usage: Usage) -> None:
    """The sum over meters is exact; only the total is rounded, half-even."""
    made = charge(snapshot(), "here", usage, at=NOW)
    assert isinstance(made, Charge)
    exact = sum(Fraction(line.unit_price) * line.quantity / line.per * 10**9 for line in made.lines)
    assert made.nano == round(Fraction(exact))  # round() of a Fraction is half-even


def test_a_row_can_be_rated_again_from_its_own_lines() -> None:
    """Prices of a charge are whole in it: a later price book changes nothing."""
    made = charge(snapshot(), "here", Usage(input=3, output=7), at=NOW)
    assert isinstance(made, Charge)
    again = sum(Fraction(line.unit_price) * line.quantity / line.per * 10**9 for line in made.lines)
    assert round(Fraction(again)) == made.nano


@given(USAGES)
def test_no_charge_passes_the_bound_of_its_tokens(usage: Usage) -> None:
    """Whatever mix of cached and uncached tokens the vendor bills, the hold covered it."""
    made = charge(snapshot(), "here", usage, at=NOW)
    most = bound(snapshot(), "here", input_tokens=usage.total_input, output_tokens=usage.total_output, at=NOW)
    assert isinstance(made, Charge)
    assert isinstance(most, Charge)
    assert made.nano <= most.nano


def test_reasoning_is_charged_once() -> None:
    """Reasoning is a sub-count of output: with a meter of its own it leaves output's."""
    meters = {"input": Decimal(1), "output": Decimal(2), "reasoning": Decimal(5)}
    bundle = snapshot(prices={"here": (price(meters=meters, per=1),)})
    made = charge(bundle, "here", Usage(output=10, reasoning=4), at=NOW)
    assert isinstance(made, Charge)
    assert made.nano == (6 * 2 + 4 * 5) * 10**9


def test_a_request_fee_is_per_request_whatever_per_says() -> None:
    """``request`` counts requests: it is not divided by a million."""
    bundle = snapshot(prices={"here": (price(meters={"input": Decimal(1), "request": Decimal("0.005")}),)})
    made = charge(bundle, "here", Usage(input=0), at=NOW)
    assert isinstance(made, Charge)
    assert made.nano == 5_000_000


@pytest.mark.parametrize(
    "usage", [Usage(cache_write_1h=1), Usage(input_audio=1), Usage(output_audio=1), Usage(input_image=1)]
)
def test_a_bucket_without_a_meter_is_unknown_not_free(usage: Usage) -> None:
    """A gap in the price sheet never books zero."""
    made = charge(snapshot(), "here", usage, at=NOW)
    assert isinstance(made, Refusal)
    assert made.code is Code.PRICE_UNKNOWN


def test_cached_reads_without_a_meter_cost_as_input() -> None:
    """The only stand-in is a dearer meter."""
    bundle = snapshot(prices={"here": (price(meters={"input": Decimal(3), "output": Decimal(4)}, per=1),)})
    made = charge(bundle, "here", Usage(cache_read=2), at=NOW)
    assert isinstance(made, Charge)
    assert made.nano == 6 * 10**9


def test_prices_are_dated_and_half_open() -> None:
    """A price holds from its first instant to just before its end."""
    old = price(id="old", valid_from=at("2026-10-01"), valid_to=at("2026-11-01"))
    bundle = snapshot(prices={"here": (old, price())})
    before = price_at(bundle, "here", at("2026-11-01") - 1)
    after = price_at(bundle, "here", at("2026-11-01"))
    assert before is not None
    assert after is not None
    assert (before.id, after.id) == ("old", "here-2026-11")
    assert price_at(bundle, "here", at("2026-09-30")) is None


@pytest.mark.parametrize("deployment", ["here", "there"])
def test_no_valid_price_is_unknown(deployment: str) -> None:
    """Before its date, and for a model nobody priced, there is no charge and no bound."""
    early = at("2026-01-01")
    assert isinstance(charge(snapshot(), deployment, Usage(input=1), at=early), Refusal)
    assert isinstance(bound(snapshot(), deployment, input_tokens=1, output_tokens=1, at=early), Refusal)


def test_free_is_said_not_assumed() -> None:
    """A price marked free costs nothing; that is a price, not a missing one."""
    bundle = snapshot(prices={"here": (price(free=True, meters={}),)})
    made = charge(bundle, "here", Usage(input=10**9), at=NOW)
    assert made == Charge(nano=0, currency="USD", lines=())


def test_amounts_that_do_not_fit_are_unknown() -> None:
    """A price entered per token instead of per million overflows and is refused, not wrapped."""
    bundle = snapshot(prices={"here": (price(meters={"input": Decimal(10**9)}, per=1),)})
    assert isinstance(charge(bundle, "here", Usage(input=10**6), at=NOW), Refusal)
    assert isinstance(bound(bundle, "here", input_tokens=10**6, output_tokens=0, at=NOW), Refusal)


def test_conversion_by_the_rate_of_the_instant() -> None:
    """The newest rate fixed by then applies, direct or inverted; upward for holds."""
    bundle = snapshot()
    assert convert(bundle, 10**9, "USD", "CAD", at=NOW, ceiling=False) == 1_392_500_000
    assert convert(bundle, 1_392_500_000, "CAD", "USD", at=NOW, ceiling=False) == 10**9
    assert convert(bundle, 1, "USD", "CAD", at=NOW, ceiling=True) == 2
    assert convert(bundle, 5, "CAD", "CAD", at=0, ceiling=True) == 5
    later = replace(bundle.rates[0], rate=Decimal(2), valid_from=at("2026-11-20"))
    moved = snapshot(rates=(later, *bundle.rates))
    assert convert(moved, 1, "USD", "CAD", at=NOW, ceiling=False) == 2
    assert convert(moved, 10**9, "USD", "CAD", at=at("2026-11-19"), ceiling=False) == 1_392_500_000


def test_a_direct_rate_wins_over_an_inverted_one_of_the_same_day() -> None:
    """Two ways to the same pair on one day: the one that finance wrote for it."""
    inverse = Rate(base="CAD", quote="USD", rate=Decimal("0.5"), valid_from=at("2026-11-01"), source="other")
    for rates in ((*snapshot().rates, inverse), (inverse, *snapshot().rates)):
        made = convert(snapshot(rates=rates), 10**9, "USD", "CAD", at=NOW, ceiling=False)
        assert made == 1_392_500_000


def test_no_rate_is_unknown() -> None:
    """A currency without a rate, or not yet with one, cannot be held to a budget."""
    for base, instant in (("EUR", NOW), ("USD", at("2026-10-31"))):
        made = convert(snapshot(), 1, base, "CAD", at=instant, ceiling=True)
        assert isinstance(made, Refusal)
        assert made.code is Code.PRICE_UNKNOWN
