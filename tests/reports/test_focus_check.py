"""The check before a FOCUS file: seeded faults, each caught at its column, among thousands of good cells.

The validator of the FinOps Foundation misses most of these: prices that do not multiply,
periods that end before they start, instants without a zone, units that mean nothing, a wrong
word in one row among good ones.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateway.reports.focus_check import MOST, check
from tests.people import database, sqlite
from tests.reports.focus_month import exported, fill

D = Decimal


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """The made-up month in both versions, as rows that may be changed, with what they must sum to."""
    with database(sqlite(tmp_path_factory.mktemp("month"))) as store:
        with store.write() as connection:
            fill(connection, 120)
        with store.read() as connection:
            made = {version: exported(connection, version) for version in ("1.2", "1.4")}
    return {
        version: ([dict(row) for row in one.rows()], one.billed, one.spend) for version, one in made.items()
    }


def first(rows, **wanted):
    """The first row that has these values."""
    return next(
        number for number, row in enumerate(rows) if all(row[name] == value for name, value in wanted.items())
    )


def usage(rows):
    return first(
        rows, x_EntryKind="usage", ChargeClass=None, ChargeCategory="Usage", PricingUnit="1000000 Tokens"
    )


def share(rows):
    return first(rows, x_EntryKind="gpu", ChargeCategory="Usage")


def adjustment(rows):
    return first(rows, ChargeCategory="Adjustment", x_EntryId="reconcile:7:1:0")


def correction(rows):
    return first(rows, ChargeClass="Correction", x_EntryId="correct:1")


def late(rows):
    return first(rows, ChargeClass="Correction", x_EntryKind="usage")


def put(column, value):
    """A fault: another value in one cell; a function takes the old one."""
    return lambda row: row.__setitem__(column, value(row[column]) if callable(value) else value)


# name → (which row, what is done to it, where it is caught)
FAULTS = {
    "list cost is not price times quantity": (usage, put("ListCost", lambda x: x + D("0.01")), "ListCost"),
    "contracted cost is not price times quantity": (usage, put("ContractedCost", lambda x: x * 2),
    "ContractedCost"),
    "the charge ends before it starts": (
        usage, lambda row: row.update(ChargePeriodEnd=row["ChargePeriodStart"] - timedelta(hours=1)),
        "ChargePeriodEnd",
    ),
    "a charge that lasts no time": (usage,
    lambda row: row.update(ChargePeriodEnd=row["ChargePeriodStart"]), "ChargePeriodEnd"),
    "an instant without a zone": (usage, put("ChargePeriodStart", lambda x: x.replace(tzinfo=None)),
    "ChargePeriodStart"),
    "an instant in another zone": (
        usage, put("ChargePeriodEnd",
        lambda x: x.astimezone(__import__("zoneinfo").ZoneInfo("America/Toronto"))),
        "ChargePeriodEnd",
    ),
    "an instant as text": (usage, put("BillingPeriodStart", "2026-11-01"), "BillingPeriodStart"),
    "the charge lies outside its billing period": (
        usage, put("ChargePeriodStart", datetime(2026, 10, 31, tzinfo=UTC)), "ChargePeriodStart",
    ),
    "the billing period is turned round": (
        usage, lambda row: row.update(BillingPeriodEnd=row["BillingPeriodStart"],
        BillingPeriodStart=row["BillingPeriodEnd"]),
        "BillingPeriodEnd",
    ),
    "two billing periods": (usage, put("BillingPeriodEnd", lambda x: x + timedelta(hours=1)),
    "BillingPeriodStart"),
    "a unit that means nothing": (usage, put("ConsumedUnit", "Bananas"), "ConsumedUnit"),
    "a priced unit that means nothing": (usage, put("PricingUnit", "1000000 tokens"), "PricingUnit"),
    "another unit than what was consumed": (usage, put("PricingUnit", "1000000 Requests"), "PricingUnit"),
    "a quantity a thousand times too large": (usage, put("ConsumedQuantity", lambda x: x * 1000),
    "PricingQuantity"),
    "one bad charge category": (usage, put("ChargeCategory", "Consumption"), "ChargeCategory"),
    "one bad charge class": (correction, put("ChargeClass", "Corrected"), "ChargeClass"),
    "one bad frequency": (usage, put("ChargeFrequency", "Sometimes"), "ChargeFrequency"),
    "one bad pricing category": (usage, put("PricingCategory", "Cheap"), "PricingCategory"),
    "one bad service category": (usage, put("ServiceCategory", "AI"), "ServiceCategory"),
    "a currency that is none": (usage, put("BillingCurrency", "USX"), "BillingCurrency"),
    "a currency in small letters": (usage, put("BillingCurrency", "usd"), "BillingCurrency"),
    "a required column is empty": (usage, put("BilledCost", None), "BilledCost"),
    "a required text is blank": (usage, put("InvoiceIssuerName", " "), "InvoiceIssuerName"),
    "a column is missing": (usage, lambda row: row.pop("EffectiveCost"), "EffectiveCost"),
    "a column of no version": (usage, put("x_Colour", "red"), "x_Colour"),
    "usage without a SKU": (usage, put("SkuId", None), "SkuId"),
    "usage without a quantity": (
        usage, lambda row: row.update(ConsumedQuantity=None, ConsumedUnit=None), "ConsumedQuantity",
    ),
    "usage without a price": (usage, put("ListUnitPrice", None), "ListUnitPrice"),
    "a quantity on what is no usage": (adjustment, put("ConsumedQuantity", D(1)), "ConsumedQuantity"),
    "a unit without a quantity": (adjustment, put("PricingUnit", "Tokens"), "PricingUnit"),
    "a negative price": (usage, put("ListUnitPrice", lambda x: -x), "ListUnitPrice"),
    "negative usage": (usage, put("BilledCost", lambda x: -x - 1), "BilledCost"),
    "a float": (usage, put("BilledCost", 0.1), "BilledCost"),
    "not a number": (usage, put("EffectiveCost", D("NaN")), "EffectiveCost"),
    "effective cost that was not billed": (usage, put("EffectiveCost", lambda x: x + D("1e-9")),
    "EffectiveCost"),
    "a price id at two prices": (
        usage, lambda row: row.update(
            ListUnitPrice=row["ListUnitPrice"] * 2, PricingCurrencyListUnitPrice=row["ListUnitPrice"] * 2,
            ListCost=row["ListCost"] * 2,
        ), "ListUnitPrice",
    ),
    "a price id of two SKUs": (usage, put("SkuId", "another/input"), "SkuId"),
    "a SKU of two meters": (usage, put("SkuMeter", "Output Tokens"), "SkuMeter"),
    "details that are no JSON": (usage, put("SkuPriceDetails", "{x_ModelId: gpt}"), "SkuPriceDetails"),
    "tags that are no object": (usage, put("Tags", '["a"]'), "Tags"),
    "a sub-account without its type": (usage, put("SubAccountType", None), "SubAccountType"),
    "a name without its id": (usage, put("SubAccountId", None), "SubAccountName"),
    "an invoice that nobody issued": (usage, put("InvoiceId", "INV-1"), "InvoiceId"),
    "ratios that do not sum to one": (share, put("x_AllocatedRatio", lambda x: x / 2), "x_AllocatedRatio"),
    "a ratio above one": (share, put("x_AllocatedRatio", D("1.5")), "x_AllocatedRatio"),
    "a share without its method": (share, put("x_AllocatedMethodId", None), "x_AllocatedMethodId"),
    "a correction of its own period": (usage, put("ChargeClass", "Correction"), "ChargeClass"),
    "a charge of a closed period that is no correction": (late, put("ChargeClass", None),
    "ChargePeriodStart"),
    "a correction whose costs differ": (correction, put("ListCost", D(1)), "ListCost"),
    "an adjustment whose costs differ": (adjustment, put("ContractedCost", D(1)), "ContractedCost"),
    "a pricing currency of its own": (usage, put("PricingCurrency", "EUR"), "PricingCurrency"),
    "a nano-unit too much": (
        usage, lambda row: row.update({name: row[name] + D("1e-9") for name in (
            "BilledCost", "EffectiveCost", "PricingCurrencyEffectiveCost",
        )}), "BilledCost",
    ),
    "spend in the organisation's currency off by a nano-unit": (
        usage, put("x_SpendCost", lambda x: x + D("1e-9")), "x_SpendCost",
    ),
}  # fmt: skip


@pytest.mark.parametrize("version", ["1.2", "1.4"])
def test_the_good_month_is_clean(month, version):
    """Nothing to say of rows that are right: what is caught below is caught for its fault."""
    rows, billed, spend = month[version]
    assert check(rows, version=version, billed=billed, spend=spend) == []
    assert len(rows) > 250


@pytest.mark.parametrize("version", ["1.2", "1.4"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_seeded_fault_is_caught(month, version, name):
    """In its row and column, one fault among all the good cells; the row is named, or the file."""
    rows, billed, spend = month[version]
    which, fault, column = FAULTS[name]
    number = which(rows)
    changed = dict(rows[number])
    fault(changed)
    found = check([*rows[:number], changed, *rows[number + 1 :]], version=version, billed=billed, spend=spend)
    assert column in {one.column for one in found}, [str(one) for one in found]
    # A price id keeps what it was first at: the fault may show in the rows after.
    assert any(one.row in {number + 1, 0} or "in a row before" in one.what for one in found)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("AllocatedMethodId", None), ("AllocatedMethodDetails", None), ("AllocatedMethodDetails", "{}"),
        ("AllocatedMethodDetails", '{"Elements":[{"AllocatedRatio":0.5}]}'),
    ],
)  # fmt: skip
def test_shares_of_the_newer_version_are_checked(month, column, value):
    """Its own columns say the same ratio as ours."""
    rows, billed, spend = month["1.4"]
    number = share(rows)
    changed = rows[number] | {column: value}
    found = check([*rows[:number], changed, *rows[number + 1 :]], version="1.4", billed=billed, spend=spend)
    assert [one.column for one in found] == [column]
    assert found[0].row == number + 1


def test_the_origin_beside_its_shares_is_caught(month):
    """The whole amount once more: ratios and sums both tell."""
    rows, billed, spend = month["1.2"]
    number = share(rows)
    shares = [row for row in rows if row["x_OriginId"] == rows[number]["x_OriginId"]]
    cost = sum(row["BilledCost"] for row in shares)
    whole = rows[number] | {
        "BilledCost": cost, "EffectiveCost": cost, "PricingCurrencyEffectiveCost": cost,
        "x_AllocatedRatio": D(1),
    }  # fmt: skip
    columns = {one.column for one in check([*rows, whole], version="1.2", billed=billed, spend=spend)}
    assert {"x_AllocatedRatio", "BilledCost"} <= columns


def test_a_dropped_and_a_doubled_row_are_caught(month):
    """By the sum; an entry that stands twice by its id."""
    rows, billed, spend = month["1.2"]
    number = adjustment(rows)
    for changed in ([*rows[:number], *rows[number + 1 :]], [*rows, rows[number]]):
        found = check(changed, version="1.2", billed=billed, spend=spend)
        assert {"BilledCost", "x_SpendCost"} <= {one.column for one in found}
    assert "x_EntryId" in {one.column for one in found}
    assert check([], version="1.2", billed={}, spend={}) == []
    assert [one.column for one in check([], version="1.2", billed={"USD": D(1)}, spend=None)] == [
        "BilledCost"
    ]


def test_a_finding_reads_as_a_sentence(month):
    """Row, column, what, and the figures."""
    rows, _, _ = month["1.2"]
    row = rows[usage(rows)]
    found = check([row | {"ListCost": D("1.5")}], version="1.2")
    expected = row["ListUnitPrice"] * row["PricingQuantity"]
    assert str(found[0]) == f"row 1, ListCost: 1.5 is not ListUnitPrice × PricingQuantity = {expected:f}"
    assert str(check([], version="1.2", billed={"USD": D(1)})[0]).startswith(
        "the file, BilledCost: sums to 0 USD"
    )


def test_a_file_wrong_in_every_row_is_told_in_fifty(month):
    """Nobody reads a hundred thousand findings."""
    rows, _, _ = month["1.2"]
    assert len(check(({**row, "ChargeCategory": "x"} for row in rows), version="1.2")) == MOST
