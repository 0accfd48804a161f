"""Ratings are laid at what answered, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from gateway.adapters.store_sql import ratings as rows
from gateway.adapters.store_sql.tables import feedback
from tests.adapters.store_sql.databases import emptied
from tests.people import US, book, database, row, sqlite

START, END = US - 1_000_000_000, US + 1_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request, tmp_path):
    """A transaction on empty tables of each kind of database."""
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as store, store.write() as opened:
        emptied(opened)
        yield opened


def rate(connection, call, thumb, *, key="thumbs", rater="anne", tenant="maple", value=None, at=US):
    connection.execute(
        insert(feedback).values(
            target=call, key=key, rater=rater, feedback_id=f"{call}{rater}{key}", tenant=tenant, app="teller",
            call_id=call, thumb=thumb, value=value, occurred_us=at, received_us=at, writer="w1", seq=1,
        )
    )  # fmt: skip


def test_thumbs_are_laid_at_the_deployment_that_answered(connection):
    """A fallback's rating belongs to where the answer came from; all cost stands against it."""
    book(
        connection,
        row("a/1", number=1, deployment="us", status="failed"),
        row("a/2", number=2, deployment="ca"),
        row("b/1", deployment="ca"),
    )
    rate(connection, "a", 1)
    rate(connection, "b", 0)
    rate(connection, "b", 1, rater="jean")
    rate(connection, "b", None, key="helpful")
    found = rows.thumbs(connection, tenant="maple", start_us=START, end_us=END, currency="CAD")
    assert [(item.deployment, item.up, item.ratings, item.calls, item.spend_nano) for item in found] == [
        ("ca", 2, 3, 2, 2_785_000_000),
        ("us", 0, 0, 0, 1_392_500_000),
    ]


def test_outcomes_stand_under_their_own_key(connection):
    """A value above zero came about; a label alone says neither; another organisation's are not ours."""
    book(connection, row("a/1"), row("b/1"), row("c/1", tenant="birch"))
    rate(connection, "a", None, key="solved", value="1")
    rate(connection, "b", None, key="solved", value="0.0")
    rate(connection, "b", None, key="labelled")
    rate(connection, "c", None, key="solved", value="1", tenant="birch")
    found = rows.ratings(connection, tenant="maple", start_us=START, end_us=END, by=("app",))
    assert [(item.group, item.key, item.positive, item.ratings) for item in found] == [
        (("teller",), "solved", 1, 2)
    ]


def test_a_rating_counts_in_the_month_of_its_call_however_late(connection):
    """Given 35 days after: it is of the call's period, not of its own."""
    book(connection, row("a/1"), row("b/1", started_us=END + 5))
    rate(connection, "a", 1, at=US + 35 * 86_400_000_000)
    rate(connection, "b", 1, at=US)
    [found] = rows.ratings(connection, tenant="maple", start_us=START, end_us=END, by=())
    assert (found.key, found.positive, found.ratings) == ("thumbs", 1, 1)
