"""Asking for a report: one way for the command line and the API, and a sentence for what cannot be had."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from importlib import import_module

import openpyxl
import orjson
import pyarrow.parquet as pq
import pytest
from pypdf import PdfReader

from gateway.reports import asking
from gateway.reports.asking import AskedWrong, builder, rendered, written
from gateway.reports.document import DocumentWrong
from gateway.reports.focus import export
from gateway.reports.kinds import KINDS
from gateway.reports.render import as_csv
from gateway.reports.spend import DEFAULT_BY, query
from gateway.reports.writers import FORMATS
from tests.people import NOW, book, database, row, snapshot, sqlite
from tests.reports.writers.documents import statement


@pytest.fixture
def connection(tmp_path):
    with database(sqlite(tmp_path)) as store:
        with store.write() as writing:
            book(writing, row("a/1"), row("b/1", app="hackathon", team="lab", place="US"))
        with store.read() as reading:
            yield reading


@pytest.fixture
def asked(monkeypatch):
    """What a builder was asked for; it gives the made-up statement."""
    found = []

    def build(_, what):
        if "colour" in what.by:
            raise ValueError("cannot group by `colour`; use some of team, app")
        found.append(what)
        return lambda _: statement()

    monkeypatch.setattr(asking, "builder", lambda _: build)
    return found


def ask(**changes):
    told = {"kind": "chargeback", "month_name": "2026-11", "by": None, "form": "json", "now": NOW}
    return rendered(snapshot(), **{**told, **changes})


def test_a_report_is_built_once_and_written(asked):
    """As a file with its name and media type."""
    found = ask(form="xlsx", by="team, app")(None)
    assert (found.name, found.media.rpartition(".")[2]) == ("chargeback-2026-11.xlsx", "sheet")
    assert found.data.startswith(b"PK")
    assert [(one.month, one.by, one.now) for one in asked] == [("2026-11", ("team", "app"), NOW)]


def test_this_month_is_the_default(asked):
    """In the organisation's time zone."""
    ask(month_name=None)(None)
    assert asked[0].month == "2026-11"


@pytest.mark.parametrize(
    ("changes", "param", "said"),
    [
        ({"month_name": "soon"}, "month", "`soon` is no month; write it like 2026-11"),
        ({"by": "colour"}, "by", "cannot group by `colour`; use some of team, app"),
        ({"form": "doc"}, "format", "`doc` is no format of a report; use one of table, csv, json, xlsx, pdf"),
        ({"section": "x"}, "section", "`x` is no section of this report; use one of cost_centres, forecast"),
        ({"kind": "spend", "by": "colour"}, "by", "cannot group by `colour`; use some of cost_centre"),
    ],
)
def test_what_cannot_be_had_is_said_with_the_cure(asked, changes, param, said):
    """And which parameter to change."""
    with pytest.raises(AskedWrong, match=said) as caught:
        ask(**changes)(None)
    assert caught.value.param == param


def test_a_report_that_has_nothing_to_tell_says_so():
    """No GPU pools are declared: that is about the report, not about its month or grouping."""
    with pytest.raises(AskedWrong, match="no GPU pools are declared") as caught:
        ask(kind="gpu")(None)
    assert caught.value.param == "kind"


def test_an_unknown_report_is_named():
    """With those there are."""
    with pytest.raises(AskedWrong, match="there is no report `profit`; use one of spend, budget, chargeback"):
        builder("profit")


def test_spend_keeps_its_formats(connection):
    """The text, CSV and JSON that programs read since before there were files."""
    found = ask(kind="spend", form="csv", by="team")(connection)
    report = query(snapshot(), month_name="2026-11", by=("team",), now=NOW)(connection)
    assert found.data.decode() == as_csv(report)
    assert orjson.loads(ask(kind="spend", by="")(connection).data)["by"] == []


def test_all_formats_of_spend_end_in_the_same_cent(connection):
    """Old and new: text, CSV, JSON, workbook, statement, Parquet, and the charges in FOCUS."""
    found = {form: ask(kind="spend", form=form)(connection).data for form in FORMATS}
    report = query(snapshot(), month_name="2026-11", by=DEFAULT_BY, now=NOW)(connection)
    total, native = report.total.spend, report.total.native["USD"]
    assert (str(total), str(native)) == ("2.78", "2.00")
    csv_total = list(csv.DictReader(io.StringIO(found["csv"].decode())))[-1]
    assert (csv_total["kind"], Decimal(csv_total["cad"]), Decimal(csv_total["usd"])) == (
        "total",
        total,
        native,
    )
    assert Decimal(orjson.loads(found["json"])["total"]["spend"]) == total
    assert found["table"].decode().splitlines()[-1].split()[2:4] == [str(native), str(total)]
    sheet = openpyxl.load_workbook(io.BytesIO(found["xlsx"])).worksheets[0]
    foot = next(row for row in sheet.iter_rows(values_only=True) if row[0] == "TOTAL")
    assert {total, native} <= {Decimal(str(cell)) for cell in foot if isinstance(cell, int | float)}
    words = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(found["pdf"])).pages).split()
    assert {str(total), str(native)} <= set(words[words.index("TOTAL") :])
    stored = orjson.loads(pq.read_schema(io.BytesIO(found["parquet"])).metadata[b"borderpost.total"])
    assert {str(total), str(native)} <= set(stored.values())
    focus = export(snapshot(), month_name="2026-11", version="1.2", grain="day")(connection)
    assert sum(row["x_SpendCost"] for row in focus.rows()).quantize(Decimal("0.01"), ROUND_HALF_EVEN) == total
    assert sum(row["BilledCost"] for row in focus.rows()) == native


def test_a_report_that_contradicts_itself_is_in_no_file():
    """The writers' check is the last gate."""
    first = statement().sections[0]
    with pytest.raises(DocumentWrong):
        written(replace(statement(), sections=(replace(first, rows=first.rows[:2]),)), "csv")


def test_a_report_too_long_for_its_format_is_said(monkeypatch):
    """With the format that holds it."""
    monkeypatch.setattr("gateway.reports.writers.pdf.MOST_ROWS", 1)
    with pytest.raises(AskedWrong, match="use xlsx, csv or parquet"):
        written(statement(), "pdf")


def test_a_missing_library_is_said_before_anything_is_read(asked, monkeypatch):
    """Nobody waits a minute for that."""
    monkeypatch.setitem(__import__("sys").modules, "xlsxwriter", None)
    monkeypatch.delitem(__import__("sys").modules, "gateway.reports.writers.xlsx", raising=False)
    monkeypatch.delattr("gateway.reports.writers.xlsx", raising=False)
    with pytest.raises(AskedWrong, match="install the extra `reports`"):
        ask(form="xlsx")
    assert asked == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_report_has_its_builder(kind):
    """A module that exports ``build`` with the two parameters of the seam."""
    build = import_module(KINDS[kind][0]).build
    assert list(__import__("inspect").signature(build).parameters) == ["snapshot", "asked"]
