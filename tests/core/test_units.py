"""Units: what is money, and amounts as people read them."""

from __future__ import annotations

import pytest

from gateway.core.units import is_money, shown


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (1500, "tokens", "1500"),
        (7, "requests", "7"),
        (3_600_000_000, "gpu_seconds", "3600"),
        (1_500_000, "gpu_seconds", "1.5"),
        (-1, "gpu_seconds", "-0.000001"),
        (1, "CAD", "0.000000001"),
        (-2_500_000_000, "CAD", "-2.50"),
    ],
)
def test_amounts_are_shown_as_plain_decimals(amount: int, unit: str, text: str) -> None:
    """No exponents, no nano-units, no float in between."""
    assert shown(amount, unit) == text


def test_what_is_no_count_and_no_gpu_time_is_money() -> None:
    """Any code of a currency is one."""
    assert is_money("CAD")
    assert not any(is_money(unit) for unit in ("tokens", "requests", "gpu_seconds", "concurrent"))
