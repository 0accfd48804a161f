"""Compiled prices and rates say what the declared ones say, to the last digit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.snapshot import Price, Rate
from gateway.core.tariff import ALWAYS, Band, Discount, Tariff, Terms, Uplift, exchange, tariffs
from tests.core.maple import at, price

PRICES = st.decimals("0", "1000", places=7, allow_nan=False)
NAMES = st.sampled_from(
    ["input", "cache_read", "cache_write", "output", "reasoning", "input_audio", "request"]
)


def only(made: Price) -> Tariff:
    """The tariff of a price without dated multipliers."""
    (tariff,) = tariffs([made])
    return tariff


@given(st.dictionaries(NAMES, PRICES), st.sampled_from([1, 1000, 1_000_000, 7]), st.integers(0, 10**9))
def test_a_factor_is_the_price_exactly(meters: dict[str, Decimal], per: int, quantity: int) -> None:
    """Factor × quantity ÷ bottom is the declared price in nano-units, with no rounding yet."""
    made = only(price(meters=meters, per=per))
    (sheet,) = made.standard
    for meter in [*sheet.buckets.values(), *([sheet.request] if sheet.request else [])]:
        units = 1 if meter.name == "request" else per
        declared = Fraction(meters[meter.name]) * 10**9 * quantity / units
        assert Fraction(meter.factor * quantity, made.bottom) == declared
        assert (Decimal(meter.unit_price), meter.per) == (meters[meter.name], units)
        assert meter.list_unit_price is None


def test_a_bound_takes_the_dearest_meter() -> None:
    """Of input and of output; none where the price does not name the plain meter."""
    meters = {"input": Decimal(1), "cache_write": Decimal(3), "output": Decimal(2), "reasoning": Decimal(5)}
    (ceiling,) = only(price(meters=meters)).ceilings
    assert ceiling.dearest_input is not None
    assert ceiling.dearest_output is not None
    assert (ceiling.dearest_input.name, ceiling.dearest_output.name) == ("cache_write", "reasoning")
    del meters["input"], meters["output"]
    (ceiling,) = only(price(meters=meters)).ceilings
    assert (ceiling.dearest_input, ceiling.dearest_output) == (None, None)


def test_a_bound_takes_the_dearest_tier_that_a_prompt_can_reach() -> None:
    """A tier twice as dear doubles every hold; a band only the holds of prompts that may be so long."""
    meters = {"input": Decimal(1), "output": Decimal(2)}
    tiers = {"priority": Terms(times=Decimal(2)), "batch": Terms(times=Decimal("0.5"))}
    band = Band(above=1_000, terms=Terms(times=Decimal(4)), tiers={})
    long, short = only(price(meters=meters, tiers=tiers, bands=(band,))).ceilings
    assert (long.above, short.above) == (1_000, 0)
    prices = [made.dearest_input.unit_price for made in (long, short) if made.dearest_input is not None]
    assert prices == ["8", "2"]


def test_a_sheet_of_its_own_replaces_every_token_meter() -> None:
    """A tier that names input and output charges cached tokens as its own input, not at the base's price."""
    meters = {"input": Decimal(2), "cache_read": Decimal(1), "output": Decimal(4), "web_search": Decimal(9)}
    fast = Terms(meters={"input": Decimal(6), "output": Decimal(8)})
    made = only(price(meters=meters, tiers={"fast": fast}))
    (sheet,) = made.sheets["fast", ""]
    assert {name: sheet.buckets[name].unit_price for name in ("input", "cache_read", "web_search")} == {
        "input": "6",
        "cache_read": "6",
        "web_search": "9",
    }


def test_multipliers_cut_the_time_and_stay_exact() -> None:
    """Each stretch has its own factors; products of decimals lose no digit."""
    lift = Uplift(where=ALWAYS, times=Decimal("1.1"), valid_from=at("2026-11-10"), valid_to=at("2026-11-20"))
    deal = Discount(times=Decimal("0.333333333333"), valid_from=at("2026-11-15"), valid_to=None)
    meters = {"input": Decimal("0.123456789012")}
    made = tariffs([price(meters=meters, uplifts=(lift,), discounts=(deal,))])
    shown = [(one.since, one.standard[0].buckets["input"].unit_price) for one in reversed(made)]
    assert shown == [
        (at("2026-11-01"), "0.123456789012"),
        (at("2026-11-10"), "0.1358024679132"),
        (at("2026-11-15"), str(Decimal("0.1358024679132") * Decimal("0.333333333333"))),
        (at("2026-11-20"), str(Decimal("0.123456789012") * Decimal("0.333333333333"))),
    ]
    assert all(one.until == two.since for one, two in pairwise(reversed(made)))


def test_what_was_known_last_comes_first() -> None:
    """A correction before what it corrects, later stretches before earlier ones."""
    old = price(id="old", valid_from=at("2026-10-01"), valid_to=at("2026-11-01"))
    new = price(id="new")
    fixed = price(id="fixed", recorded_at=at("2026-11-20"), corrects="new")
    assert [one.price.id for one in tariffs([old, new, fixed])] == ["fixed", "new", "old"]


def test_a_missing_meter_is_only_replaced_by_a_dearer_one() -> None:
    """A cache read may cost as input does; input never as a cache read."""
    (sheet,) = only(price(meters={"input": Decimal(4), "cache_write_1h": Decimal(8)})).standard
    assert {bucket: meter.name for bucket, meter in sheet.buckets.items()} == {
        "input": "input",
        "cache_read": "input",
        "cache_write_5m": "cache_write_1h",
        "cache_write_1h": "cache_write_1h",
    }
    (sheet,) = only(price(meters={"cache_read": Decimal(1)})).standard
    assert sheet.buckets.keys() == {"cache_read"}


RATES = st.lists(
    st.builds(
        Rate,
        base=st.sampled_from(["USD", "CAD"]),
        quote=st.sampled_from(["CAD", "EUR"]),
        rate=st.decimals("0.01", "9", places=4, allow_nan=False),
        valid_from=st.integers(0, 3),
        source=st.just("made up"),
    ).filter(lambda rate: rate.base != rate.quote),
    max_size=6,
)


@given(RATES, st.sampled_from([("USD", "CAD"), ("CAD", "USD"), ("EUR", "CAD")]), st.integers(0, 4))
def test_the_newest_rate_holds_and_a_direct_one_wins(
    rates: list[Rate], pair: tuple[str, str], now: int
) -> None:
    """Whichever way a pair was declared; of one instant, the declared direction."""
    steps = exchange(rates).get(pair, ())
    assert [step[0] for step in steps] == sorted({step[0] for step in steps})
    started = [rate for rate in rates if rate.valid_from <= now and {rate.base, rate.quote} == set(pair)]
    held = [step for step in steps if step[0] <= now]
    assert bool(held) == bool(started)
    if not started:
        return
    newest = max(rate.valid_from for rate in started)
    of_then = [rate for rate in started if rate.valid_from == newest]
    direct = [rate for rate in of_then if (rate.base, rate.quote) == pair]
    expected = Fraction(direct[-1].rate) if direct else 1 / Fraction(of_then[0].rate)
    since, top, bottom = held[-1]
    assert (since, Fraction(top, bottom)) == (newest, expected)
