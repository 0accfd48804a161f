"""The launcher: what it starts has no network, no capability and no way back."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from gateway.adapters.confine import UNABLE, confined, probe_command
from tests.confined import needs_namespaces

INSIDE = """
import ctypes, os, socket
for family, address in ((socket.AF_INET, ("192.0.2.1", 443)), (socket.AF_INET6, ("2001:db8::1", 443))):
    try:
        socket.socket(family, socket.SOCK_STREAM).connect(address)
        print("connected")
    except OSError as error:
        print("refused", error.errno)
print([line.split()[1].strip("0") for line in open("/proc/self/status") if line.startswith("Cap")])
libc = ctypes.CDLL(None, use_errno=True)
try:
    print("setns", libc.setns(os.open(f"/proc/{os.getppid()}/ns/net", os.O_RDONLY), 0))
except OSError as error:
    print("no way back", error.errno)
"""


@needs_namespaces
def test_what_is_started_reaches_nothing_and_cannot_go_back():
    """ENETUNREACH, not a time-out: there is no route. Capabilities are gone, the parent's network closed."""
    command = confined((sys.executable, "-I", "-S", "-c", INSIDE))
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    first, second, capabilities, back = done.stdout.splitlines()
    assert (first, second) == ("refused 101", "refused 101")
    assert set(ast.literal_eval(capabilities)) == {""}
    assert back in {"no way back 13", "setns -1"}


@needs_namespaces
def test_the_probe_says_yes_where_it_works():
    """What ``probe`` runs is what children are started by."""
    assert subprocess.run(probe_command(), timeout=30, check=False).returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces are Linux's")
def test_a_launcher_that_cannot_leave_starts_nothing():
    """A route that is no socket stands for any step that fails: the command never runs."""
    command = confined((sys.executable, "-c", "print('ran')"), route=999)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (UNABLE, "")
