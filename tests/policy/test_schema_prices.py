"""Bad input in a price file: each slip is named with file, line and the fix, and nothing of it is loaded."""

# ruff: noqa: E501 (files stand whole, as people read them)

from __future__ import annotations

from typing import get_args

import pytest

from gateway.core.tariff import TOKEN_METERS, UNIT_METERS
from gateway.core.values import RARE_INPUT, RARE_OUTPUT
from gateway.policy.schema_prices import CURRENCIES, Meter, TokenMeter
from tests.policy.price_files import entry, problems


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"meters": '{input: "-1", output: "2"}'}, "prices/p.yaml:4:12 [0].meters.input: `-1` is negative; a price is zero or more; write a discount as discounts"),
        ({"meters": '{input: "NaN", output: "2"}'}, "`NaN` is no number"),
        ({"meters": '{input: "inf", output: "2"}'}, "`inf` is no number"),
        ({"meters": '{input: "-Infinity", output: "2"}'}, "`-Infinity` is no number"),
        ({"meters": "{input: .nan, output: '2'}"}, "an amount is written in quotes"),
        ({"meters": '{input: "1234567890123", output: "2"}'}, "more than 12 digits before or after the point; check the amount and its `per`"),
        ({"meters": '{input: "0.0000000000001", output: "2"}'}, "more than 12 digits"),
        ({"meters": '{input: "3e-07", output: "2"}'}, '`3e-07` is no amount, with its exponent; write "0.0000003"'),
        ({"meters": '{input: "1e999999999", output: "2"}'}, "`1e999999999` is no amount"),
        ({"meters": "{input: 0.44, output: '2'}"}, 'an amount is written in quotes; write "0.44"'),
        ({"meters": '{input: "0,44", output: "2"}'}, "`0,44` is no amount"),
        ({"meters": '{input: true, output: "2"}'}, "`True` is no amount"),
        ({"meters": '{inputs: "1", output: "2"}'}, "`inputs` is none of the words that may stand here; did you mean `input`?"),
        ({"currency": "usd"}, "`usd`"),
        ({"currency": "USX"}, "`USX` is no currency of ISO 4217; write for example USD, CAD or EUR"),
        ({"currency": "XAU"}, "`XAU` is no currency of ISO 4217"),
        ({"per": "0"}, "[0].per: `0` is out of range: greater than or equal to 1"),
        ({"per": "-5"}, "out of range"),
        ({"per": '"1000000"'}, "a whole number is expected"),
        ({"valid": "{from: 2026-13-01}"}, "`2026-13-01` is no instant"),
        ({"valid": ""}, "the key `valid` is missing"),
        ({"source": ""}, "the key `source` is missing"),
        ({"tier": "{}"}, "unknown key `tier`; did you mean `tiers`?"),
        ({"tiers": "{flex: {}}"}, "this has `times` or `meters`, one of them"),
        ({"tiers": '{flex: {times: "500"}}'}, "`500` times is no multiplier"),
        ({"bands": '[{above: 0, times: "2"}]'}, "out of range"),
        ({"uplifts": '[{where: us, times: "-1.1", source: s}]'}, "`-1.1` is negative"),
        ({"discounts": '[{times: "0.85"}]'}, "the key `source` is missing"),
        ({"reserved": '{amount: "5", per: week}'}, "`week` is none of the words that may stand here"),
        ({"reserved": '{amount: "5", per: hour, units: 0}'}, "out of range"),
        ({"reserved": '{amount: "9999999999", per: hour}'}, "the amount is more than any contract"),
        ({"reserved": '{amount: "5", per: hour, split: requests, weights: {input: "1"}}'}, "weights are for a split by tokens"),
        ({"reserved": '{amount: "5", per: hour, weights: {input: "0"}}'}, "no weight is above zero"),
        ({"reserved": '{amount: "5", per: hour, capacity_per_hour: "0"}'}, "a capacity of nothing serves nobody"),
        ({"at_most": "{web_search: 0}"}, "out of range"),
    ],
)  # fmt: skip
def test_a_slip_is_named_with_its_place(fields: dict[str, str], said: str) -> None:
    """Every one at its line of the file; with several prices none is loaded."""
    found = problems(entry("fine", deployment="e"), entry(**fields))
    moved = said.replace("p.yaml:4:12", "p.yaml:10:12").replace("[0]", "[1]")
    assert any(moved in message for message in found), found
    assert all(message.startswith("prices/p.yaml:") for message in found)


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        ('{base: USD, quote: CAD, rate: "0", from: 2026-01-01, source: s}', "a rate of zero converts nothing"),
        ('{base: USD, quote: CAD, rate: "-1", from: 2026-01-01, source: s}', "`-1` is negative"),
        ("{base: USD, quote: CAD, rate: 1.4, from: 2026-01-01, source: s}", "an amount is written in quotes"),
        ('{base: USD, quote: CAX, rate: "1", from: 2026-01-01, source: s}', "`CAX` is no currency"),
        ('{base: USD, quote: CAD, rate: "1.4", from: 2026-01-01}', "the key `source` is missing"),
    ],
)  # fmt: skip
def test_a_slip_in_a_rate_is_named(rate: str, said: str) -> None:
    """A rate has a source and a day, and is above zero."""
    found = problems(entry(), fx=f"rates:\n  - {rate}\n")
    assert any(said in message and message.startswith("prices/fx.yaml:2:") for message in found), found


def test_every_meter_that_may_be_written_is_priced_and_no_other() -> None:
    """The words of the file, the buckets of a usage and the meters of a tariff are the same."""
    words = set(get_args(Meter))
    assert set(get_args(TokenMeter)) == words & TOKEN_METERS
    assert words - TOKEN_METERS == set(UNIT_METERS)
    assert words >= RARE_INPUT | RARE_OUTPUT
    assert {"USD", "CAD", "EUR"} <= CURRENCIES
    assert not {"XXX", "XTS", "XAU"} & CURRENCIES
