"""The budget report: each budget's limit against what was spent, what is held, and where it will end.

One row per budget and its window at the minute of the report (of a past month: its last one). Spent and
held are the counters that calls are admitted by; beside them stands what the ledger's rows of the same
scope and window sum to, so that finance sees that both are one number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.adapters.store_sql import reports as rows
from gateway.adapters.store_sql.budget_rooms import standings
from gateway.adapters.store_sql.reports import USAGE, Sums
from gateway.core import units, windows
from gateway.core.money import present
from gateway.core.snapshot import BudgetLimit, Snapshot
from gateway.core.wants import every_limit, want_of, window_of
from gateway.core.windows import Window
from gateway.reports.closing import standing
from gateway.reports.document import Cell, Chart, Column, Document, Kind, Section
from gateway.reports.kinds import Asked
from gateway.reports.period import minute_of, month

LEVELS = ("org", "team", "app", "user", "key", "model", "data")
_LEDGER_OF: Mapping[str, str | None] = {
    "org": "", "team": "team", "app": "app", "key": "key", "model": "alias",
}  # fmt: skip
"""Level → the column of the ledger that names its owner. Users and kinds of data are not in it."""

_TOGETHER = 200  # wants asked in one statement
_EARLY = 20  # before a twentieth of a window is over, a straight line says nothing

_NOTES = (
    (
        "forecast: what was spent so far, drawn on as a straight line to the end of the window; none in the "
        "first twentieth of it. The report `forecast` knows weekdays and gives a range."
    ),
    (
        "variance: what may be spent less the forecast. Spent and held are the counters that calls are "
        "admitted by; ledger is what the attempts of the same scope and window sum to; by time, "
        "corrections: entries that no call holds for"
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One budget in one window. Amounts in the unit of the budget; None where it is not known."""

    limit: BudgetLimit
    name: str
    window: Window
    carried: int
    spent: int
    held: int
    forecast: int | None
    ledger: int | None
    entries: int | None

    @property
    def most(self) -> int:
        """What may be spent in the window."""
        return self.limit.limit + self.carried

    @property
    def remaining(self) -> int:
        """What is neither spent nor held."""
        return self.most - self.spent - self.held


def build(snapshot: Snapshot, asked: Asked) -> Callable[[Connection], Document]:
    """Return the work that reads and builds the report. Raises ValueError on another form of month."""
    period = month(asked.month, snapshot.timezone)
    if asked.by:
        raise ValueError("the budget report has a row per budget; leave `--by` out")

    def work(connection: Connection) -> Document:
        here = standing(connection, snapshot, asked.month, now=asked.now, journals=None)
        at = min(max(asked.now, period.start_us * 1000), period.end_us * 1000 - 1)
        found = read(connection, snapshot, at=at, now=asked.now)
        return document(snapshot, asked, here.status, found)

    return work


# ----------------------------------------------------------------------------- reading


def read(connection: Connection, snapshot: Snapshot, *, at: int, now: int) -> list[Standing]:
    """Return every budget in the window that holds ``at``, the widest first."""
    chosen = list(_chosen(connection, snapshot, at))
    stands: dict[tuple[str, str], tuple[int, int, int]] = {}
    for start in range(0, len(chosen), _TOGETHER):
        wants = [want_of(limit, at=at, name=own) for limit, own in chosen[start : start + _TOGETHER]]
        for key, parts in standings(connection, wants, me="").items():
            spent = sum(part.others + part.own for part in parts)
            held = sum(part.committed for part in parts) - spent
            stands[key] = (spent, held, sum(part.extra for part in parts))
    sums = _Ledger(connection, snapshot)
    made = []
    for limit, own in chosen:
        want = want_of(limit, at=at, name=own)
        window = _covered(limit, window_of(limit, at))
        spent, held, carried = stands.get((want.budget, want.window), (0, 0, 0))
        name = own or limit.name
        made.append(
            Standing(
                limit=limit,
                name=name,
                window=window,
                carried=carried,
                spent=spent,
                # What a window held when it ended is given back by reading journals, not by time.
                held=max(0, held) if now < window.end else 0,
                forecast=_straight(limit, window, spent, now),
                ledger=sums.attempts(limit, name, window),
                entries=sums.entries(limit, name, window),
            )
        )
    return sorted(made, key=_order)


def _chosen(connection: Connection, snapshot: Snapshot, at: int) -> Iterator[tuple[BudgetLimit, str | None]]:
    """Yield each budget that has a window, templates once per key or user that has used it."""
    apps: dict[str, str] | None = None
    done: set[tuple[str, str]] = set()
    for limit in every_limit(snapshot):
        if limit.rate:
            continue
        if "*" not in limit.id:
            yield limit, None
            continue
        before, _, after = limit.id.partition("*")
        for budget in rows.budgets_like(connection, before, after, window_of(limit, at).id):
            own = budget[len(before) : len(budget) - len(after)]
            if limit.level == "key":
                # Keys of several apps have budgets of one form: whose limit counts, the key's app says.
                apps = apps if apps is not None else rows.key_apps(connection, snapshot.tenant)
                app = snapshot.apps.get(apps.get(own, ""))
                if app is None or limit not in app.key_budgets:
                    continue
            if (budget, limit.unit) not in done:
                done.add((budget, limit.unit))
                yield limit, own


def _covered(limit: BudgetLimit, window: Window) -> Window:
    """Return all that counts: of a rolling budget the parts before the current one too."""
    if limit.per != windows.ROLLING:
        return window
    length = limit.length // windows.PARTS * windows.PARTS
    return Window(id=window.id, start=window.start - length, end=window.end)


def _straight(limit: BudgetLimit, window: Window, spent: int, now: int) -> int | None:
    """Return where a straight line through what was spent ends; None where there is nothing to draw on."""
    if limit.per == windows.ROLLING or now < window.start:
        return None
    if now >= window.end:
        return spent
    gone, length = now - window.start, window.end - window.start
    return None if gone * _EARLY < length else spent * length // gone


class _Ledger:
    """What the ledger says of budgets, asked once per window and kind of owner."""

    def __init__(self, connection: Connection, snapshot: Snapshot) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._known: dict[tuple[Window, bool], list[Sums]] = {}

    def attempts(self, limit: BudgetLimit, name: str, window: Window) -> int | None:
        """Return what the attempts of a budget's scope sum to, in its unit."""
        found = self._scope(limit, name, window)
        if found is None:
            return None
        mine = [item for item in found if item.group[-1] == USAGE]
        match limit.unit:
            case self._snapshot.currency:
                return sum(item.spend_nano for item in mine)
            case units.TOKENS:
                return sum(item.tokens_in + item.tokens_out for item in mine)
            case units.INPUT_TOKENS:
                return sum(item.tokens_in for item in mine)
            case units.OUTPUT_TOKENS:
                return sum(item.tokens_out for item in mine)
            case units.REQUESTS:
                return sum(item.attempts for item in mine)
            case _:
                return None

    def entries(self, limit: BudgetLimit, name: str, window: Window) -> int | None:
        """Return what entries of a money budget's scope sum to: capacity by time, corrections."""
        if limit.unit != self._snapshot.currency or limit.level == "key":
            return None
        found = self._scope(limit, name, window)
        if found is None:
            return None
        return sum(item.spend_nano for item in found if item.group[-1] != USAGE)

    def _scope(self, limit: BudgetLimit, name: str, window: Window) -> list[Sums] | None:
        column = _LEDGER_OF.get(limit.level)
        if column is None:
            return None
        by = ("key", "charge_kind") if column == "key" else ("team", "app", "alias", "charge_kind")
        known = (window, column == "key")
        if known not in self._known:
            self._known[known] = rows.spend(
                self._connection,
                tenant=self._snapshot.tenant,
                start_us=window.start // 1000,
                end_us=window.end // 1000,
                by=by,
                currency=self._snapshot.currency,
            )
        if not column:
            return self._known[known]
        at = by.index(column)
        return [item for item in self._known[known] if item.group[at] == name]


def _order(found: Standing) -> tuple[int, str, str, int]:
    level = LEVELS.index(found.limit.level) if found.limit.level in LEVELS else len(LEVELS)
    return level, found.name, found.limit.unit, found.window.start - found.window.end


# ---------------------------------------------------------------------------- document


def document(snapshot: Snapshot, asked: Asked, status: str, found: Sequence[Standing]) -> Document:
    """Return the report: the organisation's money first, then each other unit in its own table."""
    order = sorted({item.limit.unit for item in found}, key=lambda unit: (unit != snapshot.currency, unit))
    at_risk = [item for item in found if _state(item) not in _QUIET]
    return Document(
        report="budget",
        title="Budgets",
        organisation=snapshot.tenant,
        period=asked.month,
        timezone=snapshot.timezone,
        status=status,
        as_of=minute_of(asked.now, snapshot.timezone),
        currency=snapshot.currency,
        facts=(
            ("budgets", f"{len(found):,}; used up or on the way there: {len(at_risk):,}"),
            ("policy", f"{snapshot.policy_name} v{snapshot.policy_version}"),
            ("prices in force", snapshot.prices_hash),
        ),
        sections=tuple(
            _section(snapshot, unit, [item for item in found if item.limit.unit == unit])
            for unit in order or [snapshot.currency]
        ),
        notes=_NOTES,
    )


def _section(snapshot: Snapshot, unit: str, found: Sequence[Standing]) -> Section:
    money = units.is_money(unit)

    def amount(name: str, title: str) -> Column:
        if money:
            return Column(name=name, title=title, kind="money", currency=unit, summed=False)
        kind: Kind = "quantity" if unit == units.GPU_SECONDS else "count"
        return Column(name=name, title=title, kind=kind, summed=False)

    columns = [
        Column(name="level", title="level", kind="text"),
        Column(name="name", title="name", kind="text"),
        Column(name="window", title="window", kind="text"),
        amount("limit", "limit"),
        amount("carried", "carried over"),
        amount("spent", "spent"),
        amount("held", "held"),
        amount("remaining", "remaining"),
        Column(name="used", title="used", kind="percent"),
        amount("forecast", "forecast"),
        amount("variance", "variance"),
        Column(name="state", title="state", kind="text"),
        amount("ledger", "ledger"),
        amount("difference", "difference"),
    ]
    if money:
        columns.append(amount("entries", "by time, corrections"))
    return Section(
        name="budgets" if unit == snapshot.currency else f"budgets_{unit.lower()}",
        title=f"Budgets in {unit.replace('_', ' ').replace('gpu seconds', 'GPU-hours')}",
        columns=tuple(columns),
        rows=tuple(_row(item, money=money) for item in found),
        chart=Chart(kind="bar", x="name", y=("limit", "spent")),
    )


def _row(item: Standing, *, money: bool) -> tuple[Cell, ...]:
    unit = item.limit.unit
    limit, carried, spent, held = (
        _amount(amount, unit) for amount in (item.limit.limit, item.carried, item.spent, item.held)
    )
    forecast = None if item.forecast is None else _amount(item.forecast, unit)
    ledger = None if item.ledger is None else _amount(item.ledger, unit)
    exact = None if item.ledger is None else item.spent - item.ledger
    cells: list[Cell] = [
        item.limit.level,
        item.name,
        _window(item),
        limit,
        carried,
        spent,
        held,
        # Of what is shown, so that the row ties out to the cent.
        limit + carried - spent - held,
        None if item.most <= 0 else Decimal(round(1000 * item.spent / item.most)).scaleb(-1),
        forecast,
        None if forecast is None else limit + carried - forecast,
        _state(item),
        ledger,
        None if exact is None else _amount(exact, unit),
    ]
    if money:
        cells.append(None if item.entries is None else _amount(item.entries, unit))
    return tuple(cells)


def _amount(amount: int, unit: str) -> Decimal | int:
    if units.is_money(unit):
        return present([amount])[0]
    if unit == units.GPU_SECONDS:
        return Decimal(round(Decimal(amount) / (36 * units.MICRO))).scaleb(-2)
    return amount


_QUIET = frozenset({"ok", "not begun", "ended"})


def _state(item: Standing) -> str:
    """Return one word or two for a budget, the worst that is true."""
    if item.spent > item.most:
        return "over"
    if item.remaining <= 0 and item.spent + item.held > 0:
        return "used up"
    if item.forecast is not None and item.forecast > item.most:
        return "will not last"
    return "ok"


def _window(item: Standing) -> str:
    """Return a window as people name it: ``month 2026-11``, ``day 2026-11-23``, ``last 24 hours``."""
    limit, zone = item.limit, ZoneInfo(item.limit.timezone)
    soft = " (soft)" if limit.soft else ""
    start = datetime.fromtimestamp(item.window.start // windows.SECOND, tz=zone)
    match limit.per:
        case windows.ROLLING:
            return f"last {limit.length // (3600 * windows.SECOND)} hours{soft}"
        case windows.ONCE:
            last = datetime.fromtimestamp(item.window.end // windows.SECOND - 1, tz=zone)
            return f"{start:%Y-%m-%d} to {last:%Y-%m-%d}{soft}"
        case "month":
            return f"month {start:%Y-%m}{soft}"
        case "quarter":
            return f"quarter {start.year}-Q{(start.month + 2) // 3}{soft}"
        case "year":
            return f"year {start.year}{soft}"
        case per:
            return f"{per} {start:%Y-%m-%d}{soft}"
