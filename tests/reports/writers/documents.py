"""Made-up reports to write: a statement as finance would get it, and documents drawn at random."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from gateway.reports.document import Cell, Chart, Column, Document, Section

D = Decimal

KINDS = ("text", "count", "quantity", "money", "percent", "date")


def statement(*, rows: int = 4) -> Document:
    """A chargeback of four cost centres and a forecast, in the names of half of Europe."""
    names = ("Filiale Québec – Saguenay", "Straßenbau Köln", "Łódź oddział", "Αθήνα κατάστημα")
    lines = tuple(
        (
            f"44{index:02d}",
            names[index % 4],
            "610200",
            18_240 + index,
            D("573.85") + index,
            D("1.12"),
            D("2500.00"),
            D("22.95"),
        )
        for index in range(rows)
    )
    days = tuple(
        (f"2026-11-{day:02d}", D("30.10") * day, D("29.00") * day, D("32.55") * day) for day in range(1, 31)
    )
    return Document(
        report="chargeback",
        title="Chargeback",
        organisation="Banque Maple & Fils",
        period="2026-11",
        timezone="America/Toronto",
        status="preliminary",
        as_of="2026-12-01 09:00",
        currency="CAD",
        facts=(
            ("USD/CAD", "1.3925, fixed 2026-11-01, Bank of Canada"),
            ("prices", "v12 (sha256:c07d1122334455)"),
            ("attempts", "20,352, all priced"),
            ("tax", "excluded"),
        ),
        sections=(
            Section(
                name="cost_centres",
                title="By cost centre",
                columns=(
                    Column(name="cost_centre", title="Cost centre", kind="text"),
                    Column(name="name", title="Name", kind="text"),
                    Column(name="gl_account", title="GL account", kind="text"),
                    Column(name="calls", title="Calls", kind="count"),
                    Column(name="spend", title="Spend", kind="money", currency="CAD"),
                    Column(name="estimated", title="Of it estimated", kind="money", currency="CAD"),
                    Column(name="budget", title="Budget", kind="money", currency="CAD"),
                    Column(name="used", title="Used", kind="percent"),
                ),
                rows=lines,
                total=total_of(
                    "TOTAL",
                    lines,
                    kinds=("text", "text", "text", "count", "money", "money", "money", "percent"),
                ),
                notes=("Estimated amounts are corrected by reconciliation.",),
                chart=Chart(kind="bar", x="name", y=("spend", "budget")),
            ),
            Section(
                name="forecast",
                title="Forecast",
                columns=(
                    Column(name="day", title="Day", kind="date"),
                    Column(name="expected", title="Expected", kind="money", currency="CAD"),
                    Column(name="low", title="Low", kind="money", currency="CAD", summed=False),
                    Column(name="high", title="High", kind="money", currency="CAD", summed=False),
                ),
                rows=days,
                chart=Chart(kind="line", x="day", y=("expected",), low="low", high="high"),
            ),
        ),
        notes=("Not invoiced; vendors bill in UTC, this statement closes in Toronto.",),
    )


def total_of(label: str, rows: tuple[tuple[Cell, ...], ...], *, kinds: tuple[str, ...]) -> tuple[Cell, ...]:
    """A total row: sums of counts and money, nothing elsewhere."""
    total: list[Any] = [label]
    for index, kind in enumerate(kinds[1:], 1):
        cells = [row[index] for row in rows if row[index] is not None]
        if kind == "count":
            total.append(sum(cells))
        elif kind == "money":
            total.append(sum(cells, D("0.00")))
        else:
            total.append(None)
    return tuple(total)


def _amounts(places: int, size: int = 12) -> st.SearchStrategy[Decimal]:
    top = 10 ** (size + places)
    return st.integers(-top, top).map(lambda units: Decimal(units).scaleb(-places))


# Letters of many scripts, control characters, and what a spreadsheet takes for a formula.
TEXT = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["=1+1", "@SUM(A1)", "-2", "+3", "", " ", '"a", b', "a\r\nb", "Łódź", "Αθήνα", "日本", "<b>&"]
    ),
)

_CELLS: dict[str, st.SearchStrategy[Any]] = {
    "text": st.none() | TEXT,
    "count": st.none() | st.integers(-(10**15) + 1, 10**15 - 1),
    "quantity": st.none() | _amounts(6, 8) | st.integers(-(10**9), 10**9),
    "money": st.none() | _amounts(2) | _amounts(4, 9),
    "percent": st.none() | _amounts(1, 3),
    "date": st.none() | st.dates().map(lambda day: day.isoformat()) | st.just("soon"),
}


@st.composite
def documents(draw: st.DrawFn, *, rows: int = 8) -> Document:
    """A report of one to three sections, whose totals are the sums of their rows."""
    return Document(
        report="spend",
        title=draw(st.just("Spend")),
        organisation=draw(TEXT),
        period="2026-11",
        timezone="America/Toronto",
        status=draw(st.sampled_from(["open", "preliminary", "closed", "restated"])),
        as_of="2026-11-23 14:00",
        currency="CAD",
        facts=tuple(draw(st.lists(st.tuples(TEXT, TEXT), max_size=2))),
        sections=tuple(_section(draw, number, rows) for number in range(draw(st.integers(1, 3)))),
        notes=tuple(draw(st.lists(TEXT, max_size=2))),
    )


def _section(draw: st.DrawFn, number: int, most: int) -> Section:
    kinds = ("text", *draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5)))
    columns = tuple(
        Column(
            name=f"{kind}_{index}",
            title=draw(TEXT) if index else "Name",
            kind=kind,
            currency=draw(st.sampled_from(["CAD", "USD"])) if kind == "money" else "",
        )
        for index, kind in enumerate(kinds)
    )
    rows = tuple(draw(st.lists(st.tuples(*(_CELLS[kind] for kind in kinds)), max_size=most)))
    return Section(
        name=f"section_{number}",
        title=draw(TEXT),
        columns=columns,
        rows=rows,
        total=total_of("TOTAL", rows, kinds=kinds) if draw(st.booleans()) else None,
        notes=tuple(draw(st.lists(TEXT, max_size=1))),
    )
