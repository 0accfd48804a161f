"""A child process without a network: started inside a network namespace of its own.

Two parts in one file. Imported, it says whether this host can do it (:func:`probe`) and how a
command is started then (:func:`confined`). Run as a script, it is the launcher: it leaves the
parent's network, brings up a loopback that leads nowhere, hands the way to the allow-list proxy
over if there is one, lays down every capability, and becomes the command.

The route to a proxy is a listening socket on the child's own loopback, made in the namespace and
passed to the parent over a socket pair: a socket belongs to the namespace that it was made in,
so the parent accepts there and dials here, and no interface joins the two. What is left to a
child is the file system's Unix sockets; run it as a user that may open none.

Needs Linux, and either the right to make a network namespace (root in a container that keeps
CAP_SYS_ADMIN) or unprivileged user namespaces. Where neither is there the audit hooks in the
children stand alone, and ``/status`` says so. The script imports nothing of ours: it runs under
the plainest interpreter.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Sequence

PROXY_PORT = 3128
"""Where a child finds the proxy on its own loopback."""

UNABLE = 97
"""Exit status of a launcher that could not leave the network: nothing was started."""

_NEWNET, _NEWUSER = 0x40000000, 0x10000000
_SET_NO_NEW_PRIVS, _CAPBSET_DROP = 38, 24
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_CAP_VERSION_3 = 0x20080522
_MOST_CAPS = 64


def confined(command: Sequence[str], *, route: int | None = None) -> tuple[str, ...]:
    """Return the command that starts ``command`` without a network.

    ``route`` is an inherited descriptor of a Unix socket, to which the listening socket for the
    proxy is sent; without it there is no way out at all.
    """
    return (sys.executable, "-I", "-S", __file__, "-" if route is None else str(route), *command)


def probe_command() -> tuple[str, ...]:
    """Return a command that succeeds exactly where :func:`confined` works."""
    return confined((sys.executable, "-I", "-S", "-c", "pass"))


def main(arguments: Sequence[str]) -> None:
    """Leave the network and become the command. Ends with UNABLE where that cannot be."""
    if len(arguments) < 2:
        sys.exit("usage: confine.py ROUTE COMMAND…")
    route, command = arguments[0], list(arguments[1:])
    try:
        _leave()
        _loopback_up()
        if route != "-":
            _hand_over(int(route))
        _lay_down()
    except OSError:
        sys.exit(UNABLE)
    os.execv(command[0], command)  # noqa: S606 (the command is the gateway's own)


def _leave() -> None:
    """Enter a network namespace of our own, by a user namespace where we may not otherwise."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWNET) == 0:
        return
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(_NEWUSER | _NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 (no imports)
            file.write(text)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(control, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | _IFF_UP, b""))


def _hand_over(route: int) -> None:
    """Listen for the proxy on this namespace's loopback and pass the socket to the parent."""
    with (
        socket.socket(fileno=route) as way,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening,
    ):
        listening.bind(("127.0.0.1", PROXY_PORT))
        listening.listen(64)
        socket.send_fds(way, [b"1"], [listening.fileno()])


def _lay_down() -> None:
    """Give up every capability for good: with one of them a child could go back where it came from."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_MOST_CAPS):
        libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)  # fails above the last one that there is
    if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    head = struct.pack("Ii", _CAP_VERSION_3, 0)
    if libc.capset(head, struct.pack("6I", *[0] * 6)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 (no imports)
        left = [line for line in file if line.startswith(("CapEff", "CapPrm", "CapBnd"))]
    if any(int(line.split()[1], 16) for line in left):
        raise PermissionError("capabilities are left")


if __name__ == "__main__":
    main(sys.argv[1:])
