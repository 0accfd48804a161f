"""CSV: one line per row, the head's columns first, nothing that a spreadsheet runs."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from gateway.reports.document import Column
from tests.reports.writers.documents import statement
from tests.reports.writers.reading import written


def table(document):
    return list(csv.DictReader(io.StringIO(written(document, "csv").decode(), newline="")))


def test_lines_can_be_stacked_and_summed():
    """Each line names its period and whether it is a row or the total."""
    lines = table(statement())
    assert [line["kind"] for line in lines] == ["row"] * 4 + ["total"]
    assert {line["period"] for line in lines} == {"2026-11"}
    assert (lines[0]["spend"], lines[0]["used"], lines[-1]["spend"]) == ("573.85", "22.95", "2301.40")


def test_lines_end_as_the_standard_says():
    """RFC 4180: CRLF, quotes doubled."""
    first = statement().sections[0]
    rows = (("4400", 'a "b", c', *first.rows[0][2:]),)
    text = written(replace(statement(), sections=(replace(first, rows=rows, total=None),)), "csv")
    assert text.count(b"\r\n") == 2
    assert b'"a ""b"", c"' in text


def test_a_column_of_the_heads_name_keeps_it():
    """The report's own column is what a reader asks for by name."""
    first = statement().sections[0]
    columns = (Column(name="status", title="Status", kind="text"), *first.columns[1:])
    lines = table(replace(statement(), sections=(replace(first, columns=columns),)))
    assert (lines[0]["status"], lines[0]["report_status"]) == ("4400", "preliminary")


@pytest.mark.parametrize("evil", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "  =1"])
def test_names_from_outside_do_not_run(evil):
    """In any text column, in rows and total; a negative amount stays a number."""
    first = statement().sections[0]
    rows = tuple((row[0], evil, *row[2:]) for row in first.rows)
    lines = table(replace(statement(), sections=(replace(first, rows=rows),)))
    assert {line["name"] for line in lines[:-1]} == {f"'{evil}"}
