"""The spine: one call, from parsed to recorded. Read it top to bottom.

::

    admit → detect → classify → decide → redact
      → per attempt: route → reserve → clear → send → meter → inspect → restore → settle
      → record

``reserve`` is :mod:`gateway.reserving`: it may degrade the call as its app allows before it refuses.
Steps in :mod:`gateway.core` are pure; effects go through :mod:`gateway.ports`. A
refusal travels as :class:`GatewayError`; the :class:`Book` records every exit once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import TypeVar

from gateway.attempts import Running, whole
from gateway.book import ABANDONED, SERVED, Book
from gateway.core.admit import admission, name_of, pace
from gateway.core.classify import classify
from gateway.core.clear import clear
from gateway.core.decide import Decision, decide
from gateway.core.errors import Code, GatewayError, Refusal, UpstreamFailed
from gateway.core.meter import input_estimate
from gateway.core.overruns import is_limited
from gateway.core.policy_refusal import not_loggable
from gateway.core.policy_refusal import refusal as explain_refusal
from gateway.core.redact import redact, tokenises
from gateway.core.route import Try, find_route, give_up, next_try, no_app, suspended
from gateway.core.snapshot import Route, Snapshot
from gateway.core.sticky import with_doubt, with_remembered
from gateway.core.values import Attempt, Call, ClearedCall, Event, LabelledCall, Surface
from gateway.outside import Ports
from gateway.ports import (
    ConversationsUnavailable,
    JournalUnavailable,
)
from gateway.queueing import Lines
from gateway.replies import Reply, ReplyStream, Served, describe
from gateway.reserving import Held, Moved, Prepared, Reserving, Telling
from gateway.revoking import InFlight, Sent, stale
from gateway.timing import Opened, overall_timeout, within

T = TypeVar("T")
OK = 200
CLIENT_GONE = 499

__all__ = ["Pipeline", "Ports", "Prepared", "Reply", "ReplyStream", "Served"]


class _NotCleared(GatewayError):
    """A try was stopped at the socket's door: the world moved after the call was decided.

    A reload while it waited for its hold, or a fact that expired meanwhile. The call is
    decided anew, so that a reload drops no call that its new rules permit.
    """


class Pipeline:
    """Runs calls through the spine."""

    def __init__(self, ports: Ports) -> None:
        """Keep the ports; state here is per process: resting deployments."""
        lines = Lines()
        self._ports = ports = replace(ports, budgets=Telling(ports.budgets, lines))
        self._reserving = Reserving(
            budgets=ports.budgets,
            lines=lines,
            clock=ports.clock,
            telemetry=ports.telemetry,
            snapshot=ports.snapshot,
            decision_id=ports.decision_id,
            redact=self._ready,
            tokenizer=ports.tokenizer,
        )
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
            suspend=ports.suspend,
        )
        try:
            await self._admit(call, book)
            prepared = await self._prepare(call, book)
            if counted_here(call, prepared):
                reply = await self._count(prepared, book)
            else:
                reply = await self._try_each(prepared, book)
        except BaseException as stop:
            await self._close(book, stop)
            raise
        found = None if book.admission is None else pace(book.admission, ports.budgets.left)
        return reply if found is None else replace(reply, served=replace(reply.served, pace=found))

    async def _admit(self, call: Call, book: Book) -> None:
        """Take the call's place in its rates; the book gives it back."""
        snapshot = self._ports.snapshot()
        if call.caller.app not in snapshot.apps:
            raise GatewayError(no_app(call.caller.app))
        wants = admission(snapshot, call.caller, at=call.received)
        if wants:
            book.admission = accepted(await self._ports.budgets.reserve(name_of(call.id), wants))

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
        prepared = accepted(await self._ready(labelled, decision, route, snapshot))
        book.cleared = prepared.cleared
        return prepared

    async def _ready(
        self, labelled: LabelledCall, decision: Decision, route: Route, snapshot: Snapshot
    ) -> Prepared | Refusal:
        """Make a decided call ready to be tried: may it be logged here, and what of it may leave."""
        unlogged = not_loggable(decision, self._ports.log_places | snapshot.alerts.places)
        if unlogged is not None:
            return unlogged
        cleared = await self._redacted(labelled, decision)
        if isinstance(cleared, Refusal):
            return cleared
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
            closed = self._closed(prepared, book)
            if not failures and closed.issuperset(prepared.decision.permitted):
                raise GatewayError(suspended(prepared.snapshot.policy_owner))
            step = next_try(
                prepared.decision, prepared.route, failures, self._resting, now=now, closed=closed
            )
            if step is None or (failures and now >= deadline):
                raise GatewayError(give_up(failures))
            if step.pause_ms:
                await asyncio.sleep(step.pause_ms / 1000)
            if self._ports.snapshot() is not prepared.snapshot:
                prepared = await self._prepare(book.call, book)
                continue  # what may be tried next is asked anew too
            tried = closed | {deployment for deployment, _ in failures}
            try:
                held = await self._reserving.hold(prepared, step.deployment, number=step.number, closed=tried)
                deadline += held.waited
                return await self._try(held, step, book, deadline)
            except Moved:
                prepared = await self._prepare(book.call, book)
            except _NotCleared as moved:
                decided = prepared.snapshot
                prepared = await self._prepare(book.call, book)
                if prepared.snapshot is decided and step.deployment in prepared.decision.permitted:
                    raise GatewayError(moved.refusal) from None  # nothing moved: it stays refused
            except UpstreamFailed as failure:
                deployment = book.tabs[-1].attempt.deployment.id
                failures = (*failures, (deployment, failure))
                self._rest(deployment, failure)

    def _closed(self, prepared: Prepared, book: Book) -> frozenset[str]:
        """Return the deployments that this call may not use: suspended ones, under a hard budget."""
        stopped = self._ports.suspended()
        if not stopped or not is_limited(prepared.snapshot, book.call.caller.app):
            return frozenset()
        return frozenset(stopped)

    async def _try(self, held: Held, step: Try, book: Book, deadline: int) -> Reply:
        """One try: clear, send; a streamed one returns with its first events."""
        prepared, agreed = held.option.prepared, held.option.terms
        attempt = self._cleared(held, step, deadline)
        book.stand(prepared.route.alias, prepared.cleared.labelled, prepared.decision, prepared.cleared)
        book.degraded = held.steps
        try:
            tab = await book.open_tab(attempt, agreed.bound)
        except JournalUnavailable:
            raise GatewayError(journal_unavailable()) from None
        opened = Opened()
        tab.sent = True
        sent = self._in_flight.enter(prepared.decision, attempt.deployment.id)
        if (pool := attempt.snapshot.pool_of.get(attempt.deployment.id)) is not None:
            tab.beside = self._in_flight.count(pool.deployments)
        try:
            with within(deadline - attempt.started), sent:
                exchange = await opened.enter(self._ports.upstream.open(attempt))
                if book.call.stream:
                    running = Running(book, tab, exchange, agreed, deadline=deadline)
                    sent.end_stream = running.end
                    first = await running.first()
                    book.look(tab)
                    book.first_chunk_s = (self._ports.clock.now() - book.call.received) / 1e9
                    served = describe(prepared, attempt, None, held.steps)
                    return Reply(served=served, body=self._stream(first, running, opened, book, sent))
                body = await whole(tab, exchange, book.masked_reply)
            self._in_flight.leave(sent)
            book.settle(tab, SERVED, SERVED)
            await opened.aclose()
            await book.close(SERVED, OK)
            return Reply(served=describe(prepared, attempt, tab, held.steps), body=body)
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

    def _cleared(self, held: Held, step: Try, deadline: int) -> Attempt:
        """Clear the try at the socket's door; raises _NotCleared, with the hold given back."""
        ports, option = self._ports, held.option
        now = ports.clock.now()
        attempt = clear(
            option.prepared.cleared, option.terms.deployment, held.hold, ports.snapshot(),
            now=now, number=step.number, output_cap=option.terms.output_cap, clamped=option.terms.clamped,
            timeout_ms=max(1, (deadline - now) // 1_000_000),
        )  # fmt: skip
        if isinstance(attempt, Refusal):
            ports.budgets.settle(held.hold, {})
            raise _NotCleared(attempt)
        return attempt

    def _stream(
        self, first: list[Event], running: Running, opened: Opened, book: Book, sent: Sent
    ) -> ReplyStream:
        """Hand over a running reply, with what must happen when it ends."""

        async def end(status: str, code: str) -> None:
            self._in_flight.leave(sent)
            book.masked_reply.update(running.masked)
            book.settle(running.tab, status, code)
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


def journal_unavailable() -> Refusal:
    """Return the refusal of a call that could not be journalled before sending."""
    return Refusal(
        code=Code.JOURNAL_UNAVAILABLE,
        message="The journal cannot be written, so nothing may be sent. Retry shortly.",
        retry_after=5,
    )
