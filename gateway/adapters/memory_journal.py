"""The in-memory twin of the journal: the same chain and checks, nothing on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from gateway.adapters.journal_read import parse
from gateway.core.canonical import GENESIS, digest, encode
from gateway.core.record import VERSION, Entry
from gateway.ports import JournalUnavailable


class MemoryJournal:
    """A journal that keeps its lines. Set ``failing`` to make it refuse to be written."""

    def __init__(self, writer: str = "memory", *, now: Callable[[], int] = time.time_ns) -> None:
        self.writer = writer
        self.lines: list[bytes] = []
        self.failing = False
        self._now = now
        self._prev = GENESIS
        self.write("writer.open", {"place": "memory", "durability": "process", "version": ""})

    @property
    def seq(self) -> int:
        """The sequence number of the last entry."""
        return len(self.lines)

    @property
    def entries(self) -> list[Entry]:
        """Every entry, parsed from its line."""
        return [parse(line) for line in self.lines]

    async def append(self, kind: str, data: Mapping[str, object]) -> int:
        """Append one entry; see :class:`gateway.ports.Journal`."""
        return self.write(kind, data)

    def write(self, kind: str, data: Mapping[str, object]) -> int:
        """Append one entry at once. Raises JournalUnavailable while ``failing``."""
        if self.failing:
            raise JournalUnavailable("the journal cannot be written: it was told to fail")
        seq = len(self.lines) + 1
        line = encode(
            {
                "v": VERSION,
                "writer": self.writer,
                "seq": seq,
                "t": self._now() // 1000,
                "kind": kind,
                "data": data,
                "prev": self._prev,
            }
        )
        self.lines.append(line)
        self._prev = digest(line)
        return seq

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""
