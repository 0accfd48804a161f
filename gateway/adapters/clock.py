"""The clock of the machine: the only place that asks what time it is."""

from __future__ import annotations

import time


class SystemClock:
    """Implements :class:`gateway.ports.Clock`."""

    def now(self) -> int:
        """Return nanoseconds since the Unix epoch, UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""
        return time.monotonic()


class SetClock:
    """The twin: a clock that stands where it was set, and moves when it is told to."""

    def __init__(self, now: int = 0) -> None:
        """Start at an instant, in nanoseconds."""
        self._now = now

    def now(self) -> int:
        """Return the instant that it was set to."""
        return self._now

    def monotonic(self) -> float:
        """Return the same as seconds."""
        return self._now / 1e9

    def advance(self, *, seconds: float = 0.0, nanoseconds: int = 0) -> None:
        """Move forward. Raises ValueError if asked to go back."""
        step = round(seconds * 1e9) + nanoseconds
        if step < 0:
            raise ValueError(f"a clock cannot go back by `{-step}` ns")
        self._now += step
