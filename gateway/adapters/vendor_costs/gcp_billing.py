"""Google Cloud's billing export from BigQuery (standard usage cost), as CSV or JSON lines.

Credits stand inside their line there and are lines of their own here: amounts of usage are before them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.adapters.vendor_costs.cells import (
    MOST_QUANTITY,
    BadFile,
    Cells,
    Options,
    line,
    number,
    opened,
    sheet,
    single_units,
)
from gateway.core.bill import BillLine, Kind, meter_in

_NEEDED = (("usage_start_time",), ("usage_end_time",), ("cost",), ("currency",))
_OURS = re.compile(r"vertex ai|gemini|generative language|agent platform", re.IGNORECASE)
_KINDS: dict[str, Kind] = {
    "regular": "usage",
    "tax": "tax",
    "adjustment": "credit",
    "rounding_error": "credit",
}
_DISCOUNTS = ("DISCOUNT",)
_MOST_LINE = 1_000_000


def read(path: Path, options: Options) -> Iterator[BillLine]:
    """Return the lines of a file. Raises BadFile."""
    with opened(path) as raw:
        first = raw.read(1)
    rows = _json_rows(path) if first in {b"{", b"["} else sheet(path, needed=_NEEDED)
    for cells in rows:
        if options.only:
            ours = all(cells.text(column) == value for column, value in options.only.items())
        else:
            ours = cells.text("cost_type") == "tax" or bool(_OURS.search(_service(cells)))
        if ours:
            yield from _lines(cells)


def _service(cells: Cells) -> str:
    return cells.text("service.description", "service_description")


def _lines(cells: Cells) -> Iterator[BillLine]:
    said = cells.text("cost_type") or "regular"
    kind = _KINDS.get(said)
    if kind is None:
        raise cells.bad(f"`cost_type` is `{said[:30]}`; expected regular, tax, adjustment or rounding_error")
    start = cells.instant("usage_start_time")
    end = cells.instant("usage_end_time")
    sku = cells.text("sku.description", "sku_description")
    counted = cells.decimal("usage.amount", "usage_amount", most=MOST_QUANTITY)
    quantity, unit = single_units(counted, cells.text("usage.unit", "usage_unit"))
    currency = cells.currency("currency")
    amount = cells.amount("cost")
    given = cells.decimal("currency_conversion_rate")
    rate = Decimal(1) if given is None else given
    if rate <= 0:
        raise cells.bad(f"`currency_conversion_rate` is {rate}; expected more than 0")
    invoice = cells.text("invoice.month", "invoice_month")
    if invoice and not re.fullmatch(r"\d{4}(0[1-9]|1[0-2])", invoice):
        raise cells.bad(f"`invoice.month` is `{invoice[:20]}`; expected 202611")
    shared: dict[str, Any] = {
        "start_us": start,
        "end_us": max(end, start + 1),
        "currency": currency,
        "account": cells.text("project.id", "project_id"),
        "month": f"{invoice[:4]}-{invoice[4:]}" if invoice else "",
    }
    yield line(
        cells,
        **shared,
        kind=kind,
        amount=amount,
        quantity=quantity if kind == "usage" else None,
        model=sku if kind == "usage" else "",
        sku=cells.text("sku.id", "sku_id") or sku,
        meter=meter_in(sku) if kind == "usage" else "",
        unit="tokens" if "token" in sku.lower() else unit,
        may_be_negative=kind == "usage" and amount <= 0,
        pricing_amount=amount / rate if rate != 1 else None,
        pricing_currency="USD" if rate != 1 else "",
    )
    for number_, credit in enumerate(_credits(cells)):
        value = number(str(credit.get("amount", "")), name="credits.amount", at=cells)
        discount = any(word in str(credit.get("type", "")) for word in _DISCOUNTS)
        yield line(
            cells,
            **shared,
            kind="discount" if discount else "credit",
            amount=value,
            sku=str(credit.get("name", "")) or str(credit.get("type", "")),
            ref=f"{cells.digest}/credit{number_}",
            digest=f"{cells.digest}/{number_}",
        )


def _credits(cells: Cells) -> list[dict[str, Any]]:
    text = cells.text("credits")
    if not text:
        return []
    try:
        found = json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError:
        raise cells.bad("`credits` is no JSON; is a column shifted?") from None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _json_rows(path: Path) -> Iterator[Cells]:
    """Return the rows of JSON lines, nested objects as ``service.description``."""
    with opened(path) as raw:
        for row, text in enumerate(iter(lambda: raw.readline(_MOST_LINE + 1), b""), 1):
            if len(text) > _MOST_LINE:
                raise BadFile(path.name, row, "a line of more than a megabyte; expected one row a line")
            if not text.strip():
                continue
            try:
                found = json.loads(text, parse_float=Decimal, parse_constant=lambda word: word)
            except (json.JSONDecodeError, UnicodeDecodeError):
                raise BadFile(path.name, row, "no whole JSON object a line; was the file cut off?") from None
            if not isinstance(found, dict):
                raise BadFile(path.name, row, "expected one object a line")
            yield Cells(file=path.name, row=row, values=dict(_flat(found)))


def _flat(found: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield f"{prefix}{name}", json.dumps(value, default=str)
        elif value is not None:
            yield f"{prefix}{name}", str(value)
