"""What people see of a cell, and what no spreadsheet may run."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reports.document import Column
from gateway.reports.writers.cells import heading, number, printable, safe, shown, status_line
from tests.reports.writers.documents import statement


def column(kind, **more):
    return Column(name="c", title="C", kind=kind, **more)


@pytest.mark.parametrize(
    ("kind", "cell", "expected"),
    [
        ("money", Decimal("1234.5"), "1,234.50"), ("money", 7, "7.00"), ("money", Decimal("-0.00"), "0.00"),
        ("money", Decimal("0.0031"), "0.0031"), ("count", 18240, "18,240"),
        ("percent", Decimal("80.2"), "80.2%"),
        ("quantity", Decimal("12.500"), "12.500"), ("text", "a\tb", "a�b"),
        ("date", "2026-11-01", "2026-11-01"),
        ("money", None, "–"),
    ],
)  # fmt: skip
def test_a_cell_reads_as_people_write_it(kind, cell, expected):
    """Thousands, cents, percent, a dash for nothing; never rounded."""
    assert shown(cell, column(kind)) == expected


@given(st.text(max_size=30))
def test_no_cell_starts_a_formula(text):
    """Names come from YAML and from vendors; nothing else is changed."""
    cell = safe(text)
    assert cell.lstrip(" ")[:1] not in set("=+-@\t\r\n") or cell == ""
    assert cell in {text, f"'{text}"}


@given(st.text(max_size=30))
def test_printed_text_steers_nothing(text):
    """As long as before, and printable."""
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)


def test_a_foreign_currency_stands_in_the_heading():
    """The report's own goes without saying; it is not said twice."""
    document = statement()
    assert heading(column("money", currency="CAD"), document) == "C"
    assert heading(column("money", currency="USD"), document) == "C USD"
    assert heading(Column(name="u", title="usd", kind="money", currency="USD"), document) == "usd"


def test_the_status_is_said_with_its_instant():
    """Open to a minute, or as of one."""
    assert status_line(statement()) == "2026-11 America/Toronto · PRELIMINARY as of 2026-12-01 09:00"


def test_what_is_no_number_draws_as_zero():
    """A chart has no gaps to guess at."""
    assert [number(cell) for cell in (None, "x", 3, Decimal("1.5"))] == [0, 0, 3, Decimal("1.5")]
