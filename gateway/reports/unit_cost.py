"""The unit-cost report: what a request, a million tokens, a good answer and an outcome cost.

Cost is all of it: failed tries, retries and fallbacks where they went, shares of reserved capacity and
of own GPUs, corrections. A share that names an app but no alias is laid on that app's calls of the same
deployment, what idled on all calls of it, by what they would have cost by the call; what cannot be
laid on anybody stays a row of its own. A good answer is counted by its ratings: the share
with its Wilson range and the response rate stand beside every price of one, and fewer than 30 ratings, or
a range wider than 20 points, give no price at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from sqlalchemy import Connection

from gateway.adapters.store_sql.ratings import Ratings, ratings
from gateway.adapters.store_sql.reports import GROUPINGS, Sums, spend
from gateway.core.feedback import THUMBS, Interval, nano_per_good, wilson
from gateway.core.money import present
from gateway.core.snapshot import Snapshot
from gateway.reports.attribution import BASE, Used, attributed, grouped
from gateway.reports.closing import standing
from gateway.reports.document import Cell, Chart, Column, Document, Section
from gateway.reports.kinds import Asked
from gateway.reports.period import minute_of, month

DEFAULT_BY = ("alias", "model", "deployment")
_ALLOWED = tuple(name for name in GROUPINGS if name != "charge_kind")
_INSUFFICIENT = "insufficient data"
_NOTES = (
    (
        "cost is all that was spent: failed tries, retries and fallbacks where they went; capacity paid by "
        "time, and what of it idled, laid on the calls of its deployment by what they would have cost by the "
        "call"
    ),
    (
        "per million tokens is all cost over all tokens, over those in and over those out: three views of "
        "the same money, not a price list"
    ),
)
_GOOD_NOTES = (
    (
        "cost per good answer is cost ÷ (calls × share of good ratings): the unrated are taken to be as good "
        "as the rated, which nobody knows; the range is Wilson's, 95 %"
    ),
    "insufficient data: fewer than 30 ratings, or a range wider than 20 points",
)


def build(snapshot: Snapshot, asked: Asked) -> Callable[[Connection], Document]:
    """Return the work that reads and builds the report. Raises ValueError on what cannot be asked for."""
    month(asked.month, snapshot.timezone)
    by = asked.by or DEFAULT_BY
    for name in by:
        if name not in _ALLOWED:
            raise ValueError(f"cannot group by `{name}`; use some of {', '.join(_ALLOWED)}")

    def work(connection: Connection) -> Document:
        return _document(connection, snapshot, asked, by)

    return work


def _document(connection: Connection, snapshot: Snapshot, asked: Asked, by: tuple[str, ...]) -> Document:
    here = standing(connection, snapshot, asked.month, now=asked.now, journals=None)
    base = (*by, *(name for name in BASE if name not in by))
    sums = spend(
        connection,
        tenant=snapshot.tenant,
        start_us=here.start_us,
        end_us=here.end_us,
        by=(*base, "charge_kind"),
        currency=snapshot.currency,
        billing=asked.month,
    )
    told = ratings(connection, tenant=snapshot.tenant, start_us=here.start_us, end_us=here.end_us, by=base)
    spread = attributed(sums, base)
    used = grouped(spread, len(by))
    said = _said(told, tuple(range(len(by))))
    aliases = grouped([replace(item, group=(item.group[base.index("alias")],)) for item in spread], 1)
    heard = _said(told, (base.index("alias"),))
    return Document(
        report="unit-cost",
        title="Unit cost",
        organisation=snapshot.tenant,
        period=asked.month,
        timezone=snapshot.timezone,
        status=here.status,
        as_of=minute_of(asked.now, snapshot.timezone),
        currency=snapshot.currency,
        facts=(
            ("amounts", f"{snapshot.currency}, tax excluded, estimated amounts included"),
            ("rows", _counted(sums)),
            ("prices in force", snapshot.prices_hash),
        ),
        sections=(
            _units(used, by, snapshot.currency),
            _good(aliases, heard, ("alias",), snapshot.currency, name="good_by_alias"),
            *([_good(used, said, by, snapshot.currency, name="good")] if by != ("alias",) else []),
            *_outcomes(aliases, heard, snapshot.currency),
        ),
        notes=_NOTES,
    )


def _counted(sums: Sequence[Sums]) -> str:
    attempts, entries = sum(item.attempts for item in sums), sum(item.entries for item in sums)
    lost = sum(item.unpriced + item.unconverted for item in sums)
    holes = f"; {lost:,} without a price or rate are NOT in the cost" if lost else ""
    return f"{sum(item.calls for item in sums):,} calls, {attempts:,} attempts, {entries:,} entries{holes}"


# ---------------------------------------------------------------------------- ratings

_Said = Mapping[tuple[tuple[str, ...], str], tuple[int, int]]


def _said(told: Sequence[Ratings], at: Sequence[int]) -> _Said:
    """Return (positive, ratings) by group, of these columns, and key."""
    found: dict[tuple[tuple[str, ...], str], tuple[int, int]] = {}
    for item in told:
        key = (tuple(item.group[index] or "–" for index in at), item.key)
        positive, ratings = found.get(key, (0, 0))
        found[key] = (positive + item.positive, ratings + item.ratings)
    return found


# ---------------------------------------------------------------------------- sections


def _units(used: Sequence[Used], by: Sequence[str], currency: str) -> Section:
    costs, idle = present([item.nano for item in used]), present([item.idle_nano for item in used])
    body = [
        (
            *item.group,
            item.calls,
            item.attempts,
            item.tokens_in,
            item.tokens_out,
            costs[number],
            idle[number],
            _per(item.nano * 1_000, item.calls),
            _per(item.nano * 1_000_000, item.tokens_in + item.tokens_out),
            _per(item.nano * 1_000_000, item.tokens_in),
            _per(item.nano * 1_000_000, item.tokens_out),
        )
        for number, item in enumerate(used)
    ]
    columns = (
        *(_text(name) for name in by),
        Column(name="calls", title="calls", kind="count"),
        Column(name="attempts", title="attempts", kind="count"),
        Column(name="tokens_in", title="tokens in", kind="count"),
        Column(name="tokens_out", title="tokens out", kind="count"),
        Column(name="cost", title=currency.lower(), kind="money", currency=currency),
        Column(name="idle", title="of it idle", kind="money", currency=currency),
        Column(name="per_1000_calls", title="per 1,000 calls", kind="quantity"),
        Column(name="per_million_tokens", title="per 1M tokens", kind="quantity"),
        Column(name="per_million_tokens_in", title="per 1M in", kind="quantity"),
        Column(name="per_million_tokens_out", title="per 1M out", kind="quantity"),
    )
    whole = grouped(used, 0)
    sums: list[Cell] = [None] * 4
    if whole:
        one = whole[0]
        sums = [
            _per(one.nano * 1_000, one.calls),
            _per(one.nano * 1_000_000, one.tokens_in + one.tokens_out),
            _per(one.nano * 1_000_000, one.tokens_in),
            _per(one.nano * 1_000_000, one.tokens_out),
        ]
    return Section(
        name="unit_cost",
        title="Unit cost",
        columns=columns,
        rows=tuple(body),
        total=(
            "TOTAL",
            *([None] * (len(by) - 1)),
            sum(item.calls for item in used),
            sum(item.attempts for item in used),
            sum(item.tokens_in for item in used),
            sum(item.tokens_out for item in used),
            sum(costs, _ZERO),
            sum(idle, _ZERO),
            *sums,
        ),
        chart=Chart(kind="bar", x=by[0], y=("per_1000_calls",)),
    )


def _good(used: Sequence[Used], said: _Said, by: Sequence[str], currency: str, *, name: str) -> Section:
    body: list[tuple[Cell, ...]] = []
    for item in used:
        if not item.calls:
            continue
        up, total = said.get((item.group, THUMBS), (0, 0))
        interval = wilson(up, total)
        enough = interval is not None and interval.enough
        price: list[Cell] = [None, None, None]
        if interval is not None and enough:
            price = [
                _six(nano_per_good(item.nano, calls=item.calls, up=up, total=total)),
                _at(item, interval.high),
                _at(item, interval.low),
            ]
        body.append(
            (
                *item.group,
                item.calls,
                total,
                _percent(total / item.calls),
                *_range(interval),
                *price,
                "" if enough else "no ratings" if interval is None else _INSUFFICIENT,
            )
        )
    return Section(
        name=name,
        title="Cost per good answer" + (" by alias" if name == "good_by_alias" else ""),
        columns=(
            *(_text(column) for column in by),
            Column(name="calls", title="calls", kind="count", summed=False),
            Column(name="ratings", title="ratings", kind="count", summed=False),
            Column(name="response_rate", title="response rate", kind="percent"),
            Column(name="good", title="good", kind="percent"),
            Column(name="good_low", title="at least", kind="percent"),
            Column(name="good_high", title="at most", kind="percent"),
            Column(name="per_good", title=f"{currency.lower()} per good answer", kind="quantity"),
            Column(name="per_good_low", title="from", kind="quantity"),
            Column(name="per_good_high", title="to", kind="quantity"),
            Column(name="remark", title="remark", kind="text"),
        ),
        rows=tuple(body),
        notes=_GOOD_NOTES if name == "good_by_alias" else (),
    )


def _outcomes(used: Sequence[Used], said: _Said, currency: str) -> tuple[Section, ...]:
    """Return the cost per outcome that apps report under feedback keys of their own."""
    by_alias = {item.group: item for item in used}
    body: list[tuple[Cell, ...]] = []
    for (group, key), (positive, reports) in sorted(said.items()):
        if key == THUMBS or group not in by_alias:
            continue
        item = by_alias[group]
        cost = present([item.nano])[0]
        body.append(
            (
                *group,
                key,
                item.calls,
                reports,
                positive,
                cost,
                _six(item.nano // positive if positive else None),
            )
        )
    if not body:
        return ()
    return (
        Section(
            name="outcomes",
            title="Cost per reported outcome",
            columns=(
                _text("alias"),
                Column(name="key", title="feedback key", kind="text"),
                Column(name="calls", title="calls", kind="count", summed=False),
                Column(name="reports", title="reports", kind="count", summed=False),
                Column(name="outcomes", title="above zero", kind="count", summed=False),
                Column(name="cost", title=currency.lower(), kind="money", currency=currency, summed=False),
                Column(name="per_outcome", title=f"{currency.lower()} per outcome", kind="quantity"),
            ),
            rows=tuple(body),
            notes=("all cost of the alias over the reports above zero; what nobody reported counts as none",),
        ),
    )


def _text(name: str) -> Column:
    return Column(name=name, title=name.replace("_", " "), kind="text")


def _range(interval: Interval | None) -> tuple[Cell, Cell, Cell]:
    if interval is None:
        return None, None, None
    return _percent(interval.share), _percent(interval.low), _percent(interval.high)


def _percent(share: float) -> Decimal:
    # A share is statistics, not money: it may come from floats.
    return Decimal(round(share * 1000)).scaleb(-1)


def _at(item: Used, share: float) -> Decimal | None:
    """Return the cost per good answer if this share of answers were good."""
    ppm = round(share * 1_000_000)
    return _six(item.nano * 1_000_000 // (item.calls * ppm)) if ppm else None


def _per(nano: int, units: int) -> Decimal | None:
    return _four(nano // units) if units else None


def _four(nano: int) -> Decimal:
    return present([nano], places=4)[0]


def _six(nano: int | None) -> Decimal | None:
    # One answer costs thousandths of a cent.
    return None if nano is None else present([nano], places=6)[0]


_ZERO = Decimal("0.00")
