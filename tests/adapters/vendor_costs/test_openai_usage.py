"""OpenAI's usage: what is cached stands within what is called input, and is counted once."""

from __future__ import annotations

import json

import pytest

from gateway.adapters.vendor_costs import BadFile
from tests.adapters.vendor_costs.golden import holds, read


def test_the_golden_pages_are_read_as_they_mean() -> None:
    holds("openai_usage.json", "openai-usage")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input_tokens": 1.5}, "whole number"),
        ({"output_tokens": -1}, "whole number"),
        ({"input_cached_tokens": 11}, "more cached tokens"),
        ({"model": None}, "group_by=model"),
        ({"output_tokens": True}, "whole number"),
    ],
)
def test_counts_that_cannot_be_right_are_refused(tmp_path, change, words) -> None:
    result = {"model": "m", "input_tokens": 10, "output_tokens": 2, **change}
    bucket = {"start_time": 1793491200, "end_time": 1793577600, "results": [result]}
    file = tmp_path / "usage.json"
    file.write_text(json.dumps({"data": [bucket]}))
    with pytest.raises(BadFile, match=f"usage.json:1: .*{words}"):
        read(file, "openai-usage")
