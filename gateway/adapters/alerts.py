"""Alerts on their way: looked for at intervals, told once over all workers, delivered or said not to be.

Every worker looks at budgets, prices and facts; a row with the alert's key decides which of them tells
it. A row is leased by whoever sends it: a sender that dies is made good by another one when the lease
is over, so a receiver may see an alert twice then (its id tells), and never not at all. Nothing here
waits for a call, and no call waits for anything here.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from gateway.adapters import alert_mail, alert_webhook
from gateway.adapters.alert_webhook import NotDelivered
from gateway.adapters.guard import EgressRefused, permit_alert
from gateway.adapters.keys import Database
from gateway.adapters.store_sql import StoreUnavailable
from gateway.adapters.store_sql import alerts as rows
from gateway.adapters.store_sql.alerts import Told
from gateway.adapters.transport import Transport
from gateway.adapters.upstreams.secrets import SecretMissing, Secrets
from gateway.core.alert_plan import Mail, Receiver
from gateway.core.alerts import (
    Alert,
    Spent,
    budget_alerts,
    ending_alerts,
    journal_alert,
    mismatch_alert,
    overrun_alerts,
    teams_of,
)
from gateway.core.observed import Mismatch
from gateway.core.overruns import Overrun
from gateway.core.snapshot import BudgetLimit, Snapshot
from gateway.core.wants import every_limit, want_of, window_of
from gateway.core.windows import rfc3339
from gateway.ports import Budgets, BudgetsUnavailable, Clock, Telemetry

log = logging.getLogger("gateway.alerts")

LOOK_S: Final = 5.0
LEASE_S: Final = 60
MOST_TRIES: Final = 6
_BACKOFF_S: Final = (30, 120, 600, 1_800, 7_200)
_MOST_NOTED: Final = 1_000
_SLOW_LOOK: Final = 60  # prices and facts are looked at every so many looks

Send = Callable[[Receiver, Told, Snapshot], Awaitable[None]]


class Sender:
    """Sends one alert to one destination, by the guard's leave."""

    def __init__(self, transport: Transport, held: Secrets, clock: Clock, *, ca: str | None = None) -> None:
        """Keep what sends; ``ca`` is a bundle of certificates beyond the machine's own."""
        self._transport = transport
        self._secrets = held
        self._clock = clock
        self._ca = ca

    async def __call__(self, receiver: Receiver, told: Told, snapshot: Snapshot) -> None:
        """Send. Raises NotDelivered."""
        way, seconds = receiver.way, self._clock.now() // 1_000_000_000
        try:
            permit = permit_alert(receiver, snapshot)
            secret = self._secrets.get(way.secret)
        except EgressRefused as refused:
            raise NotDelivered(refused.reason) from None
        except SecretMissing:
            raise NotDelivered("no_secret") from None
        if isinstance(way, Mail):
            lines = {"at": rfc3339(told.at_us * 1000), "organisation": told.tenant, **told.facts}
            message = alert_mail.letter(
                way, title=told.title, lines=lines, message_id=told.id, seconds=told.at_us // 1_000_000
            )
            await alert_mail.send(permit, way, secret, message, ca=self._ca)
            return
        await alert_webhook.post(
            self._transport, permit, way, secret, payload(told), message_id=told.id, seconds=seconds
        )


def payload(told: Told) -> dict[str, object]:
    """Return what a webhook is sent: stable names, no content."""
    return {
        "type": f"borderpost.{told.kind}",
        "id": told.id,
        "timestamp": rfc3339(told.at_us * 1000),
        "data": {"organisation": told.tenant, "title": told.title, **told.facts},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is looked at: the policy in force, where budgets stand, and whether the journal is broken."""

    snapshot: Callable[[], Snapshot]
    budgets: Budgets
    journal: Callable[[], str | None]
    writer: str
    place: str


class Alerts:
    """Looks, tells and delivers. Belongs to one event loop."""

    def __init__(
        self,
        store: Database,
        watched: Watched,
        send: Send,
        *,
        clock: Clock,
        telemetry: Telemetry,
        look_s: float = LOOK_S,
        lease_s: float = LEASE_S,
        backoff_s: tuple[float, ...] = _BACKOFF_S,
    ) -> None:
        """Keep what is looked at and how it is told."""
        self._store = store
        self._watched = watched
        self._send = send
        self._clock = clock
        self._telemetry = telemetry
        self._look_s = look_s
        self._lease_us = int(lease_s * 1e6)
        self._backoff_s = backoff_s
        self._noted: deque[Alert] = deque()
        self._known: set[str] = set()
        self._looks = 0
        self._looked_at: Snapshot | None = None
        self._wake = asyncio.Event()
        self.reachable = True
        """Whether the last look reached the store."""
        self.standing: Mapping[str, int] = {rows.PENDING: 0, rows.UNDELIVERED: 0}
        """How many are on their way, and how many never arrived, for ``/status``."""

    # ---------------------------------------------------------------- what happens

    def overran(self, found: Overrun) -> None:
        """Tell of a bill beyond its bound. Returns at once."""
        self.note(*overrun_alerts(found))

    def contradicted(self, found: Mismatch) -> None:
        """Tell of a vendor that ran elsewhere than its facts say. Returns at once."""
        self.note(mismatch_alert(found))

    def note(self, *alerts: Alert) -> None:
        """Tell these as soon as the store answers; each is told once, whoever notes it. Returns at once."""
        if len(self._noted) < _MOST_NOTED:
            waiting = {alert.key for alert in self._noted}
            self._noted.extend(a for a in alerts if a.key not in self._known and a.key not in waiting)
        self._wake.set()

    async def run(self) -> None:
        """Look and deliver until cancelled; a store that is away is no error."""
        while True:
            try:
                await self.step()
                self.reachable = True
            except (StoreUnavailable, BudgetsUnavailable):
                self.reachable = False
            self._wake.clear()
            try:
                async with asyncio.timeout(self._look_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def step(self) -> None:
        """Look once, tell what is new, and deliver what is due. Raises StoreUnavailable."""
        snapshot, now = self._watched.snapshot(), self._clock.now()
        found = await self._due(snapshot, now)
        noted = list(self._noted)  # more may be noted while these are told
        await self._tell(snapshot, [*noted, *found])
        for _ in noted:
            self._noted.popleft()
        tenant = snapshot.tenant
        self.standing = await self._store.ask(lambda connection: rows.waiting(connection, tenant))
        if self.standing[rows.PENDING]:  # a look that finds nothing takes no lock for writing
            await self.deliver()
            self.standing = await self._store.ask(lambda connection: rows.waiting(connection, tenant))

    # ------------------------------------------------------------------- looking

    async def _due(self, snapshot: Snapshot, now: int) -> list[Alert]:
        """Return every alert that is due now and that this worker does not know to be told."""
        found: list[Alert] = []
        if self._watched.journal() is not None:
            found.append(journal_alert(self._watched.writer, self._watched.place, now=now))
        if self._looks % _SLOW_LOOK == 0 or snapshot is not self._looked_at:
            found += ending_alerts(snapshot, now=now)
            self._looked_at = snapshot
        self._looks += 1
        for where in await self._spent(snapshot, now):
            found += budget_alerts(where, now=now, teams=teams_of(snapshot, where.limit))
        return [alert for alert in found if alert.key not in self._known]

    async def _spent(self, snapshot: Snapshot, now: int) -> list[Spent]:
        """Return where the budgets stand that somebody is to be told about."""
        told = [limit for limit in every_limit(snapshot) if limit.alert_at and not limit.rate]
        named: list[tuple[BudgetLimit, str | None]] = [(limit, None) for limit in told if "*" not in limit.id]
        if any("*" in limit.id for limit in told):
            named += await self._store.ask(lambda c: _filled_in(c, snapshot, now_us=now // 1000))
        if not named:
            return []
        wants = [want_of(limit, at=now, name=name) for limit, name in named]
        standings = await self._watched.budgets.standing(wants)
        return [
            Spent(
                budget=stands.budget,
                limit=limit,
                window=stands.window,
                start=window_of(limit, now).start,
                end=window_of(limit, now).end,
                spent=stands.spent,
                most=stands.limit,
            )
            for (limit, _), stands in zip(named, standings, strict=True)
        ]

    # ------------------------------------------------------------------- telling

    async def _tell(self, snapshot: Snapshot, found: list[Alert]) -> None:
        """Put new alerts on their way; those that another worker told are only remembered."""
        if not found:
            return
        tenant, plan = snapshot.tenant, snapshot.alerts
        keys = [alert.key for alert in found]
        told = await self._store.ask(lambda connection: rows.known(connection, tenant, keys))
        for alert in found:
            if alert.key[:320] not in told:
                to = plan.to(alert.kind, alert.teams)
                new = await self._store.run(
                    lambda connection, alert=alert, to=to: rows.tell(  # type: ignore[misc]  # bound at once
                        connection, tenant, alert, to, new_id=f"alert_{secrets.token_hex(8)}"
                    )
                )
                if new:
                    log.warning("alert", extra={"kind": alert.kind.value, "about": alert.key, "to": list(to)})
                    self._telemetry.count("alert", kind=alert.kind.value)
            self._remember(alert.key)

    def _remember(self, key: str) -> None:
        if len(self._known) >= 50_000:
            self._known.clear()
        self._known.add(key)

    # ---------------------------------------------------------------- delivering

    async def deliver(self) -> int:
        """Send what is due; return how many arrived. Raises StoreUnavailable."""
        arrived = 0
        while taken := await self._store.run(self._claim):
            # All at once: one that waits for its relay holds up no other, and none its lease.
            arrived += sum(await asyncio.gather(*(self._one(told) for told in taken)))
        return arrived

    def _claim(self, connection: Connection) -> list[Told]:
        now_us = self._clock.now() // 1000
        return rows.claim(connection, self._watched.writer, now_us=now_us, lease_us=self._lease_us)

    async def _one(self, told: Told) -> bool:
        snapshot = self._watched.snapshot()
        receiver = snapshot.alerts.receivers.get(told.destination)
        try:
            if receiver is None:
                raise NotDelivered("no_destination")  # noqa: TRY301 (one way out for all)
            await self._send(receiver, told, snapshot)
        except NotDelivered as failure:
            await self._failed(told, str(failure), last=receiver is None)
            return False
        now_us = self._clock.now() // 1000
        await self._store.run(lambda c: rows.finish(c, told, state=rows.SENT, now_us=now_us))
        return True

    async def _failed(self, told: Told, why: str, *, last: bool) -> None:
        """Try again later, or say for good that an alert did not arrive."""
        now_us = self._clock.now() // 1000
        if last or why == "some_refused" or told.tries > len(self._backoff_s):
            log.error("alert not delivered", extra={"destination": told.destination, "why": why})
            self._telemetry.count("alert_undelivered", kind=told.kind)
            await self._store.run(
                lambda c: rows.finish(c, told, state=rows.UNDELIVERED, now_us=now_us, why=why[:64])
            )
            return
        due = now_us + int(self._backoff_s[told.tries - 1] * 1e6)
        await self._store.run(lambda c: rows.again(c, told, due_us=due, why=why[:64]))


def _filled_in(connection: Connection, snapshot: Snapshot, *, now_us: int) -> list[tuple[BudgetLimit, str]]:
    """Return the budgets of templates that are in use now: of whose app a key is, of any for a user."""
    templates: dict[str, list[tuple[str, BudgetLimit]]] = {}
    for app in snapshot.apps.values():
        for limit in (*app.key_budgets, *app.user_budgets):
            if limit.alert_at:
                templates.setdefault(limit.id, []).append((app.id, limit))
    named: list[tuple[BudgetLimit, str]] = []
    for template, limits in templates.items():
        before, _, after = template.partition("*")
        found = rows.filled_in(connection, template, now_us=now_us)
        names = [budget.removeprefix(before).removesuffix(after) for budget in found]
        by_key = limits[0][1].level == "key"
        owners = rows.apps_of_keys(connection, names) if by_key else {}
        for name in names:
            own = [limit for app, limit in limits if not by_key or owners.get(name) == app]
            if own:  # where several count for a user, doubt tells later, not wrongly
                named.append((max(own, key=lambda limit: limit.limit), name))
    return named
