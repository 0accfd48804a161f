"""The trail of one attempt's money: held, topped up, settled, released, and what was booked later.

Read out of the journal, whose entries are the truth: each hold is an intent, each release what a
settlement did not need. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from gateway.core.record import Data, Entry
from gateway.core.units import shown

What = Literal["held", "topped up", "settled", "released", "adjusted", "corrected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One movement. ``budget`` is empty for the charge itself; ``where`` names the entry that says it."""

    at_us: int
    what: What
    budget: str
    amount: str  # as people read it
    unit: str
    note: str
    where: str


def steps(entries: Iterable[Entry], attempt: str) -> list[Step]:
    """Return what the journal says of an attempt, in order."""
    found: list[Step] = []
    held: dict[str, tuple[int, str]] = {}  # budget → amount, unit
    for entry in entries:
        where = f"{entry.writer}:{entry.seq}"
        data = _of(entry, attempt)
        if data is None:
            continue
        if entry.kind in {"attempt.intent", "attempt.top_up"}:
            _hold(found, held, data, at_us=entry.t, where=where, more=entry.kind == "attempt.top_up")
            continue
        dead = cast("Data", data.get("adopted_from") or {})
        if dead and not held:
            begun = cast("Data", dead["intent"])
            _hold(found, held, begun, at_us=cast("int", begun["started"]), where=where, more=False)
        _settle(found, held, data, at_us=entry.t, where=where)
    return found


def _of(entry: Entry, attempt: str) -> Data | None:
    """Return the part of an entry that is about the attempt."""
    data = entry.data
    if entry.kind == "call.record":
        last = data.get("attempt")
        data = cast("Data", last) if isinstance(last, dict) else {}
    elif not entry.kind.startswith("attempt."):
        return None
    return data if data.get("attempt") == attempt else None


def _hold(
    found: list[Step],
    held: dict[str, tuple[int, str]],
    data: Data,
    *,
    at_us: int,
    where: str,
    more: bool,
) -> None:
    for hold in cast("list[dict[str, str]]", data.get("holds") or []):
        budget, unit, amount = hold["budget"], hold["unit"], int(hold["amount"])
        before = held.get(budget, (0, unit))[0]
        held[budget] = (amount, unit)
        if amount != before or not more:
            found.append(
                Step(
                    at_us=at_us,
                    what="topped up" if more else "held",
                    budget=budget,
                    amount=shown(amount - before if more else amount, unit),
                    unit=unit,
                    note=f"now {shown(amount, unit)}" if more else "",
                    where=where,
                )
            )


def _settle(
    found: list[Step], held: dict[str, tuple[int, str]], data: Data, *, at_us: int, where: str
) -> None:
    note = ", ".join(name for name in ("estimated", "overrun") if data.get(name))
    status = str(data.get("status"))
    for name in ("charge", "spend"):
        money = cast("dict[str, str] | None", data.get(name))
        if money is not None and (name == "charge" or money != _plain(data.get("charge"))):
            found.append(
                Step(
                    at_us=at_us,
                    what="settled",
                    budget="",
                    amount=shown(int(money["nano"]), money["currency"]),
                    unit=money["currency"],
                    note=", ".join(filter(None, (status, note))),
                    where=where,
                )
            )
    for budget, amount in cast("dict[str, str]", data.get("spends") or {}).items():
        had, unit = held.pop(budget, (0, ""))
        spent = int(amount)
        found.append(
            Step(
                at_us=at_us,
                what="settled",
                budget=budget,
                amount=shown(spent, unit),
                unit=unit,
                note=note,
                where=where,
            )
        )
        if had > spent:
            found.append(
                Step(
                    at_us=at_us,
                    what="released",
                    budget=budget,
                    amount=shown(had - spent, unit),
                    unit=unit,
                    note="",
                    where=where,
                )
            )


def _plain(charge: object) -> dict[str, str]:
    money = cast("dict[str, str]", charge or {})
    return {name: money[name] for name in ("nano", "currency") if name in money}
