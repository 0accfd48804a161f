"""Random bytes, drawn from the system in blocks.

An id is made on every call. A system call for each would cost more than the id, and lets
go of the interpreter's lock, which another thread may then keep.
"""

from __future__ import annotations

import os

BLOCK = 4_096


class Chance:
    """Hands out random bytes, each byte once. For one thread (the event loop's)."""

    __slots__ = ("_at", "_block")

    def __init__(self) -> None:
        """Start with nothing drawn."""
        self._block = b""
        self._at = 0

    def __call__(self, size: int, /) -> bytes:
        """Return ``size`` random bytes, at most BLOCK."""
        start = self._at
        end = start + size
        if end > len(self._block):
            if size > BLOCK:
                raise ValueError(f"at most {BLOCK} random bytes at once, asked for {size}")
            self._block = os.urandom(BLOCK)
            start, end = 0, size
        self._at = end
        return self._block[start:end]
