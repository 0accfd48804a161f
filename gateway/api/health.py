"""Whether this worker lives, is ready, and what it measures: the endpoints for machines.

Owns :class:`Lifecycle`, the one value that the server and the app share about starting,
draining and reloading, and the ASGI handlers of ``/healthz``, ``/readyz``, ``/metrics``
and ``/status``. None of them tells anything about calls, keys or upstream addresses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence

import orjson

from gateway.api.status import StatusProvider, collect

Scope = MutableMapping[str, object]
Receive = Callable[[], Awaitable[MutableMapping[str, object]]]
Send = Callable[[MutableMapping[str, object]], Awaitable[None]]

ReadyCheck = Callable[[], str | None]
"""Returns None when all is well, else in a few words why this worker cannot take calls."""


class Lifecycle:
    """What the server tells the app, and the app asks: draining, cutting, reloading.

    ``draining`` is set by SIGTERM: no new call is taken. ``cutting`` is set when the
    time to drain is over, right before the tasks of calls in flight are cancelled: a
    stream that catches its cancellation then has two seconds to write a proper end.
    """

    def __init__(self) -> None:
        """Start neither draining nor cutting."""
        self.draining = False
        self.cutting = False
        self._reloads: list[Callable[[], object]] = []

    def on_reload(self, callback: Callable[[], object]) -> None:
        """Call back on SIGHUP, on the event loop. The callback must not block or raise."""
        self._reloads.append(callback)

    def reload(self) -> None:
        """Tell everyone who asked that the policies should be read again."""
        for callback in self._reloads:
            callback()


class Health:
    """The four endpoints. ``checks`` are named, and their names are what ``/readyz`` shows."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        *,
        checks: Mapping[str, ReadyCheck],
        metrics: Callable[[], tuple[bytes, str]],
        status: Sequence[StatusProvider],
    ) -> None:
        """Keep what is asked. ``metrics`` returns the body and its content type.

        A check or report that raises makes its endpoint answer 500, which is not ready either.
        """
        self._lifecycle = lifecycle
        self._checks = checks
        self._metrics = metrics
        self._status = status
        self.routes: Mapping[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {
            "/healthz": self.healthz,
            "/readyz": self.readyz,
            "/metrics": self.metrics,
            "/status": self.status,
        }

    async def healthz(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer 200 as long as the event loop turns."""
        await _json(send, 200, {"status": "alive"})

    async def readyz(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer 200 if calls can be taken, else 503 with the names of what is missing."""
        failing = self.not_ready()
        if failing:
            await _json(send, 503, {"status": "not ready", "failing": failing})
        else:
            await _json(send, 200, {"status": "ready"})

    def not_ready(self) -> dict[str, str]:
        """Return each failing check with its reason; empty when this worker is ready."""
        failing: dict[str, str] = {}
        if self._lifecycle.draining:
            failing["draining"] = "this node is shutting down"
        for name, check in self._checks.items():
            if (why := check()) is not None:
                failing[name] = why
        return failing

    async def metrics(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer the metrics of all workers in Prometheus' text format."""
        # Off the loop: with several workers this reads their files.
        body, kind = await asyncio.to_thread(self._metrics)
        await _plain(send, 200, kind.encode("ascii"), body)

    async def status(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer what each control does right now (see :mod:`gateway.api.status`)."""
        await _json(send, 200, collect(self._status) | {"draining": self._lifecycle.draining})


async def _json(send: Send, status: int, body: Mapping[str, object]) -> None:
    await _plain(send, status, b"application/json", orjson.dumps(dict(body)))


async def _plain(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
