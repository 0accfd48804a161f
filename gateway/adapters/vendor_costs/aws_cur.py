"""AWS Cost and Usage Report 2.0, CSV (packed or not) or Parquet: what of it is Amazon Bedrock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.adapters.vendor_costs.cells import MOST_QUANTITY, Cells, Options, line, sheet, single_units
from gateway.core.bill import BillLine, Kind, meter_in

_NEEDED = (
    ("line_item_usage_start_date",),
    ("line_item_usage_end_date",),
    ("line_item_unblended_cost",),
    ("line_item_currency_code",),
    ("line_item_line_item_type",),
)
_KINDS: dict[str, Kind] = {
    "Usage": "usage",
    "DiscountedUsage": "usage",
    "SavingsPlanCoveredUsage": "usage",
    "Fee": "fee",
    "RIFee": "fee",
    "SavingsPlanRecurringFee": "fee",
    "SavingsPlanUpfrontFee": "fee",
    "Tax": "tax",
    "Credit": "credit",
    "Refund": "credit",
    "BundledDiscount": "discount",
    "Discount": "discount",
    "EdpDiscount": "discount",
    "PrivateRateDiscount": "discount",
    "DistributorDiscount": "discount",
    "SavingsPlanNegation": "discount",
}


def read(path: Path, options: Options) -> Iterator[BillLine]:
    """Return the lines of a file. Raises BadFile."""
    for cells in sheet(path, needed=_NEEDED):
        if options.only:
            ours = all(cells.text(column) == value for column, value in options.only.items())
        else:
            ours = _is_bedrock(cells)
        if ours:
            yield _line(cells)


def _is_bedrock(cells: Cells) -> bool:
    """Whether a line is Bedrock's: models of others are sold through the marketplace, "Bedrock Edition"."""
    said = cells.text("product_product_name", "product", "line_item_line_item_description")
    return "bedrock" in f"{cells.text('line_item_product_code')} {said} {_product(cells)}".lower()


def _product(cells: Cells) -> str:
    return cells.text("product_product_name", "product_servicename", "product")


def _line(cells: Cells) -> BillLine:
    said = cells.needed("line_item_line_item_type")
    kind = _KINDS.get(said)
    if kind is None:
        raise cells.bad(
            f"`line_item_line_item_type` is `{said[:40]}`, which is not known; is a column shifted?"
        )
    usage_type = cells.text("line_item_usage_type")
    described = cells.text("line_item_line_item_description")
    # Descriptions count in "Million Input Tokens"; usage amounts in the pricing unit, "1K tokens".
    unit = cells.text("pricing_unit")
    quantity, unit = single_units(cells.decimal("line_item_usage_amount", most=MOST_QUANTITY), unit)
    billing = cells.text("bill_billing_period_start_date")
    identity = cells.text("identity_line_item_id")
    interval = cells.text("identity_time_interval", "line_item_usage_start_date")
    model = cells.text("product_model", "product_titan_model") or _named(cells) or usage_type
    return line(
        cells,
        start_us=cells.instant("line_item_usage_start_date", zone_given=True),
        end_us=cells.instant("line_item_usage_end_date", zone_given=True),
        kind=kind,
        currency=cells.currency("line_item_currency_code"),
        amount=cells.amount("line_item_unblended_cost"),
        quantity=quantity if kind == "usage" else None,
        account=cells.text("line_item_usage_account_id", "bill_payer_account_id"),
        model=model if kind == "usage" else "",
        sku=usage_type or described,
        meter=(meter_in(usage_type) or meter_in(described)) if kind == "usage" else "",
        unit=unit,
        ref=f"{identity}/{interval}" if identity else "",
        month=billing[:7] if billing else "",
    )


def _named(cells: Cells) -> str:
    """Return the model that a marketplace product or a resource names."""
    product = _product(cells)
    if "bedrock edition" in product.lower():
        return product
    resource = cells.text("line_item_resource_id")
    return resource.rpartition("/")[2] if "foundation-model/" in resource else ""
