"""Every format says the same: each cell and each total, read back from the file, to the last cent."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings

from gateway.reports.document import DocumentWrong, Section
from gateway.reports.writers import FORMATS, FormatUnavailable, file_name, write
from gateway.reports.writers.cells import printable, safe, shown
from gateway.reports.writers.xlsx import fits
from tests.reports.writers import reading
from tests.reports.writers.documents import documents, statement
from tests.reports.writers.reading import Table, meant, written


def as_sheet_text(table: Table, change) -> Table:
    """What is meant, with text as a format makes it safe."""

    def cells(row):
        return [change(cell) or None if isinstance(cell, str) else cell for cell in row]

    return Table([cells(row) for row in table.rows], None if table.total is None else cells(table.total))


def as_sheet_numbers(table: Table, section: Section) -> Table:
    """What is meant, with a number of more than fifteen digits as the text that a sheet keeps whole."""

    def cells(row):
        return [
            shown(cell, column) if isinstance(cell, Decimal) and not fits(cell) else cell
            for cell, column in zip(row, section.columns, strict=True)
        ]

    return Table([cells(row) for row in table.rows], None if table.total is None else cells(table.total))


@settings(max_examples=80, deadline=None)
@given(documents())
def test_every_format_holds_every_cell_and_total(document):
    """Read back by another library, compared as decimals; text unchanged but for what would be run."""
    first = document.sections[0]
    found = {form: written(document, form) for form in FORMATS}
    assert reading.of_csv(found["csv"], first) == as_sheet_text(meant(first), safe)
    assert reading.of_parquet(found["parquet"], first) == meant(first)
    for section in document.sections:
        assert reading.of_json(found["json"], section) == meant(section)
    sheets = reading.of_xlsx(found["xlsx"], document)
    for table, section in zip(sheets, document.sections, strict=True):
        assert table == as_sheet_numbers(as_sheet_text(meant(section), printable), section)
    text = found["table"].decode()
    for section in document.sections:
        for row in (*section.rows, *([section.total] if section.total else [])):
            for cell, column in zip(row, section.columns, strict=True):
                assert cell is None or shown(cell, column).rstrip() in text


@settings(max_examples=15, deadline=None)
@given(documents(rows=4))
def test_the_statement_shows_every_number(document):
    """On paper too: each amount as people write it, on some page."""
    text = "\n".join(reading.pages(written(document, "pdf")))
    words = set(text.split())
    for section in document.sections:
        for row in (*section.rows, *([section.total] if section.total else [])):
            for cell, column in zip(row, section.columns, strict=True):
                if isinstance(cell, int | Decimal):
                    assert shown(cell, column) in words


def test_all_formats_of_the_statement_end_in_the_same_cent():
    """2,301.40 whichever file finance opens."""
    document = statement()
    first = document.sections[0]
    totals = {
        "csv": reading.of_csv(written(document, "csv"), first).total,
        "json": reading.of_json(written(document, "json"), first).total,
        "parquet": reading.of_parquet(written(document, "parquet"), first).total,
        "xlsx": reading.of_xlsx(written(document, "xlsx"), document)[0].total,
    }
    assert {form: total[4] for form, total in totals.items()} == dict.fromkeys(totals, Decimal("2301.40"))
    assert "TOTAL 72,966 2,301.40" in " ".join(reading.pages(written(document, "pdf"))[0].split())
    assert "72,966  2,301.40" in written(document, "table").decode()
    columns = first.columns
    for form, table in {
        "csv": reading.of_csv(written(document, "csv"), first),
        "parquet": reading.of_parquet(written(document, "parquet"), first),
    }.items():
        summed = sum((row[4] for row in table.rows), Decimal(0))
        assert summed == totals[form][4], columns[4].name


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_report_is_the_same_bytes(form):
    """So that a digest in an e-mail proves which file it was."""
    assert written(statement(), form) == written(statement(), form)
    assert written(statement(), form) != written(statement(rows=5), form)


@pytest.mark.parametrize("form", FORMATS)
def test_no_format_writes_what_does_not_add_up(form):
    """The check stands before every writer."""
    first = statement().sections[0]
    wrong = replace(statement(), sections=(replace(first, rows=first.rows[1:]),))
    out = io.BytesIO()
    with pytest.raises(DocumentWrong):
        write(wrong, form, out)
    assert out.getvalue() == b""


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_month_is_written(form):
    """Nothing was spent, and the file says so."""
    sections = tuple(
        replace(
            section, rows=(), total=None if section.total is None else ("TOTAL", None, None, 0, 0, 0, 0, None)
        )
        for section in statement().sections
    )
    assert written(replace(statement(), sections=sections), form)


def test_a_section_can_be_written_alone():
    """For the formats that hold one table."""
    out = io.BytesIO()
    write(statement(), "csv", out, section="forecast")
    assert out.getvalue().startswith(b"kind,period,timezone,status,day,expected,low,high\r\nrow,2026-11,")


@pytest.mark.parametrize(
    ("form", "package"), [("xlsx", "xlsxwriter"), ("pdf", "reportlab"), ("parquet", "pyarrow")]
)
def test_a_missing_library_is_said_with_its_cure(monkeypatch, form, package):
    """The extra is optional: text, CSV and JSON go without it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("xlsx", "pdf", "parquet", "drawing", "lettering"):
        monkeypatch.delitem(sys.modules, f"gateway.reports.writers.{name}", raising=False)
        monkeypatch.delattr(f"gateway.reports.writers.{name}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FormatUnavailable, match=r"pip install 'borderpost\[reports\]'") as caught:
        write(statement(), form, io.BytesIO())
    assert package in str(caught.value)
    write(statement(), "csv", io.BytesIO())


def test_a_file_is_named_for_its_report_and_month():
    """As it is saved."""
    assert file_name(statement(), "xlsx") == "chargeback-2026-11.xlsx"
