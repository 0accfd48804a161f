"""Golden payloads of every vendor: exact buckets, the vendor's own total, and a cost worked out by hand.

Each file of ``tests/golden/usage`` holds a reply in the vendor's documented shape (plain, and
streamed where the dialect streams), the buckets, the price and the cost with its working.
"""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import prices
from gateway.core.meter import Meter
from gateway.core.money import decimal_of
from gateway.core.shape import is_object
from gateway.core.snapshot import Price
from gateway.core.usage_vendors import CONVENTIONS
from gateway.core.values import Charge, Dialect, Event, Usage
from gateway.policy.bundle import Placed
from gateway.policy.compile_prices import price as compiled
from gateway.policy.schema_prices import PriceModel
from gateway.policy.source import Document
from tests.core.maple import NOW, snapshot

FOLDER = Path(__file__).parent.parent / "golden" / "usage"
CASES = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]
by_name = pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])


def wanted(case: dict[str, Any]) -> Usage:
    """The buckets that a file expects."""
    buckets = dict(case["expect"]["buckets"])
    return Usage(**{**buckets, "units": tuple(sorted(buckets.get("units", {}).items()))})


def sorted_units(usage: Usage | None) -> Usage | None:
    """A usage whose units are in the order of their names: their order means nothing."""
    return None if usage is None else replace(usage, units=tuple(sorted(usage.units)))


def price_of(case: dict[str, Any]) -> Price:
    """The price of a file, read as ``prices/*.yaml`` would be."""
    model = PriceModel.model_validate(
        {
            "id": "golden",
            "deployment": "here",
            "currency": "USD",
            "valid": {"from": "2026-01-01"},
            "source": "by hand",
            **case["price"],
        }
    )
    return compiled(Placed(value=model, document=Document(file="golden.yaml"), path=()))


@by_name
def test_a_plain_reply_fills_the_buckets(case: dict[str, Any]) -> None:
    """Disjoint buckets, as worked out by hand."""
    assert sorted_units(CONVENTIONS[case["convention"]](case["payload"]["plain"])) == wanted(case)


@pytest.mark.parametrize("case", [c for c in CASES if "dialect" in c], ids=lambda case: case["name"])
def test_the_meter_reads_the_same_plain_and_streamed(case: dict[str, Any]) -> None:
    """What passes the gateway is metered alike in both forms, and only at its end."""
    plain = Meter(Dialect(case["dialect"]))
    plain.see_body(case["payload"]["plain"])
    assert sorted_units(plain.usage) == wanted(case)
    if "stream" in case["payload"]:
        streamed = Meter(Dialect(case["dialect"]))
        for i, data in enumerate(case["payload"]["stream"]):
            streamed.see(Event(name=None, data=data))
            assert i > 0 or streamed.usage is None
        assert sorted_units(streamed.usage) == wanted(case)


@by_name
def test_the_buckets_sum_to_the_vendors_total(case: dict[str, Any]) -> None:
    """No token is lost or counted twice; reasoning is a part of the output."""
    usage = wanted(case)
    assert usage.total == case["expect"]["vendor_total"]
    assert usage.reasoning <= usage.output


@by_name
def test_the_cost_is_the_one_worked_out_by_hand(case: dict[str, Any]) -> None:
    """To 1e-9 of the currency, which is the nano-unit that a row is rounded to."""
    bundle = snapshot(prices={"here": (price_of(case),)})
    charge = prices.charge(bundle, "here", wanted(case), at=NOW)
    assert isinstance(charge, Charge)
    assert abs(decimal_of(charge.nano) - Decimal(case["cost"])) <= Decimal("0.000000001")
    by_hand = sum(Decimal(q) * Decimal(unit) / Decimal(per) for q, unit, per in case["working"])
    assert Decimal(by_hand) == Decimal(case["cost"])


@by_name
def test_a_hold_for_these_tokens_covers_the_cost(case: dict[str, Any]) -> None:
    """The bound of the same counts is never below the charge, whatever the tier, band or place."""
    bundle = snapshot(prices={"here": (price_of(case),)})
    usage = wanted(case)
    charge = prices.charge(bundle, "here", usage, at=NOW)
    tokens = {"input_video", "cache_read_audio", "cache_read_image", "output_image"}
    bound = prices.bound(
        bundle,
        "here",
        input_tokens=usage.total_input,
        output_tokens=usage.total_output,
        units={unit: count for unit, count in usage.units if unit not in tokens},
        at=NOW,
    )
    assert isinstance(charge, Charge)
    assert isinstance(bound, Charge)
    assert charge.nano <= bound.nano


def test_every_vendor_of_the_note_is_there() -> None:
    """Forty payloads at least, and each convention has one."""
    assert len(CASES) >= 40
    assert {case["convention"] for case in CASES} == set(CONVENTIONS)
    assert all(case["source"] for case in CASES)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**50) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def _paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    if is_object(value):
        for key, inner in value.items():
            found += _paths(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            found += _paths(inner, (*path, i))
    return found


def _with(value: Any, path: tuple[str | int, ...], put: object) -> Any:
    if not path:
        return put
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(copy[path[0]], path[1:], put)
    return copy


@given(st.data())
def test_a_spoilt_reply_never_gives_a_negative_count_or_a_crash(data: st.DataObject) -> None:
    """Any one value replaced by anything: at least zero everywhere, or nothing at all."""
    case = data.draw(st.sampled_from(CASES))
    reply = case["payload"]["plain"]
    spoilt = _with(reply, data.draw(st.sampled_from(_paths(reply))), data.draw(JSON))
    usage = CONVENTIONS[case["convention"]](spoilt)
    if usage is not None:
        counts = [
            usage.input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.output,
            usage.reasoning, usage.input_audio, usage.output_audio, usage.input_image,
            *(count for _, count in usage.units),
        ]  # fmt: skip
        assert min(counts) >= 0
        assert all(count > 0 for _, count in usage.units)
