"""Anthropic's costs: pages of ``GET /v1/organizations/cost_report`` by description, one bucket a UTC day.

Amounts are decimal strings in *cents*. Priority Tier is not in this report: what it costs is
shown as missing at the vendor, and stands on the invoice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.adapters.vendor_costs.cells import Options, line
from gateway.adapters.vendor_costs.json_pages import Result, results
from gateway.core.bill import BillLine, meter_in


def read(path: Path, _options: Options) -> Iterator[BillLine]:
    """Return the lines of a file of pages. Raises BadFile."""
    for result in results(path):
        yield _line(result)


def _line(result: Result) -> BillLine:
    cells = result.cells
    if not isinstance(result.raw.get("amount"), str):
        raise cells.bad("no `amount`; expected a decimal string in cents")
    said = cells.text("description")
    if not said and not cells.text("model"):
        raise cells.bad("no `description`; fetch the report with group_by[]=description")
    amount = cells.amount("amount").scaleb(-2)
    token_type = cells.text("token_type")
    tier = ", ".join(part for part in (cells.text("service_tier"), cells.text("context_window")) if part)
    return line(
        cells,
        start_us=cells.instant("starting_at"),
        end_us=cells.instant("ending_at"),
        kind="usage" if amount >= 0 else "credit",
        currency=cells.currency("currency"),
        amount=amount,
        account=cells.text("workspace_id"),
        model=cells.text("model") or said,
        sku=f"{said} ({tier})" if tier else said,
        # What is no tokens (web search, code execution) is a meter of its own, under its own name.
        meter=meter_in(token_type) if token_type else (cells.text("cost_type") or "other"),
    )
