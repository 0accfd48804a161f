"""The budgets' twin: workers that share windows share a limit."""

from __future__ import annotations

from gateway.adapters.memory_budgets import MemoryBudgets, MemoryWindows
from gateway.core.errors import Refusal
from gateway.core.values import Hold
from tests.core.maple import want


async def test_shared_windows_are_one_limit_and_own_ones_are_not() -> None:
    """What one worker holds, another that shares the windows cannot."""
    shared = MemoryWindows()
    one, two, other = MemoryBudgets(shared), MemoryBudgets(shared), MemoryBudgets()
    assert isinstance(await one.reserve("a", (want(300, 300),)), Hold)
    assert isinstance(await two.reserve("b", (want(1, 300),)), Refusal)
    assert isinstance(await other.reserve("c", (want(300, 300),)), Hold)
    assert (one.held, two.held) == (1, 0)
