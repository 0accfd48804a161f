"""The twin keeps what it was told."""

from __future__ import annotations

from gateway.adapters.memory_telemetry import MemoryTelemetry
from tests.adapters.observations import observation


def test_it_keeps_observations_and_counts():
    """Observations stay in order; counts are kept by label and summed by name."""
    memory = MemoryTelemetry()
    memory.observe(observation(app="a"))
    memory.observe(observation(app="b"))
    memory.count("overrun", app="a")
    memory.count("overrun", app="b")
    assert [seen.app for seen in memory.seen] == ["a", "b"]
    assert memory.counted("overrun") == 2
    assert memory.counted("other") == 0
