"""Clocks: the machine's and the one that is set."""

from __future__ import annotations

import time

import pytest

from gateway.adapters.clock import SetClock, SystemClock


def test_the_system_clock_tells_nanoseconds_of_utc():
    """It is the epoch in nanoseconds, and monotonic never goes back."""
    clock = SystemClock()
    before = time.time_ns()
    assert before <= clock.now() <= time.time_ns()
    assert clock.monotonic() <= clock.monotonic()


def test_the_set_clock_moves_only_when_told():
    """Both of its times move together, and only forward."""
    clock = SetClock(5)
    assert clock.now() == clock.now() == 5
    clock.advance(seconds=1.5, nanoseconds=1)
    assert clock.now() == 1_500_000_006
    assert clock.monotonic() == pytest.approx(1.500000006)
    with pytest.raises(ValueError, match="go back"):
        clock.advance(seconds=-1)
