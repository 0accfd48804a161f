"""A report as a value that every format is written from: text, CSV, JSON, XLSX, PDF, Parquet.

A report builds one :class:`Document`; a writer may lay it out, never change an amount.
INVARIANT: in every section each total is the sum of what its rows show, so all formats,
and all sections that show the same money, end in the same cent.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from decimal import Decimal, localcontext
from hashlib import sha256
from typing import Literal

import orjson

Cell = str | int | Decimal | None
"""Text, a whole number, an exact decimal, or nothing (shown as ``–``, empty in files)."""

Kind = Literal["text", "count", "quantity", "money", "percent", "date"]
"""How a column reads: ``money`` has two decimals and a currency, ``percent`` is 0–100, ``date`` ISO."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. ``name`` is for programs (``spend``), ``title`` for people."""

    name: str
    title: str
    kind: Kind
    currency: str = ""  # of a money column
    summed: bool = True  # whether the total row shows the sum (counts and money only)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a section's picture shows: columns by name. ``low`` and ``high`` bound a forecast."""

    kind: Literal["bar", "line"]
    x: str
    y: tuple[str, ...]
    low: str = ""
    high: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table of a report. Each row has a cell per column, in order; so has ``total``."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] | None = None
    notes: tuple[str, ...] = ()
    chart: Chart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole report. The first section is *the* table: CSV and Parquet hold that one."""

    report: str  # spend | budget | chargeback | reconcile | unit-cost | forecast
    title: str
    organisation: str
    period: str  # 2026-11
    timezone: str
    status: str  # open | preliminary | closed | restated
    as_of: str  # local minute
    currency: str
    facts: tuple[tuple[str, str], ...]  # rates, prices, policy, hashes, counts: what an auditor asks first
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()


class DocumentWrong(Exception):
    """A report that contradicts itself, which no writer may write."""


class TooLong(ValueError):
    """A report that a format cannot hold. Its text says what to do."""


def checked(document: Document) -> Document:
    """Return the document, or raise :class:`DocumentWrong` naming the section, row and column at fault.

    Every writer starts here, so that a report whose total is not the sum of its rows is in no file.
    """
    if not document.sections:
        raise DocumentWrong(f"the report `{document.report}` has no section")
    names = [section.name for section in document.sections]
    if len(set(names)) != len(names):
        raise DocumentWrong(f"the report `{document.report}` names a section twice")
    for section in document.sections:
        _check_section(section)
    return document


def _check_section(section: Section) -> None:
    names = [column.name for column in section.columns]
    where = f"section `{section.name}`"
    if not names or len(set(names)) != len(names):
        raise DocumentWrong(f"{where} has no columns, or two of one name")
    lines = [*enumerate(section.rows, 1), *([] if section.total is None else [(0, section.total)])]
    for number, row in lines:
        if len(row) != len(names):
            raise DocumentWrong(f"{where}, row {number}: {len(row)} cells for {len(names)} columns")
        for column, cell in zip(section.columns, row, strict=True):
            # A total's first cell is its label, whatever its column holds.
            if (number or column is not section.columns[0]) and not _fits(column, cell):
                raise DocumentWrong(f"{where}, row {number}, `{column.name}`: {cell!r} is no {column.kind}")
    if section.total is not None:
        for index, column in enumerate(section.columns):
            _check_total(where, column, section.total[index], [row[index] for row in section.rows])
    if section.chart is not None:
        drawn = {section.chart.x, *section.chart.y, section.chart.low, section.chart.high} - {""}
        if drawn - set(names):
            raise DocumentWrong(f"{where}: its chart draws `{min(drawn - set(names))}`, which is no column")


def _fits(column: Column, cell: Cell) -> bool:
    if cell is None:
        return True
    if column.kind in {"text", "date"}:
        return isinstance(cell, str)
    if isinstance(cell, bool) or not isinstance(cell, int | Decimal):
        return False
    if isinstance(cell, Decimal) and not cell.is_finite():
        return False
    return column.kind != "count" or cell == int(cell)


def _check_total(where: str, column: Column, total: Cell, cells: list[Cell]) -> None:
    if column.kind not in {"count", "money"} or not column.summed or total is None:
        return
    numbers = [cell for cell in cells if isinstance(cell, int | Decimal)]
    with localcontext() as context:
        context.prec = _EXACT
        found = sum(numbers, Decimal(0))
    if isinstance(total, int | Decimal) and found != total:
        raise DocumentWrong(f"{where}: the total of `{column.name}` is {total}, its rows sum to {found}")


_EXACT = 100
"""Digits within which sums of what is shown are exact: more than any report has."""


def plain(cell: Cell, column: Column) -> str:
    """Return a cell as a program reads it: no thousands, no currency; money with two decimals or more.

    Nothing is rounded: an amount that has more decimals keeps them. None is the empty text.
    """
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    amount = exact(cell, column)
    return str(cell) if amount is None else f"{amount:f}"


def exact(cell: int | Decimal, column: Column) -> Decimal | None:
    """Return a number with the decimals that its column shows; None for what is a whole number."""
    if isinstance(cell, int):
        return Decimal(f"{cell}.00") if column.kind == "money" else None
    exponent = cell.as_tuple().exponent
    if isinstance(exponent, int) and cell and exponent <= (-2 if column.kind == "money" else 0):
        return cell  # as nearly every cell is
    cell = cell.copy_abs() if cell.is_zero() else cell  # no minus before nothing
    places = max(places_of(cell), 2 if column.kind == "money" else 0)
    with localcontext() as context:
        context.prec = _EXACT
        return cell.quantize(Decimal(1).scaleb(-places))


def places_of(amount: Decimal) -> int:
    """Return how many decimals an amount is written with."""
    exponent = amount.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def digest(document: Document) -> str:
    """Return ``sha256:…`` of all that the report says, whatever the format: the same in each of them."""
    return f"sha256:{sha256(orjson.dumps(_said(document), option=orjson.OPT_SORT_KEYS)).hexdigest()}"


def _said(document: Document) -> dict[str, object]:
    head = {
        field.name: getattr(document, field.name) for field in fields(document) if field.name != "sections"
    }
    return head | {
        "sections": [
            {
                "name": section.name,
                "title": section.title,
                "columns": [[c.name, c.title, c.kind, c.currency] for c in section.columns],
                "rows": [_plain_row(section, row) for row in section.rows],
                "total": None if section.total is None else _plain_row(section, section.total),
                "notes": section.notes,
            }
            for section in document.sections
        ]
    }


def _plain_row(section: Section, row: tuple[Cell, ...]) -> list[str | None]:
    return [
        None if cell is None else plain(cell, column)
        for cell, column in zip(row, section.columns, strict=True)
    ]


def of_section(document: Document, name: str) -> Document:
    """Return the report with one section alone, for a format that holds one table.

    Raises ValueError naming the sections there are.
    """
    for section in document.sections:
        if section.name == name:
            return replace(document, sections=(section,))
    known = ", ".join(section.name for section in document.sections)
    raise ValueError(f"the report `{document.report}` has no section `{name}`; use one of {known}")
