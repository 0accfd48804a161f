"""How a cell looks to people, in text and on paper: thousands, decimals, percent, a dash for nothing."""

from __future__ import annotations

from decimal import Decimal

from gateway.reports.document import Cell, Column, Document, exact

NOTHING = "–"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def shown(cell: Cell, column: Column) -> str:
    """Return a cell for people: ``1,234.50``, ``80.2%``, ``–``. Nothing is rounded."""
    if cell is None:
        return NOTHING
    if isinstance(cell, str):
        return printable(cell)
    amount = exact(cell, column)
    text = f"{cell:,}" if amount is None else f"{amount:,f}"
    return f"{text}%" if column.kind == "percent" else text


def printable(text: str) -> str:
    """Return text in which nothing steers the terminal or breaks the file that shows it."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def safe(cell: str) -> str:
    """Return a CSV cell that no spreadsheet runs as a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell


def numeric(column: Column) -> bool:
    """Return whether a column holds numbers, and so stands to the right."""
    return column.kind not in {"text", "date"}


def heading(column: Column, document: Document) -> str:
    """Return a column's title; a money column that is not in the report's currency names its own."""
    foreign = column.kind == "money" and column.currency not in {"", document.currency}
    if foreign and column.currency.lower() not in column.title.lower().split():
        return printable(f"{column.title} {column.currency}")
    return printable(column.title)


def status_line(document: Document) -> str:
    """Return what a reader must know first: ``2026-11 America/Toronto · OPEN to 2026-11-23 14:00``."""
    when = f"to {document.as_of}" if document.status == "open" else f"as of {document.as_of}"
    return f"{document.period} {document.timezone} · {document.status.upper()} {when}"


def number(cell: Cell) -> Decimal:
    """Return a cell as a number to draw; text and nothing are zero."""
    return Decimal(cell) if isinstance(cell, int | Decimal) else Decimal(0)
