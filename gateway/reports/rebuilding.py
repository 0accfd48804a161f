"""Spend per budget window, summed again from the ledger, against the counters that calls are held by.

The journal says to the unit what every attempt spent of every budget; where this machine has it,
it is the measure. Elsewhere the ledger's own rows are: money and counts of calls of the organisation,
teams, apps, keys and models. What was booked at its hold, because usage never arrived, stands apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from gateway.adapters.journal_read import Garbled, Tail, segments
from gateway.adapters.store_sql import books
from gateway.adapters.store_sql import rebuilt as rows
from gateway.adapters.store_sql.rebuilt import Counter
from gateway.core.fold import Booking, Fold
from gateway.core.snapshot import Snapshot
from gateway.core.units import is_money, shown

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """One window. Amounts as people read them; ``rebuilt`` is ``–`` where nothing can tell."""

    budget: str
    window: str
    unit: str
    counted: str
    rebuilt: str
    estimated: str  # of ``rebuilt``: booked at holds
    source: str  # journal | ledger | –
    differs: bool
    says: str


def rebuild(connection: Connection, snapshot: Snapshot, *, journals: Path | None) -> list[Rebuilt]:
    """Return every budget window with its counter and what it should be."""
    counters = rows.counters(connection)
    spent: dict[Key, tuple[int, int]] = {}
    writers: set[str] = set()
    if journals is not None:
        spent, writers = _journalled(journals, books.read_up_to(connection))
    return [_compared(connection, snapshot, item, spent, writers) for item in counters]


def _compared(
    connection: Connection,
    snapshot: Snapshot,
    item: Counter,
    spent: Mapping[Key, tuple[int, int]],
    writers: set[str],
) -> Rebuilt:
    source, found, estimates = "–", None, 0
    if set(item.writers) <= writers:
        source, found = "journal", spent.get((item.budget, item.window), (0, 0))
    elif (told := rows.from_ledger(connection, snapshot.tenant, item)) is not None:
        source, found, estimates = "ledger", told[:2], told[2]
    total, estimated = found or (0, 0)
    # A hold of a dead process is rounded upward in the counter, its row may be a unit less.
    slack = estimates if is_money(item.unit) else 0
    differs = found is not None and abs(item.spent - total) > slack
    says = ""
    if found is None:
        says = "the ledger does not tell this budget's share; read the journals of all writers"
    elif differs:
        more = item.spent - total
        says = f"the counter is {shown(abs(more), item.unit)} {'above' if more > 0 else 'below'}"
    return Rebuilt(
        budget=item.budget,
        window=item.window,
        unit=item.unit,
        counted=shown(item.spent, item.unit),
        rebuilt=shown(total, item.unit) if found is not None else "–",
        estimated=shown(estimated, item.unit) if found is not None else "–",
        source=source,
        differs=differs,
        says=says,
    )


def _journalled(root: Path, cursors: Mapping[str, int]) -> tuple[dict[Key, tuple[int, int]], set[str]]:
    """Fold every journal on this machine: what was spent (and estimated of it) per window; whose they are."""
    spent: dict[Key, tuple[int, int]] = {}
    seen: set[str] = set()
    writers: set[str] = set()
    for folder in sorted(path for path in root.glob("*/*") if segments(path)):
        tail, fold = Tail(folder), Fold()
        try:
            while entries := tail.read():
                for entry in entries:
                    if entry.seq > cursors.get(folder.name, 0):
                        break  # not in the counters yet
                    for fact in fold.step(entry):
                        if isinstance(fact, Booking) and str(fact.row["attempt_id"]) not in seen:
                            seen.add(str(fact.row["attempt_id"]))
                            _add(spent, fact)
        except (Garbled, OSError, KeyError, TypeError, ValueError):
            continue  # what cannot be read to its end is no measure
        writers.add(folder.name)
    return spent, writers


def _add(spent: dict[Key, tuple[int, int]], fact: Booking) -> None:
    for spend in fact.spends:
        total, estimated = spent.get((spend.budget, spend.window), (0, 0))
        spent[spend.budget, spend.window] = (
            total + spend.amount,
            estimated + (spend.amount if fact.row["estimated"] else 0),
        )
