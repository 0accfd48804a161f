"""A report as JSON: every section, amounts as strings so that no reader turns them into binary floats."""

from __future__ import annotations

from typing import BinaryIO

import orjson

from gateway.reports.document import Cell, Chart, Column, Document, Section, digest, plain


def write(document: Document, out: BinaryIO) -> None:
    """Write the whole report."""
    body = {
        "report": document.report,
        "title": document.title,
        "organisation": document.organisation,
        "period": document.period,
        "timezone": document.timezone,
        "status": document.status,
        "as_of": document.as_of,
        "currency": document.currency,
        "facts": [{"name": name, "value": value} for name, value in document.facts],
        "sections": [_section(section) for section in document.sections],
        "notes": list(document.notes),
        "sha256": digest(document).removeprefix("sha256:"),
    }
    out.write(orjson.dumps(body, option=orjson.OPT_INDENT_2))
    out.write(b"\n")


def _section(section: Section) -> dict[str, object]:
    return {
        "name": section.name,
        "title": section.title,
        "columns": [_column(column) for column in section.columns],
        "rows": [_object(section, row) for row in section.rows],
        "total": None if section.total is None else _object(section, section.total),
        "notes": list(section.notes),
        "chart": None if section.chart is None else _chart(section.chart),
    }


def _column(column: Column) -> dict[str, str]:
    found = {"name": column.name, "title": column.title, "kind": column.kind}
    return found | ({"currency": column.currency} if column.currency else {})


def _chart(chart: Chart) -> dict[str, object]:
    return {"kind": chart.kind, "x": chart.x, "y": list(chart.y), "low": chart.low, "high": chart.high}


def _object(section: Section, row: tuple[Cell, ...]) -> dict[str, object]:
    return {column.name: _value(cell, column) for cell, column in zip(row, section.columns, strict=True)}


def _value(cell: Cell, column: Column) -> str | int | None:
    # A count is a JSON number while every reader holds it exactly, a string beyond.
    if cell is None:
        return None
    if isinstance(cell, int) and column.kind != "money" and abs(cell) < 2**53:
        return cell
    return plain(cell, column)
