"""OpenAI's usage: pages of ``GET /v1/organization/usage/completions`` by model. Counts, no charges."""

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
        raise cells.bad("no `model`; fetch the usage with group_by=model")
    total, cached = count(result, "input_tokens"), count(result, "input_cached_tokens")
    if cached > total:
        raise cells.bad("more cached tokens than input tokens")
    meters = {
        "input": total - cached,  # what OpenAI calls input includes what was cached
        "cache_read": cached,
        "output": count(result, "output_tokens"),
        "input_audio": count(result, "input_audio_tokens"),
        "output_audio": count(result, "output_audio_tokens"),
    }
    for meter, tokens in meters.items():
        if tokens:
            yield line(
                cells,
                start_us=_seconds(result, "start_time"),
                end_us=_seconds(result, "end_time"),
                kind="usage",
                currency="",
                amount=None,
                quantity=Decimal(tokens),
                account=cells.text("project_id"),
                model=model,
                sku="batch" if result.raw.get("batch") is True else "",
                meter=meter,
                unit="tokens",
                ref=f"{cells.digest}/{meter}",
            )


def _seconds(result: Result, name: str) -> int:
    value = result.bucket.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 10**9 < value < 10**10:
        raise result.cells.bad(f"`{name}` is `{str(value)[:30]}`; expected Unix seconds")
    return value * 1_000_000
