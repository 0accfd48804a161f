"""The hold of one try: the upper bound on every level, or what the app's ladder allows instead.

A call for which a budget has no room is refused only after its app's ladder (``when_over``) was
walked: a cheaper model that this very call's decision permits, a shorter answer, a wait in line.
Each rung adds to what may be tried; the first that fits is held. INVARIANT: whatever is held was
decided for this call under this snapshot, and an app without a ladder gets what it asked or a refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.attempts import Terms, terms
from gateway.core.budget import scope_of
from gateway.core.clear import attempt_name
from gateway.core.decide import Decision
from gateway.core.degrade import MOST_STAND_INS, REPLACEABLE, ladder_of, siblings, stand_ins
from gateway.core.encodings import encoding_of, texts
from gateway.core.encodings import saved as saved_by
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.frozen import quick
from gateway.core.ladder import Cap, Cheaper, Queue
from gateway.core.prices import convert
from gateway.core.snapshot import Route, Snapshot
from gateway.core.values import ClearedCall, Hold, LabelledCall, Want
from gateway.ports import Budgets, BudgetsUnavailable, Clock, Telemetry, Tokenizer
from gateway.queueing import Lines

NO_ROOM = frozenset({Code.BUDGET_EXCEEDED, Code.BUDGET_CONTENTION})
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A call that is ready to be tried, and the snapshot that it was decided under."""

    cleared: ClearedCall
    decision: Decision
    route: Route
    snapshot: Snapshot


Redact = Callable[[LabelledCall, Decision, Route, Snapshot], Awaitable[Prepared | Refusal]]
"""Makes a decided call ready to be tried: the spine's own redaction and checks."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One way to answer the call, and what it may cost at most. ``cap`` is by a rung of the ladder."""

    prepared: Prepared
    terms: Terms
    cheaper: bool = False
    cap: int | None = None

    @property
    def steps(self) -> dict[str, str | int]:
        """What was done to the call, for its headers and its record."""
        found: dict[str, str | int] = {}
        if self.cheaper:
            found["cheaper"] = self.prepared.route.alias
        if self.cap is not None:
            found["answer_tokens"] = self.cap
        return found


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What was held for a try, in which way; ``waited`` is time in line (ns)."""

    option: Option
    hold: Hold
    waited: int = 0

    @property
    def steps(self) -> dict[str, str | int]:
        """What was done to the call: nothing for most."""
        waited = {"queued_ms": self.waited // 1_000_000} if self.waited else {}
        return {**self.option.steps, **waited}


class Moved(Exception):
    """The policy changed while the call waited in line: it is to be decided anew."""


class Telling:
    """Implements :class:`gateway.ports.Budgets` over another one, and tells the lines of each settle."""

    def __init__(self, budgets: Budgets, lines: Lines) -> None:
        """Keep both."""
        self._budgets = budgets
        self._lines = lines
        self.reserve = budgets.reserve
        self.top_up = budgets.top_up
        self.standing = budgets.standing
        self.left = budgets.left

    def settle(self, hold: Hold, actual: Mapping[str, int]) -> None:
        """Settle, and wake who waits."""
        self._budgets.settle(hold, actual)
        self._lines.settled()


class Reserving:
    """Takes the hold of each try."""

    def __init__(
        self,
        *,
        budgets: Budgets,
        lines: Lines,
        clock: Clock,
        telemetry: Telemetry,
        snapshot: Callable[[], Snapshot],
        decision_id: Callable[[int], str],
        redact: Redact,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        """Keep what it asks of the spine and of the outside; without a tokenizer bytes are the bound."""
        self._tokenizer = tokenizer
        self._budgets = budgets
        self._lines = lines
        self._clock = clock
        self._telemetry = telemetry
        self._snapshot = snapshot
        self._decision_id = decision_id
        self._redact = redact

    async def hold(
        self, prepared: Prepared, deployment: str, *, number: int, closed: frozenset[str] = frozenset()
    ) -> Held:
        """Hold the upper bound of a try. ``closed`` are deployments that may not stand in.

        Raises GatewayError when no way fits, and Moved.
        """
        now = self._clock.now()
        agreed = await self._terms(prepared, deployment, now)
        if isinstance(agreed, Refusal):
            raise GatewayError(agreed)
        asked = Option(prepared=prepared, terms=agreed)
        call = prepared.cleared.labelled.call
        name = attempt_name(call.id, number)
        ladder = ladder_of(prepared.snapshot.apps[call.caller.app], prepared.route)
        walk = _Walk(self._budgets, self._clock.now, name=name, asked=asked, ladder=ladder)
        if ladder and walk.queues and self._lines.anybody(scope_of(w.budget) for w in agreed.wants):
            walk.polite = True  # nobody who may wait overtakes who waits
        else:
            held = await walk.take((asked,))
            if held is not None:
                return held
        held = await self._degraded(walk, closed)
        if held is None and walk.refusal is not None and walk.refusal.code is Code.BUDGET_EXCEEDED:
            held = await self._smaller(walk)
        if held is None:
            raise GatewayError(walk.told())
        for step in held.steps:
            self._telemetry.count("degraded", step=step, app=call.caller.app)
        return held

    async def _terms(self, prepared: Prepared, deployment: str, now: int) -> Terms | Refusal:
        """Return the terms of a try, by an exact count of its texts where one can be made."""
        saved, tokenizer = 0, self._tokenizer
        connection = prepared.snapshot.connections.get(deployment)
        encoding = encoding_of(connection) if tokenizer is not None and connection is not None else None
        if tokenizer is not None and encoding is not None:
            call = prepared.cleared.labelled.call
            found = texts(call.surface, prepared.cleared.body)
            counted = await tokenizer.count(encoding, found)
            saved = 0 if counted is None else saved_by(found, counted)
        return terms(prepared.cleared, deployment, prepared.snapshot, at=now, saved=saved)

    async def _degraded(self, walk: _Walk, closed: frozenset[str]) -> Held | None:
        """Walk the ladder; None where no rung helps."""
        for rung in walk.ladder:
            if isinstance(rung, Queue):
                walk.tried.append("queue")
                held = await self._queued(walk, rung.most)
            else:
                fresh = await self._fresh(walk, rung, closed)
                walk.options += fresh
                held = None if walk.polite else await walk.take(fresh)
            if held is not None:
                return held
        return None

    async def _fresh(self, walk: _Walk, rung: Cheaper | Cap, closed: frozenset[str]) -> list[Option]:
        """Return what a rung adds to what may be tried."""
        if isinstance(rung, Cheaper):
            walk.tried.append("cheaper")
            return await self._cheaper(walk, rung, closed)
        walk.tried.append("answer_tokens")
        return [small for one in walk.options if (small := capped(one, rung.tokens)) is not None]

    async def _cheaper(self, walk: _Walk, rung: Cheaper, closed: frozenset[str]) -> list[Option]:
        """Return cheaper ways for this very call: the best of them first, as the ladder orders them."""
        asked = walk.asked
        prepared, snapshot, now = asked.prepared, asked.prepared.snapshot, asked.terms.at
        labelled, decision = prepared.cleared.labelled, prepared.decision
        if labelled.call.surface not in REPLACEABLE:
            return []
        ready: list[tuple[Prepared, str]] = []
        if rung.aliases is None:
            ready += [(prepared, name) for name in siblings(decision, asked.terms.deployment, snapshot)]
        others = stand_ins(
            labelled, decision, prepared.route, rung, snapshot, now=now, decision_id=decision.id
        )
        for other in others:
            if len(ready) >= MOST_STAND_INS:
                break
            own = replace(other.decision, id=self._decision_id(now))
            made = await self._redact(other.labelled, own, other.route, snapshot)
            if not isinstance(made, Refusal):
                ready += [(made, name) for name in other.deployments]
        found: list[tuple[int, Option]] = []
        limit = cost(asked.terms)
        seen: set[str] = {asked.terms.deployment}
        for made, name in ready[:MOST_STAND_INS]:
            if name in closed or name in seen:
                continue
            agreed = await self._terms(made, name, now)
            if isinstance(agreed, Refusal):
                continue
            price = cost(agreed)
            if price is None or limit is None or price >= limit:
                continue
            seen.add(name)
            found.append((price, Option(prepared=made, terms=agreed, cheaper=True)))
        if rung.aliases is None:
            found.sort(key=lambda each: -each[0])  # nearest to what was asked for
        return [option for _, option in found]

    # ------------------------------------------------------------------ in line

    async def _queued(self, walk: _Walk, most: int) -> Held | None:
        """Wait in line for room; None when the time is over, or waiting cannot help."""
        begun = self._clock.monotonic()
        walk.polite = False
        scope = walk.scope(self._lines)
        try:
            async with asyncio.timeout(most / _NS):
                with self._lines.join(scope) as place:
                    if place is None:  # the line is full: ask once, as an app that may not wait
                        return await walk.take(walk.options)
                    while True:
                        if not await self._until_open(walk, begun, most):
                            return None
                        await place.turn()
                        if self._snapshot() is not walk.asked.prepared.snapshot:
                            raise Moved
                        held = await walk.take(walk.renewed(self._clock.now()))
                        if held is not None:
                            waited = max(1, int((self._clock.monotonic() - begun) * _NS))
                            return replace(held, waited=waited)
        except TimeoutError:
            pass
        return None

    async def _until_open(self, walk: _Walk, begun: float, most: int) -> bool:
        """Where spend fills the window, wait for the next one if it begins in time; say if waiting helps."""
        refusal = walk.refusal
        if refusal is None or refusal.code is Code.BUDGET_CONTENTION:
            return True
        if refusal.code is not Code.BUDGET_EXCEEDED:
            return False
        opens = walk.told_at + (refusal.retry_after or 0) * _NS
        left = most - int((self._clock.monotonic() - begun) * _NS)
        if opens - self._clock.now() > left:
            return False
        while (wait := opens - self._clock.now()) > 0:  # noqa: ASYNC110 (the clock is a port: it rings for nobody)
            await asyncio.sleep(min(wait / _NS, 0.25))
        return True

    async def _smaller(self, walk: _Walk) -> Held | None:
        """Clamp the answer to what is left of the budgets; None where that is not known, or too little."""
        agreed = walk.asked.terms
        try:
            smaller = agreed.within(await self._budgets.standing(agreed.wants))
        except BudgetsUnavailable:
            return None
        return None if smaller is None else await walk.take([replace(walk.asked, terms=smaller)])


class _Walk:
    """One call on its way down its ladder."""

    __slots__ = (
        "_budgets",
        "_name",
        "_now",
        "asked",
        "ladder",
        "options",
        "polite",
        "refusal",
        "told_at",
        "tried",
    )

    def __init__(
        self,
        budgets: Budgets,
        now: Callable[[], int],
        *,
        name: str,
        asked: Option,
        ladder: Sequence[Cheaper | Cap | Queue],
    ) -> None:
        self._budgets = budgets
        self._now = now
        self._name = name
        self.asked = asked
        self.ladder = ladder
        self.options: list[Option] = [asked]
        self.refusal: Refusal | None = None  # of what was asked for, by which the call is refused
        self.told_at = 0
        self.tried: list[str] = []
        self.polite = False

    @property
    def queues(self) -> bool:
        """Whether the app may wait."""
        return any(isinstance(rung, Queue) for rung in self.ladder)

    async def take(self, options: Iterable[Option]) -> Held | None:
        """Hold the first option that fits. Raises GatewayError on a refusal that is no want of room."""
        for option in options:
            hold = await self._budgets.reserve(self._name, option.terms.wants)
            if not isinstance(hold, Refusal):
                return Held(option=option, hold=hold)
            if hold.code not in NO_ROOM:
                raise GatewayError(hold)
            if self.refusal is None or (option.prepared is self.asked.prepared and option.cap is None):
                self.refusal, self.told_at = hold, self._now()
        return None

    def renewed(self, now: int) -> list[Option]:
        """Return the options as they are at this instant: a new window may have begun."""
        found: list[Option] = []
        for option in self.options:
            before = option.terms
            agreed = terms(before.cleared, before.deployment, before.snapshot, at=now, saved=before.saved)
            if isinstance(agreed, Refusal):
                continue
            fresh = replace(option, terms=agreed, cap=None)
            limited = fresh if option.cap is None else capped(fresh, option.cap)
            if limited is not None:
                found.append(limited)
        return found

    def scope(self, lines: Lines) -> str:
        """Return the scope to stand in line for: the one that had no room, or where others wait."""
        told = self.refusal.extension.get("scope") if self.refusal is not None else None
        if told:
            return str(told)
        scopes = [scope_of(want.budget) for want in self.asked.terms.wants]
        return next((scope for scope in scopes if lines.waiting(scope)), scopes[-1])

    def told(self) -> Refusal:
        """Return the refusal of the call, with what was tried before it."""
        refusal = self.refusal
        if refusal is None:  # it waited behind others until its time was over
            refusal = waited_in_vain(self.asked.terms.wants)
        if not self.tried:
            return refusal
        return replace(refusal, extension={**refusal.extension, "tried": list(self.tried)})


def capped(option: Option, tokens: int) -> Option | None:
    """Return an option with a shorter answer; None where that changes nothing, or cannot be asked."""
    smaller = option.terms.capped(tokens)
    return None if smaller is None else replace(option, terms=smaller, cap=tokens)


def cost(agreed: Terms) -> int | None:
    """Return what a try costs at most, in the organisation's currency; None where no rate is fixed."""
    bound, snapshot = agreed.bound, agreed.snapshot
    nano = convert(snapshot, bound.nano, bound.currency, snapshot.currency, at=agreed.at, ceiling=True)
    return None if isinstance(nano, Refusal) else nano


def waited_in_vain(wants: Sequence[Want]) -> Refusal:
    """Return the refusal of a call that waited behind others for as long as it may."""
    scopes = ", ".join(dict.fromkeys(scope_of(want.budget) for want in wants))
    return Refusal(
        code=Code.BUDGET_CONTENTION,
        message=f"Other calls wait for the rest of the budget of {scopes}, and this one waited as long "
        "as it may. Nothing was sent. Try again in a moment.",
        extension={"scope": scope_of(wants[-1].budget) if wants else ""},
        retry_after=1,
        retry=True,
    )
