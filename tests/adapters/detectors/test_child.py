"""The child process: no way out, frames only on its standard output, ends with its input."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import orjson

from gateway.adapters.detectors.frames import frame
from gateway.adapters.detectors.presidio import _CHILD

WAYS_OUT = """
import sys
from gateway.adapters.detectors.child import _refuse, WayOutClosed
sys.addaudithook(_refuse)
import os, socket, subprocess
ways = {
    "connect": lambda: socket.socket().connect(("127.0.0.1", 9)),
    "name": lambda: socket.getaddrinfo("example.com", 80),
    "send": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "program": lambda: subprocess.Popen(["true"]),
    "shell": lambda: os.system("true"),
}
for name, way in ways.items():
    try:
        way()
    except WayOutClosed:
        print(name, "closed")
"""


def test_no_way_out():
    """Connecting, looking up a name, sending a datagram and starting a program are all refused."""
    out = subprocess.run(
        [sys.executable, "-c", WAYS_OUT],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert out.stdout.split() == [
        word for name in ("connect", "name", "send", "program", "shell") for word in (name, "closed")
    ]


async def test_serves_and_ends_with_its_input():
    """It says that it is ready, answers in frames, and exits cleanly when the parent goes away."""
    process = await asyncio.create_subprocess_exec(
        *_CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": ":".join(sys.path)},
    )

    async def answer():
        size = int.from_bytes(await process.stdout.readexactly(4), "big")
        return orjson.loads(await process.stdout.readexactly(size))

    assert await answer() == {"ready": True}
    process.stdin.write(
        frame({"id": 7, "kinds": ["person"], "texts": [["I am Jane Doe.", None], ["", None]]})
    )
    await process.stdin.drain()
    reply = await answer()
    assert reply["id"] == 7
    assert reply["spans"][0][0][:3] == ["person", 5, 13]
    assert reply["spans"][1] == []
    process.stdin.close()
    assert await process.wait() == 0
