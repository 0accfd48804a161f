"""Vendors' bills: one reader per kind of export, all to :class:`gateway.core.bill.BillLine`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, cast

from gateway.adapters.vendor_costs.cells import BadFile, Checked, Options
from gateway.core.bill import BillLine

Reader = Callable[[Path, Options], Iterator[BillLine]]

SOURCES: Final[Mapping[str, tuple[str, str]]] = {
    "openai-costs": ("openai_costs", "OpenAI /v1/organization/costs, grouped by line_item"),
    "openai-usage": ("openai_usage", "OpenAI /v1/organization/usage/completions, grouped by model"),
    "anthropic-costs": ("anthropic_cost_report", "Anthropic cost_report, grouped by description"),
    "anthropic-usage": ("anthropic_usage", "Anthropic usage_report/messages, grouped by model"),
    "focus": ("focus_file", "FOCUS 1.0 to 1.2, CSV or Parquet, of any provider"),
    "aws-cur": ("aws_cur", "AWS Cost and Usage Report 2.0, CSV or Parquet"),
    "azure": ("azure_export", "Azure cost details export, CSV or Parquet"),
    "gcp": ("gcp_billing", "Google Cloud billing export, CSV or JSON lines"),
    "csv": ("mapped_csv", "any CSV, by a mapping in YAML"),
}
"""Source → (module, what it reads). ``csv`` needs a mapping and is made by its own module."""

COUNTS_ONLY: Final = frozenset({"openai-usage", "anthropic-usage"})
"""Sources that count and do not charge."""

__all__ = ["COUNTS_ONLY", "SOURCES", "BadFile", "Checked", "Options", "Reader", "reader_of"]


def reader_of(source: str) -> Reader:
    """Return the reader of a source. Raises KeyError on one that there is not."""
    module = importlib.import_module(f"gateway.adapters.vendor_costs.{SOURCES[source][0]}")
    return cast("Reader", module.read)
