"""What a price file says is what the core gets: exact decimals, dates, conditions, reservations."""

from __future__ import annotations

from decimal import Decimal

from gateway.core.prices import bound, charge
from gateway.core.reserved import Reserved
from gateway.core.tariff import Band, Discount, Terms, Uplift
from gateway.core.values import Charge, Usage
from gateway.policy.compile import compile_bundle
from gateway.policy.compile_prices import prices, rates
from tests.core.maple import at
from tests.policy.price_files import bundle, entry
from tests.policy.written import NOW

SHEET = '{input: "6.00", output: "22.50"}'


def test_every_condition_of_a_price_arrives() -> None:
    """Field by field; what is dated on its own keeps its dates, what is not has the price's."""
    loaded = bundle(
        entry(
            per="1000",
            tiers=f'{{batch: {{times: "0.5"}}, priority: {{meters: {SHEET}}}}}',
            bands=f"[{{above: 200000, meters: {SHEET}, tiers: {{priority: {{times: '2'}}}}}}]",
            uplifts='[{where: us, times: "1.1", source: page, valid: {from: 2026-03-05}}]',
            discounts='[{times: "0.85", on: [output], source: contract}]',
            at_most="{web_search: 5}",
            valid="{from: 2026-01-01, to: 2027-01-01}",
            recorded="2026-02-01T12:00:00Z",
            approved_by="[finance, cfo]",
        )
    )
    (one,) = prices(loaded)["d"]
    own = {"input": Decimal("6.00"), "output": Decimal("22.50")}
    assert one.meters == {"input": Decimal(1), "output": Decimal(2)}
    assert one.tiers == {"batch": Terms(times=Decimal("0.5")), "priority": Terms(meters=own)}
    assert one.bands == (
        Band(above=200_000, terms=Terms(meters=own), tiers={"priority": Terms(times=Decimal(2))}),
    )
    assert one.uplifts == (
        Uplift(where="us", times=Decimal("1.1"), valid_from=at("2026-03-05"), valid_to=None, source="page"),
    )
    assert one.discounts == (
        Discount(
            times=Decimal("0.85"),
            valid_from=at("2026-01-01"),
            valid_to=at("2027-01-01"),
            source="contract",
            meters=("output",),
        ),
    )
    assert (one.per, one.at_most, one.free) == (1000, {"web_search": 5}, False)
    assert (one.recorded_at, one.approved_by) == (at("2026-02-01T12:00:00"), ("finance", "cfo"))
    assert one.at == "prices/p.yaml:1"


def test_reserved_capacity_is_free_by_the_call() -> None:
    """Its amount is that of all units; a call is charged and held at nothing."""
    kept = (
        '{amount: "163.20", units: 15, unit: PTU, per: month, weights: {output: "4"}, '
        'capacity_per_hour: "1000000", window: hour}'
    )
    snapshot = compile_bundle(bundle(entry(reserved=kept, meters="")), now=NOW)
    (one,) = snapshot.prices["d"]
    assert one.reserved == Reserved(
        nano=2_448 * 10**9,
        per="month",
        split="tokens",
        weights={"output": Decimal(4)},
        capacity=Decimal(1_000_000),
        window="hour",
        unit="PTU",
        units=15,
    )
    made = charge(snapshot, "d", Usage(input=10**6), at=NOW)
    held = bound(snapshot, "d", input_tokens=10**6, output_tokens=10**6, at=NOW)
    assert isinstance(made, Charge)
    assert isinstance(held, Charge)
    assert (made.nano, held.nano) == (0, 0)


def test_prices_and_rates_are_in_the_order_of_their_days() -> None:
    """Whatever the order in the files."""
    late, early = (
        entry("late", valid="{from: 2026-06-01}"),
        entry("early", valid="{from: 2026-01-01, to: 2026-06-01}"),
    )
    fx = (
        'rates:\n  - {base: USD, quote: CAD, rate: "1.40", from: 2026-02-01, source: s}\n'
        '  - {base: USD, quote: CAD, rate: "1.39", from: 2026-01-01, source: s}\n'
    )
    loaded = bundle(late, early, fx=fx)
    assert [one.id for one in prices(loaded)["d"]] == ["early", "late"]
    assert [rate.rate for rate in rates(loaded)] == [Decimal("1.39"), Decimal("1.40")]
