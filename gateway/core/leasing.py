"""What a batch of holds may take from the shared windows: decided here, once, for every adapter.

All pure. SQLite, PostgreSQL and the in-memory twin run the same :func:`plan`, so they cannot
differ. A :class:`Room` is one window while a batch is planned; a :class:`Run` is what the parts
of a rolling budget leave each other; :func:`carried` is what a window takes over from the one
before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.core.values import Carry, Hold, Want
from gateway.core.windows import PARTS, SECOND, instant, whole_between

Key = tuple[str, str]
"""(budget, window): one row of the shared windows."""

CARRY_AFTER = 60 * SECOND
"""How long after its start a window takes over from the one before.

By then workers have given back what they had leased of the old window and did not use, so that
only calls that still run are missing from what is carried.
"""

_NO_LIMIT = 2**62
"""What a soft budget may take: it is counted, and refuses nothing."""

_NEAR = 20
"""Holds' worth below which a window counts as nearly used up: no slices beyond need."""


# ------------------------------------------------------------------- rolling


@dataclass(slots=True)
class Run:
    """The parts of one rolling budget, by number. ``committed`` may be changed in place."""

    part: int  # the length of a part, ns
    committed: dict[int, int] = field(default_factory=dict)

    def number(self, window: str) -> int:
        """Return the number of a part by its id."""
        return instant(window) // self.part

    def most(self, number: int) -> int:
        """Return the largest sum of a run of :data:`PARTS` + 1 parts that holds this part."""
        later = (other for other in self.committed if number < other <= number + PARTS)
        return max(self.upto(last) for last in (number, *later))

    def upto(self, last: int) -> int:
        """Return the sum of the run that ends with a part."""
        return sum(self.committed.get(number, 0) for number in range(last - PARTS, last + 1))

    def frees(self, number: int, amount: int, limit: int) -> int | None:
        """Return the instant at which so much fits, as far as what is committed says; None: never."""
        if amount > limit:
            return None
        for last in range(number, number + PARTS + 2):
            if self.upto(last) + amount <= limit:
                return last * self.part
        return None  # what is committed in parts to come is in the way


# --------------------------------------------------------------- carrying over


@dataclass(slots=True, kw_only=True)
class Past:
    """One window of a budget that carries over: what it was worth, and what is gone of it.

    ``base`` is its own limit (None: it was never told, so nothing goes on from it), ``carried``
    what it took over (None: not decided yet), ``passed`` what it passed on.
    """

    window: str
    base: int | None
    committed: int
    carried: int | None
    passed: int = 0

    @property
    def extra(self) -> int:
        """What it is worth beyond its own limit; negative once it has passed something on."""
        return (self.carried or 0) - self.passed

    @property
    def unused(self) -> int:
        """What nobody has spent, holds or has leased of it."""
        return 0 if self.base is None else max(0, self.base + self.extra - self.committed)


def due(want: Want, now: int) -> bool:
    """Say whether the window of a want takes over from the one before by now."""
    return want.carry is not None and now >= instant(want.window) + CARRY_AFTER


def take_over(past: Sequence[Past], carry: Carry) -> None:
    """Decide, for good, what each window takes over from the one before it in the list.

    ``past`` are the windows that were used, oldest first, none left out; only the first one may
    be decided already, and one without a predecessor takes over nothing: the budget was not there.
    Windows in between that nobody used were worth as much as the later one's limit.
    INVARIANT: what goes on is no longer there to be spent where it comes from.
    """

    def capped(amount: int) -> int:
        return amount if carry.at_most is None else min(amount, carry.at_most)

    before: Past | None = None
    for each in past:
        if each.carried is None:
            each.carried = 0
            if before is not None:
                amount = capped(before.unused)
                before.passed += amount
                gap = whole_between(carry.per, carry.timezone, instant(before.window), instant(each.window))
                for _ in range(gap):
                    amount = capped(amount + (each.base or 0))
                each.carried = amount
        before = each


# --------------------------------------------------------------------- leasing


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One hold that waits for room, all levels at once."""

    hold_id: str
    wants: tuple[Want, ...]


@dataclass(slots=True, kw_only=True)
class Room:
    """One window while a batch is planned. The planner changes it in place.

    ``committed`` is Σ granted over all writers; ``free`` is what this writer was
    granted and neither spent nor holds; ``contended`` forbids slices beyond need.
    """

    committed: int
    free: int
    contended: bool
    factor: int = 9  # how many holds' worth to lease beyond need
    limit: int = 0
    extra: int = 0  # what the window took over, less what it passed on
    run: Run | None = None  # of a rolling budget
    number: int = 0  # which part of it this is
    rate: bool = False
    most: int = 0  # largest amount that was granted in this batch
    taken: int = 0  # added to committed by this batch

    def left(self) -> int:
        """Return what may still be committed; negative where an overrun or a lowered limit says so."""
        gone = self.committed if self.run is None else self.run.most(self.number)
        return self.limit + self.extra - gone

    def take(self, more: int) -> None:
        """Commit more to this writer."""
        self.committed += more
        self.taken += more
        self.free += more
        if self.run is not None:
            self.run.committed[self.number] = self.run.committed.get(self.number, 0) + more


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to one ask: held, or the key that had no room."""

    hold_id: str
    blocked: Key | None


def plan(asks: Sequence[Ask], rooms: Mapping[Key, Room]) -> list[Verdict]:
    """Decide a batch of holds in the order in which they came, then pad the slices.

    INVARIANT: an ask takes on every level or on none, and no level's committed
    amount passes the limit that the ask's own snapshot names.
    """
    verdicts: list[Verdict] = []
    for ask in asks:
        blocked = _blocked(ask, rooms)
        if blocked is None:
            for want in ask.wants:
                room = rooms[want.budget, want.window]
                room.take(max(0, want.amount - room.free))
                room.free -= want.amount
                room.most = max(room.most, want.amount)
        verdicts.append(Verdict(hold_id=ask.hold_id, blocked=blocked))
    for room in rooms.values():
        room.take(padding(room))
    return verdicts


def _blocked(ask: Ask, rooms: Mapping[Key, Room]) -> Key | None:
    for want in ask.wants:
        room = rooms[want.budget, want.window]
        room.limit = _NO_LIMIT if want.soft else want.limit
        more = max(0, want.amount - room.free)
        # Nothing to lease needs no room: a hold of zero passes an overrun window too.
        if more > 0 and more > room.left():
            return want.budget, want.window
    return None


def padding(room: Room) -> int:
    """Return how much to lease beyond need, so that the next holds need no statement.

    Up to ``factor`` holds' worth, or 1 % of what remains; nothing near the limit (less than
    twenty holds remain) or while somebody is refused for want of a slice, so that
    a small budget neither overshoots nor starves. A rate's window lasts a minute, so of a rate
    a worker may take a quarter of what remains.
    """
    if room.contended or room.most == 0:
        return 0
    remaining = room.left()
    if remaining < _NEAR * room.most:
        return 0
    share = remaining // (4 if room.rate else 100)
    wished = max(0, min(room.factor * room.most, share) - room.free)
    return min(wished, remaining)


def near(left: int, amount: int) -> bool:
    """Say whether so little is left of a window that somebody may be waiting for what is freed."""
    return left < _NEAR * amount


# ------------------------------------------------------------------------ holds


def enlarged(hold: Hold, amounts: Mapping[str, int]) -> Hold:
    """Return the hold with further amounts per budget id added."""
    return Hold(
        id=hold.id,
        wants=tuple(replace(w, amount=w.amount + amounts.get(w.budget, 0)) for w in hold.wants),
    )


def further(hold: Hold, amounts: Mapping[str, int]) -> tuple[Want, ...]:
    """Return the wants of a top-up: the hold's levels with the further amounts only."""
    return tuple(replace(w, amount=amounts[w.budget]) for w in hold.wants if amounts.get(w.budget, 0) > 0)


def overdrawn(hold: Hold, amounts: Mapping[str, int]) -> tuple[Want, ...]:
    """Return the wants of a top-up beyond the limits, as far as each level's overdraft lets it."""
    # A negative overdraft says that the limit has it in it already: it is no part of the budget's worth.
    return tuple(
        replace(w, limit=w.limit + w.overdraft, overdraft=-w.overdraft) for w in further(hold, amounts)
    )


def parted(actual: Mapping[str, int], within: Hold, beyond: Hold) -> tuple[dict[str, int], dict[str, int]]:
    """Return what was spent as two parts: within the limits first, the rest by leave of an overdraft."""
    extra = {want.budget for want in beyond.wants}
    inside = {want.budget: want.amount for want in within.wants}
    first = {
        name: min(spent, inside.get(name, 0)) if name in extra else spent for name, spent in actual.items()
    }
    return first, {name: spent - first[name] for name, spent in actual.items() if name in extra}


def rows_of(wants: Iterable[Want]) -> list[Key]:
    """Return the windows of wants, in the one order in which rows are locked."""
    return sorted({(want.budget, want.window) for want in wants})
