"""A worker as an operating-system process: journal, leases, projector and adoption over one database.

Run as ``python -m tests.adapters.worker URL ROOT MODE …``; used by tests of kill -9 and of races.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from gateway.adapters.journal_file import FileJournal
from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.store_sql import Store
from gateway.core.errors import Refusal
from gateway.core.prices import bound
from gateway.core.record import intent
from gateway.core.values import Charge, Hold
from tests.core.maple import NOW, attempt, snapshot, want


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def race(url: str, root: Path, count: int, amount: int, limit: int) -> None:
    """Wait for the word, reserve ``count`` times at once, and say how many were held."""
    store = Store(url)
    journal = FileJournal.claim(root, place="p")
    budgets = LeasedBudgets(store, journal.writer)
    _say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    wants = (want(amount, 100 * limit, "org:maple:CAD"), want(amount, limit, "team:branch:CAD"))
    made = await asyncio.gather(*(budgets.reserve(f"h{n}", wants) for n in range(count)))
    codes = sorted({one.code.value for one in made if isinstance(one, Refusal)})
    _say(f"{sum(isinstance(one, Hold) for one in made)} {','.join(codes)}")
    await asyncio.to_thread(sys.stdin.readline)


async def hold(url: str, root: Path, count: int, amount: int, limit: int) -> None:
    """Take holds, journal their intents, reserve one more without an intent, and wait to be killed."""
    store = Store(url)
    journal = FileJournal.claim(root, place="p")
    budgets = LeasedBudgets(store, journal.writer)
    most = bound(snapshot(), "here", input_tokens=10, output_tokens=10, at=NOW)
    assert isinstance(most, Charge)
    wants = (want(amount, limit),)
    for n in range(count):
        made = await budgets.reserve(f"req_{n}.a1", wants)
        assert isinstance(made, Hold)
        tried = replace(attempt(f"req_{n}.a1", wants), hold=made)
        await journal.append("attempt.intent", intent(tried, bound=most))
    await budgets.reserve("never.journalled", wants)
    _say(journal.writer)
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    mode = {"race": race, "hold": hold}[sys.argv[3]]
    asyncio.run(mode(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[4:])))
