"""What tests of confined children share: whether this host lets a process leave the network."""

from __future__ import annotations

import functools
import os
import subprocess

import pytest

from gateway.adapters.confine import probe_command

REQUIRE = "BORDERPOST_REQUIRE_NETNS"


@functools.cache
def possible() -> bool:
    """Whether the launcher works here."""
    try:
        return subprocess.run(probe_command(), timeout=30, check=False).returncode == 0
    except OSError:
        return False


needs_namespaces = pytest.mark.skipif(
    os.environ.get(REQUIRE) != "1" and not possible(),
    reason="this host lets no process make a network namespace; set BORDERPOST_REQUIRE_NETNS=1 to insist",
)
"""Skips where it cannot be, unless the environment insists."""
