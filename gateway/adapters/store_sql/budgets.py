"""Statements of the shared budget windows: leases, returns, release.

INVARIANT: committed = Σ granted over all slices of a window, in every committed
transaction; and committed never passes a limit but by an overrun, which is booked
whatever the limit. Locks are taken in one order everywhere (writer, budgets whose windows
depend on each other, windows sorted, slices), so that transactions wait for each other and
never in a ring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, select, tuple_, update

from gateway.adapters.store_sql.budget_rooms import (
    CONTENDED_US,
    Level,
    Stand,
    given_back,
    insert,
    rooms,
    standings,
)
from gateway.adapters.store_sql.tables import budget_windows, slices, writers
from gateway.core.leasing import Ask, Key, Room, Verdict, plan
from gateway.core.values import Want
from gateway.core.windows import NOW

__all__ = [
    "Blocked",
    "Fenced",
    "Level",
    "Synced",
    "Writer",
    "contended",
    "insert",
    "open_writer",
    "release",
    "shrink",
    "sync",
]


class Fenced(Exception):
    """This writer was closed by an adopter: it may not be granted anything any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who leases: the id of the journal's writer, and where it runs."""

    id: str
    place: str
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A level that had no room for an ask, and where its windows stand.

    ``committed`` is over all writers, this batch included; ``extra`` what the window took over;
    ``frees`` the instant at which enough of a rolling budget is free.
    """

    want: Want
    committed: int
    stands: tuple[Stand, ...]
    extra: int = 0
    frees: int | None = None


@dataclass(slots=True, kw_only=True)
class Synced:
    """What a sync left: granted to us and left for all per key, and the answers."""

    granted: dict[Key, int] = field(default_factory=dict)
    committed: dict[Key, int] = field(default_factory=dict)
    left: dict[Key, int] = field(default_factory=dict)
    contended: dict[Key, bool] = field(default_factory=dict)
    decided: set[Key] = field(default_factory=set)
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
    found, decided = rooms(connection, levels, now_us=now_us)
    granted = _granted(connection, writer.id, keys)
    for level in levels:
        room = found[level.key]
        own = granted.get(level.key, 0)
        # Spend beyond what was granted is booked whatever the limit (overrun).
        wanted = level.floor if level.give or own < level.floor else own
        room.take(wanted - own)
        room.free = wanted - level.floor
    result = Synced(verdicts=plan(asks, found), decided=decided)
    _refused(connection, writer.id, asks, found, result, now_us=now_us)
    for level in levels:
        room = found[level.key]
        result.granted[level.key] = granted.get(level.key, 0) + room.taken
        result.committed[level.key] = room.committed
        result.left[level.key] = room.left()
        result.contended[level.key] = room.contended
    _store(connection, writer.id, levels, found, result)
    return result


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
    found: Mapping[Key, Room],
    result: Synced,
    *,
    now_us: int,
) -> None:
    """Say of each refused ask what others have spent there, and flag the window."""
    keys = sorted({verdict.blocked for verdict in result.verdicts if verdict.blocked is not None})
    if not keys:
        return
    connection.execute(
        update(budget_windows)
        .where(tuple_(budget_windows.c.budget, budget_windows.c.window).in_(keys))
        .values(contended_us=now_us)
    )
    wants: dict[Key, Want] = {}
    for ask, verdict in zip(asks, result.verdicts, strict=True):
        if verdict.blocked is not None:
            wants[verdict.blocked] = next(w for w in ask.wants if (w.budget, w.window) == verdict.blocked)
    stands = standings(connection, list(wants.values()), me=writer)
    for ask, verdict in zip(asks, result.verdicts, strict=True):
        if verdict.blocked is None:
            continue
        want = next(w for w in ask.wants if (w.budget, w.window) == verdict.blocked)
        room = found[verdict.blocked]
        run = room.run
        result.blocked[ask.hold_id] = Blocked(
            want=want,
            committed=room.committed if run is None else run.upto(room.number),
            stands=tuple(stands.get(verdict.blocked, ())),
            extra=room.extra,
            frees=None if run is None else run.frees(room.number, want.amount, want.limit),
        )


def _store(
    connection: Connection,
    writer: str,
    levels: Sequence[Level],
    found: Mapping[Key, Room],
    result: Synced,
) -> None:
    moved = sorted((level for level in levels if found[level.key].taken != 0), key=lambda each: each.key)
    if not moved:
        return
    connection.execute(
        update(budget_windows)
        .where(budget_windows.c.budget == bindparam("b"), budget_windows.c.window == bindparam("w"))
        .values(committed=bindparam("now"), base=bindparam("limit")),
        [
            {
                "b": level.key[0],
                "w": level.key[1],
                "now": found[level.key].committed,
                "limit": level.want.base,
            }
            for level in moved
        ],
    )
    statement = insert(connection, slices)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["writer", "budget", "window"], set_={"granted": statement.excluded.granted}
        ),
        [
            {
                "writer": writer,
                "budget": level.key[0],
                "window": level.key[1],
                "granted": result.granted[level.key],
                "spent": 0,
            }
            for level in moved
        ],
    )
    # No journal tells of rates: what this worker used is told to the others here, as of now.
    used = [
        {"o": writer, "b": level.key[0], "w": level.key[1], "s": level.floor}
        for level in moved
        if level.want.rate and level.want.window != NOW
    ]
    if used:
        connection.execute(_USED, used)


_USED = (
    update(slices)
    .where(
        slices.c.writer == bindparam("o"),
        slices.c.budget == bindparam("b"),
        slices.c.window == bindparam("w"),
    )
    .values(spent=bindparam("s"))
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
    """Set every slice of a closed writer to what it spent, and committed with it.

    But for the minutes of rates: what it used of them stays used.
    """
    rows = connection.execute(
        select(slices.c.budget, slices.c.window, slices.c.granted, slices.c.spent)
        .where(slices.c.writer == writer, slices.c.granted != slices.c.spent, given_back())
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
