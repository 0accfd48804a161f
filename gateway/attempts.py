"""One try: its terms (what it may cost at most) and its running reply.

:func:`terms` is pure. :class:`Running` folds an open exchange into the surface's
events: meter, translate, inspect, restore, and tops the hold up where the facts
allow a stream to be stopped early.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from gateway.book import Book, Tab
from gateway.core import budget, gpu_holds, prices, translate
from gateway.core.asked_units import asked_tier, asked_units
from gateway.core.bound import least_output
from gateway.core.errors import Refusal, UpstreamFailed
from gateway.core.frozen import quick
from gateway.core.leasing import enlarged, overdrawn
from gateway.core.meter import Meter, asked_output, input_bound
from gateway.core.restore import ReplyFold
from gateway.core.snapshot import Snapshot
from gateway.core.units import GPU_SECONDS
from gateway.core.values import Charge, ClearedCall, Event, Hold, Surface, Want
from gateway.core.wants import wants as wants_of
from gateway.ports import Exchange, JournalUnavailable, Standing
from gateway.timing import Bell, in_time, overall_timeout

STEP = 1_024
"""Output tokens that a stream's hold is enlarged by, where it may be stopped early."""

SILENT = frozenset({Surface.EMBEDDINGS, Surface.COUNT_TOKENS})
"""Surfaces that produce no output tokens."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one try may use and cost at most, and what must be held for it.

    ``output_cap`` is the max_tokens to send, per choice; ``held_output`` counts output
    tokens over all choices that ``wants`` covers now.
    """

    cleared: ClearedCall
    deployment: str
    snapshot: Snapshot
    at: int
    input_tokens: int
    choices: int
    output_cap: int
    held_output: int
    clamped: bool
    bound: Charge
    wants: tuple[Want, ...]
    saved: int = 0  # by how much an exact count of the texts lowers the bound of bytes

    @property
    def whole_output(self) -> int:
        """Output tokens at most, over all choices."""
        return self.output_cap * self.choices

    def holding(self, output: int) -> Terms | Refusal:
        """Return the same terms with ``output`` tokens held."""
        return self._with(self.output_cap, output, clamped=self.clamped)

    def within(self, standing: Sequence[Standing]) -> Terms | None:
        """Return terms that what is left of the budgets can pay, or None."""
        whole = budget.affordable_output(
            self.snapshot,
            self.deployment,
            input_tokens=self.input_tokens,
            output_tokens=self.whole_output,
            room=[(s.unit, s.limit - s.spent - s.held, s.window) for s in standing if not s.soft],
            at=self.at,
        )
        cap = whole // self.choices
        if cap < least_output(self.cleared.body) or cap >= self.output_cap:
            return None
        smaller = self._with(cap, cap * self.choices, clamped=True)
        return None if isinstance(smaller, Refusal) else smaller

    def capped(self, tokens: int) -> Terms | None:
        """Return terms with a shorter answer; None where it is no shorter, or too short to be asked."""
        if tokens >= self.output_cap or tokens < least_output(self.cleared.body):
            return None
        smaller = self._with(tokens, min(self.held_output, tokens * self.choices), clamped=True)
        return None if isinstance(smaller, Refusal) else smaller

    def _with(self, cap: int, held: int, *, clamped: bool) -> Terms | Refusal:
        priced = price(
            self.cleared,
            self.deployment,
            self.snapshot,
            tokens=self.input_tokens,
            output=held,
            at=self.at,
        )
        if isinstance(priced, Refusal):
            return priced
        bound, wants = priced
        return replace(self, output_cap=cap, held_output=held, clamped=clamped, bound=bound, wants=wants)


def terms(
    cleared: ClearedCall, deployment_id: str, snapshot: Snapshot, *, at: int, saved: int = 0
) -> Terms | Refusal:
    """Return the terms of a try: holds are upper bounds, never guesses.

    Output is the smallest of what the app asked, what policy lets it have and what the
    deployment gives. A stream that its facts allow to stop early starts with a smaller
    hold and is topped up.
    """
    call = cleared.labelled.call
    deployment = snapshot.deployments[deployment_id]
    tokens = input_bound(call.surface, cleared.body, call.size, deployment.media_caps, saved=saved)
    if isinstance(tokens, Refusal):
        return tokens
    asked, choices = asked_output(call.surface, cleared.body)
    silent = call.surface in SILENT
    limits = (asked, cleared.decision.obligations.answer_tokens, deployment.max_output_tokens)
    cap = 0 if silent else min(limit for limit in limits if limit is not None)
    held = cap * choices
    lag = deployment.abort_lag_tokens
    if call.stream and deployment.stops_billing_on_disconnect and lag is not None:
        held = min(held, STEP + lag)
    if call.surface is Surface.COUNT_TOKENS:
        priced: tuple[Charge, tuple[Want, ...]] | Refusal = (
            Charge(nano=0, currency=snapshot.currency, lines=()),
            (),
        )  # vendors count for nothing
    else:
        priced = price(cleared, deployment_id, snapshot, tokens=tokens, output=held, at=at)
    if isinstance(priced, Refusal):
        return priced
    bound, wants = priced
    return Terms(
        cleared=cleared,
        deployment=deployment_id,
        snapshot=snapshot,
        at=at,
        input_tokens=tokens,
        choices=choices,
        output_cap=cap,
        held_output=held,
        clamped=asked is not None and cap < asked and not silent,
        bound=bound,
        wants=wants,
        saved=saved,
    )


def price(
    cleared: ClearedCall, deployment: str, snapshot: Snapshot, *, tokens: int, output: int, at: int
) -> tuple[Charge, tuple[Want, ...]] | Refusal:
    """Return the most that so many tokens can cost, and what to hold for it on each level."""
    labelled = cleared.labelled
    call = labelled.call
    units = prices.NO_UNITS
    if call.features:
        units = asked_units(call.features, cleared.body, asked_output(call.surface, cleared.body)[1])
    reached = snapshot.connections.get(deployment)
    bound = prices.bound(
        snapshot,
        deployment,
        input_tokens=tokens,
        output_tokens=output,
        units=units,
        tier=asked_tier(call.surface, reached.api if reached else "", cleared.body),
        at=at,
    )
    if isinstance(bound, Refusal):
        return bound
    wants = wants_of(
        snapshot,
        call.caller,
        bound=bound,
        tokens=tokens + output,
        input_tokens=tokens,
        output_tokens=output,
        amounts={
            GPU_SECONDS: gpu_holds.most(snapshot, deployment, input_tokens=tokens, output_tokens=output)
        },
        alias=snapshot.aliases.get(call.model) if snapshot.model_budgets else None,
        labels=labelled.label_names if snapshot.data_budgets else (),
        at=at,
    )
    return wants if isinstance(wants, Refusal) else (bound, wants)


async def whole(tab: Tab, exchange: Exchange, masked: dict[str, int]) -> Mapping[str, object]:
    """Return a plain reply, metered, in the surface's shape and restored.

    Adds what was masked in it to ``masked``. Raises UpstreamFailed.
    """
    call = tab.attempt.cleared.labelled.call
    tab.meter = Meter(exchange.dialect)
    tab.reported = exchange.reported_place
    body = await exchange.body()
    tab.meter.see_body(body)
    shaped = translate.reply(
        body,
        exchange.dialect,
        call.surface,
        asked_model=call.model,
        created=seconds(call.received),
        asked=call.body,
    )
    if isinstance(shaped, Refusal):
        raise UpstreamFailed(shaped, retryable=False, sent=True)
    restore = ReplyFold(call.surface, tab.attempt.cleared)
    restored = restore.plain(shaped)
    masked.update(restore.masked)
    return restored


class Running:
    """A streamed reply on its way, folded event by event into the surface's shape."""

    def __init__(
        self,
        book: Book,
        tab: Tab,
        exchange: Exchange,
        agreed: Terms,
        *,
        deadline: int,
    ) -> None:
        """Start the folds. ``deadline`` is an instant for the whole reply."""
        attempt = tab.attempt
        call = attempt.cleared.labelled.call
        self.tab = tab
        self.cut = False
        self._book = book
        self._terms = agreed
        self._deadline = deadline
        self._meter = tab.meter = Meter(exchange.dialect)
        tab.reported = exchange.reported_place
        self._restore = ReplyFold(call.surface, attempt.cleared)
        self._lag = attempt.deployment.abort_lag_tokens or 0
        self._upstream = exchange.events()
        self._bell: Bell | None = None
        self.events = self._run()
        self._fold = translate.stream_fold(
            exchange.dialect,
            call.surface,
            asked_model=call.model,
            app_wants_usage=wants_usage(call.body),
            created=seconds(call.received),
            asked=call.body,
        )

    @property
    def masked(self) -> Mapping[str, int]:
        """What was masked in the reply, by kind."""
        return self._restore.masked

    @property
    def altered(self) -> bool:
        """Whether the reply's text is restored or masked, so that some of it may wait."""
        return not self._restore.identity

    def settle(self) -> list[Event]:
        """Return what is held back but is safe to show, for a stream that stalls."""
        return self._restore.settle()

    @property
    def failed(self) -> Refusal | None:
        """Why the vendor's stream ended badly, if the app was told so by an event already."""
        return self._fold.failed

    async def first(self) -> list[Event]:
        """Return the first events that the app will see. Raises UpstreamFailed."""
        async for events in self.events:
            if events:
                return events
        return []

    async def _run(self) -> AsyncGenerator[list[Event], None]:
        """Yield what each upstream event becomes, then what was held back."""
        meter, fold, restore = self._meter, self._fold, self._restore
        left = self._deadline - self._book.clock.now()
        self._bell = bell = Bell(left / 1e9)
        async with aclosing(in_time(self._upstream, bell)) as events:
            async for event in events:
                meter.see(event)
                out = fold.step(event)
                yield [final for each in out for final in restore.step(each)]
                if fold.failed is not None:
                    return  # the fold has told the app; whoever reads :attr:`failed` records it
                if meter.output_bytes + self._lag > self._terms.held_output and not await self._more():
                    self.cut = True
                    yield self._restored(fold.cut("budget", usage=meter.usage))
                    return
                if self._book.clock.now() > self._deadline:
                    raise overall_timeout()
        yield self._restored(fold.end())

    async def _more(self) -> bool:
        """Top the hold up; false when the budget has no more."""
        agreed = self._terms
        if agreed.held_output >= agreed.whole_output or not self.tab.hold.wants:
            return True  # the cap that the vendor was sent is held already
        larger = agreed.holding(min(agreed.whole_output, agreed.held_output + STEP))
        if isinstance(larger, Refusal):
            return False
        had = {want.budget: want.amount for want in agreed.wants}
        # A rate ends no stream that runs: what it takes beyond its hold counts when it ends.
        more = {w.budget: w.amount - had.get(w.budget, 0) for w in larger.wants if not w.rate}
        hold = await self._enlarged(more)
        if hold is None:
            return False
        try:
            await self._book.enlarge(self.tab, hold, larger.bound)
        except JournalUnavailable:
            return False
        self._terms = larger
        return True

    async def _enlarged(self, more: Mapping[str, int]) -> Hold | None:
        """Enlarge the hold, inside a declared overdraft once the budget has no more."""
        tab, budgets = self.tab, self._book.budgets
        if tab.overdraft is None:
            hold = await budgets.top_up(tab.hold, more)
            if not isinstance(hold, Refusal):
                return hold
        if not any(want.overdraft for want in tab.hold.wants):
            return None
        if tab.overdraft is None:
            # A hold of its own, since its limit is another one: what runs may finish, nothing may begin.
            extra = await budgets.reserve(f"{tab.hold.id}+overdraft", overdrawn(tab.hold, more))
            tab.within = tab.hold
        else:
            extra = await budgets.top_up(tab.overdraft, more)
        if isinstance(extra, Refusal):
            return None
        tab.overdraft = extra
        return enlarged(tab.hold, more)

    def end(self, why: UpstreamFailed) -> None:
        """End the stream from outside: its reader gets this failure, also while it waits."""
        if self._bell is not None:
            self._bell.ring(why)

    def fail(self, refusal: Refusal) -> list[Event]:
        """Return the surface's mid-stream error, after what was held back safely."""
        return self._restored(self._fold.fail(refusal))

    def _restored(self, last: list[Event]) -> list[Event]:
        """Restore last events, which may repeat text, and what was held back before them."""
        return [*(final for each in last for final in self._restore.step(each)), *self._restore.end()]


def seconds(instant: int) -> int:
    """Return an instant in whole seconds, as replies date themselves."""
    return instant // 1_000_000_000


def wants_usage(body: Mapping[str, object]) -> bool:
    """Whether the app itself asked for the usage chunk of a stream."""
    options = body.get("stream_options")
    return isinstance(options, Mapping) and options.get("include_usage") is True
