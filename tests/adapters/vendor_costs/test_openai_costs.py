"""OpenAI's costs: exact from the text, by line item."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from gateway.adapters.vendor_costs import BadFile
from tests.adapters.vendor_costs.golden import FOLDER, holds, read


def test_the_golden_pages_are_read_as_they_mean() -> None:
    holds("openai_costs.json", "openai-costs")


def test_no_amount_passes_through_a_binary_float() -> None:
    """Seventeen digits that no double holds."""
    lines = read(FOLDER / "openai_costs.json", "openai-costs")
    assert lines[0].amount == Decimal("1.2345678901234567")
    assert Decimal(repr(1.2345678901234567)) != Decimal("1.23456789012345671") != lines[0].amount


def one(**result):
    base = {"amount": {"value": 1, "currency": "usd"}, "line_item": "m, input"}
    bucket = {"start_time": 1793491200, "end_time": 1793577600, "results": [{**base, **result}]}
    return {"data": [bucket], "has_more": False}


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (one(amount=None), "no `amount`"),
        (one(amount={"value": "many", "currency": "usd"}), "plain number"),
        (one(amount={"value": 10**12, "currency": "usd"}), "column shifted"),
        (one(amount={"value": 1, "currency": "dollars"}), "currency code"),
        (one(line_item=None), "group_by=line_item"),
        (one(quantity="lots"), "plain number"),
        ({**one(), "has_more": True}, "there are more"),
        (
            {"data": [{"start_time": "now", "end_time": 1, "results": one()["data"][0]["results"]}]},
            "Unix seconds",
        ),
        (
            {
                "data": [
                    {"start_time": 1793577600, "end_time": 1793491200, "results": one()["data"][0]["results"]}
                ]
            },
            "ends before",
        ),
        ({"data": [{}]}, "without `results`"),
        ({"error": "no"}, "no page"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path, page, words) -> None:
    file = tmp_path / "costs.json"
    file.write_text(json.dumps(page))
    with pytest.raises(BadFile, match=words):
        read(file, "openai-costs")
