"""The mapping of a vendor's plain CSV: which column is what. Read as strictly as a policy file.

It stands beside the bill, not in the bundle: it says how a file is written, and decides nothing.
"""

# ruff: noqa: RUF012 (pydantic copies defaults)

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from gateway.core.bill import METERS, CsvMapping
from gateway.policy.load import validated
from gateway.policy.problems import PolicyErrors, Problem
from gateway.policy.schema_words import Currency, Strict, Text, wrong
from gateway.policy.source import read as read_yaml

_Char = Annotated[str, StringConstraints(min_length=1, max_length=1)]


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise wrong(f"unknown time zone `{value[:40]}`", "write it as America/Toronto") from None
    return value


class ColumnsModel(Strict):
    """Which column holds what. ``start`` and ``amount`` are needed."""

    start: Text
    end: Text | None = None
    amount: Text
    quantity: Text | None = None
    unit: Text | None = None
    currency: Text | None = None
    model: Text | None = None
    meter: Text | None = None
    kind: Text | None = None
    account: Text | None = None
    sku: Text | None = None
    ref: Text | None = None


class TimeModel(Strict):
    """How instants are written, and how long a line's window is where no column ends it."""

    format: Text | None = None
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    window: Literal["hour", "day", "month"] = "day"


class MappingModel(Strict):
    """The mapping of one vendor's CSV."""

    columns: ColumnsModel
    currency: Currency | None = None
    time: TimeModel = TimeModel()
    delimiter: _Char = ","
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    skip_rows: Annotated[int, Field(ge=0, le=1000)] = 0
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    amount_in: Literal["units", "cents"] = "units"
    quantity_in: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1
    meter: Text | None = None
    meters: dict[Text, Text] = {}
    kinds: dict[Text, Literal["usage", "fee", "tax", "credit", "discount", "skip"]] = {}
    only: dict[Text, Text] = {}

    @model_validator(mode="after")
    def _agrees(self) -> MappingModel:
        if self.columns.currency is None and self.currency is None:
            raise wrong("no currency", "name its column under columns, or write currency: USD")
        if self.decimal == self.thousands:
            raise wrong("`decimal` and `thousands` are the same sign", 'write thousands: "" or another')
        unknown = next((m for m in (*self.meters.values(), self.meter) if m and m not in METERS), None)
        if unknown is not None:
            raise wrong(f"unknown meter `{unknown[:40]}`", f"use one of {', '.join(METERS)}")
        return self


def mapping(path: Path) -> CsvMapping:
    """Return a mapping. Raises PolicyErrors with file and line of every mistake."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        words = f"this file cannot be read: {(error.strerror or 'error').lower()}"
        raise PolicyErrors(
            [Problem(file=path.name, line=0, column=0, message=words, suggestion=None)]
        ) from None
    document = read_yaml(path.name, raw)
    problems = list(document.problems)
    found = None if problems else validated(MappingModel, document, problems)
    if problems or found is None:
        raise PolicyErrors(problems)
    return CsvMapping(
        columns={name: column for name, column in found.columns.model_dump().items() if column},
        currency=found.currency or "",
        time_format=found.time.format or "",
        timezone=found.time.timezone,
        window=found.time.window,
        delimiter=found.delimiter,
        encoding=found.encoding,
        skip_rows=found.skip_rows,
        decimal=found.decimal,
        thousands=found.thousands,
        in_cents=found.amount_in == "cents",
        quantity_in=found.quantity_in,
        meter=found.meter or "",
        meters=dict(found.meters),
        kinds=dict(found.kinds),
        only=dict(found.only),
    )
