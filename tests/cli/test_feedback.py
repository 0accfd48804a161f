"""``borderpost feedback``: the summary from the database."""

from __future__ import annotations

import json
import time

from tests.cli.desk import Desk
from tests.people import book, row


def test_the_summary_as_table_and_json(tmp_path):
    """Traffic without ratings says so."""
    desk = Desk(tmp_path)
    store = desk.store()
    with store.write() as connection:
        book(connection, row("a/1", tenant="maple-bank", started_us=time.time_ns() // 1000))
    store.close()
    assert "no ratings" in desk.run("feedback", "summary").stdout
    [line] = json.loads(desk.run("feedback", "summary", "--format", "json").stdout)["rows"]
    assert (line["calls"], line["good"]) == (1, None)
    assert desk.run("feedback", "summary", "--month", "soon").exit_code == 2
