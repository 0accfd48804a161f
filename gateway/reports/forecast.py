"""The forecast report: where the month will end per team, with a range, and the days that stood out.

All sums are the query layer's. What rests on too few days says "insufficient data" and shows no number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.adapters.store_sql.daily import by_day
from gateway.core.anomalies import FAR, Anomaly, Usage, judge
from gateway.core.budget import windows
from gateway.core.forecast import FEWEST_DAYS, WINDOW_DAYS, Forecast, NotEnough, month_end
from gateway.core.money import present
from gateway.core.snapshot import Snapshot
from gateway.reports.closing import standing
from gateway.reports.document import Cell, Chart, Column, Document, Section
from gateway.reports.kinds import Asked
from gateway.reports.period import Month, minute_of, month

LEAST_NANO = 5_000_000_000
"""A difference below 5.00 a day is called no anomaly."""

_WORDS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TOTAL = "all teams"
_CAVEAT = (
    "Ranges hold the month's end 80 and 95 times of 100 where spend goes on as it went; they do not "
    "foresee a new app or a changed price."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """Spend by local day: ``days`` from ``first`` on, each by (team, app, model)."""

    first: date
    days: tuple[Mapping[tuple[str, str, str], Usage], ...]
    today: int | None  # which of them is running, if one is


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """One team's month: what is spent, where it will end, its budget. Amounts in nano-units."""

    name: str
    spent: int
    found: Forecast | NotEnough | None  # None: the month is over, nothing is left to forecast
    budget: int | None


def build(snapshot: Snapshot, asked: Asked) -> Callable[[Connection], Document]:
    """Return the work that reads and builds the report. Raises ValueError on another form of month."""
    period = month(asked.month, snapshot.timezone)
    if asked.by:
        raise ValueError("the forecast is by team; leave `--by` out")

    def work(connection: Connection) -> Document:
        daily = read(connection, snapshot, period, now=asked.now)
        here = standing(connection, snapshot, asked.month, now=asked.now, journals=None)
        return document(snapshot, period, daily, now=asked.now, status=here.status)

    return work


def read(connection: Connection, snapshot: Snapshot, period: Month, *, now: int) -> Daily:
    """Return the days of the month so far and the eight weeks before it."""
    zone = ZoneInfo(snapshot.timezone)
    start = datetime.fromtimestamp(period.start_us // 1_000_000, tz=zone)
    before = datetime(start.year, start.month, start.day, tzinfo=zone) - timedelta(days=WINDOW_DAYS)
    first_us = windows("day", snapshot.timezone, int(before.timestamp()) * 1_000_000_000)[0] // 1000
    end_us = min(period.end_us, now // 1000 + 1)
    days = by_day(
        connection,
        tenant=snapshot.tenant,
        start_us=first_us,
        end_us=max(end_us, first_us),
        timezone=snapshot.timezone,
        by=("team", "app", "model"),
        currency=snapshot.currency,
    )
    last = len(days) - 1
    running = bool(days) and now < windows("day", snapshot.timezone, days[last].start_us * 1000)[1]
    return Daily(
        first=datetime.fromtimestamp(first_us // 1_000_000, tz=zone).date(),
        days=tuple(
            {(team, app, model): used for (team, app, model), used in day.usage.items()} for day in days
        ),
        today=last if running else None,
    )


def outlooks(snapshot: Snapshot, period: Month, daily: Daily) -> list[Outlook]:
    """Return each team's outlook, and that of all teams, the first one."""
    everybody = [0] * len(daily.days)
    teams: dict[str, list[int]] = {}
    for number, day in enumerate(daily.days):
        for (team, _, _), used in day.items():
            teams.setdefault(team, [0] * len(daily.days))[number] += used.nano
            everybody[number] += used.nano
    budgets = {
        limit.name: limit.limit
        for app in snapshot.apps.values()
        for limit in app.budgets
        if limit.level == "team" and limit.unit == snapshot.currency and limit.per == "month"
    }
    made = [_outlook(_TOTAL, everybody, period, daily, None)]
    made += [
        _outlook(team or "unallocated", sums, period, daily, budgets.get(team))
        for team, sums in sorted(teams.items())
    ]
    return made


def _outlook(name: str, sums: Sequence[int], period: Month, daily: Daily, budget: int | None) -> Outlook:
    begins = min(WINDOW_DAYS, len(sums))
    if daily.today is None:
        return Outlook(name=name, spent=sum(sums[begins:]), found=None, budget=budget)
    today = daily.today
    found = month_end(
        sums[:today],
        weekday=daily.first.weekday(),
        spent=sum(sums[begins:today]),
        today=sums[today],
        days_left=_days_in(period) - (today - begins) - 1,
    )
    return Outlook(name=name, spent=sum(sums[begins:]), found=found, budget=budget)


def _days_in(period: Month) -> int:
    year, number = int(period.name[:4]), int(period.name[5:])
    following = date(year + number // 12, number % 12 + 1, 1)
    return (following - date(year, number, 1)).days


def anomalies(daily: Daily, *, least_nano: int = LEAST_NANO) -> list[tuple[date, str, str, Anomaly]]:
    """Return the whole days of the month that stand out: (day, team, app, why), the farthest first."""
    last = len(daily.days) if daily.today is None else daily.today
    found: list[tuple[date, str, str, Anomaly]] = []
    series: dict[tuple[str, str], list[dict[str, Usage]]] = {}
    for number, day in enumerate(daily.days[:last]):
        for (team, app, model), used in day.items():
            own = series.setdefault((team, app), [{} for _ in range(last)])
            own[number][model] = used
    for (team, app), own in sorted(series.items()):
        begun = next((number for number, day in enumerate(own) if day), last)
        for at in range(max(WINDOW_DAYS, begun), last):
            why = judge(own[begun:at], own[at], least_nano=least_nano)
            if why is not None:
                found.append((daily.first + timedelta(days=at), team, app, why))
    return sorted(found, key=lambda one: (-abs(one[3].far), one[0], one[1], one[2]))


# ---------------------------------------------------------------------- document


def document(snapshot: Snapshot, period: Month, daily: Daily, *, now: int, status: str) -> Document:
    """Return the report of a month's days."""
    found = outlooks(snapshot, period, daily)
    odd = anomalies(daily)
    running = daily.today is not None
    return Document(
        report="forecast",
        title="Forecast",
        organisation=snapshot.tenant,
        period=period.name,
        timezone=period.timezone,
        status=status,
        as_of=minute_of(now, period.timezone),
        currency=snapshot.currency,
        facts=(
            ("method", "exponential smoothing with weekday factors; docs/how-to/finance/forecast.md"),
            ("rests on", f"at most {WINDOW_DAYS} whole days, at least {FEWEST_DAYS}"),
            ("anomalies", str(len(odd))),
            ("policy", f"{snapshot.policy_name} v{snapshot.policy_version}"),
            ("prices", snapshot.prices_hash),
        ),
        sections=(
            _forecasts(found, snapshot.currency),
            _days(daily, snapshot.currency),
            _odd(odd, snapshot.currency),
        ),
        notes=(
            *(() if running else ("The month is not running: nothing is left to forecast.",)),
            _CAVEAT,
        ),
    )


def _forecasts(found: Sequence[Outlook], currency: str) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for one in found:
        if isinstance(one.found, Forecast):
            amounts: tuple[Cell, ...] = tuple(
                present([nano])[0]
                for nano in (
                    one.found.point, one.found.low_80, one.found.high_80, one.found.low_95, one.found.high_95
                )
            )  # fmt: skip
            says = _against(one.found, one.budget) or f"rests on {one.found.days} days"
        else:
            amounts = (None,) * 5
            says = "the month is over" if one.found is None else _lacking(one.found)
        budget = None if one.budget is None else present([one.budget])[0]
        rows.append((one.name, present([one.spent])[0], *amounts, budget, says))
    columns = [Column(name="team", title="Team", kind="text")]
    columns += [
        Column(name=name, title=title, kind="money", currency=currency, summed=False)
        for name, title in (
            ("spent", "Spent"), ("forecast", "Forecast"), ("low_80", "80 % from"), ("high_80", "80 % to"),
            ("low_95", "95 % from"), ("high_95", "95 % to"), ("budget", "Budget"),
        )
    ]  # fmt: skip
    columns.append(Column(name="says", title="Says", kind="text"))
    return Section(
        name="forecast",
        title="Month's end by team",
        columns=tuple(columns),
        rows=tuple(rows),
        notes=("Teams do not add up to all teams: ranges of sums are narrower than sums of ranges.",),
        chart=Chart(kind="bar", x="team", y=("forecast",), low="low_80", high="high_80"),
    )


def _lacking(found: NotEnough) -> str:
    return f"insufficient data: {found.days} whole days, {found.needed} are needed"


def _against(found: Forecast, budget: int | None) -> str:
    """Return how the forecast stands to the budget, in a sentence; "" without one."""
    if not budget:
        return ""
    percent = round(100 * found.point / budget)
    if found.low_80 > budget:
        return f"over budget in nine of ten cases: {percent} % of it"
    if found.high_80 > budget:
        return f"may go over budget: {percent} % of it"
    return f"{percent} % of the budget"


def _days(daily: Daily, currency: str) -> Section:
    begins = min(WINDOW_DAYS, len(daily.days))
    amounts = present([sum(used.nano for used in day.values()) for day in daily.days[begins:]])
    days = [daily.first + timedelta(days=begins + number) for number in range(len(amounts))]
    zero = present([0])[0]
    return Section(
        name="days",
        title="Spend by day",
        columns=(
            Column(name="day", title="Day", kind="date"),
            Column(name="spend", title="Spend", kind="money", currency=currency),
        ),
        rows=tuple((day.isoformat(), amount) for day, amount in zip(days, amounts, strict=True)),
        total=("TOTAL", sum(amounts, zero)),
        notes=("by the day that it is about, also what was booked after its month was closed",),
        chart=Chart(kind="line", x="day", y=("spend",)),
    )


def _odd(found: Sequence[tuple[date, str, str, Anomaly]], currency: str) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for day, team, app, why in found:
        nano, usual = present([why.nano])[0], present([why.usual])[0]
        rows.append(
            (day.isoformat(), team or "unallocated", app or "–", nano, usual, sentence(day, why, currency))
        )
    return Section(
        name="anomalies",
        title="Days that stood out",
        columns=(
            Column(name="day", title="Day", kind="date"),
            Column(name="team", title="Team", kind="text"),
            Column(name="app", title="App", kind="text"),
            Column(name="spend", title="Spend", kind="money", currency=currency, summed=False),
            Column(name="usual", title="Usual", kind="money", currency=currency, summed=False),
            Column(name="why", title="Why", kind="text"),
        ),
        rows=tuple(rows),
        notes=(f"A day stands out at {FAR:g} robust deviations from the same weekday, half of it and 5.00.",),
    )


def sentence(day: date, why: Anomaly, currency: str) -> str:
    """Return why a day stood out, in a sentence: the parts of the difference, largest first."""
    parts = sorted(
        (
            ("calls", why.reasons.calls),
            ("tokens per call", why.reasons.tokens),
            ("mix of models", why.reasons.mix),
            ("price", why.reasons.price),
        ),
        key=lambda part: -abs(part[1]),
    )
    amounts = present([nano for _, nano in parts])
    shown = [f"{amount:+,} {name}" for (name, _), amount in zip(parts, amounts, strict=True) if amount]
    total = present([why.reasons.total])[0]
    return (
        f"{total:+,} {currency} against the mean {_WORDS[day.weekday()]}: {', '.join(shown) or 'rounding'} "
        f"({why.reasons.words})."
    )
