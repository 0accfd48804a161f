"""Anthropic's costs: decimal strings in cents."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from gateway.adapters.vendor_costs import BadFile
from tests.adapters.vendor_costs.golden import FOLDER, holds, read


def test_the_golden_pages_are_read_as_they_mean() -> None:
    holds("anthropic_cost_report.json", "anthropic-costs")


def test_amounts_are_cents() -> None:
    lines = read(FOLDER / "anthropic_cost_report.json", "anthropic-costs")
    assert sum(line.amount for line in lines) == Decimal("1.60956789")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"amount": 12.5}, "decimal string in cents"),
        ({"amount": "NaN"}, "plain number"),
        ({"currency": ""}, "is empty"),
        ({"description": None, "model": None}, "group_by"),
        ({"amount": "1e99"}, "column shifted|plain number"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path, change, words) -> None:
    result = {"amount": "1", "currency": "USD", "description": "x", "model": "m", **change}
    bucket = {"starting_at": "2026-11-01T00:00:00Z", "ending_at": "2026-11-02T00:00:00Z", "results": [result]}
    file = tmp_path / "costs.json"
    file.write_text(json.dumps({"data": [bucket]}))
    with pytest.raises(BadFile, match=words):
        read(file, "anthropic-costs")


def test_an_instant_without_a_zone_is_refused(tmp_path) -> None:
    result = {"amount": "1", "currency": "USD", "description": "x", "model": "m"}
    bucket = {"starting_at": "2026-11-01T00:00:00", "ending_at": "2026-11-02T00:00:00Z", "results": [result]}
    file = tmp_path / "costs.json"
    file.write_text(json.dumps({"data": [bucket]}))
    with pytest.raises(BadFile, match="no time zone"):
        read(file, "anthropic-costs")
