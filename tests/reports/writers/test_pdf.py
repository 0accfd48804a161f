"""The statement: read back as text, page by page; nothing outside it is needed to read it."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal

import pytest
from pypdf import PdfReader

from gateway.reports.document import digest
from gateway.reports.writers import pdf
from tests.reports.writers.documents import statement, total_of
from tests.reports.writers.reading import pages, written

KINDS = ("text", "text", "text", "count", "money", "money", "money", "percent")


def reader(document):
    return PdfReader(io.BytesIO(written(document, "pdf")))


def test_the_first_page_says_whose_it_is():
    """Organisation, period, status, digest, facts."""
    page = pages(written(statement(), "pdf"))[0]
    for said in (
        "Chargeback", "Banque Maple & Fils", "2026-11 America/Toronto · PRELIMINARY as of 2026-12-01 09:00",
        "1.3925, fixed 2026-11-01, Bank of Canada", digest(statement()).removeprefix("sha256:"),
        "By cost centre",
    ):  # fmt: skip
        assert said in page


def test_names_of_half_of_europe_print_as_they_are_written():
    """French, German, Polish, Greek."""
    page = pages(written(statement(), "pdf"))[0]
    for name in ("Filiale Québec – Saguenay", "Straßenbau Köln", "Łódź oddział", "Αθήνα κατάστημα"):
        assert name in page


def test_a_long_table_repeats_its_heads_and_keeps_every_row():
    """600 rows over many pages: each page has the heads, every row stands once, the total once at the end."""
    found = pages(written(statement(rows=600), "pdf"))
    table = [page for page in found if "Of it estimated" in " ".join(page.split())]
    assert len(table) > 5
    words = " ".join(found).split()
    for row in statement(rows=600).sections[0].rows:
        assert row[0] in words
        assert words.count(f"{row[3]:,}") == 1
    total = total_of("TOTAL", statement(rows=600).sections[0].rows, kinds=KINDS)
    assert words.count("TOTAL") == 1
    assert words.count(f"{total[4]:,.2f}") == 1
    for number, page in enumerate(found, 1):
        assert f"Page {number} of {len(found)}" in page


def test_the_total_is_never_alone_on_a_page():
    """Whatever the number of rows, a row stands above it."""
    for rows in (*range(24, 34), *range(60, 75)):
        page = next(
            page
            for page in pages(
                written(replace(statement(rows=rows), sections=statement(rows=rows).sections[:1]), "pdf")
            )
            if "TOTAL" in page
        )
        assert f"44{rows - 1:02d}" in page, f"{rows} rows"


def test_what_it_needs_is_inside():
    """Fonts embedded; no link, no script, no file, no clock, nobody's name."""
    found = reader(statement())
    fonts = {}
    for page in found.pages:
        assert "/Annots" not in page
        for font in page["/Resources"]["/Font"].values():
            descendants = font.get_object().get("/DescendantFonts", [font])
            for one in (item.get_object() for item in descendants):
                fonts[one["/BaseFont"]] = "/FontFile2" in one.get("/FontDescriptor", {})
    used = {name for name in fonts if "DejaVu" in name}
    assert len(used) == 2
    assert all(fonts[name] for name in used)
    raw = written(statement(), "pdf")
    for word in (b"/JavaScript", b"/URI", b"/EmbeddedFile", b"/Launch", b"/OpenAction"):
        assert word not in raw
    assert (found.metadata.author or "") == ""
    assert found.metadata.title == "Chargeback 2026-11"


def test_a_wide_table_gets_a_wider_page_and_breaks_no_number():
    """Eighteen columns of amounts."""
    first = statement().sections[0]
    money = first.columns[4]
    columns = (
        first.columns[0],
        *(replace(money, name=f"m{number}", title=f"Month {number}") for number in range(17)),
    )
    rows = tuple((f"44{number:02d}", *(Decimal("1234567.89"),) * 17) for number in range(3))
    document = replace(
        statement(), sections=(replace(first, columns=columns, rows=rows, total=None, chart=None),)
    )
    found = reader(document)
    assert float(found.pages[0].mediabox.width) > 840
    assert " ".join(pages(written(document, "pdf"))).split().count("1,234,567.89") == 51


def test_a_report_too_long_for_paper_is_refused_with_the_cure(monkeypatch):
    """A statement is for reading."""
    monkeypatch.setattr(pdf, "MOST_ROWS", 30)
    with pytest.raises(ValueError, match=r"34 rows is too long to read \(the most is 30\); group by fewer"):
        written(statement(), "pdf")


def test_markup_in_a_name_is_text():
    """A vendor's name for a model is not a paragraph's markup."""
    evil = "<b>x</b> & <para> <img src='file:///etc/passwd'/>"
    first = statement().sections[0]
    rows = ((evil, evil, *first.rows[0][2:]),)
    section = replace(first, rows=rows, total=None, title=evil, notes=(evil,))
    page = " ".join(
        pages(written(replace(statement(), sections=(section,), facts=((evil, evil),)), "pdf"))[0].split()
    )
    assert page.count("<para>") >= 4
