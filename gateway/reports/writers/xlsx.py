"""A report as an Excel workbook: one sheet per section, with its chart, and one of facts.

Numbers are numbers, exact to the last digit that a spreadsheet keeps; a number of more
digits is written as text rather than changed. Nothing that a report holds can become a
formula or a link. The same report gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, BinaryIO, Final

import xlsxwriter

from gateway.reports.document import Cell, Chart, Column, Document, Section, TooLong, digest, exact, places_of
from gateway.reports.writers.cells import heading, numeric, printable, shown, status_line

MOST_ROWS: Final = 1_048_576 - 16
"""Rows of a sheet, less those of its head and foot."""

_DIGITS = 15
"""Significant digits that every spreadsheet keeps of a number."""

_MOST_TEXT = 32_767
_WIDTH_SAMPLE = 500
_CHART_ROWS = 400
"""More points than this are no picture."""

_SHORT = 14
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_BOUND, _GRID = "#7FA8C9", "#E3E7EC"


def write(document: Document, out: BinaryIO) -> None:
    """Write the workbook. Raises TooLong where a section has more rows than a sheet."""
    for section in document.sections:
        if len(section.rows) > MOST_ROWS:
            raise TooLong(
                f"section `{section.name}` has {len(section.rows):,} rows and a sheet holds {MOST_ROWS:,}; "
                "group by fewer columns, or use csv or parquet"
            )
    # Rows go to disk as they are written; a workbook of a million rows needs little memory.
    workbook = xlsxwriter.Workbook(
        out,
        {
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
            "nan_inf_to_errors": False,
            "default_date_format": "yyyy-mm-dd",
        },
    )
    # No person's name: a file is handed on. The date is the report's, so that its bytes are too.
    workbook.set_properties(
        {
            "title": printable(f"{document.title} {document.period}"),
            "subject": printable(f"{document.organisation}, {document.status}"),
            "author": "",
            "company": "",
            "comments": f"Borderpost report {document.report}, {digest(document)}",
            "created": _created(document),
        }
    )
    _Book(workbook, document).fill()
    workbook.close()


class _Book:
    # The workbook and its formats: each is made once.

    def __init__(self, workbook: Any, document: Document) -> None:
        self._book = workbook
        self._document = document
        self._formats: dict[tuple[str, int, bool], Any] = {}
        self._names: set[str] = set()
        head = {"bold": True, "bg_color": "#1F3A5F", "font_color": "#FFFFFF", "text_wrap": True}
        self._head = {
            side: workbook.add_format({**head, "align": side, "valign": "top"}) for side in ("left", "right")
        }
        self._title = workbook.add_format({"bold": True, "font_size": 14})
        self._bold = workbook.add_format({"bold": True})
        self._grey = workbook.add_format({"font_color": "#595959"})
        self._wrap = workbook.add_format({"text_wrap": True, "valign": "top"})

    def fill(self) -> None:
        for section in self._document.sections:
            self._section(section)
        self._facts()

    def _section(self, section: Section) -> None:
        sheet = self._book.add_worksheet(self._name(section.title))
        document = self._document
        sheet.write_string(0, 0, _text(f"{section.title} · {document.organisation}"), self._title)
        sheet.write_string(1, 0, _text(status_line(document)), self._grey)
        top = 3
        for index, column in enumerate(section.columns):
            side = "right" if numeric(column) else "left"
            sheet.write_string(top, index, _text(heading(column, document)), self._head[side])
            sheet.set_column(index, index, _width(section, index, heading(column, document)))
        places = [_places(section, index) for index in range(len(section.columns))]
        sheet.freeze_panes(top + 1, _frozen(section))
        at = top + 1
        for row in section.rows:
            self._row(sheet, at, section, row, places, bold=False)
            at += 1
        if section.rows:
            sheet.autofilter(top, 0, at - 1, len(section.columns) - 1)
        if section.total is not None:
            self._row(sheet, at, section, section.total, places, bold=True)
            at += 1
        for note in section.notes:
            at += 1
            sheet.write_string(at, 0, _text(note), self._grey)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(top)
        sheet.set_footer("&L&A&RPage &P of &N")
        if section.chart is not None and section.rows:
            # Beside a long table, where it is seen; below a short one, where it prints.
            spot = (top, len(section.columns) + 1) if len(section.rows) > _SHORT else (at + 2, 0)
            self._chart(sheet, section, section.chart, first=top + 1, spot=spot)
            if spot[1]:  # on paper the table alone, in readable type
                sheet.print_area(0, 0, at, len(section.columns) - 1)

    def _row(
        self, sheet: Any, at: int, section: Section, row: tuple[Cell, ...], places: list[int], *, bold: bool
    ) -> None:
        for index, (cell, column) in enumerate(zip(row, section.columns, strict=True)):
            form = self._format(column, places[index], bold=bold)
            day = _day(cell) if column.kind == "date" else None
            if cell is None:
                sheet.write_blank(at, index, None, form)
            elif day is not None:
                sheet.write_datetime(at, index, day, form)
            elif isinstance(cell, str):
                sheet.write_string(at, index, _text(cell), form if bold else None)
            elif fits(cell):
                sheet.write_number(at, index, cell, form)
            else:
                sheet.write_string(at, index, shown(cell, column), form)

    def _format(self, column: Column, places: int, *, bold: bool) -> Any:
        key = (column.kind, places, bold)
        if key not in self._formats:
            digits = f".{'0' * places}" if places else ""
            form = {
                "count": f"#,##0{digits}",
                "percent": f'0{digits}"%"',
                "money": f"#,##0{digits};[Red]-#,##0{digits}",
                "quantity": f"#,##0{digits}",
                "date": "yyyy-mm-dd",
            }.get(column.kind, "General")
            align = {"align": "right" if numeric(column) else "left"}
            rule = {"bold": True, "top": 1} if bold else {}
            self._formats[key] = self._book.add_format({"num_format": form, **align, **rule})
        return self._formats[key]

    def _chart(
        self, sheet: Any, section: Section, chart: Chart, *, first: int, spot: tuple[int, int]
    ) -> None:
        names = [column.name for column in section.columns]
        last = first + min(len(section.rows), _CHART_ROWS) - 1
        drawn = self._book.add_chart({"type": "column" if chart.kind == "bar" else "line"})
        x = names.index(chart.x)
        for number, name in enumerate((*chart.y, *filter(None, (chart.low, chart.high)))):
            y = names.index(name)
            bound = name in {chart.low, chart.high}
            colour = _BOUND if bound else _COLOURS[number % len(_COLOURS)]
            dash = {"dash_type": "dash", "width": 1.25} if bound else {"width": 2.25}
            look: dict[str, object] = {"line": {"color": colour, **dash}}
            if chart.kind == "bar":
                look = {"fill": {"color": colour}, "border": {"none": True}}
            drawn.add_series(
                {
                    "name": [sheet.get_name(), first - 1, y],
                    "categories": [sheet.get_name(), first, x, last, x],
                    "values": [sheet.get_name(), first, y, last, y],
                    **look,
                }
            )
        drawn.set_title({"name": _text(section.title)[:200], "overlay": False})
        if section.columns[x].kind == "date":
            drawn.set_x_axis({"num_format": "yyyy-mm-dd", "date_axis": True, "num_font": {"rotation": -45}})
        drawn.set_y_axis(
            {"num_format": "#,##0", "major_gridlines": {"visible": True, "line": {"color": _GRID}}}
        )
        drawn.set_size({"width": 860, "height": 380})
        drawn.set_legend({"position": "bottom"})
        sheet.insert_chart(*spot, drawn)

    def _facts(self) -> None:
        document = self._document
        sheet = self._book.add_worksheet(self._name("About"))
        sheet.set_column(0, 0, 28)
        sheet.set_column(1, 1, 90)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        lines = [
            ("report", document.title),
            ("organisation", document.organisation),
            ("period", f"{document.period} {document.timezone}"),
            ("status", document.status),
            ("as of", document.as_of),
            ("currency", document.currency),
            *document.facts,
            ("report sha256", digest(document).removeprefix("sha256:")),
            *(("note", note) for note in document.notes),
        ]
        for at, (name, value) in enumerate(lines):
            sheet.write_string(at, 0, _text(name), self._bold)
            sheet.write_string(at, 1, _text(value), self._wrap)

    def _name(self, title: str) -> str:
        # Excel's rules: 31 letters, none of []:*?/\, no apostrophe at an end, no two alike, not "History".
        base = re.sub(r"[\[\]:*?/\\']", " ", printable(title)).strip()[:28] or "Section"
        base = "History of" if base.lower() == "history" else base
        name, number = base, 2
        while name.lower() in self._names:
            name, number = f"{base} {number}", number + 1
        self._names.add(name.lower())
        return name


def fits(amount: int | Decimal) -> bool:
    """Return whether a spreadsheet holds a number exactly: fifteen significant digits."""
    digits = Decimal(amount).normalize().as_tuple()
    return len(digits.digits) <= _DIGITS and isinstance(digits.exponent, int) and abs(digits.exponent) < 200


def _places(section: Section, index: int) -> int:
    column = section.columns[index]
    if column.kind == "count":
        return 0
    cells = [*(row[index] for row in section.rows), *((section.total[index],) if section.total else ())]
    found = [_shown_places(cell, column) for cell in cells if isinstance(cell, int | Decimal)]
    return min(max(found, default=2 if column.kind == "money" else 0), 15)


def _shown_places(cell: int | Decimal, column: Column) -> int:
    amount = exact(cell, column)
    return 0 if amount is None else places_of(amount)


def _width(section: Section, index: int, title: str) -> float:
    cells = list(_sample(section, index))
    longest = max((len(shown(cell, section.columns[index])) for cell in cells), default=0)
    return min(max(longest, min(len(title), 18)) + 2.5, 60)


def _sample(section: Section, index: int) -> Iterator[Cell]:
    yield from (row[index] for row in section.rows[:_WIDTH_SAMPLE])
    if section.total is not None:
        yield section.total[index]


def _frozen(section: Section) -> int:
    # The columns that name a row stay in sight, three at most.
    named = 0
    while named < min(3, len(section.columns) - 1) and section.columns[named].kind == "text":
        named += 1
    return named


def _text(text: str) -> str:
    cleaned = printable(text)
    return cleaned if len(cleaned) <= _MOST_TEXT else f"{cleaned[: _MOST_TEXT - 20]} … (cut short)"


def _day(cell: Cell) -> datetime | None:
    if not isinstance(cell, str) or len(cell) != len("2026-11-01"):
        return None
    try:
        day = date.fromisoformat(cell)
    except ValueError:
        return None
    # A spreadsheet's days begin in 1900.
    return datetime(day.year, day.month, day.day) if day.year >= 1900 else None  # noqa: DTZ001 (a date, in no zone)


def _created(document: Document) -> datetime:
    try:
        return datetime.fromisoformat(document.as_of).replace(tzinfo=None)
    except ValueError:
        return datetime(2000, 1, 1)  # noqa: DTZ001 (the same on every machine)
