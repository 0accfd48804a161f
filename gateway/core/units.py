"""What a budget may count, and how an amount is written for people.

Money is counted in a currency (nano-units), everything else in the units named here. GPU time is
counted in millionths of a GPU-second, so that it too is a whole number.
"""

from __future__ import annotations

from gateway.core.money import decimal_of

TOKENS = "tokens"
INPUT_TOKENS = "input_tokens"
OUTPUT_TOKENS = "output_tokens"
REQUESTS = "requests"
GPU_SECONDS = "gpu_seconds"
CONCURRENT = "concurrent"

COUNTED = frozenset({TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS, CONCURRENT})
"""Units that are whole numbers as they stand."""

UNITS = COUNTED | {GPU_SECONDS}
"""Every unit that is no money."""

TOKEN_UNITS = frozenset({TOKENS, INPUT_TOKENS, OUTPUT_TOKENS})

RATE = "rate:"
"""How the ids of rates begin, which are in no journal and no ledger."""

MICRO = 1_000_000
"""Amounts of ``gpu_seconds`` in one GPU-second."""


def is_money(unit: str) -> bool:
    """Say whether a unit is a currency."""
    return unit not in UNITS


def shown(amount: int, unit: str) -> str:
    """Return an amount as people read it: counts whole, money and GPU-seconds as plain decimals."""
    if unit in COUNTED:
        return str(amount)
    if unit == GPU_SECONDS:
        whole, part = divmod(abs(amount), MICRO)
        sign = "-" if amount < 0 else ""
        return f"{sign}{whole}.{part:06}".rstrip("0").rstrip(".")
    text = format(decimal_of(amount).normalize(), "f")
    whole_text, _, decimals = text.partition(".")
    return f"{whole_text}.{decimals.ljust(2, '0')}"
