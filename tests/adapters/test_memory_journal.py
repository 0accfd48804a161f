"""The journal's twin: it fails when told to, and keeps what a test wants to look at."""

from __future__ import annotations

import pytest

from gateway.adapters.memory_journal import MemoryJournal
from gateway.ports import JournalUnavailable


async def test_it_fails_when_told_to() -> None:
    """Tests of fail-closed need a journal that cannot be written."""
    journal = MemoryJournal()
    journal.failing = True
    with pytest.raises(JournalUnavailable):
        await journal.append("x", {})
    journal.failing = False
    assert await journal.append("x", {}) == journal.seq == 2
    journal.close()
