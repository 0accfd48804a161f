"""A report as a PDF statement: head, facts, tables that break over pages, charts, page x of y.

Fonts are embedded and ship with the package; a letter that they lack is shown by its code
point, never left out. Nothing outside the file is referred to. The same report gives the
same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, BinaryIO, Final

from reportlab.lib import colors
from reportlab.lib.pagesizes import A3, A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Frame,
    LongTable,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from gateway.reports.document import Cell, Column, Document, Section, TooLong, digest
from gateway.reports.writers.cells import heading, numeric, shown, status_line
from gateway.reports.writers.drawing import drawing
from gateway.reports.writers.lettering import BODY, BOLD, escaped, load, spelled

MOST_ROWS: Final = 10_000
"""Rows of a statement in all. Beyond, it is a file for a program, not a paper for a person."""

_MARGIN = 40.0
_INK = colors.HexColor("#1F3A5F")
_LINE = colors.HexColor("#C8CED6")
_BAND = colors.HexColor("#F4F6F9")
_GREY = colors.HexColor("#595959")
_PAD = 4.0
_LARGEST, _SMALLEST = 8.0, 4.5
_BLOCK: Final = 1000


def write(document: Document, out: BinaryIO) -> None:
    """Write the statement. Raises TooLong on a report of more than :data:`MOST_ROWS` rows."""
    rows = sum(len(section.rows) for section in document.sections)
    if rows > MOST_ROWS:
        raise TooLong(
            f"a statement of {rows:,} rows is too long to read (the most is {MOST_ROWS:,}); "
            "group by fewer columns, or use xlsx, csv or parquet"
        )
    load()
    page = _page(document)
    width = page[0] - 2 * _MARGIN
    title = f"{document.title} {document.period}"
    paper = BaseDocTemplate(
        out,
        pagesize=page,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN + 14,
        title=title,
        subject=f"{document.organisation}, {document.status}, {digest(document)}",
        author="",
        creator="Borderpost",
        # No clock and no chance in the file: the same report has the same digest.
        invariant=1,
        lang="en",
    )
    frame = Frame(_MARGIN, _MARGIN + 14, width, page[1] - 2 * _MARGIN - 14, 0, 0, 0, 0, id="body")
    paper.addPageTemplates([PageTemplate(id="page", frames=[frame])])
    paper.build(_story(document, width), canvasmaker=partial(_Pages, document))


def _story(document: Document, width: float) -> list[Any]:
    story: list[Any] = [
        Paragraph(escaped(document.title), _style("title", BOLD, 17, colour=_INK)),
        Paragraph(escaped(document.organisation), _style("who", BOLD, 11)),
        Paragraph(escaped(status_line(document)), _style("status", BODY, 10)),
        Spacer(1, 6),
        _facts(document, width),
    ]
    for section in document.sections:
        story += [Spacer(1, 14), CondPageBreak(110)]
        story.append(Paragraph(escaped(section.title), _style("section", BOLD, 12, colour=_INK)))
        story.append(Spacer(1, 4))
        if section.chart is not None and section.rows:
            story += [drawing(document, section, section.chart, width), Spacer(1, 6)]
        story += _tables(document, section, width)
        story += [Paragraph(escaped(note), _style("note", BODY, 7.5, colour=_GREY)) for note in section.notes]
    if document.notes:
        story.append(Spacer(1, 10))
        story += [
            Paragraph(escaped(note), _style("note", BODY, 7.5, colour=_GREY)) for note in document.notes
        ]
    return story


def _facts(document: Document, width: float) -> Table:
    label, value = _style("label", BODY, 8, colour=_GREY), _style("value", BODY, 8)
    lines = [("currency", document.currency), *document.facts, ("report sha256", _hex(document))]
    grid = [[Paragraph(escaped(name), label), Paragraph(escaped(text), value)] for name, text in lines]
    table = Table(grid, colWidths=[width * 0.2, width * 0.8], hAlign="LEFT")
    table.setStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 1),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("LINEBELOW", (0, -1), (-1, -1), 0.6, _LINE),
            ("LINEABOVE", (0, 0), (-1, 0), 0.6, _LINE),
        ]
    )
    return table


def _tables(document: Document, section: Section, width: float) -> list[Any]:
    titles = [heading(column, document) for column in section.columns]
    size, widths = _fitted(section, titles, width)
    head = [
        Paragraph(escaped(title), _style("head", BOLD, size, colour=colors.white, right=numeric(column)))
        for title, column in zip(titles, section.columns, strict=True)
    ]
    body = [_row(section.columns, row, size, widths, BODY) for row in section.rows]
    foot = (
        [] if section.total is None else [_row(section.columns, section.total, size, widths, BOLD, foot=True)]
    )
    if not body:
        body = [["(no rows)", *("" for _ in widths[1:])]]
    # The time to lay out a table grows with the square of its rows. One row at least stays with the foot.
    starts = range(0, max(1, len(body) - 1), _BLOCK)
    found: list[Any] = []
    for start in starts:
        last = start == starts[-1]
        block = [*body[start:], *foot] if last else body[start : start + _BLOCK]
        table = LongTable([head, *block], colWidths=widths, repeatRows=1, hAlign="LEFT")
        table.setStyle(_look(section.columns, size, total=last and bool(foot)))
        found += [table] if last else [table, PageBreak()]
    return found


def _look(columns: Sequence[Column], size: float, *, total: bool) -> list[tuple[Any, ...]]:
    look: list[tuple[Any, ...]] = [
        ("FONT", (0, 1), (-1, -1), BODY, size, size * 1.25),
        ("BACKGROUND", (0, 0), (-1, 0), _INK),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("ROWBACKGROUNDS", (0, 1), (-1, -1), [colors.white, _BAND]),
        ("LEFTPADDING", (0, 0), (-1, -1), _PAD),
        ("RIGHTPADDING", (0, 0), (-1, -1), _PAD),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ("LINEBELOW", (0, 0), (-1, -1), 0.25, _LINE),
    ]
    look += [("ALIGN", (index, 1), (index, -1), "RIGHT") for index, one in enumerate(columns) if numeric(one)]
    if total:
        look += [
            ("LINEABOVE", (0, -1), (-1, -1), 1, _INK),
            ("FONT", (0, -1), (-1, -1), BOLD, size, size * 1.25),
            ("BACKGROUND", (0, -1), (-1, -1), colors.white),
            # A total alone on a page says nothing: its last row goes with it.
            ("NOSPLIT", (0, -2), (-1, -1)),
        ]
    return look


def _row(
    columns: Sequence[Column],
    row: Sequence[Cell],
    size: float,
    widths: Sequence[float],
    font: str,
    *,
    foot: bool = False,
) -> list[Any]:
    cells: list[Any] = []
    for cell, column, width in zip(row, columns, widths, strict=True):
        text = spelled("" if foot and cell is None else shown(cell, column))
        # Text that is wider than its column wraps; a paragraph is slow, so only that becomes one.
        if isinstance(cell, str) and stringWidth(text, font, size) > width - 2 * _PAD:
            cells.append(Paragraph(escaped(text), _style("cell", font, size)))
        else:
            cells.append(text)
    return cells


def _fitted(section: Section, titles: Sequence[str], width: float) -> tuple[float, list[float]]:
    """Return the size and the widths with which a table fills its page: numbers never break, text wraps."""
    size = _LARGEST
    while size > _SMALLEST:
        needed, wanted = _needs(section, titles, size)
        if sum(needed) <= width:
            spare = width - sum(needed)
            more = [want - need for want, need in zip(wanted, needed, strict=True)]
            share = min(1.0, spare / sum(more)) if sum(more) else 0.0
            return size, [need + extra * share for need, extra in zip(needed, more, strict=True)]
        size -= 0.5
    needed, _ = _needs(section, titles, _SMALLEST)
    return _SMALLEST, [need * min(1.0, width / sum(needed)) for need in needed]


def _needs(section: Section, titles: Sequence[str], size: float) -> tuple[list[float], list[float]]:
    """Return per column the least width and the one in which nothing wraps."""
    least: list[float] = []
    most: list[float] = []
    rows = [*section.rows, *([] if section.total is None else [section.total])]
    for index, (column, title) in enumerate(zip(section.columns, titles, strict=True)):
        texts = [shown(row[index], column) for row in rows if row[index] is not None] or [""]
        longest = max(texts, key=len)
        bold = max(stringWidth(spelled(longest), font, size) for font in (BODY, BOLD))
        word = max(stringWidth(part, BOLD, size) for part in spelled(title).split() or [""])
        label = stringWidth(spelled(title), BOLD, size)
        full = max(bold * 1.08, label) + 2 * _PAD + 1
        narrow = bold * 1.08 if numeric(column) else min(bold * 1.08, 11 * size)
        least.append(max(narrow, word) + 2 * _PAD + 1)
        most.append(max(full, least[-1]))
    return least, most


def _page(document: Document) -> tuple[float, float]:
    """Return the smallest of three pages on which every table stands in readable type."""
    load()
    for page in (A4, landscape(A4)):
        room = page[0] - 2 * _MARGIN
        if all(_fits(document, section, room) for section in document.sections):
            return float(page[0]), float(page[1])
    wide = landscape(A3)
    return float(wide[0]), float(wide[1])


def _fits(document: Document, section: Section, room: float) -> bool:
    titles = [heading(column, document) for column in section.columns]
    return sum(_needs(section, titles, 7.0)[0]) <= room


def _style(name: str, font: str, size: float, *, colour: Any = colors.black, right: bool = False) -> Any:
    return ParagraphStyle(
        name,
        fontName=font,
        fontSize=size,
        leading=size * 1.25,
        textColor=colour,
        alignment=2 if right else 0,
        splitLongWords=1,
        wordWrap=None,
    )


def _hex(document: Document) -> str:
    return digest(document).removeprefix("sha256:")


class _Pages(Canvas):  # type: ignore[misc]  # reportlab has no types
    # Holds every page back until their number is known, then writes "page x of y" on each.

    def __init__(self, document: Document, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._left = f"{document.title} · {document.organisation} · {document.period} · {document.status}"
        self._digest = f"sha256 {_hex(document)}"
        self._held: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 (reportlab's name)
        self._held.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        held = self._held
        for number, page in enumerate(held, 1):
            self.__dict__.update(page)
            self._foot(number, len(held))
            super().showPage()
        super().save()

    def _foot(self, number: int, pages: int) -> None:
        self.setFont(BODY, 7)
        self.setFillColor(_GREY)
        self.drawString(_MARGIN, _MARGIN - 8, spelled(self._left))
        self.drawString(_MARGIN, _MARGIN - 18, self._digest)
        self.drawRightString(self._pagesize[0] - _MARGIN, _MARGIN - 8, f"Page {number} of {pages}")
