"""A report as Parquet, which holds its first section: typed columns, decimals, no total row.

A total row would be summed by whoever sums a column, so the totals stand in the file's
metadata, as JSON, beside the report's head and digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal, localcontext
from itertools import islice
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from gateway.reports.document import Cell, Column, Document, Section, TooLong, digest, exact, places_of, plain

_BATCH = 20_000
"""Rows of one row group: what is in memory twice at a time."""

_DIGITS = 38
"""Of a decimal128."""

_LEAST = {"money": 2, "quantity": 9, "percent": 4}
"""Decimals of a column at least, so that a column has the same type every month."""


def write(document: Document, out: BinaryIO) -> None:
    """Write the first section. Raises TooLong on a number that no decimal of 38 digits holds."""
    section = document.sections[0]
    schema = pa.schema(
        [
            pa.field(column.name, _type(column, cells), metadata=_about(column))
            for column, cells in zip(section.columns, _columns(section), strict=True)
        ],
        metadata=_metadata(document, section),
    )
    with pq.ParquetWriter(out, schema, compression="zstd", write_statistics=True) as writer:
        for batch in batched(section.rows, _BATCH):
            arrays = [
                pa.array([_value(row[index], column, field.type) for row in batch], type=field.type)
                for index, (column, field) in enumerate(zip(section.columns, schema, strict=True))
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def batched(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the rows in lists of at most ``size``."""
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch


def _columns(section: Section) -> Iterator[list[Cell]]:
    for index in range(len(section.columns)):
        yield [row[index] for row in section.rows]


def _type(column: Column, cells: list[Cell]) -> pa.DataType:
    if column.kind == "text":
        return pa.string()
    if column.kind == "date":
        days = [_day(cell) for cell in cells if isinstance(cell, str)]
        return pa.string() if None in days else pa.date32()
    numbers = [cell for cell in cells if isinstance(cell, int | Decimal)]
    if column.kind == "count":
        small = all(-(2**63) <= number < 2**63 for number in numbers)
        return pa.int64() if small else pa.decimal128(_DIGITS, 0)
    places = max((places_of(Decimal(number)) for number in numbers), default=0)
    places = max(places, _LEAST[column.kind])
    widest = max((abs(Decimal(number)) for number in numbers), default=Decimal(0))
    if places > _DIGITS or widest >= 10 ** (_DIGITS - places):
        raise TooLong(f"`{column.name}` holds a number that no Parquet decimal holds; use csv or json")
    return pa.decimal128(_DIGITS, places)


def _value(cell: Cell, column: Column, kind: pa.DataType) -> object:
    if cell is None or (isinstance(cell, str) and not pa.types.is_date32(kind)):
        return cell
    if isinstance(cell, str):
        return _day(cell)
    if pa.types.is_integer(kind):
        return int(cell)
    amount = exact(cell, column)
    with localcontext() as context:
        context.prec = 2 * _DIGITS
        return (Decimal(cell) if amount is None else amount).quantize(Decimal(1).scaleb(-kind.scale))


def _day(text: str) -> date | None:
    if len(text) != len("2026-11-01"):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _about(column: Column) -> dict[str, str]:
    found = {"title": column.title, "kind": column.kind}
    return found | ({"currency": column.currency} if column.currency else {})


def _metadata(document: Document, section: Section) -> dict[str, str]:
    total = {
        column.name: plain(cell, column)
        for column, cell in zip(section.columns, section.total or (), strict=False)
        if cell is not None
    }
    return {
        "borderpost.report": document.report,
        "borderpost.title": document.title,
        "borderpost.section": section.name,
        "borderpost.organisation": document.organisation,
        "borderpost.period": document.period,
        "borderpost.timezone": document.timezone,
        "borderpost.status": document.status,
        "borderpost.as_of": document.as_of,
        "borderpost.currency": document.currency,
        "borderpost.total": orjson.dumps(total).decode(),
        "borderpost.facts": orjson.dumps(document.facts).decode(),
        "borderpost.notes": orjson.dumps([*section.notes, *document.notes]).decode(),
        "borderpost.sha256": digest(document).removeprefix("sha256:"),
    }
