"""The budget report: the counters that admit calls, beside what the ledger says of the same scope."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import insert, update

from gateway.adapters.store_sql.entries import append
from gateway.adapters.store_sql.tables import budget_windows, keys, slices, writers
from gateway.core.values import Carry
from gateway.core.wants import window_of
from gateway.reports.budget import build
from gateway.reports.document import checked
from gateway.reports.kinds import Asked
from tests.people import NOW, TORONTO, app, book, database, limit, row, snapshot, sqlite
from tests.reports.test_unit_cost import entry, told

ASKED = Asked(month="2026-11", by=(), now=NOW)
ORG = limit("org:maple:CAD", "org", "maple", "5000.00")
TEAM = limit("team:branch:CAD", "team", "branch", "100.00")
DAY = limit("team:branch:CAD:day", "team", "branch", "20.00", per="day")
TOKENS = replace(ORG, id="org:maple:tokens", unit="tokens", limit=1_000_000)
KEY = limit("key:*:CAD", "key", "*", "10.00")
DATA = limit("data:client:CAD", "data", "client", "50.00")
ROLLING = replace(TEAM, id="team:branch:CAD:last24h", per="last", length=24 * 3600 * 10**9)


def leased(connection, budget, spent, granted, *, at=NOW, name=None):
    """A window of which a writer was granted and has spent something, in nano-units."""
    window = window_of(budget, at)
    ident = budget.id if name is None else budget.id.replace("*", name)
    connection.execute(
        insert(budget_windows).values(
            budget=ident, window=window.id, unit=budget.unit, resets_us=window.end // 1000, committed=granted,
            base=budget.limit,
        )
    )  # fmt: skip
    connection.execute(
        insert(slices).values(writer="w1", budget=ident, window=window.id, granted=granted, spent=spent)
    )


def report(tmp_path, fill, bundle, asked=ASKED):
    with database(sqlite(tmp_path)) as store:
        with store.write() as connection:
            connection.execute(
                insert(writers).values(id="w1", place="CA", host="h", state="open", opened_us=0)
            )
            fill(connection)
        with store.read() as connection:
            return checked(build(bundle, asked)(connection))


def test_counters_and_ledger_stand_side_by_side(tmp_path):
    """Each level and unit: what was spent, what is held, what is left, and the same from the rows."""

    def fill(connection):
        book(
            connection,
            row("a/1", spend_nano=40 * 10**9),
            row("b/1", team="lab", app="hackathon", spend_nano=10**9),
        )
        append(connection, [entry("i", spend_nano=2 * 10**9)])
        leased(connection, ORG, 41 * 10**9, 50 * 10**9)
        leased(connection, TEAM, 40 * 10**9, 45 * 10**9)
        leased(connection, TOKENS, 300, 500)

    bundle = snapshot(app(budgets=[ORG, TOKENS, TEAM]), app("hackathon", team="lab", budgets=[ORG, TOKENS]))
    document = report(tmp_path, fill, bundle)
    names = (
        "level", "name", "window", "limit", "spent", "held", "remaining", "used", "ledger", "difference",
        "entries",
    )  # fmt: skip
    assert told(document.sections[0], *names) == [
        ("org", "maple", "month 2026-11", Decimal("5000.00"), Decimal("41.00"), Decimal("9.00"),
         Decimal("4950.00"), Decimal("0.8"), Decimal("41.00"), Decimal("0.00"), Decimal("2.00")),
        ("team", "branch", "month 2026-11", Decimal("100.00"), Decimal("40.00"), Decimal("5.00"),
         Decimal("55.00"), Decimal("40.0"), Decimal("40.00"), Decimal("0.00"), Decimal("2.00")),
    ]  # fmt: skip
    assert document.sections[1].name == "budgets_tokens"
    assert told(document.sections[1], "limit", "spent", "remaining", "ledger", "difference") == [
        (1_000_000, 300, 999_500, 300, 0)
    ]


def test_a_counter_that_differs_from_the_ledger_shows_by_how_much(tmp_path):
    """The check is a number, not a tick."""

    def fill(connection):
        book(connection, row("a/1", spend_nano=40 * 10**9))
        leased(connection, TEAM, 39 * 10**9, 39 * 10**9)

    document = report(tmp_path, fill, snapshot(app(budgets=[TEAM])))
    assert told(document.sections[0], "spent", "ledger", "difference") == [
        (Decimal("39.00"), Decimal("40.00"), Decimal("-1.00"))
    ]


@pytest.mark.parametrize(
    ("spent", "granted", "state", "forecast"),
    [
        ("10.00", "10.00", "ok", "13.28"),
        ("80.00", "80.00", "will not last", "106.22"),
        ("90.00", "100.00", "used up", "119.50"),
        ("101.00", "101.00", "over", "134.11"),
        ("0.00", "0.00", "ok", "0.00"),
    ],
)
def test_the_state_is_the_worst_that_is_true(tmp_path, spent, granted, state, forecast):
    """The straight line through 543 hours of 721: clocks went back on the first day."""

    def fill(connection):
        leased(connection, TEAM, int(Decimal(spent) * 10**9), int(Decimal(granted) * 10**9))

    document = report(tmp_path, fill, snapshot(app(budgets=[TEAM])))
    [found] = told(document.sections[0], "state", "forecast", "variance")
    assert found == (state, Decimal(forecast), Decimal("100.00") - Decimal(forecast))


def test_what_was_carried_over_is_part_of_what_may_be_spent(tmp_path):
    """Taken over from the month before, by the counters' own rule."""
    carrying = replace(TEAM, carry=Carry(per="month", timezone=TORONTO, at_most=None))

    def fill(connection):
        leased(connection, carrying, 0, 0)
        connection.execute(update(budget_windows).values(carried=25 * 10**9))

    document = report(tmp_path, fill, snapshot(app(budgets=[carrying])))
    assert told(document.sections[0], "limit", "carried", "remaining") == [
        (Decimal("100.00"), Decimal("25.00"), Decimal("125.00"))
    ]


def test_a_rolling_budget_counts_all_its_parts(tmp_path):
    """What was spent in the last day, not in the last hour; no line is drawn through it."""

    def fill(connection):
        for hours in (0, 5, 24, 26):
            leased(connection, ROLLING, 10**9, 10**9, at=NOW - hours * 3600 * 10**9)

    document = report(tmp_path, fill, snapshot(app(budgets=[ROLLING])))
    assert told(document.sections[0], "window", "spent", "forecast") == [
        ("last 24 hours", Decimal("3.00"), None)
    ]


def test_keys_have_rows_and_their_own_apps_limit(tmp_path):
    """One row per key that spent; two apps' templates of one form do not mix."""
    other = replace(KEY, limit=99 * 10**9)
    daily = limit("key:*:CAD:day", "key", "*", "1.00", per="day")

    def fill(connection):
        for key, owner in (("k1", "teller"), ("k2", "hackathon")):
            connection.execute(
                insert(keys).values(id=key, tenant="maple", app=owner, sha256=key, created_us=0)
            )
            leased(connection, KEY, 2 * 10**9, 3 * 10**9, name=key)
        leased(connection, daily, 10**9, 10**9, name="k1")
        book(connection, row("a/1", spend_nano=2 * 10**9))

    teller = replace(app(), key_budgets=(KEY, daily))
    lab = replace(app("hackathon", team="lab"), key_budgets=(other,))
    document = report(tmp_path, fill, snapshot(teller, lab))
    assert told(document.sections[0], "name", "window", "limit", "spent", "ledger") == [
        ("k1", "month 2026-11", Decimal("10.00"), Decimal("2.00"), Decimal("2.00")),
        ("k1", "day 2026-11-23", Decimal("1.00"), Decimal("1.00"), Decimal("2.00")),
        ("k2", "month 2026-11", Decimal("99.00"), Decimal("2.00"), Decimal("0.00")),
    ]


def test_a_kind_of_data_is_not_in_the_ledger(tmp_path):
    """Then the check stays empty instead of claiming that nothing was spent."""

    def fill(connection):
        leased(connection, DATA, 10**9, 10**9)

    bundle = snapshot(data_budgets={"client": (DATA,)})
    document = report(tmp_path, fill, bundle)
    assert told(document.sections[0], "level", "spent", "ledger", "difference", "entries") == [
        ("data", Decimal("1.00"), None, None, None)
    ]


def test_a_past_month_shows_its_last_window_and_holds_nothing(tmp_path):
    """What it held when it ended says nothing any more."""

    def fill(connection):
        leased(connection, TEAM, 7 * 10**9, 9 * 10**9)
        leased(connection, DAY, 10**9, 10**9)

    later = replace(ASKED, now=NOW + 30 * 86_400 * 10**9)
    document = report(tmp_path, fill, snapshot(app(budgets=[TEAM, DAY])), later)
    assert told(document.sections[0], "window", "spent", "held", "forecast", "remaining") == [
        ("month 2026-11", Decimal("7.00"), Decimal("0.00"), Decimal("7.00"), Decimal("93.00")),
        ("day 2026-11-30", Decimal("0.00"), Decimal("0.00"), Decimal("0.00"), Decimal("20.00")),
    ]


def test_no_budget_is_a_report_too_and_a_grouping_is_none(tmp_path):
    """An empty table with its head; `--by` is refused with the reason."""
    document = report(tmp_path, lambda connection: None, snapshot())
    assert document.sections[0].rows == ()
    with pytest.raises(ValueError, match="a row per budget"):
        build(snapshot(), replace(ASKED, by=("team",)))


def test_the_clock_of_the_report_is_its_own(tmp_path):
    """Early in a window nothing is drawn on; a day is told apart from its month."""

    def fill(connection):
        leased(connection, DAY, 10**9, 10**9)

    dawn = replace(ASKED, now=window_of(DAY, NOW).start + 60 * 10**9)
    document = report(tmp_path, fill, snapshot(app(budgets=[DAY])), dawn)
    assert told(document.sections[0], "window", "forecast", "variance") == [("day 2026-11-23", None, None)]
