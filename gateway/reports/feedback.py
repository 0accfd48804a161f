"""Thumbs per alias and deployment, with honest intervals and the cost per good answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import orjson
from sqlalchemy import Connection

from gateway.adapters.store_sql import ratings as rows
from gateway.adapters.store_sql.ratings import Thumbs
from gateway.core.feedback import Interval, nano_per_good, wilson
from gateway.core.money import present
from gateway.core.snapshot import Snapshot
from gateway.reports.period import Month, month


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackLine:
    """One alias on one deployment. ``per_good`` in the organisation's currency, four decimals."""

    seen: Thumbs
    interval: Interval | None
    per_good: Decimal | None

    @property
    def response_rate(self) -> float:
        """Ratings per call, between 0 and 1."""
        return self.seen.ratings / self.seen.calls if self.seen.calls else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackReport:
    """A month of thumbs."""

    organisation: str
    period: Month
    currency: str
    lines: tuple[FeedbackLine, ...]


def query(snapshot: Snapshot, *, month_name: str) -> Callable[[Connection], FeedbackReport]:
    """Return the work that reads and builds the summary. Raises ValueError on another form of month."""
    period = month(month_name, snapshot.timezone)

    def work(connection: Connection) -> FeedbackReport:
        found = rows.thumbs(
            connection,
            tenant=snapshot.tenant,
            start_us=period.start_us,
            end_us=period.end_us,
            currency=snapshot.currency,
        )
        return FeedbackReport(
            organisation=snapshot.tenant,
            period=period,
            currency=snapshot.currency,
            lines=tuple(line_of(seen) for seen in found),
        )

    return work


def line_of(seen: Thumbs) -> FeedbackLine:
    """Return what one group's ratings say."""
    per_good = nano_per_good(seen.spend_nano, calls=seen.calls, up=seen.up, total=seen.ratings)
    return FeedbackLine(
        seen=seen,
        interval=wilson(seen.up, seen.ratings),
        per_good=None if per_good is None else present([per_good], places=4)[0],
    )


def as_json(report: FeedbackReport) -> bytes:
    """Return the summary as JSON: shares as numbers between 0 and 1, money as strings."""
    rows_out: list[dict[str, object]] = []
    for line in report.lines:
        interval = line.interval
        rows_out.append(
            {
                "alias": line.seen.alias,
                "deployment": line.seen.deployment,
                "up": line.seen.up,
                "down": line.seen.ratings - line.seen.up,
                "calls": line.seen.calls,
                "response_rate": round(line.response_rate, 4),
                "good": None if interval is None else round(interval.share, 4),
                "good_95": None if interval is None else [round(interval.low, 4), round(interval.high, 4)],
                "enough": interval is not None and interval.enough,
                "cost_per_good_answer": None if line.per_good is None else str(line.per_good),
            }
        )
    body = {
        "report": "feedback",
        "organisation": report.organisation,
        "month": report.period.name,
        "timezone": report.period.timezone,
        "currency": report.currency,
        "rows": rows_out,
    }
    return orjson.dumps(body, option=orjson.OPT_INDENT_2)


def table(report: FeedbackReport) -> str:
    """Return the summary as a text table."""
    head = ["alias", "deployment", "up", "down", "good", "95 % interval", "rated", "cost/good"]
    grid = [head]
    for line in report.lines:
        interval = line.interval
        grid.append(
            [
                line.seen.alias,
                line.seen.deployment,
                f"{line.seen.up:,}",
                f"{line.seen.ratings - line.seen.up:,}",
                "–" if interval is None else f"{interval.share:.0%}",
                _span(interval),
                f"{line.response_rate:.1%}",
                "–" if line.per_good is None else f"{line.per_good:,.4f}",
            ]
        )
    widths = [max(len(row[column]) for row in grid) for column in range(len(head))]
    lines = [
        " ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in grid
    ]
    title = f"Feedback · {report.organisation} · {report.period.name} {report.period.timezone}"
    note = f"cost in {report.currency}, all tries; the unrated are taken to be as good as the rated"
    return "\n".join([title, note, *lines]) + "\n"


def _span(interval: Interval | None) -> str:
    if interval is None:
        return "no ratings"
    span = f"{interval.low:.0%}-{interval.high:.0%}"
    return span if interval.enough else f"{span} insufficient data"
