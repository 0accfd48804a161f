"""Azure cost details exports (EA and MCA), CSV or Parquet: what of them is OpenAI or Foundry models.

Days are UTC. Columns are spelt as each agreement's export spells them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from gateway.adapters.vendor_costs.cells import (
    DAY_US,
    MOST_QUANTITY,
    Cells,
    Options,
    day_us,
    line,
    sheet,
    single_units,
)
from gateway.core.bill import BillLine, Kind, meter_in

_DATE = ("date", "Date", "UsageDateTime")
_COST = ("costInBillingCurrency", "CostInBillingCurrency", "Cost", "cost")
_CURRENCY = ("billingCurrency", "BillingCurrencyCode", "billingCurrencyCode", "BillingCurrency")
_CATEGORY = ("meterCategory", "MeterCategory")
_METER = ("meterName", "MeterName")
_TYPE = ("chargeType", "ChargeType")
_NEEDED = (_DATE, _COST, _CURRENCY, _METER)
_OURS = re.compile(r"openai|foundry|cognitive services|azure ai|machine learning", re.IGNORECASE)
_KINDS: dict[str, Kind] = {
    "usage": "usage",
    "purchase": "fee",
    "unusedreservation": "fee",
    "unusedsavingsplan": "fee",
    "refund": "credit",
    "credit": "credit",
    "adjustment": "credit",
    "roundingadjustment": "credit",
    "tax": "tax",
}


def read(path: Path, options: Options) -> Iterator[BillLine]:
    """Return the lines of a file. Raises BadFile."""
    for cells in sheet(path, needed=_NEEDED):
        if options.only:
            ours = all(cells.text(column) == value for column, value in options.only.items())
        else:
            ours = bool(
                _OURS.search(cells.text(*_CATEGORY) or cells.text("consumedService", "serviceFamily"))
            )
        if ours:
            yield _line(cells)


def _line(cells: Cells) -> BillLine:
    said = cells.text(*_TYPE) or "Usage"
    kind = _KINDS.get(said.replace(" ", "").lower())
    if kind is None:
        raise cells.bad(f"`chargeType` is `{said[:30]}`; expected Usage, Purchase, Refund, Tax …")
    start = day_us(_day(cells, _DATE))
    counted = cells.decimal("quantity", "Quantity", most=MOST_QUANTITY)
    quantity, unit = single_units(counted, cells.text("unitOfMeasure", "UnitOfMeasure"))
    meter = cells.text(*_METER)
    currency = cells.currency(*_CURRENCY)
    pricing = cells.text("pricingCurrency", "PricingCurrency", "PricingCurrencyCode").upper()
    apart = bool(pricing) and pricing != currency
    period = ("billingPeriodStartDate", "BillingPeriodStartDate")
    billing = _day(cells, period) if cells.text(*period) else None
    resource = cells.text("resourceId", "ResourceId")
    return line(
        cells,
        start_us=start,
        end_us=start + DAY_US,
        kind=kind,
        currency=currency,
        amount=cells.amount(*_COST),
        quantity=quantity if kind == "usage" else None,
        account=cells.text("subscriptionId", "SubscriptionId", "SubscriptionGuid"),
        model=meter if kind == "usage" else "",
        sku=cells.text("meterId", "MeterId") or meter,
        meter=meter_in(meter) if kind == "usage" else "",
        unit=unit or ("tokens" if "token" in meter.lower() else ""),
        month=f"{billing:%Y-%m}" if billing else "",
        pricing_amount=cells.decimal("costInPricingCurrency", "CostInPricingCurrency") if apart else None,
        pricing_currency=pricing if apart else "",
        digest="" if not resource else cells.digest,
    )


def _day(cells: Cells, names: tuple[str, ...]) -> date:
    """Return a day written 11/30/2026 or 2026-11-30."""
    text = cells.needed(*names)
    american = re.fullmatch(r"(\d{2})/(\d{2})/(\d{4})", text)
    plain = f"{american[3]}-{american[1]}-{american[2]}" if american else text
    day, at, clock = plain.partition("T")
    try:
        found = date.fromisoformat(day)
    except ValueError:
        found = None
    if found is None or (at and not re.fullmatch(r"00:00:00(\.0+)?(Z|\+00:00)?", clock)):
        raise cells.bad(f"`{names[0]}` is `{text[:30]}`; expected a day such as 11/30/2026")
    return found
