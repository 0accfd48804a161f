"""FOCUS 1.0 to 1.2 files, CSV or Parquet, as AWS, Azure, Google Cloud and others export them.

Of a cloud's whole bill only what FOCUS calls "AI and Machine Learning" is ours, unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson

from gateway.adapters.vendor_costs.cells import MOST_QUANTITY, Cells, Options, line, sheet, single_units
from gateway.core.bill import BillLine, Kind, meter_in

_NEEDED = (
    ("ChargePeriodStart",),
    ("ChargePeriodEnd",),
    ("BilledCost",),
    ("BillingCurrency",),
    ("ChargeCategory",),
)
_ONLY = {"ServiceCategory": "AI and Machine Learning"}
_KINDS: dict[str, Kind] = {"Usage": "usage", "Purchase": "fee", "Tax": "tax", "Credit": "credit"}
_MODEL_KEYS = ("ModelId", "x_ModelId", "ModelVersion", "x_ModelVersion", "ModelName", "x_ModelName")


def read(path: Path, options: Options) -> Iterator[BillLine]:
    """Return the lines of a file. Raises BadFile."""
    only = options.only or _ONLY
    for cells in sheet(path, needed=_NEEDED):
        # Tax is charged on all services and names none.
        taxed = cells.text("ChargeCategory") == "Tax"
        if taxed or all(cells.text(column) == value for column, value in only.items()):
            yield _line(cells)


def _line(cells: Cells) -> BillLine:
    category = cells.needed("ChargeCategory")
    amount = cells.amount("BilledCost")
    kind = _KINDS.get(category)
    if kind is None:
        if category != "Adjustment":
            raise cells.bad(f"`ChargeCategory` is `{category[:30]}`; expected Usage, Purchase, Tax, Credit …")
        kind = "credit" if amount < 0 else "fee"
    details = _details(cells)
    described = cells.text("ChargeDescription", "SkuMeter", "ResourceName")
    consumed = cells.decimal("ConsumedQuantity", most=MOST_QUANTITY)
    unit = cells.text("ConsumedUnit")
    if consumed is None:
        consumed = cells.decimal("PricingQuantity", most=MOST_QUANTITY)
        unit = cells.text("PricingUnit")
    quantity, unit = single_units(consumed, unit)
    billing = cells.text("BillingPeriodStart")
    named = next((details[key] for key in _MODEL_KEYS if details.get(key)), "")
    currency = cells.currency("BillingCurrency")
    pricing = cells.text("PricingCurrency").upper()
    return line(
        cells,
        start_us=cells.instant("ChargePeriodStart"),
        end_us=cells.instant("ChargePeriodEnd"),
        kind=kind,
        currency=currency,
        amount=amount,
        quantity=quantity if kind == "usage" else None,
        may_be_negative=cells.text("ChargeClass") == "Correction",
        account=cells.text("SubAccountId", "BillingAccountId"),
        model=(cells.text("x_ModelId", "x_ModelName") or named or described) if kind == "usage" else "",
        sku=cells.text("SkuId") or described,
        meter=_meter(cells, details) if kind == "usage" else "",
        unit=unit,
        month=billing[:7] if billing else "",
        pricing_amount=cells.decimal("PricingCurrencyEffectiveCost") if pricing != currency else None,
        pricing_currency=pricing if pricing != currency else "",
    )


def _meter(cells: Cells, details: dict[str, str]) -> str:
    """Return the meter: by the keys of the AI columns, else by the words that describe the charge."""
    direction = details.get("TokenDirection") or details.get("x_TokenDirection") or ""
    action = (details.get("TokenCacheAction") or details.get("x_TokenCacheAction") or "").lower()
    if direction == "Input" and action in {"read", "write"}:
        return meter_in(f"cache {action} input")
    if direction:
        return meter_in(direction)
    return meter_in(cells.text("SkuMeter")) or meter_in(cells.text("ChargeDescription"))


def _details(cells: Cells) -> dict[str, str]:
    text = cells.text("SkuPriceDetails", "x_SkuPriceDetails")
    if not text:
        return {}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise cells.bad("`SkuPriceDetails` is no JSON; is a column shifted?") from None
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
