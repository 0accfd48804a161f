"""A report as text for a terminal: head, facts, each section as aligned columns, notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from gateway.reports.document import Cell, Document, Section
from gateway.reports.writers.cells import heading, numeric, printable, shown, status_line


def write(document: Document, out: BinaryIO) -> None:
    """Write the report as text, line by line."""
    out.writelines(line.encode("utf-8", "replace") + b"\n" for line in lines(document))


def lines(document: Document) -> Iterator[str]:
    """Yield the lines of the report."""
    yield printable(f"{document.title} · {document.organisation} · {status_line(document)}")
    yield from (printable(f"{name}: {value}") for name, value in document.facts)
    alone = len(document.sections) == 1
    for section in document.sections:
        yield ""
        if not alone or section.title != document.title:
            yield printable(section.title)
        yield from _table(document, section)
        yield from (f"  {printable(note)}" for note in section.notes)
    if document.notes:
        yield ""
        yield from (printable(note) for note in document.notes)


def _table(document: Document, section: Section) -> Iterator[str]:
    right = [numeric(column) for column in section.columns]
    head = [heading(column, document) for column in section.columns]
    rows = [_cells(section, row) for row in section.rows]
    foot = [] if section.total is None else [_foot(section, section.total)]
    grid = [head, *rows, *foot]
    widths = [max(len(row[index]) for row in grid) for index in range(len(head))]
    if not rows:
        yield "  ".join(head)
        yield "(no rows)"
        grid = foot
    for row in grid:
        padded = (
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        )
        yield "  ".join(padded).rstrip()


def _cells(section: Section, row: tuple[Cell, ...]) -> list[str]:
    return [shown(cell, column) for cell, column in zip(row, section.columns, strict=True)]


def _foot(section: Section, total: tuple[Cell, ...]) -> list[str]:
    # What a total does not sum stays blank: a dash would read as a missing amount.
    return [
        "" if cell is None else shown(cell, column)
        for cell, column in zip(total, section.columns, strict=True)
    ]
