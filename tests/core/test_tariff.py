"""Compiled prices and rates say what the declared ones say, to the last digit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.snapshot import Rate
from gateway.core.tariff import exchange, tariff
from tests.core.maple import price

PRICES = st.decimals("0", "1000", places=7, allow_nan=False)
NAMES = st.sampled_from(
    ["input", "cache_read", "cache_write", "output", "reasoning", "input_audio", "request"]
)


@given(st.dictionaries(NAMES, PRICES), st.sampled_from([1, 1000, 1_000_000, 7]), st.integers(0, 10**9))
def test_a_factor_is_the_price_exactly(meters: dict[str, Decimal], per: int, quantity: int) -> None:
    """Factor × quantity ÷ bottom is the declared price in nano-units, with no rounding yet."""
    made = tariff(price(meters=meters, per=per))
    known = [*made.buckets.values(), *([made.request] if made.request else [])]
    for meter in known:
        units = 1 if meter.name == "request" else per
        declared = Fraction(meters[meter.name]) * 10**9 * quantity / units
        assert Fraction(meter.factor * quantity, made.bottom) == declared
        assert (Decimal(meter.unit_price), meter.per) == (meters[meter.name], units)


def test_a_bound_takes_the_dearest_meter() -> None:
    """Of input and of output; none where the price does not name the plain meter."""
    meters = {"input": Decimal(1), "cache_write": Decimal(3), "output": Decimal(2), "reasoning": Decimal(5)}
    made = tariff(price(meters=meters))
    assert made.dearest_input is not None
    assert made.dearest_output is not None
    assert (made.dearest_input.name, made.dearest_output.name) == ("cache_write", "reasoning")
    del meters["input"], meters["output"]
    assert (tariff(price(meters=meters)).dearest_input, tariff(price(meters=meters)).dearest_output) == (
        None,
        None,
    )


def test_a_missing_meter_is_only_replaced_by_a_dearer_one() -> None:
    """A cache read may cost as input does; input never as a cache read."""
    made = tariff(price(meters={"input": Decimal(4), "cache_write_1h": Decimal(8)}))
    assert {bucket: meter.name for bucket, meter in made.buckets.items()} == {
        "input": "input",
        "cache_read": "input",
        "cache_write_5m": "cache_write_1h",
        "cache_write_1h": "cache_write_1h",
    }
    assert tariff(price(meters={"cache_read": Decimal(1)})).buckets.keys() == {"cache_read"}


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
    rates: list[Rate], pair: tuple[str, str], at: int
) -> None:
    """Whichever way a pair was declared; of one instant, the declared direction."""
    steps = exchange(rates).get(pair, ())
    assert [step[0] for step in steps] == sorted({step[0] for step in steps})
    started = [rate for rate in rates if rate.valid_from <= at and {rate.base, rate.quote} == set(pair)]
    held = [step for step in steps if step[0] <= at]
    assert bool(held) == bool(started)
    if not started:
        return
    newest = max(rate.valid_from for rate in started)
    of_then = [rate for rate in started if rate.valid_from == newest]
    direct = [rate for rate in of_then if (rate.base, rate.quote) == pair]
    expected = Fraction(direct[-1].rate) if direct else 1 / Fraction(of_then[0].rate)
    since, top, bottom = held[-1]
    assert (since, Fraction(top, bottom)) == (newest, expected)
