"""The spine: one call, from parsed to recorded. Read it top to bottom.

::

    admit → detect → classify → decide → redact
      → per attempt: route → reserve → clear → send → meter → inspect → restore → settle
      → record

Steps in :mod:`gateway.core` are pure; effects go through :mod:`gateway.ports`. A
refusal travels as :class:`GatewayError`; the :class:`Book` records every exit once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.attempts import Running, Terms, overall_timeout, terms, whole
from gateway.book import ABANDONED, CUT, FAILED, SERVED, Book, Tab, ignored
from gateway.core.admit import Load, admit
from gateway.core.classify import classify
from gateway.core.clear import attempt_name, clear
from gateway.core.decide import Decision, decide
from gateway.core.errors import Code, GatewayError, Refusal, UpstreamFailed
from gateway.core.explain import not_loggable
from gateway.core.explain import refusal as explain_refusal
from gateway.core.meter import input_estimate
from gateway.core.money import decimal_of
from gateway.core.observed import Mismatch
from gateway.core.redact import redact, tokenises
from gateway.core.route import Try, find_route, give_up, next_try, no_app
from gateway.core.snapshot import Route, Snapshot
from gateway.core.sticky import with_doubt, with_remembered
from gateway.core.values import Attempt, Call, ClearedCall, Event, LabelledCall, Surface
from gateway.detection import Detection
from gateway.ports import (
    Budgets,
    BudgetsUnavailable,
    Clock,
    Conversations,
    ConversationsUnavailable,
    Journal,
    JournalUnavailable,
    Telemetry,
    Upstream,
)
from gateway.revoking import InFlight, Sent, stale
from gateway.timing import Opened, within
from gateway.vaulting import Vault

T = TypeVar("T")
OK = 200
CLIENT_GONE = 499
End = Callable[[str, str], Awaitable[None]]


def never(_now: int) -> bool:
    """Say no, whenever it is."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the spine needs of the outside world. ``salt`` keys irreversible hashes."""

    snapshot: Callable[[], Snapshot]
    clock: Clock
    detection: Detection
    budgets: Budgets
    upstream: Upstream
    journal: Journal
    telemetry: Telemetry
    decision_id: Callable[[int], str]
    status_of: Callable[[Refusal], int]
    log_places: frozenset[str]
    salt: bytes = field(repr=False)
    stale: Callable[[int], bool] = never  # whether the last good policy has stood in for too long
    withdraw: Callable[[Mismatch], None] = ignored
    vault: Vault | None = None  # None: tokens are stable within one call and a resent history only
    conversations: Conversations | None = None  # None: a call that names one is treated as unlabelled too


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the answer's headers say about the call."""

    alias: str
    place: str
    masked: Mapping[str, int]
    cost: str | None
    clamped_to: int | None
    marks: tuple[str, ...] = ()
    disclose_ai: bool = False


class ReplyStream:
    """The events of a streamed answer. INVARIANT: whoever holds it calls :meth:`aclose`.

    Closing settles and records, whatever ended the stream: its end, a failure, or a
    client that left, be it before the first event was read.
    """

    def __init__(self, first: list[Event], running: Running, end: End) -> None:
        """Start with the events that are there already; ``end`` is awaited once."""
        self._first = first
        self._running = running
        self._end = end
        self._status, self._code = ABANDONED, ABANDONED
        self._closed = False

    async def __aiter__(self) -> AsyncGenerator[list[Event], None]:
        """Yield the events as they come; a failure becomes the surface's error event."""
        running = self._running
        try:
            yield self._first
            async for events in running.events:
                if events:
                    yield events
            self._status, self._code = SERVED, SERVED
            if running.cut:
                self._status, self._code = CUT, Code.BUDGET_EXCEEDED.value
            elif running.failed is not None:
                self._status, self._code = FAILED, running.failed.code.value
        except UpstreamFailed as failure:
            self._status, self._code = FAILED, failure.refusal.code.value
            yield running.fail(failure.refusal)

    @property
    def ended_well(self) -> bool:
        """Whether the app got an answer that is whole, or cut in good order."""
        return self._status in {SERVED, CUT}

    @property
    def failing(self) -> bool:
        """Whether the stream broke: what is still to come of it tells the app so."""
        return self._status == FAILED or self._running.failed is not None

    @property
    def altered(self) -> bool:
        """Whether text may be held back, so that :meth:`settle` has something to say."""
        return self._running.altered

    def settle(self) -> list[Event]:
        """Return what is held back but is safe to show now; nothing once the stream is closed."""
        return [] if self._closed else self._running.settle()

    def interrupt(self, refusal: Refusal) -> list[Event]:
        """Return the events that end the stream well-formed when this node must stop."""
        self._status, self._code = FAILED, refusal.code.value
        return self._running.fail(refusal)

    async def aclose(self) -> None:
        """End the vendor's work, settle and record. Later calls do nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._running.events.aclose()
        finally:  # a second cancellation may come meanwhile; the hold is settled all the same
            await self._end(self._status, self._code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer in the surface's shape: a whole body, or events as they come."""

    served: Served
    body: Mapping[str, object] | ReplyStream


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A call that is ready to be tried, and the snapshot that it was decided under."""

    cleared: ClearedCall
    decision: Decision
    route: Route
    snapshot: Snapshot


class _NotCleared(GatewayError):
    """A try was stopped at the socket's door: the world moved after the call was decided.

    A reload while it waited for its hold, or a fact that expired meanwhile. The call is
    decided anew, so that a reload drops no call that its new rules permit.
    """


class Pipeline:
    """Runs calls through the spine."""

    def __init__(self, ports: Ports) -> None:
        """Keep the ports; state here is per process: load of apps, resting deployments."""
        self._ports = ports
        self._load: dict[str, Load] = {}
        self._resting: dict[str, int] = {}
        self._kept: set[asyncio.Task[None]] = set()
        self._in_flight = InFlight()

    async def handle(self, call: Call) -> Reply:
        """Answer one call. Raises GatewayError; whatever happens, one record is written."""
        ports = self._ports
        book = Book(
            call=call,
            snapshot=ports.snapshot().hash,
            journal=ports.journal,
            budgets=ports.budgets,
            telemetry=ports.telemetry,
            clock=ports.clock,
            withdraw=ports.withdraw,
        )
        load = self._load.setdefault(call.caller.app, Load())
        load.in_flight += 1
        try:
            self._admit(call, load)
            prepared = await self._prepare(call, book)
            if counted_here(call, prepared):
                reply = await self._count(prepared, book)
            else:
                reply = await self._try_each(prepared, book)
        except BaseException as stop:
            load.in_flight -= 1
            await self._close(book, stop)
            raise
        if not isinstance(reply.body, ReplyStream):
            load.in_flight -= 1
        return reply

    def _admit(self, call: Call, load: Load) -> None:
        app = self._ports.snapshot().apps.get(call.caller.app)
        if app is None:
            raise GatewayError(no_app(call.caller.app))
        load.in_flight -= 1  # this call does not count against itself
        refused = admit(app, load, now=call.received)
        load.in_flight += 1
        if refused is not None:
            raise GatewayError(refused)

    # ---------------------------------------------------- what the call is, and may do

    async def _prepare(self, call: Call, book: Book) -> Prepared:
        """Detect, classify, decide and redact under the snapshot current now."""
        ports = self._ports
        snapshot = ports.snapshot()
        app = snapshot.apps.get(call.caller.app)
        route = accepted(find_route(app, call.model, snapshot) if app else no_app(call.caller.app))
        book.alias = route.alias
        findings, failed = await ports.detection.detect(call, snapshot)
        labelled = classify(call, findings, snapshot, detectors_failed=failed)
        if call.conversation is not None:
            labelled = await self._remembered(call.conversation, labelled, snapshot)
        book.labelled = labelled
        now = ports.clock.now()
        decision = decide(labelled, snapshot, now=now, decision_id=ports.decision_id(now))
        book.decision = decision
        if not decision.permitted:
            raise GatewayError(explain_refusal(labelled, decision, snapshot, now=now))
        if ports.stale(now):
            raise GatewayError(stale(snapshot.policy_owner))
        unlogged = not_loggable(decision, ports.log_places)
        if unlogged is not None:
            raise GatewayError(unlogged)
        cleared = book.cleared = accepted(await self._redacted(labelled, decision))
        return Prepared(cleared=cleared, decision=decision, route=route, snapshot=snapshot)

    async def _redacted(self, labelled: LabelledCall, decision: Decision) -> ClearedCall | Refusal:
        """Redact; a call that names its conversation uses and adds to the conversation's tokens."""
        ports = self._ports
        if ports.vault is None or labelled.call.conversation is None or not tokenises(labelled, decision):
            return redact(labelled, decision, salt=ports.salt)
        return await ports.vault.redact(labelled, decision, salt=ports.salt)

    async def _remembered(
        self, conversation: str, labelled: LabelledCall, snapshot: Snapshot
    ) -> LabelledCall:
        """Add what was learned earlier in the conversation; remember what this call teaches."""
        ports, caller = self._ports, labelled.call.caller
        kept = ports.conversations
        try:
            known = None if kept is None else await kept.recall(caller, conversation)
        except ConversationsUnavailable:
            known = None
        if kept is not None:
            await kept.learn(caller, conversation, labelled.label_names)
        if known is not None:
            return with_remembered(labelled, known)
        ports.telemetry.count("conversation_unknown", app=caller.app)
        return with_doubt(labelled, snapshot)

    async def _count(self, prepared: Prepared, book: Book) -> Reply:
        """Count tokens here, where no permitted vendor can: an estimate that errs high."""
        count = input_estimate(book.call.surface, prepared.cleared.body)
        await book.close(SERVED, OK)
        served = Served(
            alias=prepared.route.alias,
            place="",
            masked=prepared.cleared.masked,
            cost=None,
            clamped_to=None,
        )
        return Reply(served=served, body={"input_tokens": count})

    # ------------------------------------------------------------------- the attempts

    async def _try_each(self, prepared: Prepared, book: Book) -> Reply:
        """Try permitted deployments in order until one answers."""
        failures: tuple[tuple[str, UpstreamFailed], ...] = ()
        deadline = self._ports.clock.now() + prepared.route.timeout_ms * 1_000_000
        while True:
            now = self._ports.clock.now()
            step = next_try(prepared.decision, prepared.route, failures, self._resting, now=now)
            if step is None or (failures and now >= deadline):
                raise GatewayError(give_up(failures))
            if step.pause_ms:
                await asyncio.sleep(step.pause_ms / 1000)
            if self._ports.snapshot() is not prepared.snapshot:
                prepared = await self._prepare(book.call, book)
                continue  # what may be tried next is asked anew too
            try:
                return await self._try(prepared, step, book, deadline)
            except _NotCleared as moved:
                decided = prepared.snapshot
                prepared = await self._prepare(book.call, book)
                if prepared.snapshot is decided and step.deployment in prepared.decision.permitted:
                    raise GatewayError(moved.refusal) from None  # nothing moved: it stays refused
            except UpstreamFailed as failure:
                failures = (*failures, (step.deployment, failure))
                self._rest(step.deployment, failure)

    async def _try(self, prepared: Prepared, step: Try, book: Book, deadline: int) -> Reply:
        """One try: reserve, clear, send; a streamed one returns with its first events."""
        attempt, agreed = await self._reserve(prepared, step, book, deadline)
        try:
            tab = await book.open_tab(attempt, agreed.bound)
        except JournalUnavailable:
            raise GatewayError(journal_unavailable()) from None
        opened = Opened()
        tab.sent = True
        sent = self._in_flight.enter(prepared.decision, attempt.deployment.id)
        try:
            with within(deadline - attempt.started), sent:
                exchange = await opened.enter(self._ports.upstream.open(attempt))
                if book.call.stream:
                    running = Running(book, tab, exchange, agreed, deadline=deadline)
                    sent.end_stream = running.end
                    first = await running.first()
                    book.look(tab)
                    book.first_chunk_s = (self._ports.clock.now() - book.call.received) / 1e9
                    served = describe(prepared, attempt, None)
                    return Reply(served=served, body=self._stream(first, running, opened, book, sent))
                body = await whole(tab, exchange, book.masked_reply)
            self._in_flight.leave(sent)
            book.settle(tab, SERVED, SERVED)
            await opened.aclose()
            await book.close(SERVED, OK)
            return Reply(served=describe(prepared, attempt, tab), body=body)
        except TimeoutError:
            failure = overall_timeout()
        except UpstreamFailed as failed:
            failure = failed
        except BaseException:
            self._in_flight.leave(sent)
            await opened.aclose()
            raise
        self._in_flight.leave(sent)
        await opened.aclose()
        await book.failed_try(tab, failure)
        raise failure

    async def _reserve(
        self, prepared: Prepared, step: Try, book: Book, deadline: int
    ) -> tuple[Attempt, Terms]:
        """Hold the upper bound on every level, then clear the try at the socket's door."""
        ports = self._ports
        now = ports.clock.now()
        cleared = prepared.cleared
        agreed = accepted(terms(cleared, step.deployment, prepared.snapshot, at=now))
        name = attempt_name(book.call.id, step.number)
        hold = await ports.budgets.reserve(name, agreed.wants)
        if isinstance(hold, Refusal) and hold.code is Code.BUDGET_EXCEEDED:
            smaller = await self._smaller(agreed)
            if smaller is not None:
                agreed = smaller
                hold = await ports.budgets.reserve(name, agreed.wants)
        held = accepted(hold)
        attempt = clear(
            cleared, step.deployment, held, ports.snapshot(),
            now=now, number=step.number, output_cap=agreed.output_cap, clamped=agreed.clamped,
            timeout_ms=max(1, (deadline - now) // 1_000_000),
        )  # fmt: skip
        if isinstance(attempt, Refusal):
            ports.budgets.settle(held, {})
            raise _NotCleared(attempt)
        return attempt, agreed

    async def _smaller(self, agreed: Terms) -> Terms | None:
        """Return terms that what is left of the budgets can pay; None where that is not known."""
        try:
            return agreed.within(await self._ports.budgets.standing(agreed.wants))
        except BudgetsUnavailable:
            return None

    def _stream(
        self, first: list[Event], running: Running, opened: Opened, book: Book, sent: Sent
    ) -> ReplyStream:
        """Hand over a running reply, with what must happen when it ends."""

        async def end(status: str, code: str) -> None:
            self._in_flight.leave(sent)
            book.masked_reply.update(running.masked)
            book.settle(running.tab, status, code)
            self._load[book.call.caller.app].in_flight -= 1
            await self._shielded(self._finish(opened, book, code))

        return ReplyStream(first, running, end)

    # ------------------------------------------------------------------------ endings

    async def _finish(self, opened: Opened, book: Book, code: str) -> None:
        await opened.aclose()
        await book.close(code, OK)

    async def _shielded(self, work: Coroutine[None, None, None]) -> None:
        """Run work that must end although the caller may be cancelled meanwhile."""
        task = asyncio.ensure_future(work)
        self.keep(task)
        await asyncio.shield(task)

    async def _close(self, book: Book, stop: BaseException) -> None:
        """Record a call that was not served, even while it is being cancelled."""
        await self._shielded(book.close(*self._ending(stop)))

    def _ending(self, stop: BaseException) -> tuple[str, int]:
        if isinstance(stop, GatewayError):
            return stop.refusal.code.value, self._ports.status_of(stop.refusal)
        if isinstance(stop, asyncio.CancelledError):
            return ABANDONED, CLIENT_GONE
        return Code.INTERNAL.value, 500

    def revoke(self, snapshot: Snapshot) -> int:
        """End the attempts in flight that a snapshot does not permit; return how many."""
        return self._in_flight.revoke(snapshot, now=self._ports.clock.now())

    def keep(self, work: asyncio.Task[None]) -> None:
        """Hold on to work that must end although nobody waits for it."""
        self._kept.add(work)
        work.add_done_callback(self._kept.discard)

    async def drain(self, most_s: float) -> None:
        """Wait for kept work; what does not end within ``most_s`` is cancelled, and ends so."""
        if self._kept:
            await asyncio.wait(tuple(self._kept), timeout=most_s)
        while self._kept:
            for task in self._kept:
                task.cancel()
            await asyncio.wait(tuple(self._kept))

    def _rest(self, deployment: str, failure: UpstreamFailed) -> None:
        if failure.refusal.retry_after is not None:
            pause = min(failure.refusal.retry_after, 60) * 1_000_000_000
            self._resting[deployment] = self._ports.clock.now() + pause


def counted_here(call: Call, prepared: Prepared) -> bool:
    """Whether a count of tokens is asked of models whose vendors have no such call."""
    if call.surface is not Surface.COUNT_TOKENS:
        return False
    connections = prepared.snapshot.connections
    return not any(
        "messages" in connections[deployment].surfaces
        for deployment in prepared.decision.permitted
        if deployment in connections
    )


def accepted(value: T | Refusal) -> T:
    """Return the value, or stop the call with the refusal."""
    if isinstance(value, Refusal):
        raise GatewayError(value)
    return value


def describe(prepared: Prepared, attempt: Attempt, tab: Tab | None) -> Served:
    """Return what the answer's headers say."""
    cost = tab.charge if tab else None
    return Served(
        alias=prepared.route.alias,
        place=attempt.deployment.place,
        masked=prepared.cleared.masked,
        cost=f"{decimal_of(cost.nano):f} {cost.currency}" if cost else None,
        clamped_to=attempt.output_cap if attempt.clamped else None,
        marks=tuple(sorted(prepared.decision.obligations.marks)),
        disclose_ai=prepared.decision.obligations.disclose_ai,
    )


def journal_unavailable() -> Refusal:
    """Return the refusal of a call that could not be journalled before sending."""
    return Refusal(
        code=Code.JOURNAL_UNAVAILABLE,
        message="The journal cannot be written, so nothing may be sent. Retry shortly.",
        retry_after=5,
    )
