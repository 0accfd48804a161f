"""The in-memory twin of the budgets: the same promises, one process, no slices.

Several :class:`MemoryBudgets` may share one :class:`MemoryWindows`, as workers share
a database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.core.budget import refuse
from gateway.core.errors import Refusal
from gateway.core.leasing import Ask, Key, Past, Room, Run, due, enlarged, further, plan, take_over
from gateway.core.values import Hold, Want
from gateway.core.windows import PARTS, instant
from gateway.ports import Standing


@dataclass(slots=True)
class MemoryWindows:
    """Spent and held per (budget, window), over all that share it; and what carried over."""

    spent: dict[Key, int] = field(default_factory=dict)
    held: dict[Key, int] = field(default_factory=dict)
    past: dict[Key, Past] = field(default_factory=dict)
    """The windows of budgets that carry over. ``committed`` is as of when it was last looked at."""

    def gone(self, key: Key) -> int:
        """Return what is spent and held of a window."""
        return self.spent.get(key, 0) + self.held.get(key, 0)

    def run(self, want: Want) -> Run:
        """Return the parts of a rolling budget."""
        run = Run(part=want.length // PARTS)
        for budget, window in {*self.spent, *self.held}:
            if budget == want.budget:
                run.committed[run.number(window)] = self.gone((budget, window))
        return run

    def carried(self, want: Want, now: int, *, foresee: bool = False) -> tuple[int, int]:
        """Return what a window is worth beyond its limit, and what of that it took over."""
        if want.carry is None:
            return 0, 0
        rows = [each for (budget, _), each in sorted(self.past.items()) if budget == want.budget]
        for each in rows:
            each.committed = self.gone((want.budget, each.window))
        row = self.past.get((want.budget, want.window))
        if row is None:
            late = any(each.window > want.window and each.carried is not None for each in rows)
            row = Past(
                window=want.window,
                base=want.base,
                committed=self.gone((want.budget, want.window)),
                carried=0 if late else None,
                passed=want.base if late else 0,
            )
            rows = [*(each for each in rows if each.window < want.window), row]
            if not foresee:
                self.past[want.budget, want.window] = row
        else:
            rows = [each for each in rows if each.window <= want.window]
            row.base = want.base
        if foresee:
            rows = [replace(each) for each in rows]
        if foresee or due(want, now):
            take_over(rows, want.carry)
        return rows[-1].extra, rows[-1].carried or 0


class MemoryBudgets:
    """Implements :class:`gateway.ports.Budgets` in memory."""

    def __init__(
        self, windows: MemoryWindows | None = None, *, now: Callable[[], int] = time.time_ns
    ) -> None:
        self.windows = windows if windows is not None else MemoryWindows()
        self._holds: dict[str, Hold] = {}
        self._now = now

    @property
    def held(self) -> int:
        """How many holds are open here."""
        return len(self._holds)

    async def reserve(self, hold_id: str, wants: tuple[Want, ...]) -> Hold | Refusal:
        """Hold every amount on every level, or nothing."""
        existing = self._holds.get(hold_id)
        if existing is not None:
            return existing
        refusal = self._take(hold_id, wants)
        if refusal is not None:
            return refusal
        self._holds[hold_id] = Hold(id=hold_id, wants=wants)
        return self._holds[hold_id]

    async def top_up(self, hold: Hold, amounts: Mapping[str, int]) -> Hold | Refusal:
        """Enlarge a hold on every level or not at all."""
        current = self._holds.get(hold.id)
        if current is None:
            raise ValueError(f"hold `{hold.id}` is settled: reserve anew")
        refusal = self._take(hold.id, further(current, amounts))
        if refusal is not None:
            return refusal
        self._holds[hold.id] = enlarged(current, amounts)
        return self._holds[hold.id]

    def settle(self, hold: Hold, actual: Mapping[str, int]) -> None:
        """Turn a hold into spend, once."""
        current = self._holds.pop(hold.id, None)
        if current is None:
            return
        spent, held = self.windows.spent, self.windows.held
        for want in current.wants:
            key = (want.budget, want.window)
            held[key] -= want.amount
            spent[key] = spent.get(key, 0) + actual.get(want.budget, 0)

    async def standing(self, budgets: Sequence[Want]) -> list[Standing]:
        """Return where windows stand."""
        return [self._standing(want) for want in budgets]

    def left(self, want: Want) -> int | None:
        """Return what is left of a window."""
        stands = self._standing(want)
        return max(0, stands.limit - stands.spent - stands.held)

    def _standing(self, want: Want) -> Standing:
        spent, held = self._sums(want)
        extra, carried = self.windows.carried(want, self._now(), foresee=True)
        return Standing(
            budget=want.budget,
            window=want.window,
            resets=want.resets,
            unit=want.unit,
            limit=want.limit + extra,
            spent=spent,
            held=held,
            carried=carried,
            soft=want.soft,
        )

    def _sums(self, want: Want) -> tuple[int, int]:
        """Return what is spent and held of a window, or of the parts that count with it."""
        keys = [(want.budget, want.window)]
        if want.length:
            part = want.length // PARTS
            first = instant(want.window) - PARTS * part
            known = {key for key in (*self.windows.spent, *self.windows.held) if key[0] == want.budget}
            keys = [key for key in known if first <= instant(key[1]) <= instant(want.window)]
        spent, held = self.windows.spent, self.windows.held
        return sum(spent.get(key, 0) for key in keys), sum(held.get(key, 0) for key in keys)

    def _room(self, want: Want) -> Room:
        key = (want.budget, want.window)
        run = self.windows.run(want) if want.length else None
        return Room(
            committed=self.windows.gone(key),
            free=0,
            contended=True,  # no slices here: exactly what is needed
            extra=self.windows.carried(want, self._now())[0],
            run=run,
            number=0 if run is None else run.number(want.window),
        )

    def _take(self, hold_id: str, wants: tuple[Want, ...]) -> Refusal | None:
        held = self.windows.held
        rooms = {(w.budget, w.window): self._room(w) for w in wants}
        (verdict,) = plan([Ask(hold_id=hold_id, wants=wants)], rooms)
        if verdict.blocked is not None:
            want = next(w for w in wants if (w.budget, w.window) == verdict.blocked)
            spent_now, held_now = self._sums(want)
            room = rooms[verdict.blocked]
            return refuse(
                want,
                spent=spent_now,
                held=held_now,
                now=self._now(),
                extra=room.extra,
                frees=None if room.run is None else room.run.frees(room.number, want.amount, want.limit),
            )
        for want in wants:
            key = (want.budget, want.window)
            held[key] = held.get(key, 0) + want.amount
        return None
