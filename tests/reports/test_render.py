"""Three formats, one set of numbers; and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.store_sql.reports import Sums
from gateway.reports.period import month
from gateway.reports.render import FORMATS, as_csv, as_json, safe, table
from gateway.reports.spend import report_of
from tests.people import NOW, TORONTO, app, limit, snapshot

BANK = snapshot(
    app("teller", budgets=[limit("team:branch:CAD", "team", "branch", "2500.00")]),
    app("hackathon", team="lab", budgets=[limit("team:lab:CAD", "team", "lab", "300.00")]),
)
BY = ("cost_centre", "team", "app", "model", "place")


def sums(*group, calls, attempts, nano, spend, estimated=0):
    return Sums(
        group=group, currency="USD", calls=calls, attempts=attempts, unpriced=0, unconverted=0,
        tokens_in=10, tokens_out=5, nano=nano, spend_nano=spend, estimated_nano=estimated,
    )  # fmt: skip


def report(*items, by=BY, held=3_100_000_000):
    rows = items or (
        sums("4410", "branch", "teller", "gpt-4.1-mini", "CA-QC", calls=18_240, attempts=18_252,
             nano=412_100_000_000, spend=573_849_250_000, estimated=1_120_000_000),
        sums("4900", "lab", "hackathon", "glm-5", "US", calls=2_100, attempts=2_100,
             nano=38_000_000_000, spend=52_915_000_000),
        sums(None, "–", "–", "reserved idle", "CA-QC", calls=0, attempts=0,
             nano=210_000_000_000, spend=292_425_000_000),
    )  # fmt: skip
    return report_of(rows, BANK, period=month("2026-11", TORONTO), by=by, now=NOW, held_nano=held)


def test_the_table_reads_as_finance_was_promised():
    """Head, rows and foot, as in the design's example."""
    assert table(report()) == (
        "Spend · maple · 2026-11 America/Toronto · OPEN to 2026-11-23 14:00 · not invoiced\n"
        "CAD, tax excluded · USD/CAD 1.3925, fixed 2026-11-01, Bank of Canada · prices c07d1122…\n"
        "20,340 calls · 20,352 attempts, all priced · held now 3.10 (not spend)\n"
        "cost_centre team   app       model         place  calls    usd    cad estimated   budget\n"
        "4410        branch teller    gpt-4.1-mini  CA-QC 18,240 412.10 573.85      1.12 2,500.00\n"
        "4900        lab    hackathon glm-5         US     2,100  38.00  52.92      0.00   300.00\n"
        "unallocated –      –         reserved idle CA-QC      0 210.00 292.42      0.00        –\n"
        "TOTAL                                            20,340 660.10 919.19      1.12 2,800.00\n"
    )


def test_every_format_has_the_same_numbers():
    """Read back from CSV and JSON, row by row and in the foot."""
    found = report()
    lines = list(csv.DictReader(io.StringIO(as_csv(found))))
    body = orjson.loads(as_json(found))
    for line, cells, item in zip(
        [*found.lines, found.total], lines, [*body["rows"], body["total"]], strict=True
    ):
        assert Decimal(cells["cad"]) == Decimal(item["spend"]) == line.spend
        assert Decimal(cells["usd"]) == Decimal(item["native"]["USD"]) == line.native["USD"]
        assert Decimal(cells["estimated"]) == Decimal(item["estimated"]) == line.estimated
        assert int(cells["calls"]) == item["calls"] == line.calls
    assert [cells["kind"] for cells in lines] == ["row", "row", "row", "total"]


def test_amounts_in_json_are_strings():
    """No reader turns them into binary floats."""

    def walk(value):
        assert not isinstance(value, float)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
            walk(item)

    walk(orjson.loads(as_json(report())))


def test_an_empty_month_has_a_head_and_a_foot():
    """Nothing was spent, and the report says so."""
    empty = report_of([], BANK, period=month("2026-11", TORONTO), by=("team",), now=NOW, held_nano=0)
    text = table(empty)
    assert "0 calls · 0 attempts, all priced · held now 0.00" in text
    assert text.splitlines()[-1].split() == ["TOTAL", "0", "0.00", "0.00", "–"]
    assert orjson.loads(as_json(empty))["rows"] == []
    assert len(as_csv(empty).splitlines()) == 2


def test_a_report_without_groups_is_its_foot():
    """`--by ""` gives the total."""
    found = report(sums(calls=1, attempts=1, nano=10**9, spend=10**9), by=())
    assert table(found).splitlines()[-1].split() == ["1", "1.00", "1.00", "0.00"]
    assert orjson.loads(as_json(found))["total"]["spend"] == "1.00"


def test_what_lacks_a_price_or_a_rate_is_shouted():
    """A report with holes must not look whole."""
    hole = Sums(
        group=("x",), currency=None, calls=1, attempts=1, unpriced=1, unconverted=2,
        tokens_in=0, tokens_out=0, nano=0, spend_nano=0, estimated_nano=0,
    )  # fmt: skip
    assert "1 attempt, 1 WITHOUT A PRICE, 2 WITHOUT A RATE TO CAD" in table(report(hole, by=("app",)))


@given(st.text(max_size=30))
def test_no_cell_starts_a_formula(text):
    """Names come from YAML and from vendors; a spreadsheet must not run them. Nothing else is changed."""
    cell = safe(text)
    assert cell.lstrip(" ")[:1] not in set("=+-@\t\r\n") or cell == ""
    assert cell in {text, f"'{text}"}


@pytest.mark.parametrize("evil", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "  =1"])
def test_evil_names_reach_csv_disarmed(evil):
    """Through the whole renderer."""
    found = report(sums(evil, calls=1, attempts=1, nano=1, spend=1), by=("model",))
    [cells, _] = csv.DictReader(io.StringIO(as_csv(found)))
    assert cells["model"] == f"'{evil}"


def test_no_name_steers_the_terminal():
    """Escape sequences in a vendor's model name are shown as what they are not."""
    assert "\x1b" not in table(
        report(sums("\x1b[31mred", calls=1, attempts=1, nano=1, spend=1), by=("model",))
    )


def test_each_format_has_its_media_type():
    """As the HTTP answer will say."""
    assert {name: media.partition(";")[0] for name, (media, _) in FORMATS.items()} == {
        "table": "text/plain",
        "csv": "text/csv",
        "json": "application/json",
    }
