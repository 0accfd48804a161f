"""One worker's parts of the shared windows, in memory: what may be held without asking anybody.

INVARIANT: a slice never believes in more than the store granted, but for the minute of a rate while
the store is away (see :meth:`Slices.alone`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.adapters.store_sql.budget_rooms import Level, Stand
from gateway.adapters.store_sql.budgets import Synced
from gateway.core.leasing import Key, near
from gateway.core.values import Want
from gateway.core.windows import NEVER
from gateway.ports import Standing

FACTOR = 9
FACTOR_MOST = 9 * 2**10
_MOST_RATES = 10_000
_MOST_GONE = 50_000


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A refusal that stays true: spend only grows within a window.

    Kept for a short while, so that an app that hammers an exhausted budget does not
    hammer the database.
    """

    limit: int
    amount: int
    spent: int
    held: int
    extra: int
    frees: int | None
    until: float  # monotonic seconds


@dataclass(slots=True)
class Slice:
    """This worker's part of one window. Amounts in the unit."""

    want: Want  # the latest: its limit, and what kind of budget it is
    granted: int = 0
    spent: int = 0
    held: int = 0
    left: int = 0  # what nobody has leased, as of the last sync
    extra: int = 0  # what the window took over, as of the last sync
    frozen: int = 0  # syncs under way and holds that wait: nobody overtakes them
    give: bool = False  # return what is free at the next sync
    unsure: bool = False  # an answer was lost: the store may have granted more than we know
    decided: bool = False  # what it takes over is decided
    new: bool = True  # the store may have no row of it
    used: bool = True  # since the last tick
    idle: int = 0
    factor: int = FACTOR  # how many holds' worth to lease beyond need
    leased: float = 0.0  # when more was last leased, monotonic seconds
    exceeded: Exceeded | None = None

    @property
    def free(self) -> int:
        """What may be held without asking."""
        return self.granted - self.spent - self.held

    def level(self) -> Level:
        """Return what a sync must know of it."""
        return Level(
            want=self.want,
            floor=self.spent + self.held,
            give=self.give,
            factor=self.factor,
            decided=self.decided,
        )

    def over(self, now: int) -> bool:
        """Say whether its window has ended."""
        return now >= self.want.resets

    def told(self, want: Want) -> bool:
        """Take note of the limit that a want names; true where it is lower than before.

        A lowered limit stops new holds: what is free goes back, and the store decides under
        the new limit.
        """
        known = self.want.limit
        if want.limit != known or want.soft != self.want.soft:
            self.left += want.limit - known
            self.want = want
            return want.limit < known or (self.want.soft and not want.soft)
        return False


@dataclass(slots=True)
class Slices:
    """All slices of a worker."""

    parts: dict[Key, Slice] = field(default_factory=dict)
    rates: dict[str, int] = field(default_factory=dict)
    """What this worker was granted in the last minute of each rate."""
    gone: dict[Key, int] = field(default_factory=dict)
    """What was spent of windows whose slices were forgotten: a clock may go back into one.

    INVARIANT: what the store granted for it is spent, not free. The oldest are dropped.
    """

    def part(self, want: Want) -> Slice:
        """Return the slice of a want's window, made if it is not there."""
        key = (want.budget, want.window)
        part = self.parts.get(key)
        if part is None:
            part = self.parts[key] = Slice(want=want, spent=self.gone.pop(key, 0))
        return part

    def take(self, wants: Sequence[Want], *, in_turn: bool = False) -> bool:
        """Hold from the slices without asking anybody, on all levels or none.

        ``in_turn`` is for who waited and is first in line now: then nobody is overtaken.
        """
        parts = self.parts
        fits = True
        for want in wants:
            part = parts.get((want.budget, want.window))
            if part is None:
                fits = False
                continue
            # Looked at on every level, refused or not.
            if want.limit != part.want.limit and part.told(want):
                part.give = True
            if (part.frozen and not in_turn) or (
                want.amount and (part.give or part.granted - part.spent - part.held < want.amount)
            ):
                fits = False
        if not fits:
            return False
        for want in wants:
            part = parts[want.budget, want.window]
            part.held += want.amount
            part.used = True
        return True

    def hold(self, wants: Sequence[Want]) -> None:
        """Hold what was granted for it."""
        for want in wants:
            part = self.part(want)
            part.held += want.amount
            part.used = True

    def release(self, wants: Sequence[Want]) -> None:
        """Let go of what is held."""
        for want in wants:
            self.parts[want.budget, want.window].held -= want.amount

    def settle(self, want: Want, amount: int) -> bool:
        """Turn a hold into spend; true where the store is to be told at once."""
        part = self.parts[want.budget, want.window]
        part.held -= want.amount
        part.spent += amount
        if part.exceeded is not None and want.resets == NEVER:
            part.exceeded = None  # a place is free
        free = part.free
        if free < 0:
            return True
        if free and near(part.left, want.amount):
            # Near the limit somebody else may be waiting for just this.
            part.give = True
            return True
        return False

    def learn(self, key: Key, synced: Synced) -> Slice:
        """Take over what the store says of a window."""
        part = self.parts[key]
        part.granted = synced.granted[key]
        part.left = synced.left[key]
        part.unsure = False
        part.new = False
        part.decided = key in synced.decided
        if part.want.rate:
            self.rates[part.want.budget] = part.granted
        return part

    def alone(self, wants: Sequence[Want], now: int) -> bool:
        """Say whether a hold fits while the store is away, and see to it that it does.

        From the slices; of a rate, also from what this worker was granted in the last minute
        in which it could ask, so that an outage does not end every call of an app with a rate.
        """
        for want in wants:
            part = self.part(want)
            if want.rate and not part.over(now):
                part.granted = max(part.granted, min(self.rates.get(want.budget, 0), want.limit))
        return all(self.part(want).free >= want.amount for want in wants)

    def drop(self) -> None:
        """Let go of all that is free: the writer was closed, and others have it."""
        for part in self.parts.values():
            part.granted = min(part.granted, part.spent + part.held)

    def forget(self, now: int, *, idle: int) -> None:
        """Drop the slices of windows that are over, and those that hold nothing and saw no use."""
        for key, part in list(self.parts.items()):
            if part.held or part.frozen or part.unsure or part.free:
                continue
            if part.over(now) or (part.granted == 0 and part.idle >= idle):
                del self.parts[key]
                if part.spent:
                    self.gone[key] = part.spent
        while len(self.gone) > _MOST_GONE:
            del self.gone[next(iter(self.gone))]
        if len(self.rates) > _MOST_RATES:
            self.rates.clear()

    def standing(self, want: Want, rows: Sequence[Stand]) -> Standing:
        """Return where a window stands over all workers; ``rows`` are as the tables have them."""
        committed = spent = 0
        for row in rows:
            part = self.parts.get((want.budget, row.window))
            own = row.own if part is None else part.spent
            if part is None:
                own = max(own, self.gone.get((want.budget, row.window), 0))
            # An overrun that the store has not heard of yet counts as well.
            committed += row.committed + (0 if part is None else max(0, -part.free))
            spent += row.others + own
        if not rows and (part := self.parts.get((want.budget, want.window))) is not None:
            committed, spent = max(0, -part.free), part.spent
        carried = rows[-1].carried if rows else 0
        return Standing(
            budget=want.budget,
            window=want.window,
            resets=want.resets,
            unit=want.unit,
            limit=want.limit + (rows[-1].extra if rows else 0),
            spent=spent,
            held=max(0, committed - spent),
            carried=carried,
            soft=want.soft,
        )
