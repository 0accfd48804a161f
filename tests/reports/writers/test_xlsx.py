"""The workbook: numbers as numbers, nothing that runs, one sheet per section, the same bytes each time."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reports.writers import xlsx
from tests.reports.writers.documents import statement
from tests.reports.writers.reading import written


def book(document):
    return openpyxl.load_workbook(io.BytesIO(written(document, "xlsx")))


def parts(document):
    """The XML files inside."""
    with zipfile.ZipFile(io.BytesIO(written(document, "xlsx"))) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def with_rows(*rows, total=None):
    first = statement().sections[0]
    return replace(statement(), sections=(replace(first, rows=rows, total=total),))


@given(st.integers(-(10**15) + 1, 10**15 - 1))
def test_cents_survive_a_spreadsheet(cents):
    """Fifteen digits of any amount come back as the same decimal: no drift."""
    assert xlsx.fits(Decimal(cents).scaleb(-2))
    assert Decimal(str(float("%.16G" % Decimal(cents).scaleb(-2)))) == Decimal(cents).scaleb(-2)  # noqa: UP031


def test_money_counts_percent_and_days_are_typed():
    """With a format that shows them as finance reads them."""
    sheet, forecast = book(statement()).worksheets[:2]
    spend, used, calls = sheet["E5"], sheet["H5"], sheet["D5"]
    assert (spend.value, spend.data_type, spend.number_format) == (573.85, "n", "#,##0.00;[Red]-#,##0.00")
    assert (used.value, used.number_format) == (22.95, '0.00"%"')
    assert (calls.value, calls.number_format) == (18240, "#,##0")
    assert (forecast["A5"].value, forecast["A5"].number_format) == (datetime(2026, 11, 1), "yyyy-mm-dd")  # noqa: DTZ001
    assert sheet["E9"].value == 2301.40
    assert sheet["E9"].font.bold


def test_more_digits_than_a_spreadsheet_keeps_are_text():
    """Changed silently would be worse than not summed."""
    first = statement().sections[0]
    row = (*first.rows[0][:4], Decimal("12345678901234567.89"), *first.rows[0][5:])
    cell = book(with_rows(row)).worksheets[0]["E5"]
    assert (cell.value, cell.data_type) == ("12,345,678,901,234,567.89", "s")


@pytest.mark.parametrize(
    "evil",
    ["=1+1", '=HYPERLINK("http://x.example")', "http://x.example", "mailto:a@b", "+1", "-1", "@A", "1e5"],
)
def test_no_text_becomes_a_formula_a_link_or_a_number(evil):
    """Names, titles, facts and notes alike."""
    first = statement().sections[0]
    section = replace(first, rows=((evil, evil, *first.rows[0][2:]),), total=None, notes=(evil,), title=evil)
    document = replace(
        statement(), sections=(section,), facts=((evil, evil),), notes=(evil,), organisation=evil, title=evil
    )
    files = parts(document)
    assert "hyperlink" not in "".join(files)
    sheets = {name: text for name, text in files.items() if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name)}
    assert len(sheets) == 2
    for text in sheets.values():
        assert "<f>" not in text
        assert "<hyperlink" not in text
    cell = book(document).worksheets[0]["B5"]
    assert (cell.value, cell.data_type) == (evil, "s")


def test_the_head_stays_in_sight_and_the_facts_have_a_sheet():
    """Frozen head and names, a filter, sheets named for sections."""
    found = book(statement())
    assert found.sheetnames == ["By cost centre", "Forecast", "About"]
    assert found.worksheets[0].freeze_panes == "D5"
    assert found.worksheets[0].auto_filter.ref == "A4:H8"
    about = {row[0].value: row[1].value for row in found["About"].iter_rows()}
    assert about["USD/CAD"] == "1.3925, fixed 2026-11-01, Bank of Canada"
    assert re.fullmatch("[0-9a-f]{64}", about["report sha256"])


def test_each_section_has_its_chart():
    """Native ones, drawn from the cells of the sheet."""
    files = parts(statement())
    charts = [text for name, text in sorted(files.items()) if name.startswith("xl/charts/chart")]
    assert ["<c:barChart>" in charts[0], "<c:lineChart>" in charts[1]] == [True, True]
    assert "'By cost centre'!$E$5:$E$8" in charts[0]
    assert all(f"Forecast!${column}$5:${column}$34" in charts[1] for column in "BCD")


def test_titles_that_excel_refuses_get_another_name():
    """Long, odd, empty, alike."""
    section = statement().sections[1]
    titles = ["History", "a/b:c*[d]?'", "", "", "x" * 40, "X" * 40]
    sections = tuple(replace(section, name=f"s{number}", title=title) for number, title in enumerate(titles))
    names = book(replace(statement(), sections=sections)).sheetnames
    assert len({name.lower() for name in names}) == 7
    assert all(0 < len(name) <= 31 and not set("[]:*?/\\'") & set(name) for name in names)


def test_no_person_is_named_in_the_properties():
    """And the date is the report's, whoever's clock it is written by."""
    properties = book(statement()).properties
    assert (properties.creator or "", properties.lastModifiedBy or "") == ("", "")
    assert properties.created == datetime(2026, 12, 1, 9, 0)  # noqa: DTZ001
    assert "2026-12-01T09:00:00Z" in parts(statement())["docProps/core.xml"]


def test_a_sheet_too_long_is_refused_with_the_cure(monkeypatch):
    """Excel would cut it."""
    monkeypatch.setattr(xlsx, "MOST_ROWS", 3)
    with pytest.raises(ValueError, match="4 rows and a sheet holds 3; group by fewer columns, or use csv"):
        written(statement(), "xlsx")


@pytest.mark.slow
def test_two_hundred_thousand_rows_are_written():
    """Rows go to disk as they come; the sum of the sheet is the report's."""
    first = statement().sections[1]
    rows = tuple((f"r{number}", Decimal(number).scaleb(-2)) for number in range(200_000))
    columns = (replace(first.columns[0], kind="text"), first.columns[1])
    total = ("TOTAL", sum((row[1] for row in rows), Decimal(0)))
    section = replace(first, columns=columns, rows=rows, total=total, chart=None)
    sheet = parts(replace(statement(), sections=(section,)))["xl/worksheets/sheet1.xml"]
    amounts = [Decimal(found) for found in re.findall(r'<c r="B\d+" s="\d+"><v>([^<]+)</v>', sheet)]
    assert len(amounts) == 200_001
    assert sum(amounts[:-1]) == amounts[-1] == Decimal("199999000.00")
