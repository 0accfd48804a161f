"""OpenAI's costs: pages of ``GET /v1/organization/costs`` by line item, one bucket a UTC day."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from gateway.adapters.vendor_costs.cells import Options, line, number
from gateway.adapters.vendor_costs.json_pages import Result, results
from gateway.core.bill import BillLine, meter_in


def read(path: Path, _options: Options) -> Iterator[BillLine]:
    """Return the lines of a file of pages. Raises BadFile."""
    for result in results(path):
        yield _line(result)


def _line(result: Result) -> BillLine:
    cells = result.cells
    amount = result.raw.get("amount")
    if not isinstance(amount, dict):
        raise cells.bad("no `amount`; expected {value, currency}")
    money = type(cells)(
        file=cells.file, row=cells.row, values={name: str(value) for name, value in amount.items()}
    )
    item = cells.text("line_item")
    if not item:
        raise cells.bad("no `line_item`; fetch the costs with group_by=line_item, else no model is named")
    # "gpt-4o-2024-08-06, cached input". Items without a model ("web search tool calls") keep their name.
    model, _, words = item.partition(",")
    value = money.amount("value")
    counted = cells.text("quantity")
    return line(
        cells,
        start_us=_seconds(result, "start_time"),
        end_us=_seconds(result, "end_time"),
        kind="usage" if value >= 0 else "credit",
        currency=money.currency("currency"),
        amount=value,
        quantity=_tokens(counted, result) if counted and words else None,
        account=cells.text("project_id"),
        model=model.strip(),
        sku=item,
        meter=meter_in(words),
        unit="tokens" if words else "",
    )


def _tokens(text: str, result: Result) -> Decimal:
    return number(text, name="quantity", at=result.cells, most=Decimal(10) ** 16)


def _seconds(result: Result, name: str) -> int:
    value = result.bucket.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 10**9 < value < 10**10:
        raise result.cells.bad(f"`{name}` is `{str(value)[:30]}`; expected Unix seconds")
    return value * 1_000_000
