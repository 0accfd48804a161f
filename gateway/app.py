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
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway import __version__
from gateway.adapters import gpu_windows
from gateway.adapters.adoption import Adoption
from gateway.adapters.alerts import Alerts, Sender, Watched
from gateway.adapters.chance import Chance
from gateway.adapters.children import Confinement, probe
from gateway.adapters.clock import SystemClock
from gateway.adapters.content_store import SqlContentStore
from gateway.adapters.conversations import SqlConversations
from gateway.adapters.detectors.injection import InjectionClassifier, InjectionDetector
from gateway.adapters.detectors.inline import InlineDetector
from gateway.adapters.detectors.layered import LayeredDetector
from gateway.adapters.detectors.presidio import PresidioPool
from gateway.adapters.detectors.tuning import TunedDetector, load_tuning
from gateway.adapters.guard import permit_declared
from gateway.adapters.idempotency import SqlIdempotency
from gateway.adapters.journal_file import FileJournal
from gateway.adapters.keyring import FileKeyRing
from gateway.adapters.keys import KeySnapshot
from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.projector import Projector
from gateway.adapters.reserved_capacity import ReservedCapacity
from gateway.adapters.store_sql import Store, StoreUnavailable
from gateway.adapters.store_sql.feedback import project_feedback
from gateway.adapters.store_sql.schema import check, migrate
from gateway.adapters.store_sql.suspensions import project_overrun
from gateway.adapters.store_sql.withdrawals import project_mismatch
from gateway.adapters.suspensions import Suspensions
from gateway.adapters.telemetries import Telemetries
from gateway.adapters.telemetry_prometheus import PrometheusTelemetry, metrics_dir
from gateway.adapters.tokenizer import BundledTokenizer
from gateway.adapters.transport import Outgoing, Transport
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
from gateway.api.status import Control, NotWired, Report, assert_wired, policy_report
from gateway.core.errors import Code, Refusal
from gateway.core.ids import (
    RANDOM_BYTES,
    IdIssuer,
    conversation_key,
    decision_id,
    rater_key,
    tenant_key,
)
from gateway.core.record import Entry
from gateway.core.redact import tenant_salt
from gateway.core.snapshot import Snapshot
from gateway.core.values import Surface
from gateway.detection import Detection
from gateway.pipeline import Pipeline, Ports
from gateway.policy.problems import Problem
from gateway.policy.sinks import sinks
from gateway.policy.stored import Keeper, judges, source_of
from gateway.policy.watch import NotAccepted, Offered, PolicySource
from gateway.ports import ContentStore, ContentUnavailable, Detector, Journal, JournalUnavailable, Telemetry
from gateway.settings import UNKNOWN_PLACE, Settings, environment, read_admin_tokens
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
POLICY_POLL_S = 1.0
ADOPT_EVERY_S = 3.0
HEAL_EVERY_S = 1.0
LAST_WORDS_S = 2.0
STALE_S = 5.0
SWEEP_CONTENT_S = 300.0


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
    ready = await _schema(store)
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
    prometheus = PrometheusTelemetry(shared=metrics_folder(settings))
    transport = Transport(
        telemetry=prometheus, ca_bundle=str(settings.ca_bundle) if settings.ca_bundle else None
    )
    stack.push_async_callback(transport.close)
    telemetry = Telemetries(prometheus, *_otel(settings, transport, journal.writer, stack))
    wired |= {"otlp"}

    # What the spine asks of the outside.
    host = platform.node()
    keys = KeySnapshot(store, lambda: source.snapshot.apps, clock)
    budgets = LeasedBudgets(store, journal.writer, place=settings.place, host=host)
    confinement = await probe()
    upstreams = Upstreams(transport, Secrets(environment()), confinement)
    stack.push_async_callback(upstreams.close)
    pool = await _pool(settings, snapshot.tenant, confinement, stack)
    detector: Detector = LayeredDetector(
        *_inline(settings, snapshot.tenant), *_injection(settings, transport), *([pool] if pool else [])
    )
    if settings.detectors.tuning is not None:
        detector = TunedDetector(detector, load_tuning(settings.detectors.tuning))
    wired |= {f"detector:{kind}" for kind in detector.kinds}
    wired |= {"detector:inline"} if settings.detectors.mode != "off" else set()
    wired |= {"detector:presidio"} if pool else set()
    tokens = AdminTokens(read_admin_tokens(settings.admin_token_file))
    wired |= {"admin"}
    assert_wired(snapshot, settings, wired)
    source.accept = lambda fresh: _accept(fresh, settings, wired)

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
            log_places=log_places(settings),
            stale=lambda now: source.stale(now=now, most_s=settings.policy_last_good_s),
            salt=root,
            withdraw=withdrawals.note,
            suspended=suspensions.suspended,
            suspend=suspensions.note,
            tokenizer=BundledTokenizer(),
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
        skipped=lambda entry, why: _not_projected(telemetry, entry, why),
    )
    adoption = Adoption(
        store,
        settings.data_dir / "journal",
        journal,
        handlers=HANDLERS,
        failed=lambda writer, why: log.error("writer not adopted", extra={"writer": writer, "why": why}),
    )
    healing = Healing(store, ready=ready)
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
        "policy": _poll_policies(source, keeper, clock, healing, journal),
        "translator": upstreams.prepare(snapshot),
        "adoption": _adopt(store, adoption, healing),
        "projector": _project(projector, healing),
        "healing": healing.run(),
        "idempotency": _sweep(idempotency),
        "content": _sweep_content(content, healing),
        "withdrawals": _watch(withdrawals, healing),
        "suspensions": _watch(suspensions, healing),
        "alerts": _watch(alerts, healing),
        "reserved": _watch(ReservedCapacity(store, lambda: source.snapshot), healing),
        "conversations": _remember(conversations, healing),
        "gpu": _close_gpu_hours(gpu, store, healing),
    }.items():
        _beside(stack, name, work)
    stack.push_async_callback(_last_words, pipeline, budgets, projector, adoption, store)
    loop = asyncio.get_running_loop()

    def changed(fresh: Snapshot, offered: Offered) -> None:
        if offered.revoke:  # on the thread that polled; attempts belong to the loop
            loop.call_soon_threadsafe(lambda: pipeline.revoke(withdrawals.view(fresh)))

    source.changed = changed
    if settings.policy_source == "folder":
        # The store is asked each second anyway.
        lifecycle.on_reload(lambda: pipeline.keep(asyncio.ensure_future(_reload(source, clock))))

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
            lambda: _worker_report(source, budgets, projector, journal),
            lambda: keys_report(keys, clock),
            lambda: border_report(source, withdrawals, conversations, confinement),
            lambda: money_report(suspensions, alerts),
            lambda: gpu_report(source.snapshot, gpu.problems),
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


def log_places(settings: Settings) -> frozenset[str]:
    """Return where this process keeps what it writes of a call: every sink of it, see ``policy/sinks.py``."""
    return frozenset(sink.place or UNKNOWN_PLACE for sink in sinks(settings) if sink.logs)


def _accept(fresh: Snapshot, settings: Settings, wired: set[str]) -> None:
    """Turn down a reload that asks for a control which this process does not have."""
    try:
        assert_wired(fresh, settings, wired)
    except NotWired as missing:
        raise NotAccepted(str(missing)) from None


# ------------------------------------------------------------------ parts that need a few lines


def metrics_folder(settings: Settings) -> Path | None:
    """Return where workers share their metrics, or None for a lone worker."""
    return metrics_dir(settings.run_dir) if settings.workers > 1 else None


async def _schema(store: Store) -> bool:
    """Bring SQLite up to date, check PostgreSQL; False while the database is away."""
    try:
        await store.call(lambda: migrate(store) if store.dialect == "sqlite" else check(store))
    except StoreUnavailable:
        log.warning("the database is away; starting without it")
        return False
    return True


def _inline(settings: Settings, tenant: str) -> list[Detector]:
    return [InlineDetector(tenant=tenant)] if settings.detectors.mode != "off" else []


def _injection(settings: Settings, transport: Transport) -> list[Detector]:
    """Return what reads prompts for injection: the heuristic, with a classifier where one is declared."""
    url = settings.detectors.injection_url
    if url is None:
        return [InjectionDetector()] if settings.detectors.mode != "off" else []
    plain = url.startswith("http://")
    return [InjectionClassifier(transport, url, timeout_ms=settings.detectors.timeout_ms, plain=plain)]


async def _pool(
    settings: Settings, tenant: str, confinement: Confinement, stack: contextlib.AsyncExitStack
) -> PresidioPool | None:
    if settings.detectors.mode != "presidio":
        return None
    pool = PresidioPool(
        processes=settings.detectors.processes,
        timeout_ms=settings.detectors.timeout_ms,
        tenant=tenant,
        confinement=confinement,
        models=settings.detectors.models,
    )
    await pool.start()
    stack.push_async_callback(pool.close)
    return pool


def _otel(
    settings: Settings, transport: Transport, worker: str, stack: contextlib.AsyncExitStack
) -> list[Telemetry]:
    """Export spans where an endpoint is declared, through our own transport."""
    endpoint = settings.telemetry.otlp_endpoint
    if endpoint is None:
        return []
    from gateway.adapters.telemetry_otel import OtelTelemetry, over_loop  # noqa: PLC0415 (as above)

    permit = permit_declared(endpoint, purpose="telemetry", plain=endpoint.startswith("http://"))

    async def post(path: str, body: bytes) -> bool:
        outgoing = Outgoing(
            method="POST",
            url=endpoint.rstrip("/") + path,
            headers={"content-type": "application/x-protobuf"},
            body=body,
        )
        async with transport.request(outgoing, permit) as incoming:
            return 200 <= incoming.status < 300

    otel = OtelTelemetry(
        send=over_loop(asyncio.get_running_loop(), post),
        sampling=settings.telemetry.sampling,
        place=settings.place,
        worker=worker,
        metrics=settings.telemetry.otlp_metrics,
        interval_s=settings.telemetry.otlp_interval_s,
    )

    async def close() -> None:
        await asyncio.to_thread(otel.close)

    stack.push_async_callback(close)
    return [otel]


class Healing:
    """Waits for a database that was away at boot and brings its schema up to date."""

    def __init__(self, store: Store, *, ready: bool) -> None:
        """Start with what was found at boot."""
        self._store = store
        self._done = asyncio.Event()
        self.why: str | None = None
        if ready:
            self._done.set()
        else:
            self.why = "the database has not answered since the start"

    async def run(self) -> None:
        """Try until the schema is there."""
        while not self._done.is_set():
            await asyncio.sleep(HEAL_EVERY_S)
            if await _schema(self._store):
                self.why = None
                self._done.set()

    async def wait(self) -> None:
        """Wait until the schema is there."""
        await self._done.wait()


async def _poll_policies(
    source: PolicySource, keeper: Keeper, clock: SystemClock, healing: Healing, journal: Journal
) -> None:
    while True:
        if healing.why is None:
            with contextlib.suppress(StoreUnavailable, JournalUnavailable):
                changed = await keeper.keep(now=clock.now())
                if changed is not None:
                    await journal.append(*changed.entry)
        await asyncio.sleep(POLICY_POLL_S)
        told(await asyncio.to_thread(source.poll, now=clock.now()))


async def _reload(source: PolicySource, clock: SystemClock) -> None:
    told(await asyncio.to_thread(source.poll, now=clock.now()))


def told(found: Snapshot | tuple[Problem, ...] | None) -> None:
    """Log what a look at the policies found: a new one in force, or why it was not taken."""
    if isinstance(found, Snapshot):
        log.info("policy in force", extra={"snapshot": found.hash, "version": found.policy_version})
    elif found:
        log.error("policy not taken; the last good one stays", extra={"why": str(found[0])})


async def _adopt(store: Store, adoption: Adoption, healing: Healing) -> None:
    await healing.wait()
    while True:
        with contextlib.suppress(StoreUnavailable):
            for done in await store.call(adoption.sweep):
                log.info(
                    "writer adopted",
                    extra={"writer": done.writer, "entries": done.entries, "abandoned": done.abandoned},
                )
        await asyncio.sleep(ADOPT_EVERY_S)


async def _project(projector: Projector, healing: Healing) -> None:
    await healing.wait()
    await projector.run()


async def _sweep(idempotency: SqlIdempotency) -> None:
    while True:
        await asyncio.sleep(60)
        with contextlib.suppress(StoreUnavailable):
            await idempotency.sweep()


async def _watch(watching: Withdrawals | Suspensions | Alerts | ReservedCapacity, healing: Healing) -> None:
    await healing.wait()
    await watching.run()


async def _sweep_content(content: ContentStore, healing: Healing) -> None:
    """Delete what has expired, every few minutes."""
    await healing.wait()
    while True:
        with contextlib.suppress(ContentUnavailable):
            await content.sweep()
        await asyncio.sleep(SWEEP_CONTENT_S)


async def _close_gpu_hours(gpu: gpu_windows.GpuWindows, store: Store, healing: Healing) -> None:
    """Close the hours of GPU pools as they become due; the database lets one worker book each."""
    await healing.wait()
    await gpu_windows.run(gpu, store)


async def _remember(conversations: SqlConversations, healing: Healing) -> None:
    await healing.wait()
    await conversations.run()


def _beside(stack: contextlib.AsyncExitStack, name: str, work: Awaitable[None]) -> None:
    """Run work beside the calls until the worker stops; say so if it ends by a fault."""
    task = asyncio.ensure_future(work)

    def ended(done: asyncio.Future[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            log.error("stopped by a fault", extra={"part": name, "error": type(done.exception()).__name__})

    task.add_done_callback(ended)

    async def cancel() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):  # boundary: it was told above
            await task

    stack.push_async_callback(cancel)


def _not_projected(telemetry: Telemetry, entry: Entry, why: str) -> None:
    """Alarm an entry that no table takes; it stays in the journal."""
    telemetry.count("entry_not_projected", kind=entry.kind)
    log.error("entry not projected", extra={"seq": entry.seq, "kind": entry.kind, "error": why})


async def _last_words(
    pipeline: Pipeline,
    budgets: LeasedBudgets,
    projector: Projector,
    adoption: Adoption,
    store: Store,
) -> None:
    """End calls in flight, ship the journal, give slices back; the journal keeps what fails."""
    await pipeline.drain(LAST_WORDS_S)
    with contextlib.suppress(StoreUnavailable, TimeoutError):
        async with asyncio.timeout(5):
            projector.stop()
            await budgets.close()
            await store.call(lambda: adoption.retire(projector))


def _worker_report(
    source: PolicySource, budgets: LeasedBudgets, projector: Projector, journal: FileJournal
) -> Report:
    """Return what ``/status`` shows of this worker's state."""
    away = not budgets.reachable
    return Report(
        name="worker",
        controls=(
            Control(
                name="budgets",
                mode="degraded" if away else "enforcing",
                on_failure="calls spend the slices that this worker holds, then are refused",
                why="the database did not answer the last lease" if away else None,
            ),
            Control(
                name="journal",
                mode="degraded" if journal.broken else "enforcing",
                on_failure="refuse",
                why=journal.broken,
            ),
            Control(
                name="detectors",
                mode="enforcing",
                on_failure=source.snapshot.degraded_modes.get("detectors", "refuse"),
            ),
        ),
        facts={
            "writer": journal.writer,
            "journal_seq": journal.seq,
            "journal_lag": projector.lag(journal.seq),
            "slices": budgets.room(),
            "held": budgets.held,
            "policy_problems": [str(problem) for problem in source.problems],
            "policy_behind_s": source.behind_s(now=time.time_ns()),
        },
    )


def keys_report(keys: KeySnapshot, clock: SystemClock) -> Report:
    """Return what ``/status`` shows of the keys."""
    age = keys.age_s(clock.now())
    return Report(
        name="keys",
        controls=(
            Control(
                name="keys",
                mode="degraded" if age is None or age > STALE_S else "enforcing",
                on_failure=f"keys are accepted for {keys.valid_s:g} s without the database, then refused",
            ),
        ),
        facts={"age_s": age},
    )


def border_report(
    source: PolicySource,
    withdrawals: Withdrawals,
    conversations: SqlConversations,
    confinement: Confinement,
) -> Report:
    """Return what ``/status`` shows of contradicted facts and of what conversations were about."""
    return Report(
        name="border",
        controls=(
            Control(
                name="place_checks",
                mode="enforcing" if withdrawals.fresh else "degraded",
                on_failure="what this worker saw itself stays out; what others saw is not known",
                why=None if withdrawals.fresh else "the database did not answer",
            ),
            Control(
                name="conversations",
                mode="enforcing" if conversations.reachable else "degraded",
                on_failure="a call that names a conversation is treated as unlabelled too",
                why=None if conversations.reachable else "the database did not answer the last call",
            ),
            Control(
                name="children",
                mode="enforcing",
                on_failure="an audit hook in each child refuses every connection"
                if confinement.means == "namespace"
                else "none: this host lets no process leave the network, so the audit hook stands alone",
            ),
        ),
        facts={
            "withdrawn": withdrawals.reasons(source.snapshot),
            "conversations_waiting": conversations.pending,
            "children_kept_off_the_network_by": confinement.means,
        },
    )


def gpu_report(snapshot: Snapshot, problems: Mapping[str, str]) -> Report:
    """Return what ``/status`` shows of GPU pools: which cannot be closed, and which are not calibrated."""
    controls = () if not snapshot.pools else (
        Control(
            name="gpu_hours",
            mode="degraded" if problems else "enforcing",
            on_failure="hours wait and are closed later; GPU budgets hold by their calls' estimates",
            why="; ".join(problems.values()) or None,
        ),
    )  # fmt: skip
    return Report(
        name="gpu",
        controls=controls,
        facts={
            "pools": sorted(snapshot.pools),
            "uncalibrated": sorted(p.id for p in snapshot.pools.values() if not p.coefficients.calibrated),
        },
    )


def money_report(suspensions: Suspensions, alerts: Alerts) -> Report:
    """Return what ``/status`` shows of bills beyond their bound, and of alerts."""
    return Report(
        name="money",
        controls=(
            Control(
                name="overruns",
                mode="enforcing" if suspensions.fresh else "degraded",
                on_failure="what this worker booked itself stays suspended; what others booked is not known",
                why=None if suspensions.fresh else "the database did not answer",
            ),
            Control(
                name="alerts",
                mode="enforcing" if alerts.reachable else "degraded",
                on_failure="alerts wait until the database answers",
                why=None if alerts.reachable else "the database did not answer",
            ),
        ),
        facts={"suspended": dict(suspensions.suspended()), "alerts": dict(alerts.standing)},
    )


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
