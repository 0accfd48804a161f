"""What a hold costs: reserve and settle, per core and per number of replicas.

    python -m bench.budgets                                        # SQLite
    python -m bench.budgets postgresql+psycopg://user@host/database   # an empty database of its own

Each replica is a process; each keeps 32 calls going that hold on four levels and settle at once. Rounds
are interleaved, so that whatever else the machine does is in every figure; medians are shown, CPU time
first. `far` is the steady state, from slices; `near` is a budget that is nearly used up, where every hold
asks the database.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.memory_budgets import MemoryBudgets
from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.schema import migrate
from gateway.core.values import Hold, Want

LEVELS = ("org:maple:CAD", "team:branch:CAD", "app:teller:CAD", "key:k1:CAD:day")
AMOUNT = 1_000_000
AT_ONCE = 32
WINDOW = "2026-11-01T04:00:00Z"


def wants(name: str, limit: int) -> tuple[Want, ...]:
    """Return a hold on four levels; only the app's is near its limit."""
    return tuple(
        Want(
            budget=f"{level}:{name}",
            window=WINDOW,
            resets=2**61,
            unit="CAD",
            limit=limit if level.startswith("app") else 10**18,
            amount=AMOUNT,
        )
        for level in LEVELS
    )


async def pairs(budgets, asked: tuple[Want, ...], seconds: float, spent: int) -> tuple[int, int]:
    """Hold and settle for a while; return how often it was held, and how often refused."""
    until = time.perf_counter() + seconds
    held = refused = 0
    actual = {want.budget: spent for want in asked}

    async def one(number: int) -> None:
        nonlocal held, refused
        count = 0
        while time.perf_counter() < until:
            count += 1
            made = await budgets.reserve(f"{number}.{count}", asked)
            if isinstance(made, Hold):
                held += 1
                budgets.settle(made, actual)
            else:
                refused += 1
            if count % 64 == 0:
                await asyncio.sleep(0)

    await asyncio.gather(*(one(number) for number in range(AT_ONCE)))
    return held, refused


async def replica(url: str, name: str, case: str, seconds: float) -> None:
    """Be one replica: say what was done, and what it cost."""
    store = None if url == "memory" else Store(url)
    statements = 0
    if store is None:
        budgets = MemoryBudgets()
    else:
        run = store.run

        async def counted(work):
            nonlocal statements
            statements += 1
            return await run(work)

        store.run = counted
        budgets = LeasedBudgets(store, name)
        budgets.start()
    # Near: room for as many as there are at once, so that a slice is never more than what is needed.
    asked = wants(case, 10**18 if case == "far" else AT_ONCE * AMOUNT)
    spent = AMOUNT * 8 // 10 if case == "far" else 0  # near the limit nothing is spent, so that it lasts
    await pairs(budgets, asked, 0.3, spent)
    began, statements = time.process_time(), 0
    held, refused = await pairs(budgets, asked, seconds, spent)
    cost = time.process_time() - began
    print(json.dumps({"held": held, "refused": refused, "cpu_s": cost, "transactions": statements}))
    if store is not None:
        await budgets.close()
        store.close()


def measure(url: str, case: str, replicas: int, seconds: float) -> dict[str, float]:
    """Run so many replicas at once and add up what they did."""
    command = [sys.executable, "-m", "bench.budgets", url, "--seconds", str(seconds), "--be", case]
    children = [
        subprocess.Popen([*command, f"{os.getpid()}-{time.time_ns()}-{n}"], stdout=subprocess.PIPE, text=True)
        for n in range(replicas)
    ]
    found = [json.loads(child.communicate(timeout=seconds + 60)[0]) for child in children]
    held = sum(each["held"] for each in found)
    return {
        "pairs_s": held / seconds,
        "us": 1e6 * sum(each["cpu_s"] for each in found) / max(1, held),
        "transactions_s": sum(each["transactions"] for each in found) / seconds,
        "refused": sum(each["refused"] for each in found) / seconds,
    }


def main() -> None:
    """Compare memory, and one to three replicas, far from the limit and near it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url", nargs="?", default="")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--be", nargs=2, metavar=("CASE", "NAME"))
    asked = parser.parse_args()
    if asked.be:
        asyncio.run(replica(asked.url, asked.be[1], asked.be[0], asked.seconds))
        return
    folder = tempfile.TemporaryDirectory()
    url = asked.url or f"sqlite:///{Path(folder.name) / 'bench.db'}"
    store = Store(url)
    migrate(store)
    store.close()
    cases = [("memory", "far", 1), *((url, case, n) for case in ("far", "near") for n in (1, 2, 3))]
    results: dict[tuple[str, str, int], list[dict[str, float]]] = {case: [] for case in cases}
    for _ in range(asked.rounds):
        for case in cases:
            results[case].append(measure(*case, asked.seconds))
    base = statistics.median(each["us"] for each in results[cases[0]])
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {store.dialect}")
    print(f"{'':22}{'CPU µs/pair':>12}{'× memory':>10}{'pairs/s':>10}{'transactions/s':>16}{'refused/s':>11}")
    for (where, case, n), rounds in results.items():
        median = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        name = "memory twin" if where == "memory" else f"{case}, {n} replica{'s' if n > 1 else ''}"
        print(
            f"{name:22}{median['us']:12.1f}{median['us'] / base:10.1f}{median['pairs_s']:10.0f}"
            f"{median['transactions_s']:16.0f}{median['refused']:11.0f}"
        )
    folder.cleanup()


if __name__ == "__main__":
    main()
