"""``borderpost alerts``: what was told to whom, and a sample to see that it arrives."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from pathlib import Path

import click
import orjson

from gateway.adapters.store_sql import alerts as rows
from gateway.adapters.store_sql.alerts import NOTED, Told
from gateway.cli.opened import reading, settings_of, snapshot_of, stop, with_config
from gateway.core.snapshot import Snapshot
from gateway.core.windows import rfc3339
from gateway.settings import Settings, environment


@click.group("alerts")
def command() -> None:
    """Alerts as they were told, and a test of where they go."""


@command.command("list")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--most", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Rows at most.")
@with_config
def list_(form: str, most: int, toml: Path | None) -> None:
    """List alerts, newest first: once as noted, and once per destination with how its delivery went."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    found = reading(settings, lambda connection: rows.listing(connection, snapshot.tenant, most=most))
    if form == "json":
        click.echo(orjson.dumps([_plain(told) for told in found], option=orjson.OPT_INDENT_2))
        return
    if not found:
        click.echo("no alert was told yet")
    for told in found:
        click.echo(_line(told))


@command.command("test")
@click.option("--to", "names", multiple=True, metavar="NAME", help="A destination; may be repeated [all].")
@with_config
def test(names: tuple[str, ...], toml: Path | None) -> None:
    """Send a sample to destinations of alerts.yaml, and say whether each took it."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    known = snapshot.alerts.receivers
    if not known:
        stop("alerts.yaml names no destination; docs/how-to/finance/alerts.md shows one")
    unknown = [name for name in names if name not in known]
    if unknown:
        stop(f"no destination is called `{unknown[0]}`; there are: {', '.join(known)}")
    failed = asyncio.run(_test(settings, snapshot, names or tuple(known)))
    sys.exit(1 if failed else 0)


async def _test(settings: Settings, snapshot: Snapshot, names: tuple[str, ...]) -> int:
    from gateway.adapters.alert_webhook import NotDelivered  # noqa: PLC0415 (sockets only where one sends)
    from gateway.adapters.alerts import Sender  # noqa: PLC0415 (as above)
    from gateway.adapters.clock import SystemClock  # noqa: PLC0415 (as above)
    from gateway.adapters.memory_telemetry import MemoryTelemetry  # noqa: PLC0415 (as above)
    from gateway.adapters.transport import Transport  # noqa: PLC0415 (as above)
    from gateway.adapters.upstreams.secrets import Secrets  # noqa: PLC0415 (as above)
    from gateway.core.alerts import sample  # noqa: PLC0415 (as above)

    ca = str(settings.ca_bundle) if settings.ca_bundle else None
    transport = Transport(telemetry=MemoryTelemetry(), ca_bundle=ca)
    send = Sender(transport, Secrets(environment()), SystemClock(), ca=ca)
    failed = 0
    try:
        for name in names:
            made = sample(name, now=time.time_ns())
            told = Told(
                tenant=snapshot.tenant,
                key=made.key,
                destination=name,
                id=f"alert_{secrets.token_hex(8)}",
                kind=made.kind.value,
                title=made.title,
                facts=dict(made.facts),
                at_us=made.at // 1000,
                state=rows.PENDING,
                tries=1,
                lease_us=0,
            )
            try:
                await send(snapshot.alerts.receivers[name], told, snapshot)
                click.echo(f"{name}: taken")
            except NotDelivered as why:
                failed += 1
                click.echo(f"{name}: not taken ({why})", err=True)
    finally:
        await transport.close()
    return failed


def _line(told: Told) -> str:
    to = "noted" if told.destination == NOTED else f"{told.state} → {told.destination}"
    tries = f", {told.tries} tries" if told.tries > 1 else ""
    why = f", {told.why}" if told.why and told.state != rows.SENT else ""
    return f"{rfc3339(told.at_us * 1000)}  {told.kind.ljust(20)}  {told.title}  [{to}{tries}{why}]"


def _plain(told: Told) -> dict[str, object]:
    return {
        "at": rfc3339(told.at_us * 1000),
        "kind": told.kind,
        "key": told.key,
        "title": told.title,
        "facts": told.facts,
        "destination": None if told.destination == NOTED else told.destination,
        "state": told.state,
        "tries": told.tries,
        "why": told.why,
    }
