"""Unit costs: all cost is somewhere, once; no price of a good answer rests on too few ratings."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import insert

from gateway.adapters.store_sql.entries import append
from gateway.adapters.store_sql.tables import feedback
from gateway.core.entries import Entry
from gateway.core.feedback import wilson
from gateway.reports.document import checked
from gateway.reports.kinds import Asked
from gateway.reports.spend import build as spend_build
from gateway.reports.unit_cost import build
from tests.people import NOW, US, book, database, row, snapshot, sqlite

ASKED = Asked(month="2026-11", by=(), now=NOW)


def entry(ident: str, **changes):
    """A share of reserved capacity of the teller's deployment."""
    values = {
        "id": ident, "kind": "reserved", "tenant": "maple", "billing_period": "2026-11", "start_us": US,
        "end_us": US + 1, "team": "branch", "app": "teller", "cost_centre": "4410", "alias": "",
        "deployment": "azure-cae-41mini", "vendor": "microsoft", "place": "CA-QC", "model": "reserved",
        "currency": "CAD", "nano": 10**9, "spend_currency": "CAD", "spend_nano": 10**9, "quantity": 0,
        "unit": "", "reason": "r", "refers": "", "origin": "", "ratio_ppb": 0, "estimated": False,
        "created_us": US, "created_by": "test",
    }  # fmt: skip
    return Entry(**{**values, **changes})


def told(section, *names):
    """Columns of a section by name, row by row."""
    at = [[column.name for column in section.columns].index(name) for name in names]
    return [tuple(row[index] for index in at) for row in section.rows]


def section(document, name):
    return next(each for each in document.sections if each.name == name)


def rate(connection, number, *, up, key="thumbs", value=None):
    for index in range(number):
        connection.execute(
            insert(feedback).values(
                target=f"c{index}", key=key, rater="r", feedback_id=f"{key}{index}", tenant="maple",
                app="teller", call_id=f"c{index}",
                thumb=None if value is not None else int(index < up), value=value,
                occurred_us=US, received_us=US, writer="w", seq=index,
            )
        )  # fmt: skip


def made(tmp_path, fill, asked=ASKED, maker=build):
    with database(sqlite(tmp_path)) as store:
        with store.write() as connection:
            fill(connection)
        with store.read() as connection:
            return checked(maker(snapshot(), asked)(connection))


@pytest.mark.parametrize(("ratings", "up", "enough"), [(29, 29, False), (30, 30, True), (60, 30, False)])
def test_a_price_of_a_good_answer_needs_ratings(tmp_path, ratings, up, enough):
    """Fewer than 30, or a range wider than 20 points: the words, and no price."""

    def fill(connection):
        book(connection, *(row(f"c{index}/1") for index in range(100)))
        rate(connection, ratings, up=up)

    document = made(tmp_path, fill)
    [found] = told(
        section(document, "good_by_alias"), "ratings", "response_rate", "per_good", "per_good_low",
        "per_good_high", "remark",
    )  # fmt: skip
    assert found[0] == ratings
    assert found[1] == Decimal(ratings)
    if not enough:
        assert found[2:] == (None, None, None, "insufficient data")
        return
    interval = wilson(up, ratings)
    cost = Decimal("1.3925")  # per call; all ratings are good
    assert found[2] == cost
    assert found[3] == pytest.approx(cost / Decimal(interval.high), abs=Decimal("0.00001"))
    assert found[4] == pytest.approx(cost / Decimal(interval.low), abs=Decimal("0.00001"))
    assert found[5] == ""


def test_failed_tries_and_fallbacks_are_in_the_cost_of_the_alias(tmp_path):
    """Two attempts of one call: by alias one call bears both."""

    def fill(connection):
        book(
            connection,
            row("a/1", number=1, deployment="us", status="failed"),
            row("a/2", number=2, deployment="ca"),
        )

    document = made(tmp_path, fill, replace(ASKED, by=("alias",)))
    assert told(document.sections[0], "alias", "calls", "attempts", "cost", "per_1000_calls") == [
        ("chat", 1, 2, Decimal("2.78"), Decimal("2785.0000"))
    ]
    other = tmp_path / "other"
    other.mkdir()
    document = made(other, fill)
    by_deployment = told(document.sections[0], "deployment", "calls", "per_1000_calls")
    assert by_deployment == [("ca", 1, Decimal("1392.5000")), ("us", 0, None)]
    assert document.sections[0].total[-4] == Decimal("2785.0000")


def test_outcomes_are_priced_under_their_own_key(tmp_path):
    """A ticket solved is no thumb; what was reported as zero did not come about."""

    def fill(connection):
        book(connection, *(row(f"c{index}/1") for index in range(10)))
        rate(connection, 4, up=0, key="ticket_solved", value="1")
        rate(connection, 1, up=0, key="escalated", value="0")

    document = made(tmp_path, fill)
    assert told(section(document, "outcomes"), "key", "reports", "outcomes", "per_outcome") == [
        ("escalated", 1, 0, None),
        ("ticket_solved", 4, 4, Decimal("3.481250")),
    ]
    assert told(section(document, "good_by_alias"), "remark") == [("no ratings",)]


def test_the_cost_is_what_the_spend_report_says(tmp_path):
    """Reserved shares, idle and corrections: the two reports end in the same cent."""

    def fill(connection):
        book(connection, row("a/1"), row("b/1", app="lab", cost_centre=None))
        append(
            connection,
            [
                entry("s", spend_nano=3_333_333_333),
                entry("i", team="", app="", cost_centre=None, spend_nano=1_666_666_666),
                entry("c", kind="correction", alias="chat", spend_nano=-500_000_001),
                entry("o", tenant="birch"),
                entry("p", billing_period="2026-12"),
            ],
        )

    unit = made(tmp_path, fill)
    with database(sqlite(tmp_path)) as store, store.read() as connection:
        spend = checked(spend_build(snapshot(), ASKED)(connection))
    total = dict(zip([c.name for c in unit.sections[0].columns], unit.sections[0].total, strict=True))
    names = [column.name for column in spend.sections[0].columns]
    assert total["cost"] == spend.sections[0].total[names.index("spend")] == Decimal("7.28")
    assert total["idle"] == Decimal("1.67")
    assert ("entries", "3 entries") not in unit.facts
    assert "3 entries" in dict(unit.facts)["rows"]


def test_what_cannot_be_grouped_by_is_refused():
    """The message names what can be."""
    with pytest.raises(ValueError, match="cannot group by `charge_kind`; use some of cost_centre"):
        build(snapshot(), replace(ASKED, by=("charge_kind",)))
    with pytest.raises(ValueError, match="no month"):
        build(snapshot(), replace(ASKED, month="November"))
