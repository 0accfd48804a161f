"""A report as CSV (RFC 4180), which holds its first section: rows, then a last line of kind ``total``.

The head's columns come first, so that files of several months can be stacked. No cell can
start a formula in a spreadsheet; amounts are plain decimals.
"""

from __future__ import annotations

import csv
import io
from typing import BinaryIO

from gateway.reports.document import Cell, Document, Section, plain
from gateway.reports.writers.cells import safe

BOM = b"\xef\xbb\xbf"
"""What tells a spreadsheet on Windows that a CSV file is UTF-8."""


def write(document: Document, out: BinaryIO) -> None:
    """Write the first section."""
    section = document.sections[0]
    text = io.TextIOWrapper(out, encoding="utf-8", errors="replace", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    head = {"period": document.period, "timezone": document.timezone, "status": document.status}
    taken = {column.name for column in section.columns}
    names = ["kind", *head, *(column.name for column in section.columns)]
    writer.writerow(
        [
            f"report_{name}" if number < len(head) + 1 and name in taken else name
            for number, name in enumerate(names)
        ]
    )
    for row in section.rows:
        writer.writerow(["row", *head.values(), *_cells(section, row)])
    if section.total is not None:
        writer.writerow(["total", *head.values(), *_cells(section, section.total)])
    text.detach()


def _cells(section: Section, row: tuple[Cell, ...]) -> list[str]:
    # A negative number starts with a minus and is meant to: only text is defused.
    return [
        safe(cell) if isinstance(cell, str) else plain(cell, column)
        for cell, column in zip(row, section.columns, strict=True)
    ]
