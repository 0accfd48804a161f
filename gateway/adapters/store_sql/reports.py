"""The queries behind reports: sums of integers over the ledger, in one transaction.

INVARIANT: no rounding, no division and no float here. Every report of a period is made of
:func:`spend`'s rows, so that any two groupings have the same total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, select

from gateway.adapters.store_sql.tables import budget_windows, feedback, ledger, slices

GROUPINGS: Mapping[str, ColumnElement[str | None]] = {
    "cost_centre": ledger.c.cost_centre,
    "team": ledger.c.team,
    "app": ledger.c.app,
    "key": ledger.c.key_id,
    "alias": ledger.c.alias,
    "deployment": ledger.c.deployment,
    "model": ledger.c.model,
    "vendor": ledger.c.vendor,
    "place": ledger.c.place,
    "surface": ledger.c.surface,
}
"""What spend can be grouped by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """The sums of one group of attempts in one price currency.

    ``nano`` is in ``currency`` (None: the group's attempts carry no price); ``spend_nano``
    and ``estimated_nano`` are in the organisation's currency.
    """

    group: tuple[str | None, ...]
    currency: str | None
    calls: int
    attempts: int
    unpriced: int
    unconverted: int
    tokens_in: int
    tokens_out: int
    nano: int
    spend_nano: int
    estimated_nano: int


def spend(
    connection: Connection, *, tenant: str, start_us: int, end_us: int, by: Sequence[str], currency: str
) -> list[Sums]:
    """Return sums of the attempts that started in ``start_us`` ≤ t < ``end_us``, by group and currency.

    A call is counted once, where its last attempt went. ``currency`` is the organisation's.
    Raises KeyError on an unknown grouping.
    """
    columns = [GROUPINGS[name].label(f"g{number}") for number, name in enumerate(by)]
    later = ledger.alias("later")
    last = ~exists().where(later.c.call_id == ledger.c.call_id, later.c.number > ledger.c.number)
    ours = ledger.c.spend_currency == currency
    # A failed try without a charge was never billed; any other attempt without one lacks a price.
    estimated = and_(ours, ledger.c.estimated)
    unpriced = and_(ledger.c.nano.is_(None), ledger.c.status != "failed")
    unconverted = and_(ledger.c.nano.is_not(None), func.coalesce(ledger.c.spend_currency, "") != currency)
    query = (
        select(
            *columns,
            ledger.c.currency,
            _count(last).label("calls"),
            func.count().label("attempts"),
            _count(unpriced).label("unpriced"),
            _count(unconverted).label("unconverted"),
            _sum(
                ledger.c.input
                + ledger.c.cache_read
                + ledger.c.cache_write_5m
                + ledger.c.cache_write_1h
                + ledger.c.input_audio
                + ledger.c.input_image
            ).label("tokens_in"),
            _sum(ledger.c.output + ledger.c.output_audio).label("tokens_out"),
            _sum(ledger.c.nano).label("nano"),
            _sum(case((ours, ledger.c.spend_nano), else_=0)).label("spend_nano"),
            _sum(case((estimated, ledger.c.spend_nano), else_=0)).label("estimated_nano"),
        )
        .where(ledger.c.tenant == tenant, ledger.c.started_us >= start_us, ledger.c.started_us < end_us)
        .group_by(*[GROUPINGS[name] for name in by], ledger.c.currency)
    )
    numbers = (
        "calls", "attempts", "unpriced", "unconverted", "tokens_in", "tokens_out",
        "nano", "spend_nano", "estimated_nano",
    )  # fmt: skip
    # int(): PostgreSQL sums BIGINT into its exact decimal type.
    return [
        Sums(
            group=tuple(row[f"g{number}"] for number in range(len(by))),
            currency=row["currency"],
            **{name: int(row[name]) for name in numbers},
        )
        for row in connection.execute(query).mappings()
    ]


def held(connection: Connection, *, budgets: Sequence[str], now_us: int) -> int:
    """Return what open windows of these budgets hold for calls in flight: granted less spent."""
    query = (
        select(_sum(slices.c.granted - slices.c.spent))
        .join(
            budget_windows,
            and_(budget_windows.c.budget == slices.c.budget, budget_windows.c.window == slices.c.window),
        )
        .where(slices.c.budget.in_(budgets), budget_windows.c.resets_us > now_us)
    )
    return max(0, int(connection.scalar(query) or 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbs:
    """Ratings and traffic of one alias on one deployment. ``spend_nano`` in the organisation's currency."""

    alias: str
    deployment: str
    up: int
    ratings: int
    calls: int
    spend_nano: int


def thumbs(connection: Connection, *, tenant: str, start_us: int, end_us: int, currency: str) -> list[Thumbs]:
    """Return thumbs per alias and deployment for calls of the period; implicit signals are left out.

    A rating is laid at the deployment that answered: the call's last attempt.
    """
    later = ledger.alias("later")
    last = ~exists().where(later.c.call_id == ledger.c.call_id, later.c.number > ledger.c.number)
    period = and_(ledger.c.tenant == tenant, ledger.c.started_us >= start_us, ledger.c.started_us < end_us)
    place = (ledger.c.alias, ledger.c.deployment)
    ratings = (
        select(*place, _sum(feedback.c.thumb).label("up"), func.count().label("ratings"))
        .join(feedback, and_(feedback.c.call_id == ledger.c.call_id, feedback.c.tenant == ledger.c.tenant))
        .where(period, last, feedback.c.key == "thumbs", feedback.c.thumb.is_not(None))
        .group_by(*place)
    )
    # Failed tries and fallbacks cost too: all cost of the period stands against the good answers.
    traffic = (
        select(
            *place,
            _count(last).label("calls"),
            _sum(case((ledger.c.spend_currency == currency, ledger.c.spend_nano), else_=0)).label(
                "spend_nano"
            ),
        )
        .where(period)
        .group_by(*place)
    )
    rated = {(row.alias, row.deployment): row for row in connection.execute(ratings)}
    found = []
    for row in connection.execute(traffic):
        marks = rated.get((row.alias, row.deployment))
        found.append(
            Thumbs(
                alias=row.alias,
                deployment=row.deployment,
                up=int(marks.up) if marks else 0,
                ratings=int(marks.ratings) if marks else 0,
                calls=int(row.calls),
                spend_nano=int(row.spend_nano),
            )
        )
    return sorted(found, key=lambda item: (item.alias, item.deployment))


def _sum(expression: ColumnElement[int] | ColumnElement[int | None]) -> ColumnElement[int]:
    return func.coalesce(func.sum(expression), 0)


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
