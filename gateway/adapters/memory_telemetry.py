"""The twin of the telemetries: keeps what it was told, for tests and the demo."""

from __future__ import annotations

from collections import Counter

from gateway.ports import Observation


class MemoryTelemetry:
    """Implements :class:`gateway.ports.Telemetry` in memory."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.seen: list[Observation] = []
        self.counts: Counter[tuple[str, frozenset[tuple[str, str]]]] = Counter()

    def observe(self, seen: Observation) -> None:
        """Keep the observation."""
        self.seen.append(seen)

    def count(self, name: str, **labels: str) -> None:
        """Count the event under its labels."""
        self.counts[name, frozenset(labels.items())] += 1

    def counted(self, name: str) -> int:
        """Return how often an event was counted, over all labels."""
        return sum(times for (event, _), times in self.counts.items() if event == name)
