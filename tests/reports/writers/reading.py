"""Reports read back out of the files that were written, by other libraries than those that wrote them."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import openpyxl
import orjson
import pyarrow.parquet as pq
from pypdf import PdfReader

from gateway.reports.document import Cell, Column, Document, Section
from gateway.reports.writers import write


@dataclass(frozen=True)
class Table:
    """What a file shows of one section: rows and total, as text for text and Decimal for numbers."""

    rows: list[list[Any]]
    total: list[Any] | None


def written(document: Document, form: str) -> bytes:
    """The file."""
    out = io.BytesIO()
    write(document, form, out)
    return out.getvalue()


def meant(section: Section) -> Table:
    """What a reader must find, but for how text is made safe."""
    return Table(
        [_values(section.columns, row) for row in section.rows],
        None if section.total is None else _values(section.columns, section.total),
    )


def _values(columns: tuple[Column, ...], row: tuple[Cell, ...]) -> list[Any]:
    return [
        None if cell in {None, ""} else cell if isinstance(cell, str) else Decimal(cell)
        for cell, _ in zip(row, columns, strict=True)
    ]


def of_csv(data: bytes, section: Section) -> Table:
    """The first section of a CSV file."""
    lines = list(csv.reader(io.StringIO(data.decode(), newline="")))
    own = len(lines[0]) - len(section.columns)
    rows, total = [], None
    for line in lines[1:]:
        cells = [
            None if not text else Decimal(text) if numeric(column, text) else text
            for text, column in zip(line[own:], section.columns, strict=True)
        ]
        if line[0] == "total":
            total = cells
        else:
            rows.append(cells)
    return Table(rows, total)


def of_json(data: bytes, section: Section) -> Table:
    """A section of a JSON file, by name."""
    body = next(item for item in orjson.loads(data)["sections"] if item["name"] == section.name)

    def cells(row: dict[str, Any]) -> list[Any]:
        return [
            None
            if (cell := row[column.name]) in {None, ""}
            else Decimal(cell)
            if numeric(column, cell)
            else cell
            for column in section.columns
        ]

    return Table(
        [cells(row) for row in body["rows"]], None if body["total"] is None else cells(body["total"])
    )


def of_parquet(data: bytes, section: Section) -> Table:
    """The first section of a Parquet file; its total is in the metadata."""
    table = pq.read_table(io.BytesIO(data))

    def cell(value: Any) -> Any:
        if isinstance(value, date):
            return value.isoformat()
        return None if value in {None, ""} else value if isinstance(value, str) else Decimal(value)

    rows = [[cell(row[column.name]) for column in section.columns] for row in table.to_pylist()]
    found = orjson.loads(table.schema.metadata[b"borderpost.total"])
    if section.total is None:
        return Table(rows, None)
    total = [found.get(column.name) for column in section.columns]
    return Table(
        rows,
        [
            None if not text else Decimal(text) if numeric(column, text) else text
            for text, column in zip(total, section.columns, strict=True)
        ],
    )


def of_xlsx(data: bytes, document: Document) -> list[Table]:
    """Every section of a workbook, by openpyxl: numbers by way of their shortest decimal."""
    book = openpyxl.load_workbook(io.BytesIO(data))
    found = []
    for sheet, section in zip(book.worksheets, document.sections, strict=False):
        wide = len(section.columns)
        lines = [
            [_of_sheet(cell) for cell in line[:wide]]
            for line in sheet.iter_rows(min_row=5, max_col=wide, max_row=4 + len(section.rows) + 1)
        ]
        rows = lines[: len(section.rows)]
        total = None if section.total is None else lines[len(section.rows)]
        found.append(Table(rows, total))
    return found


def _of_sheet(cell: Any) -> Any:
    assert cell.data_type != "f", f"{cell.coordinate} is a formula: {cell.value}"
    assert cell.hyperlink is None, f"{cell.coordinate} is a link"
    value = cell.value
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, int | float):
        return Decimal(str(value))
    return None if value in {None, ""} else value


def pages(data: bytes) -> list[str]:
    """The text of each page of a PDF."""
    return [page.extract_text() for page in PdfReader(io.BytesIO(data)).pages]


def numeric(column: Column, text: Any) -> bool:
    """Whether a cell of a column was meant as a number: not the label of a total."""
    if column.kind in {"text", "date"}:
        return False
    return isinstance(text, int) or re.fullmatch(r"-?\d+(\.\d+)?", text) is not None
