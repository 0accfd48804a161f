"""``borderpost report``: the ledger of the settings' database."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
import time
from dataclasses import replace
from decimal import Decimal

import openpyxl
import pytest

from gateway.reports import asking
from gateway.reports.kinds import KINDS
from gateway.reports.period import month_of
from tests.cli.desk import Desk
from tests.people import TORONTO, book, row
from tests.reports.writers.documents import statement


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    store = desk.store()
    with store.write() as connection:
        book(connection, row("a/1", tenant="maple-bank", started_us=time.time_ns() // 1000))
        book(connection, row("b/1", tenant="maple-bank", started_us=1_760_000_000_000_000))
    store.close()
    return desk


def test_this_month_is_the_default(desk):
    """As a table that ends in its foot."""
    done = desk.run("report", "spend")
    assert done.exit_code == 0
    assert f"{month_of(time.time_ns(), TORONTO)} {TORONTO} · OPEN to" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("TOTAL")


def test_any_month_grouping_and_format(desk):
    """October 2025 by vendor, for a program."""
    done = desk.run("report", "spend", "--by", "vendor", "--month", "2025-10", "--format", "json")
    body = json.loads(done.stdout)
    assert (body["status"], body["by"], body["total"]["spend"]) == ("preliminary", ["vendor"], "1.39")
    lines = desk.run("report", "spend", "--by", "vendor", "--month", "2025-10", "--format", "csv").stdout
    assert lines.startswith("kind,period,timezone,status,vendor,")


@pytest.mark.parametrize("wrong", [["--by", "colour"], ["--month", "soon"], ["--format", "doc"]])
def test_a_wrong_option_is_said(desk, wrong):
    """Status 2 and the reason."""
    done = desk.run("report", "spend", *wrong)
    assert done.exit_code == 2
    assert wrong[1] in done.stderr


@pytest.fixture
def made(monkeypatch):
    """Every report is the made-up statement."""
    monkeypatch.setattr(asking, "builder", lambda _: lambda *_: lambda _: statement())


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        *((kind, "xlsx") for kind in KINDS),
        *(("chargeback", form) for form in ("csv", "json", "pdf", "parquet")),
    ],
)
def test_every_report_is_written_to_a_file_in_every_format(desk, made, kind, form):
    """The same report gives the same bytes; its digest is said, for the e-mail that carries it."""
    names = [desk.folder / f"{number}.{form}" for number in range(2)]
    months = ["--month", "2025-10"]
    done = [desk.run("report", kind, *months, "--format", form, "--output", str(name)) for name in names]
    assert [one.exit_code for one in done] == [0, 0], done[0].stderr
    assert done[0].stdout == ""
    first, second = (name.read_bytes() for name in names)
    assert first == second
    assert (
        f"wrote {names[0]}, {len(first):,} bytes, sha256 {hashlib.sha256(first).hexdigest()}"
        in done[0].stderr
    )
    assert sorted(path.name for path in desk.folder.glob("*.*")) == [f"0.{form}", f"1.{form}"]


def test_a_file_can_be_piped(desk, made):
    """Bytes on standard output, nothing else."""
    done = desk.run("report", "chargeback", "--format", "xlsx")
    book = openpyxl.load_workbook(io.BytesIO(done.stdout_bytes))
    assert book.worksheets[0]["E9"].value == 2301.40


@pytest.mark.parametrize("form", ["xlsx", "pdf", "parquet"])
def test_a_terminal_gets_no_bytes(desk, made, monkeypatch, form):
    """But the option that writes a file, with a name for it."""
    monkeypatch.setattr("gateway.cli.report.sys", _Terminal())
    done = desk.run("report", "chargeback", "--month", "2026-11", "--format", form)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{form} is no text for a terminal; add --output chargeback-2026-11.{form}" in done.stderr


class _Terminal:
    """``sys`` with a terminal for its output."""

    class stdout:  # noqa: N801
        @staticmethod
        def isatty():
            return True

    exit = staticmethod(sys.exit)


def test_one_section_can_be_written_with_a_byte_order_mark(desk, made):
    """As Excel on Windows wants its CSV."""
    done = desk.run("report", "chargeback", "--format", "csv", "--section", "forecast", "--bom")
    assert done.stdout_bytes.startswith(b"\xef\xbb\xbfkind,period,timezone,status,day,expected")
    wrong = desk.run("report", "chargeback", "--format", "csv", "--section", "forcast")
    assert (wrong.exit_code, "use one of cost_centres, forecast" in wrong.stderr) == (2, True)


def test_what_contradicts_itself_leaves_no_file(desk, monkeypatch):
    """Nor a half of one, and what was there stays."""
    first = statement().sections[0]
    wrong = replace(statement(), sections=(replace(first, rows=first.rows[1:]),))
    monkeypatch.setattr(asking, "builder", lambda _: lambda *_: lambda _: wrong)
    there = desk.folder / "there.csv"
    there.write_text("before")
    done = desk.run("report", "chargeback", "--format", "csv", "--output", str(there))
    assert (done.exit_code, there.read_text()) == (1, "before")
    assert "nothing was written, since the report contradicts itself: section `cost_centres`" in done.stderr


def test_a_folder_that_is_not_there_is_said(desk, made):
    """With its name."""
    done = desk.run("report", "chargeback", "--format", "csv", "--output", str(desk.folder / "no" / "x.csv"))
    assert done.exit_code == 1
    assert "cannot write" in done.stderr
    assert "No such file or directory" in done.stderr


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("version", ["1.2", "1.4"])
def test_focus_is_written_and_its_sum_is_said(desk, form, version):
    """The month's charges add up to the spend report; attempts without a price are shouted."""
    store = desk.store()
    with store.write() as connection:
        unpriced = dict.fromkeys(("currency", "nano", "spend_currency", "spend_nano"))
        book(connection, row("c/1", tenant="maple-bank", started_us=1_760_000_000_000_000, **unpriced))
    store.close()
    name = desk.folder / f"out.{form}"
    options = ["--month", "2025-10", "--format", form, "--focus-version", version, "--output", str(name)]
    done = desk.run("report", "focus", *options)
    assert done.exit_code == 0, done.stderr
    assert (
        f"FOCUS {version}, 2025-10: 1 charges, billed 1.000000000 USD; 1 attempts WITHOUT A PRICE"
        in done.stderr
    )
    if form == "csv":
        lines = list(csv.DictReader(io.StringIO(name.read_text())))
        assert Decimal(lines[0]["BilledCost"]) == 1
        assert ("ProviderName" in lines[0]) == (version == "1.2")


def test_focus_says_what_it_cannot_do(desk):
    """No month, and no rows that fail their check."""
    done = desk.run("report", "focus", "--month", "soon")
    assert (done.exit_code, "write it like 2026-11" in done.stderr) == (2, True)
    store = desk.store()
    with store.write() as connection:
        book(connection, row("d/1", tenant="maple-bank", started_us=1_760_000_000_000_000, currency="XXX"))
    store.close()
    there = desk.folder / "focus.csv"
    done = desk.run("report", "focus", "--month", "2025-10", "--output", str(there))
    assert (done.exit_code, there.exists()) == (1, False)
    assert "nothing was written" in done.stderr
    assert "`XXX` is no currency of ISO 4217" in done.stderr
