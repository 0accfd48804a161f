"""What raters said, laid at the deployments that answered: thumbs, and outcomes that apps report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, func, select

from gateway.adapters.store_sql.reports import GROUPINGS, USAGE, spend
from gateway.adapters.store_sql.rollups import is_last, of_row
from gateway.adapters.store_sql.tables import feedback, ledger
from gateway.core.feedback import THUMBS


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

    A rating is laid at the deployment that answered: the call's last attempt. Failed tries and
    fallbacks cost too: all cost of the period stands against the good answers.
    """
    by = ("alias", "deployment")
    told = ratings(connection, tenant=tenant, start_us=start_us, end_us=end_us, by=by)
    rated = {item.group: item for item in told if item.key == THUMBS}
    traffic: dict[tuple[str, str], tuple[int, int]] = {}
    spent = spend(
        connection,
        tenant=tenant,
        start_us=start_us,
        end_us=end_us,
        by=by,
        currency=currency,
        where={"charge_kind": USAGE},
    )
    for item in spent:
        group = (item.group[0] or "", item.group[1] or "")
        calls, nano = traffic.get(group, (0, 0))
        traffic[group] = (calls + item.calls, nano + item.spend_nano)
    return [
        Thumbs(
            alias=group[0],
            deployment=group[1],
            up=rated[group].positive if group in rated else 0,
            ratings=rated[group].ratings if group in rated else 0,
            calls=calls,
            spend_nano=nano,
        )
        for group, (calls, nano) in sorted(traffic.items())
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """What was said under one feedback key about the calls of one group.

    ``positive`` counts thumbs up, or values above zero: an outcome that came about.
    """

    group: tuple[str, ...]
    key: str
    positive: int
    ratings: int


_LATEST_US = 36 * 86_400_000_000
"""A rating is taken up to 35 days after the reply, about a moment up to 35 days ago."""


def ratings(
    connection: Connection, *, tenant: str, start_us: int, end_us: int, by: Sequence[str]
) -> list[Ratings]:
    """Return the ratings of calls whose last attempt started in the period, by its group and their key."""
    names = [GROUPINGS[name] for name in by]
    keyed = [of_row(name).label(f"d_{name}") for name in names]
    said = feedback.alias("said")
    query = (
        select(*keyed, said.c.key, said.c.thumb, said.c.value, func.count().label("ratings"))
        .select_from(said.join(ledger, ledger.c.call_id == said.c.call_id))
        .where(said.c.tenant == tenant, is_last())
        # Said twice: the ratings are few, and found by their time.
        .where(said.c.occurred_us >= start_us - _LATEST_US, said.c.occurred_us < end_us + 2 * _LATEST_US)
        # Written so that no index of the ledger fits but that of calls: each rating is one look into it.
        .where(ledger.c.tenant.concat("") == tenant)
        .where(ledger.c.started_us + 0 >= start_us, ledger.c.started_us + 0 < end_us)
        .group_by(*keyed, said.c.key, said.c.thumb, said.c.value)
    )
    found: dict[tuple[tuple[str, ...], str], tuple[int, int]] = {}
    for row in connection.execute(query):
        if row.thumb is None and row.value is None:
            continue  # a label or a comment alone
        good = bool(row.thumb) if row.thumb is not None else Decimal(row.value) > 0
        group = (tuple(row[: len(names)]), row.key)
        positive, total_of = found.get(group, (0, 0))
        found[group] = (positive + row.ratings * good, total_of + row.ratings)
    return [
        Ratings(group=group, key=key, positive=positive, ratings=number)
        for (group, key), (positive, number) in sorted(found.items())
    ]
