"""Pages: one, a list, or one a line; the last one must be the last."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.adapters.vendor_costs.cells import BadFile
from gateway.adapters.vendor_costs.json_pages import results

ONE = '{"data": [{"starting_at": "x", "results": [{"n": 0.10000000000000000001}]}], "has_more": false}'


@pytest.mark.parametrize("text", [ONE, f"[{ONE}]", f"{ONE}\n", f"{ONE}\n\n{ONE}\n", f"[{ONE},\n {ONE}]"])
def test_results_are_numbered_through_all_pages(tmp_path, text) -> None:
    file = tmp_path / "p.json"
    file.write_text(text)
    found = list(results(file))
    assert [one.cells.row for one in found] == list(range(1, text.count("data") + 1))
    assert found[0].raw["n"] == Decimal("0.10000000000000000001")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ONE[:-9], "cut off"),
        (f"{ONE}\n{ONE[:-9]}", "p.json:2: .*cut off"),
        ("[]", "empty"),
        ("[1]", "no page"),
        (ONE.replace("0.10000000000000000001", "NaN"), "`NaN` where a number"),
        (ONE.replace("false", "true"), "there are more"),
    ],
)
def test_what_is_no_whole_report_is_refused(tmp_path, text, words) -> None:
    file = tmp_path / "p.json"
    file.write_text(text)
    with pytest.raises(BadFile, match=words):
        list(results(file))


def test_what_is_no_text_is_refused(tmp_path) -> None:
    file = tmp_path / "p.json"
    file.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(BadFile, match="UTF-8"):
        list(results(file))
