"""Azure's cost details: units of a thousand, days of both spellings, the price before conversion."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.adapters.vendor_costs import BadFile
from tests.adapters.vendor_costs.golden import FOLDER, holds, read


def test_the_golden_file_is_read_as_it_means() -> None:
    holds("azure_cost_details.csv", "azure")


def test_the_price_before_conversion_is_kept() -> None:
    first = read(FOLDER / "azure_cost_details.csv", "azure")[0]
    assert (first.pricing_amount, first.pricing_currency) == (Decimal("8.02566"), "USD")


@pytest.mark.parametrize("day", ["2026-11-03", "2026-11-03T00:00:00Z", "2026-11-03T00:00:00.0000000Z"])
def test_days_are_read_in_both_spellings(tmp_path, day) -> None:
    file = tmp_path / "azure.csv"
    file.write_text((FOLDER / "azure_cost_details.csv").read_text().replace("11/03/2026", day))
    assert read(file, "azure")[0].start_us == 1_793_664_000_000_000


@pytest.mark.parametrize("day", ["30/11/2026", "2026-13-01", "yesterday", "2026-11-03T10:00:00Z"])
def test_a_day_that_is_none_is_refused(tmp_path, day) -> None:
    """A European day too: 03/11 and 11/03 cannot be told apart, so only one order is read."""
    file = tmp_path / "azure.csv"
    file.write_text((FOLDER / "azure_cost_details.csv").read_text().replace("11/03/2026", day))
    with pytest.raises(BadFile, match=r"azure\.csv:2: .*expected a day such as 11/30/2026"):
        read(file, "azure")
