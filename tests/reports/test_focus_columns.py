"""The columns of each version of FOCUS, and the words that may stand in them."""

from __future__ import annotations

import pytest

from gateway.core.tariff import TOKEN_METERS, UNIT_METERS
from gateway.reports.focus_columns import ALLOWED, METERS, NEVER_NULL, OURS, TWINS, UNITS, VERSIONS, columns
from gateway.reports.focus_rows import Book, rows
from tests.reports.test_focus_fold import NOVEMBER, folded, line, priced

# Mandatory in the specification's own list of columns, 1.2; the newer version replaces two of them by two.
MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd",
    "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
}  # fmt: skip


def test_mandatory_columns_are_there():
    """In each version."""
    assert set(columns("1.2")) >= MANDATORY
    replaced = {"ProviderName", "PublisherName"}
    assert set(columns("1.4")) >= MANDATORY - replaced | {"ServiceProviderName", "HostProviderName"}
    assert not replaced & set(columns("1.4"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_row_has_the_columns_of_its_version(version):
    """The standard ones by name, then ours."""
    book = Book(organisation="maple", start_us=NOVEMBER[0], end_us=NOVEMBER[1], version=version)
    (row,) = rows(folded(priced([line("input", 1, "1")])), book)
    assert list(row) == list(columns(version))
    standard = [name for name in row if not name.startswith("x_")]
    assert standard == sorted(standard)
    assert list(row)[len(standard) :] == list(OURS)


def test_the_words_are_of_columns_that_there_are():
    """No rule speaks of a column that no version has."""
    every = {name for one in VERSIONS for name in columns(one)}
    assert every >= NEVER_NULL | set(ALLOWED) | set(TWINS) | set(TWINS.values())


def test_every_meter_of_a_price_has_its_sku():
    """A meter that is new to the prices gets its words here too."""
    assert set(METERS) == set(TOKEN_METERS) | set(UNIT_METERS)
    assert all(meter.unit in UNITS for meter in METERS.values())
    assert len({meter.sku for meter in METERS.values()}) == len(METERS)
    for name in TOKEN_METERS:
        assert METERS[name].unit == "Tokens"
        assert METERS[name].direction in {"Input", "Output"}
