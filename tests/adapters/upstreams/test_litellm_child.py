"""The translator's own process: what it may not do, and the versions it will not run."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import pytest

from gateway.adapters.upstreams import litellm_child
from gateway.adapters.upstreams.litellm_process import ENVIRONMENT, MODULE


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8", "1.107.0", "1.107.3"])
def test_malicious_versions_do_not_run(version):
    """Whatever the requirement files say."""
    with pytest.raises(RuntimeError, match="not trusted"):
        litellm_child.check_version(version)


def test_the_pinned_version_runs():
    """Neighbours of the bad ones are not taken for them."""
    for version in ("1.106.2", "1.82.6", "1.82.70", "1.108.5"):
        litellm_child.check_version(version)


NO_WAY_OUT = """
import os, socket, subprocess, sys
from gateway.adapters.upstreams.litellm_child import no_network
sys.addaudithook(no_network)
tries = {
    "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "name": lambda: socket.getaddrinfo("localhost", 80),
    "listen": lambda: socket.socket().bind(("127.0.0.1", 0)),
    "child": lambda: subprocess.run(["true"]),
    "shell": lambda: os.system("true"),
    "fork": os.fork,
}
for name, attempt in tries.items():
    try:
        attempt()
    except PermissionError:
        continue
    sys.exit(f"{name} went through")
"""


def test_no_way_out():
    """No connection, no name look-up, no child: the hook holds for all of them."""
    done = subprocess.run(
        [sys.executable, "-c", NO_WAY_OUT],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_it_ends_with_its_parent():
    """A gateway that dies leaves no translator behind."""
    done = subprocess.run(
        [sys.executable, "-m", MODULE],
        env=ENVIRONMENT,
        input=b"",
        capture_output=True,
        check=False,
        timeout=90,
    )
    size = struct.unpack(">I", done.stdout[:4])[0]
    assert json.loads(done.stdout[4 : 4 + size]) == {"ready": True}
    assert done.stdout[4 + size :] == b""
    assert done.returncode == 0
