"""Statements of the shared budget windows: leases, returns, release, standing.

INVARIANT: committed = Σ granted over all slices of a window, in every committed
transaction; and committed never passes a limit but by an overrun, which is booked
whatever the limit. Locks are taken in one order everywhere (writer, windows sorted,
slices), so that transactions wait for each other and never in a ring.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Table, bindparam, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.store_sql.tables import budget_windows, slices, writers
from gateway.core.budget import Ask, Key, Room, Verdict, plan
from gateway.core.values import Want

CONTENDED_US = 5_000_000
"""How long a refusal for want of a slice keeps others from leasing beyond need."""

Insert = sqlite.Insert | postgresql.Insert


class Fenced(Exception):
    """This writer was closed by an adopter: it may not be granted anything any more."""


def insert(connection: Connection, table: Table) -> Insert:
    """Return an insert that knows ``ON CONFLICT``, for either database."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who leases: the id of the journal's writer, and where it runs."""

    id: str
    place: str
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One window that a writer syncs. ``floor`` is what it has spent and holds.

    ``give`` returns what is free first; ``factor`` is for :func:`gateway.core.budget.padding`.
    """

    key: Key
    unit: str
    resets_us: int
    floor: int
    give: bool
    factor: int = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A level that had no room for an ask. ``spent`` is by other writers, as projected."""

    want: Want
    committed: int
    spent: int


@dataclass(slots=True, kw_only=True)
class Synced:
    """What a sync left: granted to us and committed to all per key, and the answers."""

    granted: dict[Key, int] = field(default_factory=dict)
    committed: dict[Key, int] = field(default_factory=dict)
    contended: dict[Key, bool] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    blocked: dict[str, Blocked] = field(default_factory=dict)  # hold id → level


def sync(
    connection: Connection, writer: Writer, levels: Sequence[Level], asks: Sequence[Ask], *, now_us: int
) -> Synced:
    """Book overruns, give back, and lease for a batch of asks, in one transaction.

    Raises Fenced if the writer is closed.
    """
    open_writer(connection, writer, now_us=now_us)
    keys = sorted(level.key for level in levels)
    rooms = _locked(connection, keys, now_us=now_us)
    if len(rooms) < len(keys):
        _make_windows(connection, [level for level in levels if level.key not in rooms])
        rooms = _locked(connection, keys, now_us=now_us)
    granted = _granted(connection, writer.id, keys)
    for level in levels:
        room = rooms[level.key]
        own = granted.get(level.key, 0)
        # Spend beyond what was granted is booked whatever the limit (overrun).
        wanted = level.floor if level.give or own < level.floor else own
        room.committed += wanted - own
        room.taken = wanted - own
        room.free = wanted - level.floor
        room.factor = level.factor
    result = Synced(verdicts=plan(asks, rooms))
    _refused(connection, writer.id, asks, rooms, result, now_us=now_us)
    for level in levels:
        room = rooms[level.key]
        result.granted[level.key] = granted.get(level.key, 0) + room.taken
        result.committed[level.key] = room.committed
        result.contended[level.key] = room.contended
    _store(connection, writer.id, rooms, result)
    return result


def _locked(connection: Connection, keys: Sequence[Key], *, now_us: int) -> dict[Key, Room]:
    rows = connection.execute(
        select(
            budget_windows.c.budget,
            budget_windows.c.window,
            budget_windows.c.committed,
            budget_windows.c.contended_us,
        )
        .where(tuple_(budget_windows.c.budget, budget_windows.c.window).in_(keys))
        .order_by(budget_windows.c.budget, budget_windows.c.window)
        .with_for_update()
    ).all()
    return {
        (budget, window): Room(committed=committed, free=0, contended=now_us - contended_us < CONTENDED_US)
        for budget, window, committed, contended_us in rows
    }


def open_writer(connection: Connection, writer: Writer, *, now_us: int) -> None:
    """Make the writer's row if it is not there, and lock it. Raises Fenced if it is closed."""
    state = connection.execute(_STATE, {"writer": writer.id}).scalar_one_or_none()
    if state is None:
        connection.execute(
            insert(connection, writers)
            .values(id=writer.id, place=writer.place, host=writer.host, state="open", opened_us=now_us)
            .on_conflict_do_nothing()
        )
        state = connection.execute(_STATE, {"writer": writer.id}).scalar_one()
    if state != "open":
        raise Fenced(f"writer `{writer.id}` is closed: its slices were released")


_STATE = select(writers.c.state).where(writers.c.id == bindparam("writer")).with_for_update()


def _make_windows(connection: Connection, levels: Iterable[Level]) -> None:
    rows = [
        {
            "budget": level.key[0],
            "window": level.key[1],
            "unit": level.unit,
            "resets_us": level.resets_us,
            "committed": 0,
        }
        for level in sorted(levels, key=lambda level: level.key)
    ]
    if rows:
        connection.execute(insert(connection, budget_windows).on_conflict_do_nothing(), rows)


def _granted(connection: Connection, writer: str, keys: Sequence[Key]) -> dict[Key, int]:
    rows = connection.execute(
        select(slices.c.budget, slices.c.window, slices.c.granted)
        .where(slices.c.writer == writer)
        .where(tuple_(slices.c.budget, slices.c.window).in_(keys))
    ).all()
    return {(budget, window): granted for budget, window, granted in rows}


def _refused(
    connection: Connection,
    writer: str,
    asks: Sequence[Ask],
    rooms: Mapping[Key, Room],
    result: Synced,
    *,
    now_us: int,
) -> None:
    """Say of each refused ask what others have spent there, and flag the window."""
    keys = sorted({verdict.blocked for verdict in result.verdicts if verdict.blocked is not None})
    if not keys:
        return
    others = _spent(connection, keys, but=writer)
    connection.execute(
        update(budget_windows)
        .where(tuple_(budget_windows.c.budget, budget_windows.c.window).in_(keys))
        .values(contended_us=now_us)
    )
    for ask, verdict in zip(asks, result.verdicts, strict=True):
        if verdict.blocked is None:
            continue
        want = next(w for w in ask.wants if (w.budget, w.window) == verdict.blocked)
        result.blocked[ask.hold_id] = Blocked(
            want=want, committed=rooms[verdict.blocked].committed, spent=others.get(verdict.blocked, 0)
        )


def _spent(connection: Connection, keys: Sequence[Key], *, but: str | None) -> dict[Key, int]:
    query = select(slices.c.budget, slices.c.window, func.sum(slices.c.spent)).where(
        tuple_(slices.c.budget, slices.c.window).in_(keys)
    )
    if but is not None:
        query = query.where(slices.c.writer != but)
    rows = connection.execute(query.group_by(slices.c.budget, slices.c.window)).all()
    return {(budget, window): int(spent) for budget, window, spent in rows}


def _store(
    connection: Connection,
    writer: str,
    rooms: Mapping[Key, Room],
    result: Synced,
) -> None:
    moved = [key for key, room in rooms.items() if room.taken != 0]
    if not moved:
        return
    connection.execute(
        update(budget_windows)
        .where(budget_windows.c.budget == bindparam("b"), budget_windows.c.window == bindparam("w"))
        .values(committed=bindparam("now")),
        [{"b": key[0], "w": key[1], "now": rooms[key].committed} for key in sorted(moved)],
    )
    statement = insert(connection, slices)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["writer", "budget", "window"], set_={"granted": statement.excluded.granted}
        ),
        [
            {
                "writer": writer,
                "budget": key[0],
                "window": key[1],
                "granted": result.granted[key],
                "spent": 0,
            }
            for key in sorted(moved)
        ],
    )


# ------------------------------------------------------------------ afterwards


def release(connection: Connection, writer: Writer, *, by: str, now_us: int) -> None:
    """Close a writer: its slices shrink (or grow) to what it spent, for good.

    Only after its journal was read to the end. Idempotent.
    """
    connection.execute(
        insert(connection, writers)
        .values(id=writer.id, place=writer.place, host=writer.host, state="open", opened_us=now_us)
        .on_conflict_do_nothing()
    )
    connection.execute(_STATE, {"writer": writer.id}).scalar_one()
    _lock_windows(connection, writer.id)
    shrink(connection, writer.id)
    connection.execute(
        update(writers)
        .where(writers.c.id == writer.id, writers.c.state == "open")
        .values(state="closed", closed_us=now_us, closed_by=by)
    )


def _lock_windows(connection: Connection, writer: str) -> None:
    mine = select(slices.c.budget, slices.c.window).where(slices.c.writer == writer)
    connection.execute(
        select(budget_windows.c.budget)
        .where(tuple_(budget_windows.c.budget, budget_windows.c.window).in_(mine))
        .order_by(budget_windows.c.budget, budget_windows.c.window)
        .with_for_update()
    ).all()


def shrink(connection: Connection, writer: str) -> None:
    """Set every slice of a closed writer to what it spent, and committed with it."""
    rows = connection.execute(
        select(slices.c.budget, slices.c.window, slices.c.granted, slices.c.spent)
        .where(slices.c.writer == writer, slices.c.granted != slices.c.spent)
        .order_by(slices.c.budget, slices.c.window)
    ).all()
    for budget, window, granted, spent in rows:
        connection.execute(
            update(budget_windows)
            .where(budget_windows.c.budget == budget, budget_windows.c.window == window)
            .values(committed=budget_windows.c.committed + (spent - granted))
        )
        connection.execute(
            update(slices)
            .where(slices.c.writer == writer, slices.c.budget == budget, slices.c.window == window)
            .values(granted=spent)
        )


def contended(connection: Connection, keys: Sequence[Key], *, now_us: int) -> set[Key]:
    """Return which windows somebody was lately refused in."""
    rows = connection.execute(
        select(budget_windows.c.budget, budget_windows.c.window)
        .where(tuple_(budget_windows.c.budget, budget_windows.c.window).in_(sorted(keys)))
        .where(budget_windows.c.contended_us > now_us - CONTENDED_US)
    ).all()
    return {(budget, window) for budget, window in rows}


def standings(
    connection: Connection, keys: Sequence[Key], *, but: str | None = None
) -> dict[Key, tuple[int, int]]:
    """Return (committed, spent) per window over all writers; spent leaves out ``but``."""
    ordered = sorted(keys)
    rows = connection.execute(
        select(budget_windows.c.budget, budget_windows.c.window, budget_windows.c.committed).where(
            tuple_(budget_windows.c.budget, budget_windows.c.window).in_(ordered)
        )
    ).all()
    spent = _spent(connection, ordered, but=but)
    return {
        (budget, window): (committed, spent.get((budget, window), 0)) for budget, window, committed in rows
    }
