"""Charges and bounds: exact to the last nano, never below the meter, unknown rather than zero."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Code, Refusal
from gateway.core.prices import bound, charge, convert, price_at, rate_of_window
from gateway.core.snapshot import Price, Rate
from gateway.core.tariff import Band, Discount, Terms, Uplift
from gateway.core.values import Charge, Usage
from tests.core.maple import NOW, at, price, snapshot
from tests.core.priced import DAYS, naive, prices, usages

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


def test_conversion_by_the_rate_of_the_ledgers_month() -> None:
    """Direct or inverted, upward for holds; a rate that changes in a month holds from the next month on."""
    bundle = snapshot()
    assert convert(bundle, 10**9, "USD", "CAD", at=NOW, ceiling=False) == 1_392_500_000
    assert convert(bundle, 1_392_500_000, "CAD", "USD", at=NOW, ceiling=False) == 10**9
    assert convert(bundle, 1, "USD", "CAD", at=NOW, ceiling=True) == 2
    assert convert(bundle, 5, "CAD", "CAD", at=0, ceiling=True) == 5
    later = replace(bundle.rates[0], rate=Decimal(2), valid_from=at("2026-11-20"))
    moved = snapshot(rates=(later, *bundle.rates))
    for when in ("2026-11-19", "2026-11-25", "2026-12-01T04:59:59"):  # still November in Toronto
        assert convert(moved, 10**9, "USD", "CAD", at=at(when), ceiling=False) == 1_392_500_000
    assert convert(moved, 10**9, "USD", "CAD", at=at("2026-12-01T05:00:00"), ceiling=False) == 2 * 10**9


def test_a_budgets_window_has_one_rate_from_its_start_to_its_end() -> None:
    """The rate in force when the window opened; of a window that opened before any, the first one."""
    first = snapshot().rates[0]
    rates = (first, replace(first, rate=Decimal(2), valid_from=at("2026-11-20")))
    moved = snapshot(rates=rates)

    def converted(window: str, when: str) -> int | Refusal:
        return convert(moved, 10**9, "USD", "CAD", at=at(when), window=at(window), ceiling=False)

    assert converted("2026-11-01T04:00:00", "2026-11-30") == 1_392_500_000
    assert (
        converted("2026-11-23", "2026-11-23T12:00:00") == 2 * 10**9
    )  # a day's budget has its own day's rate
    assert converted("2026-10-01", "2026-11-30") == 1_392_500_000  # a quarter that began before any rate
    assert isinstance(converted("2026-10-01", "2026-10-31"), Refusal)


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


# -------------------------------------------------------------------- conditions


@given(prices(), usages(), st.sampled_from(DAYS))
def test_a_charge_is_what_the_price_says_in_plain_words(made: Price, usage: Usage, when: int) -> None:
    """Against a naive reading in fractions: bands, tiers, places, dated multipliers, one rounding."""
    expected = naive(made, usage, when)
    bundle = snapshot(prices={"here": (made,)})
    charged = charge(bundle, "here", usage, at=when)
    if expected is None:
        assert isinstance(charged, Refusal)
        return
    listed, agreed = expected
    assert isinstance(charged, Charge)
    assert charged.nano == round(agreed)
    assert (charged.nano if charged.list_nano is None else charged.list_nano) == round(listed)
    again = sum(Fraction(line.unit_price) * line.quantity / line.per * 10**9 for line in charged.lines)
    assert again == agreed


@given(
    prices(), usages(), st.sampled_from(DAYS), st.integers(0, 10**5), st.integers(0, 10**5), st.integers(0, 9)
)
def test_no_charge_passes_the_bound_whatever_the_vendor_says(
    made: Price, usage: Usage, when: int, more_in: int, more_out: int, more: int
) -> None:
    """Tier, place, band and mix are the vendor's; the hold was for tokens and units alone."""
    bundle = snapshot(prices={"here": (made,)})
    units = {name: count + more for name, count in usage.units if name in {"web_search", "audio_second"}}
    most = bound(
        bundle,
        "here",
        input_tokens=usage.total_input + more_in,
        output_tokens=usage.total_output + more_out,
        units=units,
        at=when,
    )
    charged = charge(bundle, "here", usage, at=when)
    assert isinstance(most, Charge)
    assert most.at_most
    if isinstance(charged, Charge):
        assert charged.nano <= most.nano


def test_a_long_prompt_re_prices_the_whole_request() -> None:
    """Input and output; the cached part counts to the length; the length itself is not above it."""
    band = Band(
        above=200_000,
        terms=Terms(meters={"input": Decimal(6), "cache_read": Decimal("0.6"), "output": Decimal(22)}),
    )
    meters = {"input": Decimal(3), "cache_read": Decimal("0.3"), "output": Decimal(15)}
    bundle = snapshot(prices={"here": (price(meters=meters, bands=(band,)),)})
    short = charge(bundle, "here", Usage(input=100_000, cache_read=100_000, output=10), at=NOW)
    long = charge(bundle, "here", Usage(input=100_001, cache_read=100_000, output=10), at=NOW)
    assert isinstance(short, Charge)
    assert isinstance(long, Charge)
    assert (short.nano, short.band) == (300_000_000 + 30_000_000 + 150_000, 0)
    assert (long.nano, long.band) == (600_006_000 + 60_000_000 + 220_000, 200_000)
    # A hold for a prompt that cannot be so long pays no more for it.
    holds = [bound(bundle, "here", input_tokens=n, output_tokens=0, at=NOW) for n in (200_000, 200_001)]
    assert [held.nano for held in holds if isinstance(held, Charge)] == [600_000_000, 1_200_006_000]


def test_a_dearer_tier_without_a_price_is_unknown_a_cheaper_one_is_standard() -> None:
    """A vendor that serves `priority` unasked is booked at its hold; `flex` at most costs as standard."""
    standard = charge(snapshot(), "here", Usage(input=10), at=NOW)
    flex = charge(snapshot(), "here", Usage(input=10, tier="flex"), at=NOW)
    assert isinstance(standard, Charge)
    assert isinstance(flex, Charge)
    assert flex.nano == standard.nano
    refused = charge(snapshot(), "here", Usage(input=10, tier="priority"), at=NOW)
    assert isinstance(refused, Refusal)
    assert "`priority`" in refused.message


def test_list_and_contracted_amounts_are_kept_apart() -> None:
    """A contract's discount is charged; the list price stays readable in the charge and in its lines."""
    deal = Discount(times=Decimal("0.85"), valid_from=at("2026-11-10"), valid_to=None, source="contract")
    bundle = snapshot(prices={"here": (price(discounts=(deal,)),)})
    before = charge(bundle, "here", Usage(input=1_000_000), at=at("2026-11-09"))
    after = charge(bundle, "here", Usage(input=1_000_000), at=NOW)
    assert isinstance(before, Charge)
    assert isinstance(after, Charge)
    assert (before.nano, before.list_nano) == (440_000_000, None)
    assert (after.nano, after.list_nano, after.contracted_nano) == (374_000_000, 440_000_000, None)
    (line,) = after.lines
    assert (line.unit_price, line.list_unit_price) == ("0.374", "0.44")


def test_what_is_free_by_the_call_says_what_it_would_have_cost() -> None:
    """Reserved capacity with a price list: nothing is charged or held, list and contract are told."""
    bundle = snapshot(prices={"here": (price(free=True),)})
    made = charge(bundle, "here", Usage(input=1_000_000, cache_write_1h=5), at=NOW)
    assert isinstance(made, Charge)
    assert (made.nano, made.list_nano, made.contracted_nano) == (0, 440_000_000, 440_000_000)
    assert [(line.unit_price, line.list_unit_price) for line in made.lines] == [("0", "0.44")]
    held = bound(bundle, "here", input_tokens=10**6, output_tokens=10**6, at=NOW)
    assert isinstance(held, Charge)
    assert held.nano == 0


def test_units_that_are_no_tokens_are_priced_each_and_held() -> None:
    """Ten searches at a cent; a unit without a price is unknown in a hold as in a charge."""
    meters = {"input": Decimal(1), "output": Decimal(2), "web_search": Decimal("0.01")}
    bundle = snapshot(prices={"here": (price(meters=meters),)})
    made = charge(bundle, "here", Usage(units=(("web_search", 10),)), at=NOW)
    assert isinstance(made, Charge)
    assert made.nano == 100_000_000
    for units in ({"file_search": 1}, {"web_search": 1, "page": 2}):
        assert isinstance(
            bound(bundle, "here", input_tokens=1, output_tokens=1, units=units, at=NOW), Refusal
        )
    assert isinstance(charge(bundle, "here", Usage(units=(("page", 1),)), at=NOW), Refusal)


def test_an_uplift_holds_where_the_vendor_says_that_it_ran() -> None:
    """Dated, on tokens only."""
    lift = Uplift(where="us", times=Decimal("1.1"), valid_from=at("2026-11-10"), valid_to=at("2026-11-30"))
    meters = {"input": Decimal(1), "output": Decimal(1), "request": Decimal("0.001")}
    bundle = snapshot(prices={"here": (price(meters=meters, uplifts=(lift,)),)})
    amounts = [
        charge(bundle, "here", Usage(input=1_000_000, place=place), at=at(when))
        for place, when in (
            ("us", "2026-11-09"),
            ("us", "2026-11-10"),
            ("eu", "2026-11-10"),
            ("us", "2026-11-30"),
        )
    ]
    assert [made.nano for made in amounts if isinstance(made, Charge)] == [
        1_001_000_000, 1_101_000_000, 1_001_000_000, 1_001_000_000,
    ]  # fmt: skip


# ---------------------------------------------------------------------- two times


def test_a_price_learned_later_is_used_from_when_it_was_known() -> None:
    """It changes no earlier call; asked as of then, it says what those calls should have cost."""
    old = price(id="old")
    better = {name: amount / 2 for name, amount in old.meters.items()}
    new = price(id="new", meters=better, corrects="old", recorded_at=at("2026-11-20"))
    bundle = snapshot(prices={"here": (old, new)})
    early, late = at("2026-11-10"), at("2026-11-21")
    assert [getattr(price_at(bundle, "here", when), "id", None) for when in (early, late)] == ["old", "new"]
    usage = Usage(input=1_000_000)
    booked = charge(bundle, "here", usage, at=early)
    should = charge(bundle, "here", usage, at=early, known_at=late)
    assert isinstance(booked, Charge)
    assert isinstance(should, Charge)
    assert (booked.nano, should.nano) == (440_000_000, 220_000_000)
    without = charge(snapshot(prices={"here": (old,)}), "here", usage, at=early)
    assert booked == without


def test_the_rate_that_a_report_names_is_the_one_that_converted() -> None:
    """As declared: in force at the start, else the first within; a direct one before an inverse."""
    first = snapshot().rates[0]
    second = replace(first, rate=Decimal(2), valid_from=at("2026-11-20"))
    inverse = replace(first, base="CAD", quote="USD", rate=Decimal("0.5"))
    bundle = snapshot(rates=(first, second, inverse))
    november, december = at("2026-11-01T04:00:00"), at("2026-12-01T05:00:00")
    assert rate_of_window(bundle, "USD", "CAD", start=november, end=december) is first
    assert rate_of_window(bundle, "CAD", "USD", start=november, end=december) is inverse
    assert rate_of_window(bundle, "USD", "CAD", start=december, end=december + 1) is second
    assert rate_of_window(bundle, "USD", "CAD", start=at("2026-10-01"), end=november) is first
    assert rate_of_window(bundle, "USD", "CAD", start=0, end=at("2026-11-01")) is None
    for instant in ("2026-11-02", "2026-11-29"):
        made = convert(bundle, 10**9, "USD", "CAD", at=at(instant), ceiling=False)
        assert made == int(first.rate * 10**9)


def test_halves_go_to_the_even_unit() -> None:
    """Half a billionth a token: 1, 3 and 5 tokens are 0, 2 and 2 billionths, and a hold goes up."""
    bundle = snapshot(prices={"here": (price(meters={"input": Decimal("0.0000000005")}, per=1),)})
    charges = [charge(bundle, "here", Usage(input=n), at=NOW) for n in (1, 3, 5)]
    assert [made.nano for made in charges if isinstance(made, Charge)] == [0, 2, 2]
    held = [bound(bundle, "here", input_tokens=n, output_tokens=0, at=NOW) for n in (1, 3, 5)]
    assert [made.nano for made in held if isinstance(made, Charge)] == [1, 2, 3]
