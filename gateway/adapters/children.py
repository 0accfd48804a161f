"""How children are started on this host: confined where the kernel lets us, and said openly.

The translator and the detectors need no network and get none. A plug-in that does need one is
started with a route: its only listener is the allow-list proxy's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.adapters.confine import PROXY_PORT, confined, probe_command
from gateway.adapters.egress_proxy import EgressProxy

_PROBE_S = 5.0
_HAND_OVER_S = 10.0

Means = Literal["namespace", "audit_hook"]


class NotConfined(Exception):
    """A child that must be confined could not be; it was not started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """By what means children are kept from the network on this host."""

    means: Means

    def command(self, command: Sequence[str]) -> tuple[str, ...]:
        """Return how a child that needs no network is started."""
        return confined(command) if self.means == "namespace" else tuple(command)


UNCONFINED = Confinement(means="audit_hook")


async def probe() -> Confinement:
    """Find out whether this host lets us start children in a network namespace of their own."""
    if not sys.platform.startswith("linux"):
        return UNCONFINED
    try:
        process = await asyncio.create_subprocess_exec(
            *probe_command(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
        )
    except OSError:
        return UNCONFINED
    try:
        async with asyncio.timeout(_PROBE_S):
            status = await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        return UNCONFINED
    return Confinement(means="namespace" if status == 0 else "audit_hook")


async def start_routed(
    command: Sequence[str], proxy: EgressProxy, *, environment: Mapping[str, str]
) -> asyncio.subprocess.Process:
    """Start a plug-in whose only way out is the proxy, with pipes for input and output.

    Its environment is ``environment`` and the proxy variables, nothing of ours. Raises NotConfined
    where this host cannot confine it: a plug-in with a network of its own is never started free.
    """
    ours, theirs = socket.socketpair()
    process: asyncio.subprocess.Process | None = None
    try:
        with theirs:
            way = f"http://127.0.0.1:{PROXY_PORT}"
            process = await asyncio.create_subprocess_exec(
                *confined(command, route=theirs.fileno()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={**environment, "HTTPS_PROXY": way, "https_proxy": way, "NO_PROXY": ""},
                pass_fds=(theirs.fileno(),),
            )
        await proxy.serve(await _received(ours))
    except BaseException:
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        raise
    finally:
        ours.close()
    return process


async def _received(way: socket.socket) -> socket.socket:
    """Return the listening socket that a launcher made inside its namespace. Raises NotConfined."""
    way.settimeout(_HAND_OVER_S)
    try:
        _, handed, _, _ = await asyncio.to_thread(socket.recv_fds, way, 1, 1)
    except OSError:
        raise NotConfined("the plug-in's launcher did not answer in time") from None
    if not handed:
        raise NotConfined("this host lets no process leave the network; the plug-in was not started")
    return socket.socket(fileno=handed[0])
