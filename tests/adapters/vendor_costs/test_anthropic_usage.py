"""Anthropic's usage: five disjoint meters."""

from __future__ import annotations

from tests.adapters.vendor_costs.golden import FOLDER, holds, read


def test_the_golden_pages_are_read_as_they_mean() -> None:
    holds("anthropic_usage.json", "anthropic-usage")


def test_counts_carry_no_charge() -> None:
    lines = read(FOLDER / "anthropic_usage.json", "anthropic-usage")
    assert sum(line.quantity for line in lines) == 240
    assert {(line.amount, line.currency) for line in lines} == {(None, "")}
