"""What a FOCUS row says of each sort of charge."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import orjson
import pytest

from gateway.reports.focus_columns import METERS
from gateway.reports.focus_rows import Book, product, ratio_of, rows
from tests.reports.focus_month import entry, shares
from tests.reports.test_focus_fold import NOVEMBER, attempt, folded, line, priced

D = Decimal


def told(charges, version="1.2"):
    return list(
        rows(charges, Book(organisation="maple", start_us=NOVEMBER[0], end_us=NOVEMBER[1], version=version))
    )


def test_a_meter_is_usage_at_its_price():
    """8.4 million cached tokens at eleven cents less a tenth, as finance reads it."""
    one = priced(
        [line("cache_read", 8_400_000, "0.099", listed="0.11")],
        spend=1_158_003_000,
        deployment="azure-cae",
        tier="batch",
    )
    (row,) = told(folded(one))
    assert {name: row[name] for name in (
        "ChargeCategory", "ChargeClass", "ChargeFrequency", "SkuId", "SkuMeter", "SkuPriceId",
        "PricingUnit", "ConsumedUnit",
        "ConsumedQuantity", "PricingQuantity", "ListUnitPrice", "ListCost", "ContractedUnitPrice",
        "ContractedCost",
        "BilledCost", "EffectiveCost", "BillingCurrency", "SubAccountId", "SubAccountName", "SubAccountType",
        "BillingAccountId", "ProviderName", "RegionId", "ResourceId", "x_SpendCost", "x_SpendCurrency",
    )} == {
        "ChargeCategory": "Usage", "ChargeClass": None, "ChargeFrequency": "Usage-Based",
        "SkuId": "azure-cae/cache_read", "SkuMeter": "Cache Read Input Tokens",
        "SkuPriceId": "p/cache_read/batch@0.11", "PricingUnit": "1000000 Tokens", "ConsumedUnit": "Tokens",
        "ConsumedQuantity": D(8_400_000), "PricingQuantity": D("8.4"), "ListUnitPrice": D("0.11"),
        "ListCost": D("0.924"),
        "ContractedUnitPrice": D("0.099"), "ContractedCost": D("0.8316"), "BilledCost": D("0.8316"),
        "EffectiveCost": D("0.8316"), "BillingCurrency": "USD", "SubAccountId": "branch/teller",
        "SubAccountName": "teller (branch)", "SubAccountType": "App", "BillingAccountId": "maple/microsoft",
        "ProviderName": "microsoft", "RegionId": "CA-QC", "ResourceId": "azure-cae",
        "x_SpendCost": D("1.158003"),
        "x_SpendCurrency": "CAD",
    }  # fmt: skip
    assert orjson.loads(row["Tags"]) == {"app": "teller", "cost_centre": "4410", "team": "branch"}
    assert orjson.loads(row["SkuPriceDetails"]) == {
        "x_ModelId": "m", "x_TokenDirection": "Input", "x_TokenCacheAction": "Read", "x_ServiceTier": "batch",
    }  # fmt: skip
    assert row["BillingPeriodStart"] == datetime(2026, 11, 1, 4, tzinfo=UTC)
    assert row["ChargePeriodEnd"] == datetime(2026, 11, 2, 5, tzinfo=UTC)


def test_keys_of_ai_spend_are_marked_as_ours():
    """Up to 1.4 the specification defines none, so a bare one would be wrong."""
    for row in told(folded(priced([line(meter, 1, "1", 1) for meter in METERS]))):
        assert all(name.startswith("x_") for name in orjson.loads(row["SkuPriceDetails"]))


def test_a_meter_that_nobody_knows_is_still_told():
    """A price sheet may name new ones."""
    (row,) = told(folded(priced([line("moon_phase", 2, "3", 1)])))
    assert (row["SkuMeter"], row["PricingUnit"], row["BilledCost"]) == ("Moon Phase", "Units", D(6))


def test_a_late_attempt_is_a_correction_of_usage():
    """It is about a month that is closed: billed now, charged then, with its SKU."""
    (row,) = told(folded(priced([line("input", 1_000_000, "1")], started_us=NOVEMBER[0] - 10)))
    assert (row["ChargeCategory"], row["ChargeClass"], row["SkuMeter"]) == (
        "Usage",
        "Correction",
        "Input Tokens",
    )
    assert row["ChargePeriodEnd"] <= row["BillingPeriodStart"]


def test_shares_are_hours_of_their_pool():
    """The unused part is borne by nobody, and says so; the whole charge is not beside its parts."""
    found = [row for row in told(folded(entries=shares(1)), "1.4") if row["x_EntryKind"] == "gpu"]
    assert sum(row["BilledCost"] for row in found) == D("9.96")
    assert sum(row["x_AllocatedRatio"] for row in found) == 1
    assert sum(row["ConsumedQuantity"] for row in found) == 4
    assert {row["SkuPriceId"] for row in found} == {"gpu/llama-pool/2.490000"}
    (idle,) = [row for row in found if row["x_Team"] is None]
    assert idle["ChargeDescription"] == "GPU time of pool llama-pool, idle, borne by nobody"
    assert (idle["AllocatedResourceId"], idle["AllocatedTags"]) == (None, None)
    used = next(row for row in found if row["x_Team"])
    assert (used["AllocatedResourceId"], used["SubAccountId"]) == (f"{used['x_Team']}/{used['x_App']}", None)
    (element,) = orjson.loads(used["AllocatedMethodDetails"])["Elements"]
    assert D(str(element["AllocatedRatio"])) == used["x_AllocatedRatio"]
    assert (used["AllocatedMethodId"], used["ServiceProviderName"]) == ("phase-v1", "maple")


def test_shares_in_the_older_version_have_columns_of_ours():
    """1.2 has none of its own; the team is the sub-account there."""
    used = next(
        row for row in told(folded(entries=shares(1))) if row["x_EntryKind"] == "gpu" and row["x_Team"]
    )
    assert used["SubAccountId"] == f"{used['x_Team']}/{used['x_App']}"
    assert (used["x_AllocatedMethodId"], used["x_OriginId"]) == (
        "phase-v1", "gpu:llama-pool:2026-11-01T04:00:00Z/2026-11-02T05:00:00Z:CAD",
    )  # fmt: skip
    assert "AllocatedMethodId" not in used


@pytest.mark.parametrize(
    ("kind", "start_us", "category", "charge_class"),
    [
        ("adjust", NOVEMBER[0], "Adjustment", None),
        ("correction", NOVEMBER[0], "Adjustment", None),
        ("adjust", NOVEMBER[0] - 10**12, "Adjustment", "Correction"),
        ("correction", NOVEMBER[0] - 10**12, "Usage", "Correction"),
    ],
)
def test_entries_about_an_earlier_period_are_corrections(kind, start_us, category, charge_class):
    """Those about their own are adjustments; all of their costs are what was booked."""
    (row,) = told(folded(entries=[entry("e", kind=kind, start_us=start_us, end_us=start_us + 350_000)]))
    assert (row["ChargeCategory"], row["ChargeClass"]) == (category, charge_class)
    assert {row[name] for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")} == {
        D("-1.23456789")
    }
    assert row["ChargePeriodEnd"] > row["ChargePeriodStart"]
    assert (row["ChargePeriodStart"].microsecond, row["ChargePeriodEnd"].microsecond) == (0, 0)
    assert (row["ChargeDescription"], row["x_EntryId"]) == ("The vendor's bill is lower: rounding.", "e")


def test_a_vendors_day_that_reaches_over_the_month_is_cut_to_it():
    """The first day in UTC begins before midnight in Toronto: that makes it no correction of October."""
    day = (NOVEMBER[0] - 4 * 3_600_000_000, NOVEMBER[0] + 20 * 3_600_000_000)
    (row,) = told(folded(entries=[entry("e", start_us=day[0], end_us=day[1])]))
    assert (row["ChargeClass"], row["ChargePeriodStart"]) == (None, row["BillingPeriodStart"])
    assert row["ChargePeriodEnd"] == datetime(2026, 11, 2, tzinfo=UTC)


def test_an_amount_without_lines_is_an_adjustment():
    """There is no quantity to tell."""
    (row,) = told(folded(attempt(nano=5, spend_nano=7)))
    assert (row["ChargeCategory"], row["PricingQuantity"], row["ListCost"]) == ("Adjustment", None, D("5e-9"))


def test_rows_come_in_one_order():
    """However the database gave them: the same month is the same file."""
    several = [priced([line(meter, 5, "2")], app=app) for meter in ("output", "input") for app in ("b", "a")]
    booked = list(shares(3))
    assert told(folded(*several, entries=booked)) == told(
        folded(*reversed(several), entries=reversed(booked))
    )


def test_products_are_exact():
    """Twenty-four decimals of a price times a quantity."""
    price, quantity = D("0.123456789012345678901234"), D("9876543.210987")
    assert Fraction(product(price, quantity)) == Fraction(price) * Fraction(quantity)
    assert ratio_of(8_400_001, 1_000_000) == D("8.400001")
    assert ratio_of(1, 3) == D("0.333333333333333333")
