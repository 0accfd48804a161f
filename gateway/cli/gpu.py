"""``borderpost gpu``: pools of own GPUs, their calibration, and the closing of their hours."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.adapters.gpu_windows import CannotClose, GpuWindows
from gateway.adapters.store_sql import gpu as sql
from gateway.cli.opened import reading, settings_of, snapshot_of, stop, store_of, with_config
from gateway.core.gpu import hour_of
from gateway.core.gpu_books import gpu_hours
from gateway.core.gpu_pools import PS_PER_US, Pool
from gateway.core.snapshot import Snapshot

if TYPE_CHECKING:
    from gateway.adapters.gpu_fit import Fitted

DAY_US = 86_400_000_000


@click.group("gpu")
def command() -> None:
    """Pools of own GPUs: what they are, what a step costs, who used them."""


@command.command("pools")
@with_config
def pools(toml: Path | None) -> None:
    """List the pools of the policies, and up to which hour each is booked."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    if not snapshot.pools:
        click.echo("no pools: pools.yaml declares none")
        return
    last = reading(
        settings,
        lambda connection: {
            name: sql.last_closed(connection, tenant=snapshot.tenant, pool=name) for name in snapshot.pools
        },
    )
    now = time.time_ns()
    for pool in snapshot.pools.values():
        click.echo(_pool(pool, last[pool.id], now))


def _pool(pool: Pool, last: int | None, now: int) -> str:
    rate, c = pool.rate_at(now), pool.coefficients
    booked = "no hour yet" if last is None else f"through the hour of {_when(last)}"
    paid = (
        "no rate in force"
        if rate is None
        else f"{format(rate.per_gpu_hour, 'f')} {rate.currency} per GPU-hour, {rate.basis.replace('_', ' ')}"
    )
    us = ", ".join(
        f"{name} {_us(value)}"
        for name, value in (
            ("prefill", c.prefill_ps),
            ("decode", c.decode_ps),
            ("step", c.step_ps),
            ("kv", c.kv_ps),
        )
    )
    known = f"measured {c.measured}, {c.source}" if c.calibrated else "shipped defaults: rows are estimates"
    return "\n".join(
        [
            f"{pool.id}  {pool.engine} in {pool.region}, for {', '.join(pool.deployments)}",
            f"  now       {pool.replicas_at(now)} replicas of {pool.gpus} GPUs; {paid}",
            f"  idle      {pool.idle.replace('_', ' ')}",
            f"  µs        {us} ({known})",
            f"  booked    {booked}",
        ]
    )


@command.command("calibrate")
@click.argument("pool_name", metavar="POOL")
@click.option(
    "--seconds", type=click.FloatRange(0, 86_400), default=300.0, show_default=True, help="How long."
)
@click.option(
    "--every",
    type=click.FloatRange(0.01, 3_600),
    default=1.0,
    show_default=True,
    help="Seconds between readings.",
)
@with_config
def calibrate(pool_name: str, seconds: float, every: float, toml: Path | None) -> None:
    """Measure what a step of a pool's engine costs, from its own counters, under the load it has now."""
    try:
        from gateway.adapters.engine_metrics import Engines, NoMetrics, intervals  # noqa: PLC0415 (numpy)
        from gateway.adapters.gpu_fit import TooLittle, fit  # noqa: PLC0415 (as above)
    except ModuleNotFoundError as missing:
        stop(f"calibrating needs `{missing.name}`: install borderpost[reports]")
    from gateway.adapters.transport import Transport  # noqa: PLC0415 (only here)

    settings = settings_of(toml)
    pool = _named(snapshot_of(settings.policies), pool_name)
    ca_bundle = str(settings.ca_bundle) if settings.ca_bundle else None

    async def measure() -> dict[str, list[object]]:
        transport = Transport(ca_bundle=ca_bundle)
        try:
            engines = Engines(transport, time.monotonic)
            found = await engines.watch(
                pool,
                seconds=seconds,
                every_s=every,
                tell=lambda text: click.echo(f"borderpost: {text}", err=True),
            )
            return {name: list(readings) for name, readings in found.items()}
        finally:
            await transport.close()

    click.echo(
        f"reading {pool.id} every {every:g} s for {seconds:g} s; it needs its usual, changing load", err=True
    )
    try:
        readings = asyncio.run(measure())
        found = fit([one for each in readings.values() for one in intervals(each)])  # type: ignore[arg-type]
    except (NoMetrics, TooLittle) as why:
        stop(str(why), 1)
    click.echo(_told(pool, found))


def _told(pool: Pool, found: Fitted) -> str:
    today = datetime.now(UTC).date().isoformat()
    errors = ", ".join(f"{error:.1f} %" for error in found.error_pct)
    fitted = f"{found.intervals} intervals, R² {found.r2:.4f}"
    lines = [
        f"# {fitted}, worst residual {found.worst_pct:.1f} %: confidence {found.confidence}",
        f"# standard errors: {errors} (step, prefill, decode, kv)",
    ]
    if found.zeroed:
        lines.append(
            f"# least squares would have made these negative, so they are 0: {', '.join(found.zeroed)}"
        )
    if not found.kv_us:
        lines.append("# without a KV cost, long contexts are billed too little when the pool is full")
    lines += [
        f"# in pools.yaml, under {pool.id}:",
        "    calibration:",
        f'      prefill_us: "{_shown(found.prefill_us)}"',
        f'      decode_us: "{_shown(found.decode_us)}"',
        f'      step_us: "{_shown(found.step_us)}"',
        f'      kv_us: "{_shown(found.kv_us)}"',
        f'      source: "borderpost gpu calibrate: {fitted}"',
        f"      measured: {today}",
    ]
    return "\n".join(lines)


@command.command("close")
@click.option("--since", metavar="YYYY-MM-DD", help="From when a pool is booked that never was; UTC.")
@click.option("--again", metavar="POOL", help="Split and price closed hours again by the pool as it is now.")
@click.option("--from", "first", metavar="YYYY-MM-DD", help="First day to do again; UTC.")
@click.option("--to", "last", metavar="YYYY-MM-DD", help="Last day to do again, included; UTC.")
@with_config
def close(
    since: str | None, again: str | None, first: str | None, last: str | None, toml: Path | None
) -> None:
    """Book every hour that is due, as the server does by itself; closed hours never change."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    if again is not None and (first is None or last is None):
        stop("say which days to do again: --from 2026-11-01 --to 2026-11-30")
    with store_of(settings) as store:
        windows = GpuWindows(store, lambda: snapshot, time.time_ns, by="borderpost gpu close")
        if since is not None:
            for pool in snapshot.pools.values():
                windows.since(pool, at_us=_day(since))
        try:
            if again is not None and first is not None and last is not None:
                done = windows.again(
                    _named(snapshot, again), start_us=_day(first), end_us=_day(last) + DAY_US
                )
            else:
                done = []
                while fresh := windows.step():
                    done += fresh
        except CannotClose as why:
            stop(str(why), 1)
        with store.read() as connection:
            for one in done:
                (hour,) = sql.hours(
                    connection,
                    tenant=snapshot.tenant,
                    start_us=one.start_us,
                    end_us=one.start_us + 1,
                    pool=one.pool,
                )
                says = f" ({one.why})" if one.why else ""
                click.echo(
                    f"{one.pool}  {_when(one.start_us)}  {gpu_hours(hour.billed_micro)} GPU-hours, "
                    f"{gpu_hours(hour.used_micro)} used, {one.entries} entries{says}"
                )
    if not done:
        click.echo("nothing is due")
    if windows.problems:
        stop("\n".join(windows.problems.values()), 1)


def _named(snapshot: Snapshot, name: str) -> Pool:
    pool = snapshot.pools.get(name)
    if pool is None:
        stop(f"no pool `{name}`; known: {', '.join(sorted(snapshot.pools)) or 'none, see pools.yaml'}")
    return pool


def _day(text: str) -> int:
    try:
        moment = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        stop(f"`{text}` is no day; write it as 2026-11-30")
    return hour_of(int(moment.timestamp()) * 1_000_000)


def _when(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _us(ps: int) -> str:
    return f"{ps / PS_PER_US:g}"


def _shown(us: float) -> str:
    """Return µs with the decimals that a pool may state."""
    return f"{us:.4f}".rstrip("0").rstrip(".") or "0"
