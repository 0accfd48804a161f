"""One cell: its parts sum to its gap, whatever it holds."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.variance import CAUSES, Ours, Part, Theirs, by_cause, estimates, split, worth

counts = st.integers(min_value=0, max_value=10**12)
nanos = st.integers(min_value=-(10**15), max_value=10**15)
theirs = st.builds(
    Theirs,
    quantity=st.none() | st.fractions(min_value=0, max_value=10**12),
    nano=nanos,
    lines=st.integers(min_value=1, max_value=9),
    tolerance=st.integers(min_value=0, max_value=10**9),
    fx=nanos,
    twice_quantity=st.fractions(min_value=0, max_value=10**9),
    twice_nano=nanos,
)
ours = st.builds(
    Ours, quantity=counts, nano=nanos, rows=counts, estimated_quantity=counts, estimated_nano=nanos
)


@given(
    theirs,
    ours,
    st.sampled_from([None, "missing_at_vendor", "missing_at_ours"]),
    st.fractions(min_value=-(10**6), max_value=10**6),
    st.booleans(),
)
def test_the_parts_sum_to_the_gap(they, we, lacking, straddled, differ) -> None:
    parts = split(they, we, meter="input", lacking=lacking, straddled=straddled, currencies_differ=differ)
    assert sum(part.nano for part in parts) == (they.nano or 0) - we.nano
    assert {part.cause for part in parts} <= set(CAUSES)
    merged = by_cause(parts)
    assert sum(part.nano for part in merged) == (they.nano or 0) - we.nano
    assert all(part.nano for part in merged)


@given(st.lists(st.tuples(st.sampled_from(sorted(CAUSES)), nanos), max_size=12), counts)
def test_moving_to_estimates_moves_nothing_away(found, estimated) -> None:
    parts = by_cause(Part(cause=cause, nano=nano) for cause, nano in found)
    assert sum(p.nano for p in estimates(parts, estimated)) == sum(p.nano for p in parts)


def test_unit_prices_are_said_per_million() -> None:
    they = Theirs(quantity=Fraction(2_000_000), nano=1_000_000_000)
    parts = split(
        they, Ours(quantity=2_000_000, nano=880_000_000), meter="input", lacking=None, straddled=Fraction(0),
        currencies_differ=False,
    )  # fmt: skip
    (price,) = by_cause(parts)
    assert (price.cause, price.nano) == ("price", 120_000_000)
    assert price.says == "input 0.5 on the bill, 0.44 in ours, per million"


def test_a_count_is_worth_what_we_paid() -> None:
    assert worth(Fraction(3), Ours(quantity=6, nano=100)) == 50
    assert worth(Fraction(3), Ours()) == 0
