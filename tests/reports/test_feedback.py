"""The feedback summary: shares with intervals, never a bare percentage."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest

from gateway.adapters.store_sql.ratings import Thumbs
from gateway.reports.feedback import FeedbackReport, as_json, line_of, query, table
from gateway.reports.period import month
from tests.people import TORONTO, book, database, row, snapshot, sqlite


def seen(*, up=45, ratings=50, calls=1000, spend=20_000_000_000):
    return Thumbs(alias="chat", deployment="azure", up=up, ratings=ratings, calls=calls, spend_nano=spend)


def report(*lines):
    return FeedbackReport(
        organisation="Maple Bank",
        period=month("2026-11", TORONTO),
        currency="CAD",
        lines=tuple(line_of(item) for item in lines),
    )


def test_a_line_says_share_interval_rate_and_cost():
    """45 of 50 up, 5 % rated; 20 CAD over 900 good answers."""
    line = line_of(seen())
    assert line.interval is not None
    assert (round(line.interval.low, 2), round(line.interval.high, 2)) == (0.79, 0.96)
    assert line.response_rate == pytest.approx(0.05)
    assert line.per_good == Decimal("0.0222")


def test_without_ratings_nothing_is_claimed():
    """No share, no cost per good answer."""
    line = line_of(seen(up=0, ratings=0))
    assert (line.interval, line.per_good) == (None, None)
    assert "no ratings" in table(report(seen(up=0, ratings=0)))


def test_few_ratings_are_called_insufficient():
    """Nine of ten is not 90 %."""
    assert "60%-98% insufficient data" in table(report(seen(up=9, ratings=10)))


def test_json_says_the_same():
    """Money as text, shares as numbers."""
    [line] = orjson.loads(as_json(report(seen())))["rows"]
    assert (line["up"], line["down"], line["good"], line["enough"]) == (45, 5, 0.9, True)
    assert line["cost_per_good_answer"] == "0.0222"


def test_the_query_reads_the_month(tmp_path):
    """Traffic without ratings has a line too: its response rate is zero."""
    with database(sqlite(tmp_path)) as store, store.write() as connection:
        book(connection, row("a/1"))
        found = query(snapshot(), month_name="2026-11")(connection)
    assert [(line.seen.calls, line.seen.ratings) for line in found.lines] == [(1, 0)]
    with pytest.raises(ValueError, match="no month"):
        query(snapshot(), month_name="soon")
