"""The fan-out reaches every member, and none can hurt a call."""

from __future__ import annotations

from gateway.adapters.memory_telemetry import MemoryTelemetry
from gateway.adapters.telemetries import Telemetries
from tests.adapters.observations import observation


class Broken:
    def observe(self, seen):
        raise RuntimeError("a prompt")

    def count(self, name, **labels):
        raise RuntimeError("a prompt")


def test_every_member_is_told_even_after_one_that_fails(caplog):
    """A broken member is logged once, without its text, and the next one still gets everything."""
    memory = MemoryTelemetry()
    telemetry = Telemetries(Broken(), memory)
    for _ in range(3):
        telemetry.observe(observation())
        telemetry.count("overrun", app="teller")
    assert len(memory.seen) == 3
    assert memory.counted("overrun") == 3
    assert len(caplog.records) == 1
    assert "prompt" not in caplog.text
