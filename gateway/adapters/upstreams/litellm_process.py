"""The translator's process, seen from the gateway: start, ask, time out, start again.

Owns the pipe to :mod:`.litellm_child`. Frames are four bytes of length, then JSON. The
process is started by the first question, since it costs seconds and most gateways have no
connection that needs it. One that hangs or garbles is killed, and the next question starts
another; what was asked of the dead one fails.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import sys
from pathlib import Path

import orjson

import gateway
from gateway.adapters.children import UNCONFINED, Confinement

MODULE = "gateway.adapters.upstreams.litellm_child"
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 10.0
_HOME = str(Path(gateway.__file__).resolve().parent.parent)
ENVIRONMENT = {
    "PYTHONPATH": _HOME,
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no price map from the network
    "LITELLM_MODE": "PRODUCTION",  # no .env file
}
"""All of the translator's environment: no key, no proxy and no profile of ours."""

MAX_FRAME_BYTES = 128 * 1024 * 1024


class TranslatorDown(Exception):
    """The translator could not be started, died, hung or garbled. The text names no content."""


class Process:
    """One translator process at a time."""

    def __init__(
        self,
        *,
        start_timeout_s: float = START_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        confinement: Confinement = UNCONFINED,
    ) -> None:
        """Start nothing yet. Times in seconds; ``confinement`` keeps the process from the network."""
        self._confinement = confinement
        self._start_timeout_s = start_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._ids = itertools.count(1)
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, object]]] = {}
        self.generation = 0  # how often one was started: state in an older one is gone

    async def ask(self, op: str, /, **asked: object) -> dict[str, object]:
        """Ask one operation and return the answer's frame. Raises TranslatorDown."""
        process = await self._running()
        number = next(self._ids)
        data = orjson.dumps({"op": op, "id": number, **asked})
        answer: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                pipe = _input(process)
                pipe.write(struct.pack(">I", len(data)) + data)
                await pipe.drain()
                return await answer
        except TimeoutError:
            await self._kill()
            raise TranslatorDown("the translator did not answer in time") from None
        except (ConnectionError, OSError):
            await self._kill()
            raise TranslatorDown("the translator is gone") from None
        finally:
            self._waiting.pop(number, None)

    def tell(self, op: str, /, **asked: object) -> None:
        """Say something that needs no answer, if a process is there."""
        process = self._process
        if process is not None and process.returncode is None:
            data = orjson.dumps({"op": op, **asked})
            _input(process).write(struct.pack(">I", len(data)) + data)

    async def close(self) -> None:
        """End the process."""
        await self._kill()

    async def _running(self) -> asyncio.subprocess.Process:
        async with self._lock:
            reading = self._reader is not None and not self._reader.done()
            if self._process is not None and self._process.returncode is None and reading:
                return self._process
            await self._kill()
            self._process = process = await self._start()
            self._reader = asyncio.create_task(self._read(process))
            self.generation += 1
            return process

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._confinement.command((sys.executable, "-m", MODULE)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=ENVIRONMENT,
                cwd=_HOME,
            )
        except OSError:
            raise TranslatorDown("the translator could not be started") from None
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await _frame(process)
        except (TimeoutError, asyncio.IncompleteReadError, ValueError):
            await _end(process)
            raise TranslatorDown(
                "the translator did not start; install the extra `litellm`, or drop bedrock and gemini"
            ) from None
        except BaseException:
            await _end(process)
            raise
        return process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        try:
            while True:
                said = await _frame(process)
                number = said.get("id")
                answer = self._waiting.get(number) if isinstance(number, int) else None
                if answer is not None and not answer.done():
                    answer.set_result(said)
        except (asyncio.IncompleteReadError, ValueError, ConnectionError):
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(TranslatorDown("the translator is gone"))

    async def _kill(self) -> None:
        process, self._process = self._process, None
        reader, self._reader = self._reader, None
        if process is not None:
            await _end(process)
        if reader is not None:
            await asyncio.wait({reader})


def _input(process: asyncio.subprocess.Process) -> asyncio.StreamWriter:
    if process.stdin is None:
        raise RuntimeError("the translator is started with a pipe")
    return process.stdin


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill and reap a process."""
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _frame(process: asyncio.subprocess.Process) -> dict[str, object]:
    """Read one frame. Raises IncompleteReadError and ValueError."""
    if process.stdout is None:
        raise ValueError("no output")
    size: int = struct.unpack(">I", await process.stdout.readexactly(4))[0]
    if size > MAX_FRAME_BYTES:
        raise ValueError("frame too large")
    said = orjson.loads(await process.stdout.readexactly(size))
    if not isinstance(said, dict):
        raise ValueError("no object")  # noqa: TRY004 (a value that came over a pipe)
    return said
