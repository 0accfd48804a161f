"""The composition root: one worker's parts, made and wired, started and stopped. Only wiring.

``create_app(settings, lifecycle)`` is what the server calls. Hot surfaces and health are
plain ASGI, looked up by path; everything else is FastAPI's. INVARIANT: a path that
neither knows is a 404, and a control that the policy asks for and nobody wired
refuses start-up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field

from gateway import __version__, background, chosen, standing
from gateway.adapters import gpu_windows
from gateway.adapters.adoption import Adoption
from gateway.adapters.alerts import Alerts, Sender, Watched
from gateway.adapters.chance import Chance
from gateway.adapters.children import probe
from gateway.adapters.clock import SystemClock
from gateway.adapters.content_store import SqlContentStore
from gateway.adapters.conversations import SqlConversations
from gateway.adapters.idempotency import SqlIdempotency
from gateway.adapters.journal_file import FileJournal
from gateway.adapters.keyring import FileKeyRing
from gateway.adapters.keys import KeySnapshot
from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.projector import Projector
from gateway.adapters.reserved_capacity import ReservedCapacity
from gateway.adapters.store_sql import Store, StoreUnavailable
from gateway.adapters.store_sql.feedback import project_feedback
from gateway.adapters.store_sql.suspensions import project_overrun
from gateway.adapters.store_sql.withdrawals import project_mismatch
from gateway.adapters.suspensions import Suspensions
from gateway.adapters.telemetries import Telemetries
from gateway.adapters.telemetry_prometheus import PrometheusTelemetry
from gateway.adapters.tokenizer import BundledTokenizer
from gateway.adapters.transport import Transport
from gateway.adapters.upstreams import Upstreams
from gateway.adapters.upstreams.secrets import Secrets
from gateway.adapters.vault import root_secret
from gateway.adapters.withdrawals import Withdrawals
from gateway.api import anthropic_messages, openai_chat, openai_embeddings, openai_responses
from gateway.api.auth import AdminTokens
from gateway.api.errors import render, status_of
from gateway.api.health import Health, Lifecycle
from gateway.api.hot import HotSurface, Limits
from gateway.api.later import Later
from gateway.api.money_status import books_report
from gateway.api.status import NotWired, assert_wired, policy_report
from gateway.core.errors import Code, Refusal
from gateway.core.ids import (
    RANDOM_BYTES,
    IdIssuer,
    conversation_key,
    decision_id,
    rater_key,
    tenant_key,
)
from gateway.core.observed import Mismatch
from gateway.core.redact import tenant_salt
from gateway.core.snapshot import Snapshot
from gateway.core.values import Surface
from gateway.detection import Detection
from gateway.pipeline import Pipeline, Ports
from gateway.policy.sign_statement import statement_signer
from gateway.policy.stored import Keeper, judges, source_of
from gateway.policy.watch import NotAccepted, Offered
from gateway.settings import Settings, environment, read_admin_tokens
from gateway.vaulting import Vault

Scope = MutableMapping[str, object]
Receive = Callable[[], Awaitable[MutableMapping[str, object]]]
Send = Callable[[MutableMapping[str, object]], Awaitable[None]]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("gateway.app")

ENDPOINTS = (
    openai_chat.ENDPOINT,
    openai_embeddings.ENDPOINT,
    openai_responses.ENDPOINT,
    anthropic_messages.ENDPOINT,
    anthropic_messages.COUNT_TOKENS,
)
HANDLERS = {
    "feedback": project_feedback,
    "place.mismatch": project_mismatch,
    "deployment.overrun": project_overrun,
}


def create_app(settings: Settings, lifecycle: Lifecycle) -> Handler:
    """Return the ASGI app of one worker; its parts are made when the server starts it."""
    return Gateway(settings, lifecycle)


class Gateway:
    """The ASGI app: its lifespan and its routing table."""

    def __init__(self, settings: Settings, lifecycle: Lifecycle) -> None:
        """Keep what the worker is made of; nothing is opened before its lifespan starts."""
        self._settings = settings
        self._lifecycle = lifecycle
        self._parts: Parts | None = None
        self._hot: dict[str, Handler] = {}
        self._slow: Handler = not_found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or run the worker's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        handler = self._hot.get(str(scope["path"]), self._slow)
        await handler(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self._parts = await start(self._settings, self._lifecycle)
            self._hot = self._parts.hot
            self._slow = self._parts.slow
        except Exception as failure:  # noqa: BLE001  # boundary: a worker that cannot start says why
            log.error("cannot start", extra={"error": type(failure).__name__})
            await send({"type": "lifespan.startup.failed", "message": str(failure)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._parts.stop()
        await send({"type": "lifespan.shutdown.complete"})


@dataclass(kw_only=True)
class Parts:
    """A running worker."""

    hot: dict[str, Handler]
    slow: Handler
    closing: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def stop(self) -> None:
        """Stop everything, last started first."""
        await self.closing.aclose()


async def start(settings: Settings, lifecycle: Lifecycle) -> Parts:
    """Make, wire and start one worker. Raises with a sentence that says the fix."""
    async with contextlib.AsyncExitStack() as stack:
        parts = await _start(settings, lifecycle, stack)
        parts.closing = stack.pop_all()
        return parts


async def _start(settings: Settings, lifecycle: Lifecycle, stack: contextlib.AsyncExitStack) -> Parts:
    clock = SystemClock()
    wired = {"keys", "policy", "journal", "guard", "budgets", "rates"}

    # Where things are kept.
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    root = root_secret(settings.data_dir)
    store = Store(settings.database)
    stack.callback(store.close)
    ready = await background.schema_ready(store)
    source = source_of(settings, store, clock.now)
    snapshot = await asyncio.to_thread(source.load, now=clock.now())
    journal = FileJournal.claim(
        settings.data_dir / "journal",
        place=settings.place,
        durability=settings.durability,
        version=__version__,
    )
    stack.callback(journal.close)

    # What watches.
    prometheus = PrometheusTelemetry(shared=chosen.metrics_folder(settings))
    transport = Transport(
        telemetry=prometheus, ca_bundle=str(settings.ca_bundle) if settings.ca_bundle else None
    )
    stack.push_async_callback(transport.close)
    telemetry = Telemetries(prometheus, *chosen.spans_of(settings, transport, journal.writer, stack))
    wired |= {"otlp"}

    # What the spine asks of the outside.
    host = platform.node()
    keys = KeySnapshot(store, lambda: source.snapshot.apps, clock)
    budgets = LeasedBudgets(store, journal.writer, place=settings.place, host=host)
    confinement = await probe()
    upstreams = Upstreams(transport, Secrets(environment()), confinement)
    stack.push_async_callback(upstreams.close)
    pool = await chosen.pool_of(settings, snapshot.tenant, confinement, stack)
    detector = chosen.detector_of(settings, snapshot.tenant, transport, pool)
    wired |= {f"detector:{kind}" for kind in detector.kinds}
    wired |= {"detector:inline"} if settings.detectors.mode != "off" else set()
    wired |= {"detector:presidio"} if pool else set()
    tokens = AdminTokens(read_admin_tokens(settings.admin_token_file))
    wired |= {"admin"}
    assert_wired(snapshot, settings, wired)
    source.accept = lambda fresh: _accept(fresh, settings, wired)

    tokenizer = BundledTokenizer()

    # What narrows a decision beside the policy: contradicted facts, and what conversations were about.
    withdrawals = Withdrawals(store, tenant=snapshot.tenant)
    conversations = SqlConversations(store, clock, conversation_key(root, snapshot.tenant))

    # Who is told, and what billed beyond its bound.
    alerts = Alerts(
        store,
        Watched(
            snapshot=lambda: source.snapshot,
            budgets=budgets,
            journal=lambda: journal.broken,
            writer=journal.writer,
            place=settings.place,
        ),
        Sender(
            transport,
            Secrets(environment()),
            clock,
            ca=str(settings.ca_bundle) if settings.ca_bundle else None,
        ),
        clock=clock,
        telemetry=telemetry,
    )
    suspensions = Suspensions(store, tenant=snapshot.tenant, tell=alerts.overran)

    # Content that is kept, sealed under keys per subject: the vault of tokens, comments.
    content = SqlContentStore(store, FileKeyRing(settings.data_dir), clock, journal, place=settings.place)
    vault = Vault(content, clock, telemetry, key=tenant_salt(root, snapshot.tenant))

    # The spine and its surfaces.
    ids = IdIssuer(tenant_key(root, snapshot.tenant))

    def contradicted(found: Mismatch) -> None:
        """Take a deployment out that reports another place, and tell of it."""
        withdrawals.note(found)
        alerts.contradicted(found)

    chance = Chance()  # the event loop's; what runs on other threads asks the system
    pipeline = Pipeline(
        Ports(
            snapshot=lambda: withdrawals.view(source.snapshot),
            clock=clock,
            detection=Detection(detector=detector, telemetry=telemetry),
            budgets=budgets,
            upstream=upstreams,
            journal=journal,
            telemetry=telemetry,
            decision_id=lambda now: decision_id(now=now, random=chance(RANDOM_BYTES)),
            status_of=status_of,
            log_places=chosen.log_places(settings),
            stale=lambda now: source.stale(now=now, most_s=settings.policy_last_good_s),
            salt=root,
            withdraw=contradicted,
            suspended=suspensions.suspended,
            suspend=suspensions.note,
            tokenizer=tokenizer if tokenizer.there else None,
            conversations=conversations,
            vault=vault,
        )
    )
    idempotency = SqlIdempotency(store, clock)
    limits = Limits(
        max_body_bytes=settings.limits.max_body_bytes,
        body_timeout_s=settings.limits.body_timeout_s,
        ping_s=settings.stream_ping_s,
    )
    hot: dict[str, Handler] = {
        endpoint.path: HotSurface(
            endpoint,
            pipeline=pipeline,
            keys=keys,
            idempotency=idempotency,
            ids=ids,
            clock=clock,
            random=chance,
            place=settings.place,
            limits=limits,
            lifecycle=lifecycle,
        )
        for endpoint in ENDPOINTS
    }

    # What runs beside the calls.
    projector = Projector(
        store,
        journal.folder,
        place=settings.place,
        host=host,
        handlers=HANDLERS,
        skipped=lambda entry, why: background.not_projected(telemetry, entry, why),
    )
    adoption = Adoption(
        store,
        settings.data_dir / "journal",
        journal,
        handlers=HANDLERS,
        failed=background.not_adopted,
    )
    healing = background.Healing(store, ready=ready)
    gpu = gpu_windows.GpuWindows(store, lambda: source.snapshot, clock.now)
    keeper = Keeper(store, source, lambda: judges(settings))
    await keys.start()
    if ready:
        with contextlib.suppress(StoreUnavailable):
            await withdrawals.refresh()  # before the first call: a restart must not bring anything back
            await suspensions.refresh()
    stack.push_async_callback(keys.close)
    budgets.start()
    for name, work in {
        "policy": background.poll_policies(source, keeper, clock, healing, journal),
        "translator": upstreams.prepare(snapshot),
        "adoption": healing.then(lambda: background.adopt(store, adoption)),
        "projector": healing.then(projector.run),
        "healing": healing.run(),
        "idempotency": background.sweep(idempotency),
        "content": healing.then(lambda: background.sweep_content(content)),
        "withdrawals": healing.then(withdrawals.run),
        "suspensions": healing.then(suspensions.run),
        "alerts": healing.then(alerts.run),
        "reserved": healing.then(ReservedCapacity(store, lambda: source.snapshot).run),
        "conversations": healing.then(conversations.run),
        "gpu": healing.then(lambda: gpu_windows.run(gpu, store)),
    }.items():
        background.beside(stack, name, work)
    stack.push_async_callback(background.last_words, pipeline, budgets, projector, adoption, store)
    loop = asyncio.get_running_loop()

    def changed(fresh: Snapshot, offered: Offered) -> None:
        if offered.revoke:  # on the thread that polled; attempts belong to the loop
            loop.call_soon_threadsafe(lambda: pipeline.revoke(withdrawals.view(fresh)))

    source.changed = changed
    if settings.policy_source == "folder":
        # The store is asked each second anyway.
        lifecycle.on_reload(lambda: pipeline.keep(asyncio.ensure_future(background.reload(source, clock))))

    # The desk: admin, reports, feedback, models, documentation.
    def desk() -> Handler:
        from gateway.api.slow import SlowDeps, slow_surfaces  # noqa: PLC0415 (FastAPI; see api/later.py)

        return slow_surfaces(
            SlowDeps(
                keys=keys,
                tokens=tokens,
                ids=ids,
                rater_key=rater_key(root, snapshot.tenant),
                vault_key=tenant_salt(root, snapshot.tenant),
                content=content,
                detector=detector,
                journal=journal,
                store=store,
                source=source,
                judges=lambda: judges(settings),
                policy_source=settings.policy_source,
                budgets=budgets,
                clock=clock,
                issue_id=lambda: ids.request(
                    settings.place, now=clock.now(), random=os.urandom(RANDOM_BYTES)
                ),
                endpoints=ENDPOINTS,
                journals=settings.data_dir / "journal",
                sign=lambda: statement_signer(settings),
            )
        )

    slow = Later(desk)
    health = Health(
        lifecycle,
        checks={
            "policy": lambda: None,
            "journal": lambda: journal.broken,
            "schema": lambda: healing.why,
            "detectors": lambda: None if pool is None or pool.alive else "no detector process is alive",
        },
        metrics=prometheus.render,
        status=(
            lambda: policy_report(source.snapshot, now=clock.now(), problems=source.problems),
            lambda: standing.worker_report(source, budgets, projector, journal),
            lambda: standing.keys_report(keys, clock),
            lambda: standing.border_report(source, withdrawals, conversations, confinement),
            lambda: standing.money_report(suspensions, alerts),
            lambda: standing.gpu_report(source.snapshot, gpu.problems),
            lambda: books_report(
                keeper.last,
                signing=settings.policy_signing,
                source=settings.policy_source,
                keyring=lambda: judges(settings),
            ),
        ),
    )
    hot |= health.routes
    return Parts(hot=hot, slow=slow)


def _accept(fresh: Snapshot, settings: Settings, wired: set[str]) -> None:
    """Turn down a reload that asks for a control which this process does not have."""
    try:
        assert_wired(fresh, settings, wired)
    except NotWired as missing:
        raise NotAccepted(str(missing)) from None


async def not_found(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer a path that nobody serves, in the shape of the surface that it looks like."""
    surface = Surface.MESSAGES if str(scope["path"]).startswith("/v1/messages") else None
    refusal = Refusal(
        code=Code.ROUTE_NOT_FOUND,
        message="The gateway does not serve this path. A path that no policy walker covers does not "
        "exist here; GET /openapi.json lists what does.",
        retry=False,
    )
    status, headers, body = render(refusal, surface, "")
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
