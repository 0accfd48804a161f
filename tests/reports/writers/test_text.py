"""The text of a report, as a terminal shows it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from gateway.reports.writers.text import lines
from tests.reports.writers.documents import statement


def short():
    """Two cost centres, without the columns that a page has no room for."""
    first = statement(rows=2).sections[0]
    keep = (0, 1, 3, 4, 6, 7)
    return replace(
        statement(),
        sections=(
            replace(
                first,
                columns=tuple(first.columns[index] for index in keep),
                rows=tuple(tuple(row[index] for index in keep) for row in first.rows),
                total=tuple(first.total[index] for index in keep),
                chart=None,
            ),
        ),
    )


def test_the_table_reads_as_printed_in_the_docs():
    """Head, facts, aligned columns, total, notes."""
    assert "\n".join(lines(short())) == (
        "Chargeback · Banque Maple & Fils · 2026-11 America/Toronto · PRELIMINARY as of 2026-12-01 09:00\n"
        "USD/CAD: 1.3925, fixed 2026-11-01, Bank of Canada\n"
        "prices: v12 (sha256:c07d1122334455)\n"
        "attempts: 20,352, all priced\n"
        "tax: excluded\n"
        "\n"
        "By cost centre\n"
        "Cost centre  Name                        Calls     Spend    Budget    Used\n"
        "4400         Filiale Québec – Saguenay  18,240    573.85  2,500.00  22.95%\n"
        "4401         Straßenbau Köln            18,241    574.85  2,500.00  22.95%\n"
        "TOTAL                                   36,481  1,148.70  5,000.00\n"
        "  Estimated amounts are corrected by reconciliation.\n"
        "\n"
        "Not invoiced; vendors bill in UTC, this statement closes in Toronto."
    )


def test_an_empty_table_says_so():
    """No rows is an answer."""
    first = statement().sections[0]
    empty = replace(first, rows=(), total=("TOTAL", None, None, 0, Decimal(0), Decimal(0), Decimal(0), None))
    text = list(lines(replace(statement(), sections=(empty,))))
    assert "(no rows)" in text
    assert any(line.startswith("TOTAL ") and line.endswith("0.00") for line in text)


def test_a_name_cannot_steer_the_terminal():
    """Escapes are shown as what they are."""
    evil = replace(statement(), organisation="Bank\x1b[2J", facts=(("a\r", "b\x07"),), notes=("\x1b]0;x",))
    assert all(line.isprintable() for line in lines(evil))
