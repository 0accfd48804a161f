"""Runs the gateway's command line under a clock that a test can move forward.

``python tests/acceptance/clock.py serve`` is ``borderpost serve`` whose time is the machine's plus
the whole seconds that the file named by ``CLOCK_OFFSET_FILE`` holds. Facts expire at midnight, and
no test can wait for one; everything but the clock is the real process.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

_REAL = time.time_ns


def moved(file: Path) -> int:
    """Return the instant that this process believes in, in nanoseconds."""
    return _REAL() + int(file.read_text() or "0") * 1_000_000_000


if __name__ == "__main__":
    time.time_ns = partial(moved, Path(os.environ.pop("CLOCK_OFFSET_FILE")))
    from gateway.cli import main

    main()
