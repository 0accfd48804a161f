"""``borderpost prices``: look at prices, lint and import them, rate a month again, book reserved capacity.

Exit status: 0 for yes, 1 for no (a lint finds something, a month does not rate the same), 2 for
what cannot be used.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import click
from sqlalchemy import Connection

from gateway.adapters.reserved_capacity import book, due, entries, reserved_prices
from gateway.adapters.store_sql.priced_rows import priced
from gateway.adapters.store_sql.reserved import booked as booked_origins
from gateway.adapters.upstreams.litellm_prices import PriceMapMissing, price_map
from gateway.cli.opened import in_force, reading, settings_of, stop, store_of, with_config, with_folder
from gateway.cli.prices_import import Asked, ImportRefused, plan, replace_files, rfc3339
from gateway.core.money import decimal_of
from gateway.core.prices import tariff_at
from gateway.core.rerate import booked, from_book, from_row
from gateway.core.reserved import origin
from gateway.core.snapshot import Snapshot
from gateway.core.tariff import Price, Tariff
from gateway.policy.bundle import Bundle
from gateway.policy.compile import compile_bundle
from gateway.policy.lint_prices import CODES, lint
from gateway.policy.load import bundle_of, read_folder
from gateway.policy.problems import PolicyErrors
from gateway.reports.period import month, month_of

_SECOND = 1_000_000_000
F = TypeVar("F", bound=Callable[..., object])


def _month(command: F) -> F:
    """Give a command the option ``--month``."""
    option = click.option(
        "--month", "month_name", metavar="YYYY-MM", help="Month in the organisation's time zone [this one]."
    )
    return option(command)


@click.group("prices")
def command() -> None:
    """Show, lint and import prices; rate a month again; book reserved capacity."""


def _opened(folder: Path, now: int) -> tuple[dict[str, bytes], Bundle]:
    """Read and load a bundle, or end the command with every problem in it."""
    try:
        files = read_folder(folder)
        return files, bundle_of(files, now=now)
    except PolicyErrors as errors:
        stop(f"the policies in `{folder}` cannot be used\n{errors}")


def _day(value: str | None, now: int) -> int:
    """Return an instant from a date or a time in UTC, or end the command."""
    if value is None:
        return now
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        stop(f"`{value}` is no day; write it like 2026-12-01")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * _SECOND


# ---------------------------------------------------------------------------- show and lint


@command.command("show")
@with_folder
@click.option("--deployment", help="One deployment [all].")
@click.option("--at", "day", metavar="DATE", help="As of a day or an instant in UTC [now].")
def show(folder: Path, deployment: str | None, day: str | None) -> None:
    """Show the price of each deployment, its conditions, and from when until when it is used."""
    now = time.time_ns()
    snapshot = compile_bundle(_opened(in_force(folder), now)[1], now=now)
    at = _day(day, now)
    names = [deployment] if deployment else sorted(snapshot.deployments)
    if deployment and deployment not in snapshot.deployments:
        stop(f"unknown deployment `{deployment}`")
    for name in names:
        found = tariff_at(snapshot, name, at)
        if found is None:
            click.echo(f"{name}: no price at {rfc3339(at)}; calls under a money budget are refused")
            continue
        click.echo("\n".join(_shown(found, found.price)))


def _shown(tariff: Tariff, price: Price) -> list[str]:
    until = "for good" if price.valid_to is None else f"until {rfc3339(price.valid_to)}"
    lines = [f"{price.deployment}: {price.id}, {price.currency}, from {rfc3339(price.valid_from)} {until}"]
    if price.recorded_at is not None:
        of = f", corrects {price.corrects}" if price.corrects else ""
        lines.append(f"  known since {rfc3339(price.recorded_at)}{of}")
    lines.append(f"  {price.source}; approved by {', '.join(price.approved_by) or 'nobody'} ({price.at})")
    if price.reserved is not None:
        kept = price.reserved
        what = f"{kept.units} {kept.unit}".strip()
        lines.append(
            f"  reserved: {decimal_of(kept.nano).normalize():f} {price.currency} per {kept.per} ({what}), "
            f"split by {kept.split} each {kept.window}; its calls are free"
        )
    elif price.free:
        lines.append("  free")
    for (tier, place), sheets in sorted(tariff.sheets.items()):
        for sheet in reversed(sheets):
            names = {meter.name: meter for meter in sheet.buckets.values()}
            amounts = ", ".join(
                f"{name} {meter.unit_price}"
                + (f" (list {meter.list_unit_price})" if meter.list_unit_price else "")
                for name, meter in names.items()
            )
            conditions = [f"tier {tier}" if tier else "", f"in {place}" if place else ""]
            conditions.append(f"prompt above {sheet.above:,}" if sheet.above else "")
            said = ", ".join(each for each in conditions if each) or "standard"
            if amounts:
                lines.append(f"  {said}: {amounts} (tokens per {price.per:,})")
    return lines


@command.command("lint")
@with_folder
def lint_command(folder: Path) -> None:
    """Say which prices and rates look like slips. `policy check --strict` asks the same."""
    now = time.time_ns()
    _, bundle = _opened(in_force(folder), now)
    found = lint(bundle, today=datetime.fromtimestamp(now // _SECOND, UTC).date())
    for finding in found:
        click.echo(str(finding.problem))
    click.echo(f"{len(bundle.prices)} prices, {len(bundle.rates)} rates, {len(found)} to look at")
    sys.exit(1 if found else 0)


# ---------------------------------------------------------------------------------- import


@command.command("import")
@with_folder
@click.option("--from", "origin_name", type=click.Choice(["litellm"]), default="litellm", show_default=True)
@click.option(
    "--deployment", "deployments", multiple=True, required=True, help="Deployment to price; more than once."
)
@click.option("--model", help="Name of its model in the map [the connection's].")
@click.option("--provider", help="The model must be of this provider of the map.")
@click.option("--valid-from", metavar="DATE", help="From when it is valid, in UTC [now].")
@click.option(
    "--region", type=click.Choice(["us", "eu", "regional"]), help="Its endpoint's uplift, if the map has one."
)
@click.option(
    "--tier", "tiers", multiple=True, help="A dearer tier that it can be billed at: priority, fast."
)
@click.option("--into", metavar="FILE", help="File under prices/ where the deployment has no price yet.")
@click.option("--approved-by", multiple=True, metavar="NAME", help="Who approved it.")
@click.option(
    "--accept", multiple=True, type=click.Choice(sorted(CODES)), help="Import although this was found."
)
@click.option("--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
def import_command(
    folder: Path,
    *,
    origin_name: str,
    deployments: tuple[str, ...],
    model: str | None,
    provider: str | None,
    valid_from: str | None,
    region: str | None,
    tiers: tuple[str, ...],
    into: str | None,
    approved_by: tuple[str, ...],
    accept: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Import prices from litellm's map, which is in its wheel: nothing is downloaded."""
    del origin_name
    now = time.time_ns()
    if model is not None and len(deployments) > 1:
        stop("--model is for one deployment; leave it away to use each connection's own")
    files, bundle = _opened(folder, now)
    name = f"prices/{into.removeprefix('prices/')}" if into else None
    asked = Asked(
        models=dict.fromkeys(deployments, model or ""),
        provider=provider,
        valid_from=_day(valid_from, now) // _SECOND * _SECOND + (0 if valid_from else _SECOND),
        region=region,
        tiers=frozenset(tiers),
        into=name,
        accepted=frozenset(accept),
        approved_by=approved_by,
    )
    try:
        made = plan(bundle, files, price_map(), asked, now=now // _SECOND * _SECOND)
    except (PriceMapMissing, ImportRefused) as why:
        stop(str(why), 1)
    except PolicyErrors as errors:
        stop(f"the bundle would not be good; nothing was imported\n{errors}", 1)
    for note in made.notes:
        click.echo(note)
    if dry_run:
        for file, content in made.files.items():
            click.echo(f"--- {file}\n{content.decode()}", nl=False)
        return
    replace_files(folder, made.files)
    click.echo(f"{', '.join(sorted(made.files))} written; read it, then publish the bundle")


# ----------------------------------------------------------------------------------- check


@dataclass(slots=True)
class Rerated:
    """What rating a month again found. Amounts in the currency of each price."""

    rows: int = 0
    at_hold: int = 0
    wrong: list[str] = field(default_factory=list)  # attempts that their own lines do not explain
    changed: Counter[str] = field(default_factory=Counter)  # price ids whose meaning changed since
    gone: Counter[str] = field(default_factory=Counter)  # price ids that the book has no more
    now_rows: int = 0
    by_now: Counter[str] = field(default_factory=Counter)  # currency → what is known now, less booked


def rerate(connection: Connection, snapshot: Snapshot, *, start_us: int, end_us: int, now: int) -> Rerated:
    """Rate every priced row of a period again: from itself, from the ids it names, from what is known now."""
    found = Rerated()
    for row in priced(connection, tenant=snapshot.tenant, start_us=start_us, end_us=end_us):
        read = booked(row)
        if read is None:
            continue
        found.rows += 1
        found.at_hold += read.at_most
        if from_row(read) != (read.nano, read.list_nano) and read.lines:
            found.wrong.append(read.attempt)
        if read.at_most:
            continue
        by_id = from_book(snapshot, read)
        if by_id is None:
            found.gone.update(read.price_ids)
        elif by_id.nano != read.nano:
            found.changed.update(read.price_ids)
        known = from_book(snapshot, read, known_at=now)
        if known is not None and known.currency == read.currency and known.nano != read.nano:
            found.now_rows += 1
            found.by_now[read.currency] += known.nano - read.nano
    return found


@command.command("check")
@_month
@with_config
def check(month_name: str | None, toml: Path | None) -> None:
    """Rate a month again: each row from its own prices, and from the price book as it is now.

    Nothing is changed. A price that was learned later shows as a difference, which finance books
    as a correction.
    """
    now = time.time_ns()
    settings = settings_of(toml)
    snapshot = compile_bundle(_opened(in_force(settings.policies), now)[1], now=now)
    try:
        period = month(month_name or month_of(now, snapshot.timezone), snapshot.timezone)
    except ValueError as wrong:
        stop(str(wrong))
    found = reading(
        settings,
        lambda connection: rerate(
            connection, snapshot, start_us=period.start_us, end_us=period.end_us, now=now
        ),
    )
    click.echo(
        f"{period.name}: {found.rows:,} priced rows, {found.rows - len(found.wrong):,} rate the same from "
        f"their own prices; {found.at_hold:,} are booked at their hold"
    )
    for attempt in found.wrong[:20]:
        click.echo(f"WRONG {attempt}: its amount does not follow from its lines")
    for name, count in sorted(found.changed.items()):
        click.echo(
            f"changed: the price `{name}` of {count:,} rows means another amount now; a price that changes "
            "gets a new id"
        )
    for name, count in sorted(found.gone.items()):
        click.echo(f"gone: the price `{name}` of {count:,} rows is not in the book any more")
    for currency, nano in sorted(found.by_now.items()):
        click.echo(
            f"learned since: {found.now_rows:,} rows would cost {_signed(nano)} {currency} by what is known "
            "now; the rows stay, book the difference as a correction"
        )
    sys.exit(1 if found.wrong or found.changed else 0)


def _signed(nano: int) -> str:
    amount = decimal_of(nano).normalize()
    return format(amount or Decimal(0), "+f")


# -------------------------------------------------------------------------------- reserved


@command.command("reserved")
@_month
@click.option("--dry-run", is_flag=True, help="Show the shares, and book nothing.")
@with_config
def reserved(month_name: str | None, toml: Path | None, *, dry_run: bool) -> None:
    """Book what is due of reserved capacity in a month, split by use. Workers do it by themselves."""
    now = time.time_ns()
    settings = settings_of(toml)
    snapshot = compile_bundle(_opened(in_force(settings.policies), now)[1], now=now)
    try:
        period = month(month_name or month_of(now, snapshot.timezone), snapshot.timezone)
    except ValueError as wrong:
        stop(str(wrong))
    added = windows = 0
    with store_of(settings) as store, store.write() as connection:
        for price in reserved_prices(snapshot):
            done = booked_origins(
                connection,
                tenant=snapshot.tenant,
                deployment=price.deployment,
                since_us=period.start_us,
            )
            stretch = due(
                snapshot, price, since=period.start_us * 1000, closed=min(now, period.end_us * 1000)
            )
            for start, end in stretch:
                if origin(price.id, start) in done:
                    continue
                made = entries(
                    connection, snapshot, price, start=start, end=end, now=now, by="prices reserved"
                )
                if made is None:
                    stop(f"no rate leads from {price.currency} to {snapshot.currency} at {rfc3339(start)}")
                windows += 1
                for entry in made:
                    whose = f"{entry.team}/{entry.app}" if entry.app else "idle"
                    click.echo(
                        f"{rfc3339(start)} {price.deployment} {whose}: "
                        f"{decimal_of(entry.nano).normalize():f} {entry.currency}"
                    )
                if not dry_run:
                    added += (
                        book(connection, snapshot, price, start=start, end=end, now=now, by="prices reserved")
                        or 0
                    )
    click.echo(f"{period.name}: {windows} windows due, {added} shares booked")
