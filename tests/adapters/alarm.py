"""What the tests of alerts stand on: a hook that takes JSON, a policy that tells it, workers on one store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import update

from gateway.adapters.alerts import Alerts, Watched
from gateway.adapters.clock import SetClock
from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.memory_telemetry import MemoryTelemetry
from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.tables import slices
from gateway.core.alert_plan import AlertPlan, Mail, Receiver, Sending, Webhook
from gateway.core.money import NANO
from gateway.core.snapshot import App, Snapshot
from gateway.core.wants import want_of
from tests.people import NOW, app, limit, snapshot


@dataclass
class Hook:
    """A real HTTP server on loopback that keeps what it is sent; ``answers`` are its next statuses."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    silent: bool = False

    def bodies(self) -> list[Any]:
        """The JSON of every request, in order."""
        return [orjson.loads(body) for _, body in self.got]


@contextlib.asynccontextmanager
async def hook() -> AsyncIterator[Hook]:
    """Serve a hook for a block."""
    made = Hook()

    open_now: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = asyncio.current_task()
        assert mine is not None
        open_now.add(mine)
        try:
            await answer(reader, writer)
        finally:
            open_now.discard(mine)
            writer.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                lines = [line.split(": ", 1) for line in head[1:] if ": " in line]
                headers = {name.lower(): value for name, value in lines}
                body = await reader.readexactly(int(headers["content-length"]))
                made.got.append((headers, body))
                if made.silent:
                    await asyncio.Event().wait()
                status = made.answers.pop(0) if made.answers else 204
                more = "location: http://127.0.0.1:9/elsewhere\r\n" if status == 307 else ""
                writer.write(f"HTTP/1.1 {status} X\r\n{more}content-length: 0\r\n\r\n".encode())
                await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield made
    finally:
        server.close()
        for task in tuple(open_now):
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)


def telling(found: Snapshot, *ways: Webhook | Mail, sendings: tuple[Sending, ...] = ()) -> Snapshot:
    """Return a snapshot that tells these destinations, called ``one``, ``two`` and so on."""
    names = ("one", "two", "three")
    receivers = {
        name: Receiver(name=name, way=way, place="CA") for name, way in zip(names, ways, strict=False)
    }
    return replace(found, alerts=AlertPlan(receivers=receivers, sendings=sendings))


def budgeted(amount: str = "100.00", *, per: str = "month", alert_at: tuple[int, ...] = (50, 80, 100)) -> App:
    """The teller, with a budget of the branch that somebody is told about."""
    own = replace(limit("team:branch:CAD", "team", "branch", amount, per=per), alert_at=alert_at)
    return app(budgets=(own,))


@dataclass
class Worker:
    """One worker: its leases and its alerts, on the shared store."""

    budgets: LeasedBudgets
    alerts: Alerts
    clock: SetClock
    telemetry: MemoryTelemetry
    holder: dict[str, Snapshot]
    store: Store
    name: str
    _spent: int = 0

    async def spend(self, amount: str) -> None:
        """Spend an amount of the branch's budget through this worker, and let the store know of it."""
        (own,) = self.holder["snapshot"].apps["teller"].budgets
        nano = int(Decimal(amount) * NANO)
        self._spent += 1
        want = replace(want_of(own, at=self.clock.now(), amount=nano), limit=2**62)
        hold = await self.budgets.reserve(f"spend-{id(self)}-{self._spent}", (want,))
        self.budgets.settle(hold, {want.budget: nano})  # type: ignore[arg-type]
        with self.store.write() as connection:  # as the projector books it from the journal
            connection.execute(
                update(slices)
                .where(
                    slices.c.writer == self.name,
                    slices.c.budget == want.budget,
                    slices.c.window == want.window,
                )
                .values(spent=slices.c.spent + nano)
            )


def worker(
    store: Store, found: Snapshot, send: Any, *, name: str = "w1", now: int = NOW, **more: Any
) -> Worker:
    """Make a worker; its policy can be changed by ``holder["snapshot"]``, its journal by ``broken``."""
    clock = SetClock(now)
    telemetry = MemoryTelemetry()
    budgets = LeasedBudgets(store, name, now=clock.now)
    holder = {"snapshot": found}
    broken: dict[str, str | None] = more.pop("broken", {"why": None})
    alerts = Alerts(
        store,
        Watched(
            snapshot=lambda: holder["snapshot"],
            budgets=budgets,
            journal=lambda: broken["why"],
            writer=name,
            place="CA-QC",
        ),
        send,
        clock=clock,
        telemetry=telemetry,
        **more,
    )
    return Worker(
        budgets=budgets,
        alerts=alerts,
        clock=clock,
        telemetry=telemetry,
        holder=holder,
        store=store,
        name=name,
    )


def bank(*apps: App) -> Snapshot:
    """The bank with these apps."""
    return snapshot(*apps)
