"""The queries behind GPU pools: what ran in an hour, which hours are closed, what is booked of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields

from sqlalchemy import ColumnElement, Connection, func, select

from gateway.adapters.store_sql.budgets import insert
from gateway.adapters.store_sql.entries import append
from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.adapters.store_sql.tables_gpu import gpu_hours, gpu_pools
from gateway.core.entries import Entry
from gateway.core.gpu import Ran
from gateway.core.gpu_books import UNIT, Who
from gateway.core.gpu_pools import HOUR_US

LONGEST_US = HOUR_US
"""No attempt runs longer: no route's ``timeout_ms`` may be more."""

_CACHED = tuple(name for name in ("cache_read", "cache_read_audio", "cache_read_image") if name in ledger.c)
_PROMPT = tuple(
    name
    for name in (
        "input", "cache_write_5m", "cache_write_1h", "input_audio", "input_image", "input_video",
    )
    if name in ledger.c and name not in _CACHED
)  # fmt: skip
_OUTPUT = tuple(name for name in ("output", "output_audio", "output_image") if name in ledger.c)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledgered:
    """What the ledger holds of an hour of a pool. ``attempts`` counts every row that overlaps it."""

    runs: tuple[Ran[Who], ...]
    attempts: int
    lost: frozenset[Who]
    lost_attempts: int
    prompt_tokens: int  # of attempts that ended in the hour, so that hours can be added up
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One closed hour, as a row of ``gpu_hours``."""

    tenant: str
    pool: str
    start_us: int
    revision: int
    method: str
    billed_micro: int
    used_micro: int
    idle_micro: int
    unallocated_micro: int
    currency: str
    nano: int
    spend_currency: str
    spend_nano: int
    attempts: int
    lost: int
    prompt_tokens: int
    output_tokens: int
    coefficients: str
    calibrated: bool
    snapshot: str
    why: str
    closed_us: int
    closed_by: str


_HOUR = tuple(field.name for field in fields(Hour))
_ENTRY = tuple(field.name for field in fields(Entry))


def _overlapping(
    tenant: str, deployments: Sequence[str], start_us: int, end_us: int
) -> list[ColumnElement[bool]]:
    return [
        ledger.c.tenant == tenant,
        # By the index of start: what began earlier than the longest attempt has ended.
        ledger.c.started_us >= start_us - LONGEST_US,
        ledger.c.started_us < end_us,
        ledger.c.ended_us > start_us,
        ledger.c.deployment.in_(deployments),
    ]


def ran(
    connection: Connection, *, tenant: str, deployments: Sequence[str], start_us: int, end_us: int
) -> Ledgered:
    """Return the attempts of some deployments that overlap a time.

    One without tokens that is no estimate never reached the engine: it used nothing.
    """
    prompt = [ledger.c[name] for name in _PROMPT]
    output = [ledger.c[name] for name in _OUTPUT]
    cached = [ledger.c[name] for name in _CACHED]
    query = select(
        ledger.c.team,
        ledger.c.app,
        ledger.c.cost_centre,
        ledger.c.alias,
        ledger.c.deployment,
        ledger.c.started_us,
        ledger.c.first_us,
        ledger.c.ended_us,
        ledger.c.estimated,
        sum(cached[1:], start=cached[0]).label("cached"),
        sum(prompt[1:], start=prompt[0]).label("prompt"),
        sum(output[1:], start=output[0]).label("made"),
    ).where(*_overlapping(tenant, deployments, start_us, end_us))
    runs: list[Ran[Who]] = []
    lost: set[Who] = set()
    attempts = lost_attempts = prompts = outputs = 0
    people: dict[tuple[str, ...], Who] = {}
    for row in connection.execute(query):
        attempts += 1
        known = bool(row.prompt or row.made or row.cached)
        if not known and not row.estimated:
            continue
        named = (row.team, row.app, row.cost_centre or "", row.alias, row.deployment)
        who = people.get(named)
        if who is None:
            team, app, centre, alias, deployment = named
            who = people[named] = Who(
                team=team, app=app, cost_centre=centre, alias=alias, deployment=deployment
            )
        if not known:
            lost.add(who)
            lost_attempts += 1
        if start_us < row.ended_us <= end_us:
            prompts += row.prompt
            outputs += row.made
        runs.append(
            Ran(
                key=who,
                deployment=row.deployment,
                start_us=row.started_us,
                first_us=row.first_us,
                end_us=row.ended_us,
                prompt=row.prompt,
                output=row.made,
                cached=row.cached,
                known=known,
            )
        )
    return Ledgered(
        runs=tuple(runs),
        attempts=attempts,
        lost=frozenset(lost),
        lost_attempts=lost_attempts,
        prompt_tokens=prompts,
        output_tokens=outputs,
    )


def attempts(
    connection: Connection, *, tenant: str, deployments: Sequence[str], start_us: int, end_us: int
) -> int:
    """Count the ledger rows that overlap a time. They are only ever added."""
    where = _overlapping(tenant, deployments, start_us, end_us)
    return int(connection.scalar(select(func.count()).select_from(ledger).where(*where)) or 0)


def first_attempt(connection: Connection, *, tenant: str, deployments: Sequence[str]) -> int | None:
    """Return when the first attempt of some deployments began, or None."""
    query = (
        select(ledger.c.started_us)
        .where(ledger.c.tenant == tenant, ledger.c.deployment.in_(deployments))
        .order_by(ledger.c.started_us)
        .limit(1)
    )
    found = connection.scalar(query)
    return None if found is None else int(found)


def since(connection: Connection, *, tenant: str, pool: str) -> int | None:
    """Return from which hour on a pool is booked, or None while it is not known."""
    query = select(gpu_pools.c.since_us).where(gpu_pools.c.tenant == tenant, gpu_pools.c.pool == pool)
    found = connection.scalar(query)
    return None if found is None else int(found)


def begin(connection: Connection, *, tenant: str, pool: str, since_us: int) -> None:
    """Fix from which hour on a pool is booked. Said again, it can only begin earlier."""
    statement = insert(connection, gpu_pools).values(tenant=tenant, pool=pool, since_us=since_us)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[gpu_pools.c.tenant, gpu_pools.c.pool],
            set_={"since_us": since_us},
            where=gpu_pools.c.since_us > since_us,
        )
    )


def first_closed(connection: Connection, *, tenant: str, pool: str) -> int | None:
    """Return the start of the first closed hour of a pool, or None."""
    query = select(func.min(gpu_hours.c.start_us)).where(
        gpu_hours.c.tenant == tenant, gpu_hours.c.pool == pool
    )
    found = connection.scalar(query)
    return None if found is None else int(found)


def last_closed(connection: Connection, *, tenant: str, pool: str) -> int | None:
    """Return the start of the last closed hour of a pool, or None."""
    query = select(func.max(gpu_hours.c.start_us)).where(
        gpu_hours.c.tenant == tenant, gpu_hours.c.pool == pool
    )
    found = connection.scalar(query)
    return None if found is None else int(found)


def hours(
    connection: Connection, *, tenant: str, start_us: int, end_us: int, pool: str | None = None
) -> list[Hour]:
    """Return the closed hours that begin in a time, each as last revised, by pool and hour."""
    query = (
        select(*(gpu_hours.c[name] for name in _HOUR))
        .where(gpu_hours.c.tenant == tenant, gpu_hours.c.start_us >= start_us, gpu_hours.c.start_us < end_us)
        .order_by(gpu_hours.c.pool, gpu_hours.c.start_us, gpu_hours.c.revision)
    )
    if pool is not None:
        query = query.where(gpu_hours.c.pool == pool)
    newest: dict[tuple[str, int], Hour] = {}
    for row in connection.execute(query).mappings():
        newest[row["pool"], row["start_us"]] = Hour(**row)
    return list(newest.values())


def booked(connection: Connection, *, tenant: str, origin: str, start_us: int) -> list[Entry]:
    """Return what is booked of one charge: its entries and their corrections."""
    query = select(*(ledger_entries.c[name] for name in _ENTRY)).where(
        ledger_entries.c.tenant == tenant,
        ledger_entries.c.start_us == start_us,
        ledger_entries.c.origin == origin,
    )
    return [Entry(**row) for row in connection.execute(query).mappings()]


def entries_between(connection: Connection, *, tenant: str, start_us: int, end_us: int) -> list[Entry]:
    """Return the entries of GPU hours that begin in a time, corrections included."""
    query = select(*(ledger_entries.c[name] for name in _ENTRY)).where(
        ledger_entries.c.tenant == tenant,
        ledger_entries.c.start_us >= start_us,
        ledger_entries.c.start_us < end_us,
        ledger_entries.c.kind.in_(("gpu", "correction")),
        ledger_entries.c.unit == UNIT,
    )
    return [Entry(**row) for row in connection.execute(query).mappings()]


def book(connection: Connection, hour: Hour, entries: Iterable[Entry]) -> bool:
    """Book an hour and its entries, once: False if another worker booked this revision before."""
    told = insert(connection, gpu_hours).on_conflict_do_nothing().returning(gpu_hours.c.revision)
    if connection.execute(told, asdict(hour)).first() is None:
        return False
    append(connection, entries)
    return True
