"""Anthropic's usage: pages of ``GET /v1/organizations/usage_report/messages`` by model, without charges."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from gateway.adapters.vendor_costs.cells import Options, line
from gateway.adapters.vendor_costs.json_pages import Result, count, results
from gateway.core.bill import BillLine


def read(path: Path, _options: Options) -> Iterator[BillLine]:
    """Return a line per result and meter. Raises BadFile."""
    for result in results(path):
        yield from _lines(result)


def _lines(result: Result) -> Iterator[BillLine]:
    cells = result.cells
    model = cells.text("model")
    if not model:
        raise cells.bad("no `model`; fetch the usage with group_by[]=model")
    written = result.raw.get("cache_creation")
    written = written if isinstance(written, dict) else {}
    meters = {
        "input": count(result, "uncached_input_tokens"),
        "cache_read": count(result, "cache_read_input_tokens"),
        "cache_write_5m": count(result, "ephemeral_5m_input_tokens", written),
        "cache_write_1h": count(result, "ephemeral_1h_input_tokens", written),
        "output": count(result, "output_tokens"),
    }
    for meter, tokens in meters.items():
        if tokens:
            yield line(
                cells,
                start_us=cells.instant("starting_at"),
                end_us=cells.instant("ending_at"),
                kind="usage",
                currency="",
                amount=None,
                quantity=Decimal(tokens),
                account=cells.text("workspace_id"),
                model=model,
                sku=cells.text("service_tier"),
                meter=meter,
                unit="tokens",
                ref=f"{cells.digest}/{meter}",
            )
