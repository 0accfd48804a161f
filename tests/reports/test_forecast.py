"""The forecast report over a real ledger: month's end, days that stood out, silence where little is known."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from gateway.core.forecast import Forecast
from gateway.reports.forecast import anomalies, build, outlooks, read
from gateway.reports.kinds import Asked
from gateway.reports.period import month
from tests.people import TORONTO, app, book, database, limit, row, snapshot, sqlite

ZONE = ZoneInfo(TORONTO)
BUDGET = limit("team:branch:CAD", "team", "branch", "400.00")
BANK = snapshot(app(budgets=(BUDGET,)), app("hackathon", team="lab"))
WEEK = (10, 11, 12, 11, 10, 4, 5)


def at(day, hour=12):
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=ZONE).timestamp()) * 1_000_000


def rows(first, count, *, name="teller", team="branch", factor=1):
    """One call a day of the weekday's amount in CAD."""
    found = []
    for number in range(count):
        day = date.fromordinal(first.toordinal() + number)
        nano = WEEK[day.weekday()] * 10**9 * (factor(day) if callable(factor) else factor)
        found.append(
            row(
                f"{name}{number}/1",
                app=name,
                team=team,
                started_us=at(day),
                spend_nano=nano,
                nano=nano,
                currency="CAD",
            )
        )
    return found


@pytest.fixture
def store(tmp_path):
    with database(sqlite(tmp_path)) as store:
        yield store


def asked(day):
    return Asked(month=f"{day:%Y-%m}", by=(), now=at(day, 18) * 1000)


def section(document, name):
    return next(one for one in document.sections if one.name == name)


def test_month_end_is_spent_so_far_and_what_the_weekdays_bring(store) -> None:
    """56 days of a pattern; on the 11th the rest of November follows it."""
    with store.write() as connection:
        book(connection, *rows(date(2026, 9, 6), 67))  # to 2026-11-11
    with store.read() as connection:
        document = build(BANK, asked(date(2026, 11, 11)))(connection)
    table = section(document, "forecast")
    everybody, branch = table.rows
    days = [date(2026, 11, n) for n in range(1, 31)]
    truth = sum(WEEK[day.weekday()] for day in days)
    spent = sum(WEEK[day.weekday()] for day in days[:11])
    assert everybody[0] == "all teams"
    assert branch[0] == "branch"
    assert branch[1] == Decimal(spent)
    assert abs(branch[2] - truth) < 4
    assert branch[5] <= branch[3] <= branch[2] <= branch[4] <= branch[6]
    assert branch[7] == Decimal("400.00")
    assert "% of the budget" in branch[8]
    assert table.chart.low == "low_80"
    shown = section(document, "days")
    assert shown.total[1] == sum(line[1] for line in shown.rows) == Decimal(spent)


def test_too_little_is_said_and_no_number_shown(store) -> None:
    with store.write() as connection:
        book(connection, *rows(date(2026, 11, 5), 7))
    with store.read() as connection:
        document = build(BANK, asked(date(2026, 11, 11)))(connection)
    for line in section(document, "forecast").rows:
        assert line[2:7] == (None,) * 5
        assert line[8] == "insufficient data: 6 whole days, 14 are needed"


def test_a_month_that_is_over_is_not_forecast(store) -> None:
    with store.write() as connection:
        book(connection, *rows(date(2026, 8, 1), 100))
    with store.read() as connection:
        document = build(BANK, Asked(month="2026-10", by=(), now=at(date(2026, 11, 11)) * 1000))(connection)
    assert {line[8] for line in section(document, "forecast").rows} == {"the month is over"}


def test_a_day_that_stands_out_says_why(store) -> None:
    wild = date(2026, 11, 9)
    with store.write() as connection:
        book(connection, *rows(date(2026, 9, 6), 67, factor=lambda day: 6 if day == wild else 1))
        book(connection, *rows(date(2026, 9, 6), 67, name="hackathon", team="lab"))
    with store.read() as connection:
        document = build(BANK, asked(date(2026, 11, 11)))(connection)
    ((day, team, name, spent, usual, why),) = section(document, "anomalies").rows
    assert (day, team, name, spent, usual) == ("2026-11-09", "branch", "teller", Decimal(60), Decimal(10))
    assert why.startswith("+50.00 CAD against the mean Monday: +50.00 price")


def test_days_are_local_also_where_the_clock_changes(store) -> None:
    """November 1 has 25 hours in Toronto; every day is there once, and no call is lost."""
    with store.write() as connection:
        book(connection, *rows(date(2026, 9, 6), 67))
        late = at(date(2026, 11, 1), 23) + 59 * 60 * 1_000_000
        book(connection, row("late/1", started_us=late, spend_nano=10**9, nano=10**9, currency="CAD"))
    period = month("2026-11", TORONTO)
    with store.read() as connection:
        daily = read(connection, BANK, period, now=asked(date(2026, 11, 11)).now)
    assert daily.first == date(2026, 9, 6)
    assert len(daily.days) == 56 + 11
    assert daily.today == 66
    sums = [sum(used.nano for used in day.values()) for day in daily.days]
    assert sums[56] == (WEEK[date(2026, 11, 1).weekday()] + 1) * 10**9
    assert sums[55] == WEEK[date(2026, 10, 31).weekday()] * 10**9
    assert anomalies(daily) == []
    assert isinstance(outlooks(BANK, period, daily)[0].found, Forecast)
