"""Serving: uvicorn as a library, one process or several, started, drained and reloaded.

``run(settings, factory)`` binds the socket once and serves. With one worker this
process serves; with more, it supervises as many spawned processes that share the
socket: a worker that dies is replaced, with growing pauses when it keeps dying.

SIGTERM or SIGINT drains: no new connection, ``/readyz`` turns 503, calls in flight get
``drain_s`` to finish, then are cut with a proper end. SIGHUP reads the policies again.

``factory`` is ``module:name`` of a callable ``(settings, lifecycle) -> ASGI app``; it is a
name so that the supervising process never imports the app, and so that this layer does not
import the composition root.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import importlib.util
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, cast

import uvicorn
from typing_extensions import override
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from gateway.adapters import logs
from gateway.api.health import Lifecycle
from gateway.api.protocol import Config, Protocol, State
from gateway.settings import Settings, put_variable

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

log = logging.getLogger("gateway.server")

# Seconds that idle kept-alive connections stay open after SIGTERM: a request that is just on
# its way is still answered, and a load balancer that asks `/readyz` there sees the 503.
_IDLE_GRACE_S = 1.0

# Seconds that cut calls get to write the end of their stream and their record.
_CUT_GRACE_S = 2.0

# Pauses before a worker that died is replaced: doubled each time up to the last.
_BACKOFF_S = (0.5, 30.0)

# A worker that lived this long starts the pauses anew.
_STEADY_S = 60.0

# By this prometheus_client is told to keep its values in files that all workers read.
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

Factory = Callable[[Settings, Lifecycle], "ASGI3Application"]


class ServerConfig(Config):
    """uvicorn's configuration from ours; picklable, since workers are spawned with it."""

    def __init__(self, settings: Settings, factory: str) -> None:
        """Fix everything that uvicorn would otherwise guess or read from the environment."""
        self.settings = settings
        self.lifecycle = Lifecycle()
        super().__init__(
            functools.partial(_make, factory, settings, self.lifecycle),
            factory=True,
            host=settings.host,
            port=settings.port,
            loop="uvloop" if _has_uvloop() else "asyncio",
            http=Protocol,
            ws="none",
            interface="asgi3",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            forwarded_allow_ips=[],
            server_header=False,
            date_header=True,
            workers=settings.workers,
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
            timeout_worker_healthcheck=10,
        )

    @override
    def configure_logging(self) -> None:
        """Set up our own log, in the supervisor and again in each worker."""
        logs.configure(self.settings.log)


def _make(factory: str, settings: Settings, lifecycle: Lifecycle) -> ASGI3Application:
    module, _, name = factory.partition(":")
    make = cast("Factory", getattr(importlib.import_module(module), name))
    return make(settings, lifecycle)


def _has_uvloop() -> bool:
    return importlib.util.find_spec("uvloop") is not None


class Server(uvicorn.Server):
    """One worker's server."""

    config: ServerConfig  # type: ignore[mutable-override]  # set once, by us
    server_state: State  # type: ignore[mutable-override]  # set once, by us

    def __init__(self, config: ServerConfig) -> None:
        """Take the configuration and make the state that connections share."""
        super().__init__(config)
        self.server_state = State()
        self._swept = 0.0
        self.lifecycle = config.lifecycle
        self.on_serving: Callable[[], None] = _nothing

    @override
    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal ends it, and return: uvicorn raises the signal again after its drain."""
        if threading.current_thread() is threading.main_thread():
            for sig in (signal.SIGTERM, signal.SIGINT):
                signal.signal(sig, self._raised_again)
        super().run(sockets)

    def _raised_again(self, sig: int, _frame: FrameType | None) -> None:
        if not self.should_exit:  # it came before there was anything to drain
            sys.exit(128 + sig)

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.server_state.now = loop.time()
        if threading.current_thread() is threading.main_thread():
            loop.add_signal_handler(signal.SIGHUP, self.lifecycle.reload)
        try:
            await super().startup(sockets)
        except OSError as error:
            log.error("cannot listen", extra={"error": type(error).__name__})
            sys.exit(STARTUP_FAILURE)
        if threading.current_thread() is threading.main_thread():
            _settle_memory()
        self.on_serving()
        log.info("serving", extra={"listen": _shown(sockets)})

    @override
    async def on_tick(self, counter: int) -> bool:
        now = asyncio.get_running_loop().time()
        self.server_state.now = now
        if now - self._swept >= 1.0:
            self._swept = now
            for connection in list(self.server_state.connections):
                cast("Protocol", connection).sweep()
        return await super().on_tick(counter)

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain at once; a second SIGINT does not wait."""
        self.lifecycle.draining = True
        self.server_state.draining = True
        super().handle_exit(sig, frame)

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let calls finish, cut the rest properly, then close the app."""
        self.lifecycle.draining = self.server_state.draining = True
        log.info("draining", extra={"in_flight": len(self.server_state.tasks)})
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        drain_s = self.config.settings.drain_s
        await self._wait(lambda: bool(self.server_state.connections), min(_IDLE_GRACE_S, drain_s))
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._wait(self._busy, max(0.0, drain_s - _IDLE_GRACE_S))
        if self.server_state.tasks:
            await self._cut()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.close()
        await self._wait(lambda: bool(self.server_state.connections), 0.5)
        await self.lifespan.shutdown()
        log.info("stopped")

    def _busy(self) -> bool:
        return bool(self.server_state.tasks or self.server_state.connections)

    async def _cut(self) -> None:
        log.warning("cutting calls", extra={"in_flight": len(self.server_state.tasks)})
        self.lifecycle.cutting = True
        for task in list(self.server_state.tasks):
            task.cancel("draining is over")
        await self._wait(lambda: bool(self.server_state.tasks), _CUT_GRACE_S)

    async def _wait(self, going_on: Callable[[], bool], most_s: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + most_s
        while going_on() and not self.force_exit and loop.time() < end:
            await asyncio.sleep(0.05)
            await self.on_tick(1)  # deadlines hold while draining too


def _settle_memory() -> None:
    """Keep the garbage collector off what lives as long as the process.

    Modules, the policy's tables and the app are hundreds of thousands of objects that a full
    collection would visit again and again during calls, each time for tens of milliseconds. A
    call's own objects go by reference count; the collector is there for the rare cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _nothing() -> None:
    """Stand in where nobody waits for the server."""


def _shown(sockets: list[socket.socket] | None) -> str:
    if not sockets:
        return ""
    host, port = sockets[0].getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(settings: Settings) -> socket.socket:
    """Bind and listen. Raises OSError; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Replies are small and written whole: waiting to fill a packet would only delay chunks.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((settings.host, settings.port))
        sock.listen(2048)
    except OSError:
        sock.close()
        raise
    sock.set_inheritable(True)
    return sock


# ---------------------------------------------------------------- several workers


class _Worker(Process):
    """A spawned worker, which ends itself when its supervisor is gone."""

    config: ServerConfig  # type: ignore[mutable-override]  # set once, by us
    started_at: float = 0.0

    def __init__(self, config: ServerConfig, sockets: list[socket.socket]) -> None:
        """Prepare the process; the event tells the supervisor that it once served."""
        self._ready = multiprocessing.get_context("spawn").Event()
        super().__init__(config, sockets)

    @property
    def was_ready(self) -> bool:
        """Whether it ever got as far as serving."""
        return self._ready.is_set()

    @override
    def start(self) -> None:
        self.started_at = time.monotonic()
        self._supervisor = os.getpid()
        super().start()

    @override
    def target(self, sockets: list[socket.socket] | None = None) -> None:
        threading.Thread(target=self._follow, daemon=True).start()
        self.server.on_serving = self._ready.set
        super().target(sockets)

    def _follow(self) -> None:
        while os.getppid() == self._supervisor:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    @property
    @override
    def server(self) -> Server:
        if self._server is None:
            self._server = Server(self.config)
        return cast("Server", self._server)


class Supervisor(Multiprocess):
    """Keeps as many workers alive as the settings say."""

    config: ServerConfig  # type: ignore[mutable-override]  # set once, by us
    processes: list[_Worker]  # type: ignore[assignment]  # uvicorn's list, of our subclass

    def __init__(
        self, config: ServerConfig, sockets: list[socket.socket], *, on_death: Callable[[int], None]
    ) -> None:
        """Take the bound sockets. ``on_death`` gets the pid of each worker that ended."""
        super().__init__(config, sockets)
        self.failed = False
        self._on_death = on_death
        self._pauses: dict[int, float] = {}
        self._due: dict[int, float] = {}

    @override
    def init_processes(self) -> None:
        for _ in range(self.processes_num):
            worker = _Worker(self.config, self.sockets)
            worker.start()
            self.processes.append(worker)

    @override
    def keep_subprocess_alive(self) -> None:
        """Replace workers that died or hang, each after its pause."""
        for index, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if index in self._due:
                if time.monotonic() >= self._due[index]:
                    del self._due[index]
                    replacement = _Worker(self.config, self.sockets)
                    replacement.start()
                    self.processes[index] = replacement
            elif not worker.is_alive(timeout=self.config.timeout_worker_healthcheck):
                self._bury(index, worker)

    def _bury(self, index: int, worker: _Worker) -> None:
        worker.kill()
        worker.join()
        if worker.pid is not None:
            self._on_death(worker.pid)
        if index not in self._pauses and not worker.was_ready:
            # It never served and is none that replaces one that did: it will fail the same way again.
            log.error("a worker cannot start; giving up")
            self.failed = True
            self.should_exit.set()
            return
        least, most = _BACKOFF_S
        before = 0.0 if self._served(worker) else self._pauses.get(index, 0.0)
        pause = min(most, max(least, before * 2))
        self._pauses[index] = pause
        self._due[index] = time.monotonic() + pause
        log.error("worker died", extra={"pid": worker.pid, "exit": worker.exitcode, "pause_s": pause})

    @staticmethod
    def _served(worker: _Worker) -> bool:
        return time.monotonic() - worker.started_at > _STEADY_S

    @override
    def terminate_all(self) -> None:
        for index, worker in enumerate(self.processes):
            if index not in self._due:
                worker.terminate()

    @override
    def join_all(self) -> None:
        for index, worker in enumerate(self.processes):
            if index not in self._due:
                worker.join()

    @override
    def handle_hup(self) -> None:
        """Pass the wish to read the policies again on to every worker."""
        for index, worker in enumerate(self.processes):
            if index not in self._due and worker.pid is not None and worker.exitcode is None:
                os.kill(worker.pid, signal.SIGHUP)

    @override
    def handle_ttin(self) -> None:
        """Ignore: the number of workers is a setting."""

    @override
    def handle_ttou(self) -> None:
        """Ignore: the number of workers is a setting."""


def run(settings: Settings, factory: str = "gateway.app:create_app") -> int:
    """Serve until a signal ends it; return the exit status of the process.

    Raises OSError if the address cannot be bound.
    """
    config = ServerConfig(settings, factory)
    prepare_run_dir(settings.run_dir)
    sock = bind(settings)
    if settings.workers == 1:
        put_variable(METRICS_VARIABLE, None)
        server = Server(config)
        server.run([sock])
        return 0 if server.started else STARTUP_FAILURE
    # Before the workers import prometheus_client, which looks at it once.
    put_variable(METRICS_VARIABLE, str(settings.run_dir / "metrics"))
    supervisor = Supervisor(config, [sock], on_death=functools.partial(_bury, settings.run_dir))
    supervisor.run()
    return STARTUP_FAILURE if supervisor.failed else 0


def _bury(run_dir: Path, pid: int) -> None:
    from gateway.adapters.telemetry_prometheus import bury  # noqa: PLC0415 (only when a worker died)

    bury(run_dir, pid)


def prepare_run_dir(folder: Path) -> None:
    """Make the folder of run-time files and drop the metrics of processes that are gone."""
    metrics = folder / "metrics"
    metrics.mkdir(parents=True, exist_ok=True)
    for left in metrics.glob("*.db"):
        left.unlink()
