"""``borderpost report``: the ledger of the settings' database."""

from __future__ import annotations

import json
import time

import pytest

from gateway.reports.period import month_of
from tests.cli.desk import Desk
from tests.people import TORONTO, book, row


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


@pytest.mark.parametrize("wrong", [["--by", "colour"], ["--month", "soon"], ["--format", "pdf"]])
def test_a_wrong_option_is_said(desk, wrong):
    """Status 2 and the reason."""
    done = desk.run("report", "spend", *wrong)
    assert done.exit_code == 2
    assert wrong[1] in done.stderr
