"""Amounts: exact, rounded once, and presented so that every grouping shows the same total."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.money import INT64_MAX, Money, decimal_of, nano_of, present

NANOS = st.integers(-(10**18), 10**18)


@given(st.lists(NANOS, max_size=30), st.integers(0, 9))
def test_presented_cents_sum_to_the_presented_total(nanos: list[int], places: int) -> None:
    """However rows are shown, their cents add up to the rounded total (promise 6)."""
    assert sum(present(nanos, places=places)) == sum(present([sum(nanos)], places=places))


@given(st.lists(NANOS, min_size=1, max_size=30))
def test_no_presented_amount_is_a_cent_off(nanos: list[int]) -> None:
    """Largest remainder moves an amount by less than one cent."""
    for nano, shown in zip(nanos, present(nanos), strict=True):
        assert abs(decimal_of(nano) - shown) < Decimal("0.01")


def test_rounding_is_half_even_and_upward_for_holds() -> None:
    """A charge is rounded to the even neighbour; a bound never below."""
    assert nano_of(Decimal("0.0000000005")) == 0
    assert nano_of(Decimal("0.0000000015")) == 2
    assert nano_of(Decimal("0.0000000001"), ceiling=True) == 1


@given(NANOS)
def test_decimal_and_nano_are_inverse(nano: int) -> None:
    """Nothing is lost between the integer at rest and the decimal shown."""
    assert nano_of(decimal_of(nano)) == nano


def test_amounts_that_do_not_fit_are_refused() -> None:
    """An amount beyond int64 is an error, not a wrapped number."""
    with pytest.raises(ValueError, match="int64"):
        nano_of(Decimal(INT64_MAX))


def test_currencies_do_not_mix() -> None:
    """Adding dollars to dollars of another country is an error."""
    total = Money(nano=1, currency="CAD") + Money(nano=2, currency="CAD")
    assert total == Money(nano=3, currency="CAD")
    with pytest.raises(ValueError, match="USD"):
        _ = total + Money(nano=1, currency="USD")
