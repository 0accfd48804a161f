"""The book of one call: every try one ledger row, every call exactly one record.

:class:`Book` is opened before anything can go wrong and closed once, whatever
happened: served, refused, failed, abandoned. :class:`Tab` is one try's: it knows the
hold, and what the meter saw. INVARIANT: a hold is settled exactly once; usage that
never arrived is booked at the hold and marked estimated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.core import admit, gpu_holds, observed, overruns, record
from gateway.core.budget import settlement
from gateway.core.decide import Decision
from gateway.core.errors import UpstreamFailed
from gateway.core.leasing import parted
from gateway.core.meter import Meter
from gateway.core.observed import Mismatch, Report
from gateway.core.overruns import Overrun
from gateway.core.units import GPU_SECONDS
from gateway.core.values import Attempt, Call, Charge, ClearedCall, Hold, LabelledCall, Usage
from gateway.ports import Budgets, Clock, Journal, JournalUnavailable, Observation, Telemetry

SERVED = "served"
FAILED = "failed"
ABANDONED = "abandoned"
CUT = "cut"


@dataclass(slots=True, kw_only=True)
class Tab:
    """One try on its way: what it may cost at most, and what the meter saw."""

    attempt: Attempt
    hold: Hold  # grows when a stream is topped up
    bound: Charge
    meter: Meter | None = None  # from the moment that the vendor answered
    within: Hold | None = None  # what was held before an overdraft was needed
    overdraft: Hold | None = None  # what is held beyond a limit, by leave of an overdraft
    outcome: record.Data | None = None
    usage: Usage | None = None
    charge: Charge | None = None
    reported: str | None = None  # where the vendor's headers say that it ran
    mismatch: Mismatch | None = None  # what the vendor's report contradicts
    overrun: Overrun | None = None  # what the vendor billed beyond the hold
    beside: int = 1  # attempts of this worker on the same GPU pool when it was sent, itself included
    sent: bool = False  # from the moment that the vendor may be reached
    settled: bool = False
    told: bool = False  # its mismatch and its overrun are journalled


def ignored(_: Mismatch | Overrun) -> None:
    """Do nothing about what a vendor did but record it."""


@dataclass(slots=True, kw_only=True)
class Book:
    """Writes a call's entries and settles its holds."""

    call: Call
    snapshot: str
    journal: Journal
    budgets: Budgets
    telemetry: Telemetry
    clock: Clock
    withdraw: Callable[[Mismatch], None] = ignored
    suspend: Callable[[Overrun], None] = ignored
    alias: str | None = None
    labelled: LabelledCall | None = None
    decision: Decision | None = None
    cleared: ClearedCall | None = None
    tabs: list[Tab] = field(default_factory=list)
    masked_reply: dict[str, int] = field(default_factory=dict)
    degraded: dict[str, str | int] = field(default_factory=dict)
    first_chunk_s: float | None = None
    admission: Hold | None = None  # the call's place in its rates
    closed: bool = False

    def stand(self, route: str, labelled: LabelledCall, decision: Decision, cleared: ClearedCall) -> None:
        """Note in which way the call is tried now: another model may stand in for the one it named."""
        self.alias, self.labelled, self.decision, self.cleared = route, labelled, decision, cleared

    async def open_tab(self, attempt: Attempt, bound: Charge) -> Tab:
        """Journal the intent of a try before its first byte.

        Raises JournalUnavailable; the hold is released then.
        """
        tab = Tab(attempt=attempt, hold=attempt.hold, bound=bound)
        # Known before it is journalled: a caller that leaves meanwhile must not leave a hold behind.
        self.tabs.append(tab)
        try:
            await self.journal.append("attempt.intent", record.intent(attempt, bound=bound))
        except JournalUnavailable:
            self.tabs.remove(tab)
            self.budgets.settle(tab.hold, {})
            raise
        return tab

    async def enlarge(self, tab: Tab, hold: Hold, bound: Charge) -> None:
        """Journal an enlarged hold before it is used; raises JournalUnavailable."""
        await self.journal.append("attempt.top_up", record.top_up(tab.attempt, hold, bound=bound))
        tab.hold, tab.bound = hold, bound

    def look(self, tab: Tab) -> None:
        """Compare where the vendor says that it ran with the facts, as soon as it says it.

        A contradiction is counted, kept for the record and drops the deployment out.
        """
        said = tab.meter.reported_place if tab.meter is not None else None
        if tab.mismatch is not None or not (said or tab.reported):
            return
        attempt = tab.attempt
        for reported in (said, tab.reported):
            found = reported and observed.mismatch(
                reported, attempt.deployment, call=self.call.id, attempt=attempt.id, at=self.clock.now()
            )
            if found:
                tab.mismatch = found
                vendor, place = attempt.deployment.vendor, attempt.deployment.place
                self.telemetry.count("place_mismatch", provider=vendor, place=place)
                self.withdraw(found)
                return

    def settle(self, tab: Tab, status: str, code: str | None, *, billed: bool = True) -> None:
        """Settle a try's hold once: at its usage, at its hold if none came, or at zero.

        ``billed`` false means that no byte of the call can have been billed.
        """
        if tab.settled:
            return
        tab.settled = True
        attempt, meter = tab.attempt, tab.meter
        usage = meter.usage if meter else None
        if usage is None and not billed:
            settled = record.nothing_spent(tab.hold, currency=tab.bound.currency)
        else:
            settled = settlement(
                attempt.snapshot,
                attempt.deployment.id,
                tab.hold,
                bound=tab.bound,
                usage=usage,
                at=attempt.started,
                amounts={
                    GPU_SECONDS: gpu_holds.used(
                        attempt.snapshot,
                        attempt.deployment.id,
                        usage,
                        started=attempt.started,
                        ended=self.clock.now(),
                        beside=tab.beside,
                    )
                },
            )
        overdraft = self._settle_holds(tab, settled.spends)
        tab.usage, tab.charge = usage, settled.charge
        self.look(tab)
        reported = (meter.reported_place if meter else None) or tab.reported
        if reported and observed.look(reported, attempt.deployment) is Report.UNREAD:
            self.telemetry.count("place_unread", provider=attempt.deployment.vendor)
            reported = None  # the vendor's words, but no place: nothing that a record holds
        tab.outcome = record.outcome(
            attempt,
            status=status,
            code=code,
            usage=usage,
            settled=settled,
            vendor_id=meter.vendor_id if meter else None,
            vendor_model=meter.vendor_model if meter else None,
            reported_place=reported,
            place_mismatch=tab.mismatch is not None,
            overdraft=overdraft,
            first=self._first_chunk(tab),
            ended=self.clock.now(),
        )
        if settled.overrun:
            tab.overrun = overruns.overrun(
                attempt,
                bound=tab.bound,
                charge=settled.charge,
                spends=settled.spends,
                hold=tab.hold,
                at=self.clock.now(),
            )
            self.telemetry.count("overrun", deployment=attempt.deployment.id)
            self.suspend(tab.overrun)

    def _settle_holds(self, tab: Tab, spends: Mapping[str, int]) -> dict[str, int]:
        """Turn a try's holds into spend; return what of it is beyond a limit, by leave of an overdraft."""
        if tab.within is None or tab.overdraft is None:
            self.budgets.settle(tab.hold, spends)
            return {}
        inside, beyond = parted(spends, tab.within, tab.overdraft)
        self.budgets.settle(tab.within, inside)
        self.budgets.settle(tab.overdraft, beyond)
        used = {name: amount for name, amount in beyond.items() if amount}
        if used:
            self.telemetry.count("overdraft", app=self.call.caller.app)
        return used

    def _first_chunk(self, tab: Tab) -> int | None:
        """Return when the first chunk of a stream came: only the last try of a call has one."""
        if self.first_chunk_s is None or tab is not self.tabs[-1]:
            return None
        return self.call.received + int(self.first_chunk_s * 1e9)

    async def failed_try(self, tab: Tab, failure: UpstreamFailed) -> None:
        """Book a try that failed while others may follow."""
        self.settle(tab, FAILED, failure.refusal.code.value, billed=failure.sent)
        written, tab.outcome = tab.outcome, None  # the call's record will not repeat it
        if written is not None:
            await self._append("attempt.outcome", written)
        await self._tell(tab)

    async def close(self, outcome: str, status: int) -> None:
        """Write the call's one record; later calls do nothing."""
        if self.closed:
            return
        self.closed = True
        if self.admission is not None:
            self.budgets.settle(self.admission, admit.used(self.admission))
        for tab in self.tabs:
            self.settle(tab, ABANDONED, outcome, billed=tab.sent)
        last = self.tabs[-1] if self.tabs else None
        await self._append(
            "call.record",
            record.call_record(
                self.call,
                alias=self.alias,
                ended=self.clock.now(),
                outcome=outcome,
                status=status,
                decision=self.decision.id if self.decision else None,
                rules=self.decision.rules if self.decision else (),
                warnings=self.decision.warnings if self.decision else (),
                labels=[(label.name, label.set_by) for label in self.labelled.labels]
                if self.labelled
                else (),
                masked=self.cleared.masked if self.cleared else {},
                masked_reply=self.masked_reply,
                reported=self.cleared.reported if self.cleared else None,
                degraded=self.degraded,
                attempts=len(self.tabs),
                snapshot=self.decision.snapshot_hash if self.decision else self.snapshot,
                attempt=last.outcome if last else None,
            ),
        )
        for tab in self.tabs:
            await self._tell(tab)
        self._observe(outcome, last)

    async def _tell(self, tab: Tab) -> None:
        """Journal a mismatch and an overrun, once: the entries that every worker learns them from."""
        if tab.told:
            return
        tab.told = tab.settled
        tenant, snapshot = self.call.caller.tenant, tab.attempt.snapshot.hash
        if tab.mismatch is not None:
            told = observed.entry(tab.mismatch, tenant=tenant, snapshot=snapshot)
            await self._append("place.mismatch", told)
        if tab.overrun is not None:
            told = overruns.entry(tab.overrun, tenant=tenant, snapshot=snapshot)
            await self._append("deployment.overrun", told)

    async def _append(self, kind: str, data: record.Data) -> None:
        """Append what happened. A journal that fails now cannot undo it.

        It is alarmed, and the intent that it holds already is booked at its hold when this
        writer is adopted.
        """
        try:
            await self.journal.append(kind, data)
        except JournalUnavailable:
            self.telemetry.count("journal_failure", kind=kind)

    def _observe(self, outcome: str, last: Tab | None) -> None:
        call = self.call
        deployment = last.attempt.deployment if last else None
        self.telemetry.observe(
            Observation(
                surface=call.surface.value,
                app=call.caller.app,
                team=call.caller.team,
                alias=self.alias or "",
                provider=deployment.vendor if deployment else "",
                place=deployment.place if deployment else "",
                outcome=outcome,
                stream=call.stream,
                started=call.received,
                duration_s=(self.clock.now() - call.received) / 1e9,
                first_chunk_s=self.first_chunk_s,
                usage=last.usage if last else None,
                attempts=len(self.tabs),
                masked=sum(self.cleared.masked.values()) if self.cleared else 0,
                vendor_model=last.meter.vendor_model if last and last.meter else None,
                request_id=call.id,
                trace=call.trace,
            )
        )
