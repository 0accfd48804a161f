"""Reading and locking the shared windows: what a batch of holds is planned in.

A :class:`Level` is a window that a writer syncs; :func:`rooms` returns a
:class:`~gateway.core.leasing.Room` for each, locked. Budgets whose windows depend on each other
(rolling ones, and those that carry over) are serialised by a lock of their own first, since a
row that is not there yet cannot be locked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.store_sql.tables import budget_windows, slices
from gateway.core.leasing import Key, Past, Room, Run, due, take_over
from gateway.core.units import RATE
from gateway.core.values import Want
from gateway.core.windows import NOW, PARTS, instant

CONTENDED_US = 5_000_000
"""How long a refusal for want of a slice keeps others from leasing beyond need."""

_MOST_PAST = 400
"""Windows back that a budget is followed which carries over and never was decided."""

Insert = sqlite.Insert | postgresql.Insert


def insert(connection: Connection, table: Table) -> Insert:
    """Return an insert that knows ``ON CONFLICT``, for either database."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One window that a writer syncs: the latest want of it, and what the writer spent and holds (floor).

    ``give`` returns what is free first; ``factor`` is for :func:`gateway.core.leasing.padding`;
    ``decided`` says that what the window takes over is known to be decided.
    """

    want: Want
    floor: int
    give: bool
    factor: int = 9
    decided: bool = False

    @property
    def key(self) -> Key:
        """The row."""
        return self.want.budget, self.want.window


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """One window as the tables have it: all that is committed, and what was spent, by others and by us."""

    window: str
    committed: int
    others: int
    own: int
    extra: int = 0
    carried: int = 0


def make(connection: Connection, wants: Sequence[Want]) -> None:
    """Make the windows that are not there yet. In a transaction of its own where writers are many.

    A row that is made while others are locked would be locked out of order.
    """
    _serialise(connection, wants)
    _make(connection, wants)


def rooms(
    connection: Connection, levels: Sequence[Level], *, now_us: int
) -> tuple[dict[Key, Room], set[Key]]:
    """Lock the windows of the levels and return them as rooms, and which are decided on their carry-over."""
    undecided = [level.want for level in levels if level.want.carry is not None and not level.decided]
    _serialise(connection, [*undecided, *(level.want for level in levels if level.want.length)])
    takers = [want for want in undecided if due(want, now_us * 1000)]
    keys = {level.key for level in levels}
    older = {(want.budget, each.window) for want in takers for each in _past(connection, want)}
    found = _locked(connection, sorted(keys | older))
    if not keys <= found.keys():
        _make(connection, [level.want for level in levels if level.key not in found])
        found = _locked(connection, sorted(keys | older))
    for want in takers:
        _take_over(connection, want, found)
    runs: dict[str, Run] = {}
    made: dict[Key, Room] = {}
    for level in levels:
        row = found[level.key]
        want = level.want
        room = made[level.key] = Room(
            committed=row.committed,
            free=0,
            contended=now_us - row.contended_us < CONTENDED_US,
            factor=level.factor,
            limit=want.limit,
            extra=row.extra,
            rate=want.rate,
        )
        if want.length:
            if want.budget not in runs:
                same = [each.want for each in levels if each.want.budget == want.budget]
                runs[want.budget] = _run(connection, same)
            room.run = runs[want.budget]
            room.number = room.run.number(want.window)
    return made, {key for key in keys if found[key].carried is not None}


def standings(connection: Connection, wants: Sequence[Want], *, me: str) -> dict[Key, list[Stand]]:
    """Return, per want, the windows that count for it: one, or the parts of a rolling budget."""
    plain = sorted({(want.budget, want.window) for want in wants if not want.length})
    stands: dict[Key, list[Stand]] = {}
    if plain:
        rows = connection.execute(
            _stands(me).where(tuple_(budget_windows.c.budget, budget_windows.c.window).in_(plain))
        ).all()
        for row in rows:
            stands[row.budget, row.window] = [_stand(row)]
    for want in wants:
        key = (want.budget, want.window)
        if want.length:
            rows = connection.execute(_stands(me).where(*_near([want], forward=False))).all()
            stands[key] = [_stand(row) for row in rows]
        elif want.carry is not None:
            stands[key] = _foreseen(connection, want, stands.get(key))
    return stands


def _stand(row: Row[Any]) -> Stand:
    return Stand(
        window=row.window,
        committed=int(row.committed),
        others=int(row.others or 0),
        own=int(row.own or 0),
        extra=int(row.carried or 0) - int(row.passed),
        carried=int(row.carried or 0),
    )


def _stands(me: str) -> Select[Any]:
    return (
        select(
            budget_windows.c.budget,
            budget_windows.c.window,
            budget_windows.c.committed,
            budget_windows.c.carried,
            budget_windows.c.passed,
            func.sum(slices.c.spent).filter(slices.c.writer != me).label("others"),
            func.sum(slices.c.spent).filter(slices.c.writer == me).label("own"),
        )
        .select_from(
            budget_windows.outerjoin(
                slices,
                (slices.c.budget == budget_windows.c.budget) & (slices.c.window == budget_windows.c.window),
            )
        )
        .group_by(
            budget_windows.c.budget,
            budget_windows.c.window,
            budget_windows.c.committed,
            budget_windows.c.carried,
            budget_windows.c.passed,
        )
        .order_by(budget_windows.c.window)
    )


# ------------------------------------------------------------------ rows and locks


def _serialise(connection: Connection, wants: Iterable[Want]) -> None:
    """Let one writer at a time into budgets whose windows depend on each other. SQLite has one anyway."""
    if connection.dialect.name == "sqlite":
        return
    for name in sorted({want.budget for want in wants if want.length or want.carry is not None}):
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


@dataclass(slots=True, kw_only=True)
class _Window(Past):
    """One row as locked."""

    contended_us: int = 0


_COLUMNS = (
    budget_windows.c.budget,
    budget_windows.c.window,
    budget_windows.c.committed,
    budget_windows.c.contended_us,
    budget_windows.c.base,
    budget_windows.c.carried,
    budget_windows.c.passed,
)


def _locked(connection: Connection, keys: Sequence[Key]) -> dict[Key, _Window]:
    rows = connection.execute(
        select(*_COLUMNS)
        .where(tuple_(budget_windows.c.budget, budget_windows.c.window).in_(keys))
        .order_by(budget_windows.c.budget, budget_windows.c.window)
        .with_for_update()
    ).all()
    return {
        (row.budget, row.window): _Window(
            window=row.window,
            committed=row.committed,
            contended_us=row.contended_us,
            base=row.base,
            carried=row.carried,
            passed=row.passed,
        )
        for row in rows
    }


def _make(connection: Connection, wants: Iterable[Want]) -> None:
    rows: list[dict[str, object]] = []
    for want in sorted(wants, key=lambda want: (want.budget, want.window)):
        late = want.carry is not None and _passed_by(connection, want)
        rows.append(
            {
                "budget": want.budget,
                "window": want.window,
                "unit": want.unit,
                "resets_us": want.resets // 1000,
                "committed": 0,
                "base": want.base,
                # A clock behind opens a window whose worth a later one has taken over: nothing is left.
                "carried": 0 if late else None,
                "passed": want.base if late else 0,
            }
        )
    if rows:
        connection.execute(insert(connection, budget_windows).on_conflict_do_nothing(), rows)


def _passed_by(connection: Connection, want: Want) -> bool:
    """Say whether a later window of the budget has taken over from what was before it."""
    later = select(budget_windows.c.window).where(
        budget_windows.c.budget == want.budget,
        budget_windows.c.resets_us > want.resets // 1000,
        budget_windows.c.carried.is_not(None),
    )
    return connection.execute(later.limit(1)).first() is not None


# ---------------------------------------------------------------- carrying over


def _take_over(connection: Connection, want: Want, found: dict[Key, _Window]) -> None:
    """Decide what a window takes over, for good, and write it down with what it was taken from."""
    row = found[want.budget, want.window]
    if want.carry is None or row.carried is not None:
        return
    past = sorted(
        (each for (budget, window), each in found.items() if budget == want.budget and window <= want.window),
        key=lambda each: each.window,
    )
    before = [(each.carried, each.passed) for each in past]
    row.base = want.base
    take_over(past, want.carry)
    for each, (carried, passed) in zip(past, before, strict=True):
        if (each.carried, each.passed) != (carried, passed):
            connection.execute(
                update(budget_windows)
                .where(budget_windows.c.budget == want.budget, budget_windows.c.window == each.window)
                .values(carried=each.carried, passed=each.passed)
            )


def _foreseen(connection: Connection, want: Want, rows: list[Stand] | None) -> list[Stand]:
    """Return where a window stands that carries over, with what it is going to take over if undecided."""
    past = _past(connection, want)
    stand = rows[0] if rows else Stand(window=want.window, committed=0, others=0, own=0)
    if not past or past[-1].window != want.window:
        past.append(Past(window=want.window, base=want.base, committed=0, carried=None))
    if want.carry is not None:
        take_over(past, want.carry)
    return [replace(stand, extra=past[-1].extra, carried=past[-1].carried or 0)]


def _past(connection: Connection, want: Want) -> list[Past]:
    """Return the windows up to this one, back to the last that was decided, oldest first."""
    query = (
        select(*_COLUMNS)
        .where(
            budget_windows.c.budget == want.budget,
            budget_windows.c.resets_us <= want.resets // 1000,
        )
        .order_by(budget_windows.c.resets_us.desc())
        .limit(_MOST_PAST)
    )
    found: list[Past] = []
    for row in connection.execute(query).all():
        found.append(
            Past(
                window=row.window,
                base=row.base,
                committed=row.committed,
                carried=row.carried,
                passed=row.passed,
            )
        )
        if row.carried is not None:
            break
    return found[::-1]


# ---------------------------------------------------------------------- rolling


def _run(connection: Connection, wants: Sequence[Want]) -> Run:
    rows = connection.execute(
        select(budget_windows.c.window, budget_windows.c.committed).where(*_near(wants, forward=True))
    ).all()
    run = Run(part=wants[0].length // PARTS)
    for window, committed in rows:
        run.committed[run.number(window)] = committed
    return run


def _near(wants: Sequence[Want], *, forward: bool) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions on the parts of one rolling budget that count together with these."""
    starts = [instant(want.window) for want in wants]
    length = wants[0].length
    part = length // PARTS
    first = (min(starts) + part - length) // 1000
    last = (max(starts) + part + (length if forward else 0)) // 1000
    return (
        budget_windows.c.budget == wants[0].budget,
        budget_windows.c.resets_us >= first,
        budget_windows.c.resets_us <= last,
    )


# ------------------------------------------------------------------------- rates

_RATE = f"{RATE}%"
_KEPT_US = 300_000_000
_MOST_SWEPT = 1_000


def sweep_rates(connection: Connection, *, now_us: int) -> int:
    """Delete the minutes of rates that are long over; return how many."""
    old = (
        select(budget_windows.c.budget, budget_windows.c.window)
        .where(budget_windows.c.budget.like(_RATE), budget_windows.c.resets_us < now_us - _KEPT_US)
        .order_by(budget_windows.c.budget, budget_windows.c.window)
        .limit(_MOST_SWEPT)
        .with_for_update(skip_locked=True)
    )
    keys = [(budget, window) for budget, window in connection.execute(old).all()]
    if keys:
        connection.execute(slices.delete().where(tuple_(slices.c.budget, slices.c.window).in_(keys)))
        connection.execute(
            budget_windows.delete().where(tuple_(budget_windows.c.budget, budget_windows.c.window).in_(keys))
        )
    return len(keys)


def given_back() -> ColumnElement[bool]:
    """Return the condition on slices that a closed writer gives back: all but the minutes of rates.

    What it used of a minute stays used; the minute is soon over.
    """
    return ~slices.c.budget.like(_RATE) | (slices.c.window == NOW)
