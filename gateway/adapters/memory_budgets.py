"""The in-memory twin of the budgets: the same promises, one process, no slices.

Several :class:`MemoryBudgets` may share one :class:`MemoryWindows`, as workers share
a database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.budget import Ask, Key, Room, enlarged, further, plan, refuse
from gateway.core.errors import Refusal
from gateway.core.values import Hold, Want
from gateway.ports import Standing


@dataclass(slots=True)
class MemoryWindows:
    """Spent and held per (budget, window), over all that share it."""

    spent: dict[Key, int] = field(default_factory=dict)
    held: dict[Key, int] = field(default_factory=dict)


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
        return [
            Standing(
                budget=want.budget,
                window=want.window,
                resets=want.resets,
                unit=want.unit,
                limit=want.limit,
                spent=self.windows.spent.get((want.budget, want.window), 0),
                held=self.windows.held.get((want.budget, want.window), 0),
            )
            for want in budgets
        ]

    def _take(self, hold_id: str, wants: tuple[Want, ...]) -> Refusal | None:
        spent, held = self.windows.spent, self.windows.held
        rooms = {
            (w.budget, w.window): Room(
                committed=spent.get((w.budget, w.window), 0) + held.get((w.budget, w.window), 0),
                free=0,
                contended=True,  # no slices here: exactly what is needed
            )
            for w in wants
        }
        (verdict,) = plan([Ask(hold_id=hold_id, wants=wants)], rooms)
        if verdict.blocked is not None:
            want = next(w for w in wants if (w.budget, w.window) == verdict.blocked)
            return refuse(
                want,
                spent=spent.get(verdict.blocked, 0),
                held=held.get(verdict.blocked, 0),
                now=self._now(),
            )
        for want in wants:
            key = (want.budget, want.window)
            held[key] = held.get(key, 0) + want.amount
        return None
