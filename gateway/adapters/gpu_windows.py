"""Closes the hours of GPU pools: reads what ran, splits it by phase-v1, books it as entries.

Runs beside the calls in every worker; the database lets one of them book an hour. What was missed while
nobody ran is caught up; what the ledger learns after an hour was closed (a stream that outlived it, the
rows of a dead writer) is booked as corrections. INVARIANT: a booked hour and its entries never change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import orjson

from gateway.adapters.store_sql import Store, StoreUnavailable, gpu_budgets
from gateway.adapters.store_sql import gpu as sql
from gateway.core.errors import Refusal
from gateway.core.gpu import METHOD, hour_of, split
from gateway.core.gpu_books import Charge, Facts, Row, amounts, charge_nano, entries, origin, rows, summed
from gateway.core.gpu_pools import HOUR_US, Coefficients, Pool
from gateway.core.prices import convert
from gateway.core.record import cost_centre
from gateway.core.snapshot import Snapshot
from gateway.core.wants import every_limit, want_of
from gateway.core.windows import windows

log = logging.getLogger("gateway.gpu")

LAG_US = 900 * 1_000_000
"""How long after its end an hour is closed: most attempts that ran in it are in the ledger by then."""

LATE_US = 26 * HOUR_US
"""How far back closed hours are compared with the ledger."""

LOOK_US = 900 * 1_000_000
"""How often they are, and budgets with what is booked: it reads a day of the ledger."""

EVERY_S = 60.0
_AT_ONCE = 200  # hours per step, so that catching up a year does not hold up stopping


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One hour that was booked. ``entries`` counts rows; ``why`` is "" for a first close."""

    pool: str
    start_us: int
    revision: int
    entries: int
    why: str = ""


class CannotClose(Exception):
    """An hour cannot be booked; the text says why and the fix. It is tried again."""


class GpuWindows:
    """Closes hours of the snapshot's pools. Its methods block: call them on the store's threads."""

    def __init__(
        self, store: Store, snapshot: Callable[[], Snapshot], now: Callable[[], int], *, by: str = "gateway"
    ) -> None:
        """``now`` in ns; ``by`` is who stands in the entries."""
        self._store = store
        self._snapshot = snapshot
        self._now = now
        self._by = by
        self.problems: dict[str, str] = {}
        """Pool → why its next hour cannot be closed, for ``/status``."""
        self._looked_us: int | None = None

    def step(self) -> list[Done]:
        """Close every hour that is due and correct those that changed. Raises StoreUnavailable."""
        snapshot = self._snapshot()
        now_us = self._now() // 1000
        look = self._looked_us is None or now_us - self._looked_us >= LOOK_US
        done: list[Done] = []
        for pool in snapshot.pools.values():
            try:
                done += self._due(pool, snapshot)
                done += self._late(pool, snapshot) if look else ()
                self.problems.pop(pool.id, None)
            except CannotClose as why:
                if self.problems.get(pool.id) != str(why):
                    log.error("gpu hour not closed", extra={"pool": pool.id, "why": str(why)})
                self.problems[pool.id] = str(why)
        if snapshot.pools and (done or look):
            self._correct_budgets(snapshot)
        if look:
            self._looked_us = now_us
        return done

    def _correct_budgets(self, snapshot: Snapshot) -> None:
        """Spend of GPU-hour budgets what closed hours attributed beyond the settlements of their calls."""
        now = self._now()
        for limit in every_limit(snapshot):
            if not gpu_budgets.corrected(limit):
                continue
            want = want_of(limit, at=now)
            with self._store.write() as connection:
                gpu_budgets.correct(
                    connection, tenant=snapshot.tenant, limit=limit, want=want, now_us=now // 1000
                )

    def since(self, pool: Pool, *, at_us: int | None = None) -> int | None:
        """Return from which hour on a pool is booked, fixing it if it is not fixed.

        The first call that the ledger knows, or now; never before the pool has a rate and a replica.
        ``at_us`` says an earlier one, also later on: what lies before is booked then. None: it never has.
        """
        if pool.begins is None:
            return None
        tenant = self._snapshot().tenant
        with self._store.read() as connection:
            known = sql.since(connection, tenant=tenant, pool=pool.id)
            first = sql.first_attempt(connection, tenant=tenant, deployments=pool.deployments)
        if known is not None and (at_us is None or known <= at_us):
            return known
        now_us = self._now() // 1000
        wished = at_us if at_us is not None else min(now_us, first if first is not None else now_us)
        with self._store.write() as connection:
            start = hour_of(max(wished, pool.begins // 1000))
            sql.begin(connection, tenant=tenant, pool=pool.id, since_us=start)
            return sql.since(connection, tenant=tenant, pool=pool.id)

    def again(self, pool: Pool, *, start_us: int, end_us: int) -> list[Done]:
        """Split and price closed hours again by the pool as it is now; book the differences.

        For a better calibration, a rate or a replica that was learned too late. An hour that comes out
        as it is booked is left alone. Raises StoreUnavailable and CannotClose.
        """
        snapshot = self._snapshot()
        with self._store.read() as connection:
            known = sql.hours(
                connection, tenant=snapshot.tenant, start_us=start_us, end_us=end_us, pool=pool.id
            )
        done: list[Done] = []
        for hour in known:
            done += self._close(pool, snapshot, hour.start_us, before=hour, anew=True, why="split again")
        return done

    # ------------------------------------------------------------------ hours

    def _due(self, pool: Pool, snapshot: Snapshot) -> Iterable[Done]:
        start = self.since(pool)
        if start is None:
            return []
        with self._store.read() as connection:
            first = sql.first_closed(connection, tenant=snapshot.tenant, pool=pool.id)
            last = sql.last_closed(connection, tenant=snapshot.tenant, pool=pool.id)
        done: list[Done] = []
        if first is not None and last is not None:
            # Backwards, so that what is there stays in one piece whenever this ends.
            for before in range(first - HOUR_US, start - HOUR_US, -HOUR_US)[:_AT_ONCE]:
                done += self._close(pool, snapshot, before)
            start = last + HOUR_US
        until = self._now() // 1000 - LAG_US - HOUR_US
        while start <= until and len(done) < _AT_ONCE:
            done += self._close(pool, snapshot, start)
            start += HOUR_US
        return done

    def _late(self, pool: Pool, snapshot: Snapshot) -> Iterable[Done]:
        """Correct the hours of the last day of which the ledger knows more by now."""
        now_us = self._now() // 1000
        with self._store.read() as connection:
            known = sql.hours(
                connection,
                tenant=snapshot.tenant,
                start_us=hour_of(now_us - LATE_US),
                end_us=now_us,
                pool=pool.id,
            )
            behind = [
                hour
                for hour in known
                if hour.attempts
                != sql.attempts(
                    connection,
                    tenant=snapshot.tenant,
                    deployments=pool.deployments,
                    start_us=hour.start_us,
                    end_us=hour.start_us + HOUR_US,
                )
            ]
        done: list[Done] = []
        for hour in behind:
            used = read_coefficients(hour.coefficients)
            done += self._close(
                pool, snapshot, hour.start_us, before=hour, coefficients=used, why="calls that arrived late"
            )
        return done

    def _close(
        self,
        pool: Pool,
        snapshot: Snapshot,
        start_us: int,
        *,
        before: sql.Hour | None = None,
        coefficients: Coefficients | None = None,
        anew: bool = False,
        why: str = "",
    ) -> list[Done]:
        """Book one hour, or a revision of it. Reads, works out and writes apart, so that no lock waits.

        ``anew``: price it anew too, and only if something comes out otherwise.
        """
        of = pool if coefficients is None else _with(pool, coefficients)
        end_us = start_us + HOUR_US
        with self._store.read() as connection:
            there = sql.ran(
                connection,
                tenant=snapshot.tenant,
                deployments=pool.deployments,
                start_us=start_us,
                end_us=end_us,
            )
            booked = (
                None
                if before is None
                else summed(
                    sql.booked(
                        connection,
                        tenant=snapshot.tenant,
                        origin=origin(pool.id, start_us),
                        start_us=start_us,
                    )
                )
            )
        whole = split(of, there.runs, start_us=start_us, end_us=end_us)
        micros = rows(of, whole, centre_of=lambda team: _centre(snapshot, team, start_us * 1000))
        charge = _charge(of, snapshot, start_us, whole.billed, None if anew else before)
        booked_in = None if before is None else (before.currency, before.spend_currency)
        if before is not None and booked_in != (charge.currency, charge.spend_currency):
            raise CannotClose(
                f"the hour was booked in {before.currency}, and the rate is in {charge.currency} now; "
                "a correction cannot change a currency: restore the old rate for that day"
            )
        facts = Facts(
            tenant=snapshot.tenant,
            pool=of,
            start_us=start_us,
            revision=1 if before is None else before.revision + 1,
            coefficients=of.coefficients,
            billing_period=_month(start_us, snapshot.timezone),
            currency=charge.currency,
            spend_currency=charge.spend_currency,
            created_us=self._now() // 1000,
            created_by=self._by,
            lost=there.lost,
            vendors={name: d.vendor for name, d in snapshot.deployments.items() if name in pool.deployments},
            places={name: d.place for name, d in snapshot.deployments.items() if name in pool.deployments},
            models={name: c.model for name, c in snapshot.connections.items() if name in pool.deployments},
            why=why,
        )
        made = entries(facts, amounts(micros, charge), booked)
        if anew and not made:
            return []
        hour = sql.Hour(
            tenant=snapshot.tenant,
            pool=pool.id,
            start_us=start_us,
            revision=facts.revision,
            method=METHOD,
            billed_micro=whole.billed,
            used_micro=whole.busy,
            idle_micro=_part(micros, "idle"),
            unallocated_micro=_part(micros, "unallocated"),
            currency=charge.currency,
            nano=charge.nano,
            spend_currency=charge.spend_currency,
            spend_nano=charge.spend_nano,
            attempts=there.attempts,
            lost=there.lost_attempts,
            prompt_tokens=there.prompt_tokens,
            output_tokens=there.output_tokens,
            coefficients=coefficients_text(of.coefficients),
            calibrated=of.coefficients.calibrated,
            snapshot=snapshot.hash,
            why=why,
            closed_us=self._now() // 1000,
            closed_by=self._by,
        )
        with self._store.write() as connection:
            fresh = sql.book(connection, hour, made)
        if not fresh:
            return []  # another worker was first
        return [Done(pool=pool.id, start_us=start_us, revision=facts.revision, entries=len(made), why=why)]


async def run(windows: GpuWindows, store: Store, *, every_s: float = EVERY_S) -> None:
    """Close what is due, for ever; a database that is away is tried again."""
    while True:
        try:
            for done in await store.call(windows.step):
                log.info(
                    "gpu hour closed",
                    extra={"pool": done.pool, "start_us": done.start_us, "revision": done.revision},
                )
        except StoreUnavailable:
            log.warning("gpu hours wait for the database")
        await asyncio.sleep(every_s)


def coefficients_text(c: Coefficients) -> str:
    """Return coefficients as they are kept beside an hour."""
    plain = {
        "prefill_ps": c.prefill_ps,
        "decode_ps": c.decode_ps,
        "step_ps": c.step_ps,
        "kv_ps": c.kv_ps,
        "source": c.source,
        "measured": c.measured,
        "calibrated": c.calibrated,
    }
    return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode()


def read_coefficients(text: str) -> Coefficients:
    """Return kept coefficients."""
    return Coefficients(**orjson.loads(text))


def _with(pool: Pool, coefficients: Coefficients) -> Pool:
    return pool if coefficients == pool.coefficients else pool.calibrated(coefficients)


def _part(micros: dict[Row, int], part: str) -> int:
    return sum(micro for row, micro in micros.items() if row.part == part)


def _month(at_us: int, timezone: str) -> str:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).astimezone(ZoneInfo(timezone)).strftime("%Y-%m")


def _centre(snapshot: Snapshot, team: str, at: int) -> str:
    """Return the cost centre of a team: that of its apps, where they all have the same."""
    found = {cost_centre(snapshot, app.id, at) for app in snapshot.apps.values() if app.team == team}
    only = found.pop() if len(found) == 1 else None
    return only or ""


def _charge(pool: Pool, snapshot: Snapshot, start_us: int, billed: int, before: sql.Hour | None) -> Charge:
    """Price an hour. A revision keeps what was booked unless more or less time is billed now.

    Raises CannotClose.
    """
    if before is not None and before.billed_micro == billed:
        return Charge(
            currency=before.currency,
            nano=before.nano,
            spend_currency=before.spend_currency,
            spend_nano=before.spend_nano,
        )
    rate = pool.rate_at(start_us * 1000)
    if rate is None:
        when = datetime.fromtimestamp(start_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M")
        raise CannotClose(
            f"the pool `{pool.id}` has no rate at {when} UTC ({pool.at}); add one that begins earlier"
        )
    nano = charge_nano(billed, rate)
    # As the attempts' rows are converted: by one rate for all of a month.
    month, _ = windows("month", snapshot.timezone, start_us * 1000)
    spend = convert(
        snapshot, nano, rate.currency, snapshot.currency, at=start_us * 1000, ceiling=False, window=month
    )
    if isinstance(spend, Refusal):
        raise CannotClose(
            f"{spend.message} The pool `{pool.id}` is paid in {rate.currency}: add the rate to prices/fx.yaml"
        )
    return Charge(currency=rate.currency, nano=nano, spend_currency=snapshot.currency, spend_nano=spend)
