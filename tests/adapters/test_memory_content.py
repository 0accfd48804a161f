"""The twin's own switches; what it promises as a content store is in ``tests/contract``."""

from __future__ import annotations

import pytest

from gateway.adapters.clock import SetClock
from gateway.adapters.memory_content import MemoryContent
from gateway.adapters.memory_journal import MemoryJournal
from gateway.ports import ContentUnavailable, Subject
from tests.people import NOW

JANE = Subject(tenant="maple", name="conversation:1")


async def test_it_can_be_made_unavailable() -> None:
    """For tests of what happens then: every question and every piece is refused."""
    content = MemoryContent(SetClock(NOW), MemoryJournal(), place="CA")
    content.failing = True
    for asked in (
        content.put(JANE, "k", {"a": b"1"}, expires=NOW + 1),
        content.get(JANE, "k", "a"),
        content.all(JANE, "k"),
        content.erase(JANE, by="x"),
        content.sweep(),
    ):
        with pytest.raises(ContentUnavailable):
            await asked
