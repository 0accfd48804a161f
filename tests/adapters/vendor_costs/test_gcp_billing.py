"""Google Cloud's export: credits become lines of their own; CSV and JSON lines are the same."""

from __future__ import annotations

import pytest

from gateway.adapters.vendor_costs import BadFile
from tests.adapters.vendor_costs.golden import FOLDER, holds, read


def test_the_golden_file_is_read_as_it_means() -> None:
    holds("gcp_billing.jsonl", "gcp")


def test_flat_csv_is_read_to_the_same(tmp_path) -> None:
    file = tmp_path / "gcp.csv"
    file.write_text(
        "service_description,sku_description,usage_start_time,usage_end_time,project_id,cost,currency,"
        "currency_conversion_rate,usage_amount,usage_unit,invoice_month,cost_type,credits\n"
        "Vertex AI,Gemini 2.5 Flash Text Input - Predictions,2026-11-05 00:00:00 UTC,2026-11-05 01:00:00 UTC,"
        'maple-ai,0.300000000001,CAD,1.4,1000000,count,202611,regular,"[{""name"": ""d"", ""amount"": -0.03, '
        '""type"": ""COMMITTED_USAGE_DISCOUNT""}]"\n'
    )
    flat, nested = read(file, "gcp"), read(FOLDER / "gcp_billing.jsonl", "gcp")
    for one, other in zip(flat, nested, strict=False):
        assert (one.amount, one.kind, one.meter, one.quantity, one.month) == (
            other.amount, other.kind, other.meter, other.quantity, other.month,
        )  # fmt: skip
    assert len(flat) == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"cost": 0.300000000001', '"cost": NaN', "plain number"),
        ('"currency_conversion_rate": 1.4', '"currency_conversion_rate": 0', "more than 0"),
        ('"month": "202611"', '"month": "202613"', "expected 202611"),
        ('"cost_type": "regular"', '"cost_type": "odd"', "expected regular"),
        ('"cost_type": "regular"}', '"cost_type": "regu', "cut off"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path, old, new, words) -> None:
    file = tmp_path / "gcp.jsonl"
    file.write_text((FOLDER / "gcp_billing.jsonl").read_text().replace(old, new, 1))
    with pytest.raises(BadFile, match=f"gcp.jsonl:1: .*{words}"):
        read(file, "gcp")
