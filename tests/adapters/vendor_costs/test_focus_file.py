"""FOCUS files: as CSV and as Parquet the same lines; of a whole cloud only what is AI, and the tax."""

from __future__ import annotations

import pytest

from gateway.adapters.vendor_costs import BadFile
from tests.adapters.vendor_costs.golden import EXPECTED, FOLDER, as_parquet, holds, plain, read


def test_the_golden_file_is_read_as_it_means() -> None:
    holds("focus.csv", "focus")


def test_the_price_before_conversion_is_kept_where_currencies_differ() -> None:
    first, second, *_ = read(FOLDER / "focus.csv", "focus")
    assert (str(first.pricing_amount), first.pricing_currency) == ("0.950000000000", "USD")
    assert (second.pricing_amount, second.pricing_currency) == (None, "")


def test_parquet_is_read_to_the_same_lines(tmp_path) -> None:
    """Decimals and UTC timestamps, as exporters write them."""
    import pyarrow as pa

    stamp, money = pa.timestamp("us", tz="UTC"), pa.decimal128(30, 12)
    path = as_parquet(
        "focus.csv",
        tmp_path,
        ChargePeriodStart=stamp,
        ChargePeriodEnd=stamp,
        BillingPeriodStart=stamp,
        BilledCost=money,
        ConsumedQuantity=money,
        PricingQuantity=pa.float64(),
        PricingCurrencyEffectiveCost=money,
    )
    found = [plain(line) for line in read(path, "focus")]
    assert found == [{**line, "row": line["row"] - 1} for line in EXPECTED["focus.csv"]]
    # The same bill in two formats has the same lines: taken in twice they are duplicates.
    same = [line.ref for line in read(FOLDER / "focus.csv", "focus")]
    assert [line.ref for line in read(path, "focus")] == same
    assert len(set(same)) == len(same)


def test_other_services_can_be_asked_for() -> None:
    lines = read(FOLDER / "focus.csv", "focus", only={"ServiceName": "Virtual Machines"})
    assert [line.kind for line in lines] == ["usage", "tax"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("2026-11-03T00:00:00Z", "2026-11-03T00:00:00", "focus.csv:2: .*no time zone"),
        ("2026-11-04T00:00:00Z", "2026-11-04T00:00:00-05:00", "focus.csv:2: .*time zones that mix"),
        ("1.320000000000", "1,32", "focus.csv:2: 22 cells where the header has 21"),
        ("1.320000000000", "NaN", "focus.csv:2: `BilledCost` is `NaN`"),
        ("1.320000000000", "-1.32", "focus.csv:2: a negative amount"),
        (
            "Usage,,gpt-4.1-mini input",
            "Wishes,,gpt-4.1-mini input",
            "focus.csv:2: `ChargeCategory` is `Wishes`",
        ),
        ("CAD,2026-11-01", "EUR,2026-11-01", "focus.csv:3: in CAD, where EUR is expected"),
        ("BilledCost", "Cost", "focus.csv:1: no column `BilledCost`"),
        ("BillingAccountId", "BilledCost", "stands twice"),
        ("{", "[", "is no JSON"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path, old, new, words) -> None:
    text = (FOLDER / "focus.csv").read_text().replace(old, new, 1)
    file = tmp_path / "focus.csv"
    file.write_text(text)
    with pytest.raises(BadFile, match=words):
        read(file, "focus")
