"""A report that contradicts itself is in no file; what it says has one digest, whatever the format."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reports.document import Chart, Column, DocumentWrong, checked, digest, of_section, plain
from tests.reports.writers.documents import documents, statement

MONEY = Column(name="m", title="M", kind="money", currency="CAD")


def changed(**section):
    """The statement with its first table changed."""
    whole = statement()
    return replace(whole, sections=(replace(whole.sections[0], **section), *whole.sections[1:]))


def with_cell(name, cell, *, row=1):
    """The statement with one cell changed."""
    first = statement().sections[0]
    at = [column.name for column in first.columns].index(name)
    rows = [list(cells) for cells in first.rows]
    rows[row][at] = cell
    return changed(rows=tuple(map(tuple, rows)))


@given(documents())
def test_what_adds_up_is_let_through(document):
    """No report is held back without a reason."""
    assert checked(document) is document


@pytest.mark.parametrize("name", ["spend", "calls", "estimated", "budget"])
def test_a_total_that_is_not_the_sum_is_named(name):
    """One cent, one call too many: the report is refused, and the column said."""
    with pytest.raises(DocumentWrong, match=f"`cost_centres`: the total of `{name}`"):
        checked(with_cell(name, 7))


def test_a_cent_is_enough():
    """The smallest unit there is."""
    first = statement().sections[0]
    total = tuple(
        cell + Decimal("0.01") if column.name == "spend" else cell
        for cell, column in zip(first.total, first.columns, strict=True)
    )
    with pytest.raises(DocumentWrong, match=r"2301\.41, its rows sum to 2301\.40"):
        checked(changed(total=total))


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("spend", "573.85"), ("spend", Decimal("NaN")), ("spend", Decimal("Infinity")), ("spend", True),
        ("spend", 1.5), ("calls", Decimal("1.5")), ("name", 5), ("used", "80%"),
    ],
)  # fmt: skip
def test_a_cell_of_another_kind_is_named(name, cell):
    """No text among the amounts, no float, no infinity."""
    with pytest.raises(DocumentWrong, match=rf"row 2, `{name}`"):
        checked(with_cell(name, cell))


def test_what_has_the_wrong_shape_is_named():
    """A cell too few, two columns of one name, two sections of one name, a chart of nothing, no section."""
    first = statement().sections[0]
    for wrong, said in [
        (changed(rows=(first.rows[0][:-1],), total=None), "7 cells for 8 columns"),
        (changed(columns=(first.columns[0],) * 8), "two of one name"),
        (replace(statement(), sections=(first, first)), "a section twice"),
        (replace(statement(), sections=()), "no section"),
        (changed(chart=Chart(kind="bar", x="name", y=("price",))), "draws `price`"),
    ]:
        with pytest.raises(DocumentWrong, match=said):
            checked(wrong)


def test_the_digest_is_of_what_is_said():
    """Equal reports have one digest; a changed amount, fact or note gives another."""
    assert digest(statement()) == digest(statement())
    others = {
        digest(with_cell("spend", Decimal("573.86"))),
        digest(replace(statement(), facts=(("tax", "included"),))),
        digest(replace(statement(), status="closed")),
        digest(changed(notes=())),
        digest(statement(rows=5)),
    }
    assert len(others | {digest(statement())}) == 6


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_plain_money_keeps_its_value_and_two_decimals(amount):
    """Nothing is rounded; no exponent, no minus before zero."""
    text = plain(amount, MONEY)
    assert Decimal(text) == amount
    assert len(text.partition(".")[2]) >= 2
    assert "E" not in text.upper()
    assert amount != 0 or not text.startswith("-")


def test_whole_money_has_cents():
    """As finance writes it."""
    assert [plain(cell, MONEY) for cell in (5, Decimal(5), Decimal("1E+2"), Decimal("0.003"), None)] == [
        "5.00", "5.00", "100.00", "0.003", "",
    ]  # fmt: skip


def test_one_section_can_be_chosen():
    """By name; the known ones are said."""
    assert [section.name for section in of_section(statement(), "forecast").sections] == ["forecast"]
    with pytest.raises(ValueError, match="use one of cost_centres, forecast"):
        of_section(statement(), "forcast")
