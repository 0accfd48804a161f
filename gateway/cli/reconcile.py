"""``borderpost reconcile``: take in vendors' bills, see what differs from the ledger, decide about it.

Works on the same database as the running gateway. A file is taken in whole or not at all.
"""

from __future__ import annotations

import asyncio
import getpass
import re
import time
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import click
import orjson
from sqlalchemy import Connection

from gateway.adapters.store_sql import keys as key_rows
from gateway.adapters.transport import Transport
from gateway.adapters.upstreams.secrets import SecretMissing, Secrets
from gateway.adapters.vendor_costs import SOURCES, BadFile, Options, Reader, reader_of
from gateway.adapters.vendor_costs.cells import DAY_US, day_us
from gateway.adapters.vendor_costs.deciding import Decider, accept, adjust, reason_of, told
from gateway.adapters.vendor_costs.fetching import FetchFailed, fetch, queries
from gateway.adapters.vendor_costs.importing import (
    Asked,
    Imported,
    Refused,
    Told,
    digest_of,
    fetched_before,
    take,
)
from gateway.adapters.vendor_costs.importing import told as import_told
from gateway.cli.opened import note, reading, settings_of, snapshot_of, stop, store_of, with_config
from gateway.core.bill import Billing
from gateway.core.money import present
from gateway.core.snapshot import Snapshot
from gateway.core.variance import CAUSES
from gateway.policy.problems import PolicyErrors, did_you_mean
from gateway.reports.bills import Bills, Difference, bills, case_of, chosen
from gateway.reports.period import month, month_of
from gateway.reports.reconcile import day_of, explained, span
from gateway.settings import Settings, environment


@click.group("reconcile")
def command() -> None:
    """Vendors' bills against the ledger."""


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--from", "source", type=click.Choice(sorted(SOURCES)), required=True, help="What the file is.")
@click.option("--vendor", required=True, help="Whose bill it is, as deployments.yaml names it.")
@click.option(
    "--mapping",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML that says what a CSV's columns are.",
)
@click.option("--supersedes", metavar="IMPORT", default="", help="The import that this file corrects.")
@click.option("--invoice", default="", help="Number of the invoice.")
@click.option("--invoice-total", metavar="AMOUNT", help="What the invoice says in all, such as 1234.56.")
@click.option("--covers", metavar="FROM..TO", help="Days that the file is about [those in it].")
@click.option("--only", multiple=True, metavar="COLUMN=VALUE", help="Such rows only. May be repeated.")
@click.option("--beside", is_flag=True, help="It counts beside another import of the same account and days.")
@click.option("--keep-repeats", is_flag=True, help="Take in lines that stand twice, as duplicates.")
@with_config
def import_file(
    *,
    file: Path,
    source: str,
    vendor: str,
    mapping: Path | None,
    supersedes: str,
    invoice: str,
    invoice_total: str | None,
    covers: str | None,
    only: tuple[str, ...],
    beside: bool,
    keep_repeats: bool,
    toml: Path | None,
) -> None:
    """Take in FILE, a vendor's bill: all of it or nothing. The same file twice is taken in once."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    declared = declared_for(snapshot, vendor)
    options = Options(currency=declared.currency, only=_pairs(only), keep_repeats=keep_repeats)
    try:
        read, extra = _reader(source, mapping)
        import_id = digest_of(file, extra + orjson.dumps(sorted(options.only.items())) * bool(options.only))
        asked = Asked(
            tenant=snapshot.tenant,
            vendor=vendor,
            source=source,
            file=file.name,
            by=_me(),
            now_us=time.time_ns() // 1000,
            supersedes=supersedes,
            beside=beside,
            invoice=invoice,
            invoice_total=None if invoice_total is None else _amount(invoice_total),
            covers=None if covers is None else _covers(covers),
        )
        with store_of(settings) as store, store.write() as connection:
            made = take(connection, import_id, read(file, options), asked, options)
            if made.new:
                logged(connection, snapshot, "reconcile.imported", made.made.id, {"vendor": vendor})
    except (BadFile, Refused) as wrong:
        stop(f"nothing was imported: {wrong}")
    except PolicyErrors as wrong:
        stop(f"nothing was imported: the mapping cannot be used\n{wrong}")
    if made.new:
        note(settings, [import_told(made)])
    _say(made)


def _reader(source: str, mapping: Path | None) -> tuple[Reader, bytes]:
    if source != "csv":
        if mapping is not None:
            stop("`--mapping` is for `--from csv`; the other formats are known")
        return reader_of(source), b""
    if mapping is None:
        stop("`--from csv` needs `--mapping FILE`; docs/how-to/finance/reconcile.md shows one")
    from gateway.adapters.vendor_costs.mapped_csv import reader  # noqa: PLC0415 (the only one that needs it)
    from gateway.policy.bill_mapping import mapping as read_mapping  # noqa: PLC0415 (as above)

    return reader(read_mapping(mapping)), mapping.read_bytes()


def _say(made: Imported) -> None:
    one = made.made
    total = present([one.total_nano])[0]
    words = (
        f"{one.line_count:,} lines, {total:,} {one.currency}"
        if one.currency
        else f"{one.line_count:,} counts"
    )
    click.echo(
        f"{'imported' if made.new else 'was imported already'}: {one.id[:12]} {one.vendor} {one.source}, "
        f"{words}, {span(one.covers_start_us, one.covers_end_us)}"
    )
    if one.invoice_nano is not None:
        gap = present([one.invoice_nano - one.total_nano])[0]
        click.echo(
            f"invoice {one.invoice or '–'}: {present([one.invoice_nano])[0]:,}, {gap:+,} against its lines"
        )


@command.command("fetch")
@click.option("--vendor", required=True, help="Whose bill, of those that vendors.yaml says how to fetch.")
@click.option("--month", "month_name", metavar="YYYY-MM", help="Billing month, UTC [this one].")
@with_config
def fetch_(*, vendor: str, month_name: str | None, toml: Path | None) -> None:
    """Fetch a vendor's bill of a month from its API and take it in, in place of an earlier fetch.

    Whole UTC days only. What came is kept in the data folder, under bills/.
    """
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    billing = declared_for(snapshot, vendor)
    name = month_name or month_of(time.time_ns(), "UTC")
    try:
        whole = month(name, "UTC")
        today = time.time_ns() // 1000 // DAY_US * DAY_US
        span_us = (whole.start_us, min(whole.end_us, today))
        if span_us[0] >= span_us[1]:
            stop(f"no day of {name} is over yet, in UTC")
        pages = _fetched(settings, billing, span_us)
    except (ValueError, SecretMissing, FetchFailed) as wrong:
        stop(f"nothing was imported: {wrong}")
    folder = settings.data_dir / "bills"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made: list[Imported] = []
    try:
        with store_of(settings) as store, store.write() as connection:
            for source, content in pages:
                file = folder / f"{vendor}-{source}-{name}.jsonl".replace("/", "_")
                file.write_bytes(content)
                asked = Asked(
                    tenant=snapshot.tenant,
                    vendor=vendor,
                    source=source,
                    file=file.name,
                    by=_me(),
                    now_us=time.time_ns() // 1000,
                    covers=span_us,
                )
                asked = replace(asked, supersedes=fetched_before(connection, asked))
                options = Options(currency=billing.currency, may_be_empty=True)
                done = take(connection, digest_of(file), reader_of(source)(file, options), asked, options)
                made.append(done)
                if done.new:
                    logged(connection, snapshot, "reconcile.imported", done.made.id, {"vendor": vendor})
    except (BadFile, Refused) as wrong:
        stop(f"nothing was imported: {wrong}")
    note(settings, [import_told(done) for done in made if done.new])
    for done in made:
        _say(done)


def _fetched(settings: Settings, billing: Billing, span_us: tuple[int, int]) -> list[tuple[str, bytes]]:
    """Return the pages of every report of a bill. Raises FetchFailed or SecretMissing."""
    key = Secrets(environment()).get(billing.secret) or ""
    wanted = queries(billing, key, start_us=span_us[0], end_us=span_us[1])

    async def everything() -> list[tuple[str, bytes]]:
        transport = Transport(ca_bundle=str(settings.ca_bundle) if settings.ca_bundle else None)
        try:
            return [(q.source, await fetch(transport, billing, q, sleep=asyncio.sleep)) for q in wanted]
        finally:
            await transport.close()

    return asyncio.run(everything())


@command.command("status")
@click.option("--month", "month_name", metavar="YYYY-MM", help="Billing month [this one].")
@click.option("--all", "everything", is_flag=True, help="Decided exceptions too.")
@with_config
def status(*, month_name: str | None, everything: bool, toml: Path | None) -> None:
    """Show the bills of a month, what differs by cause, and what is to decide."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    found = matched(snapshot, settings, month_name)
    if not found.bills:
        click.echo(f"no bill of {found.period.name} is imported")
    for bill in found.bills:
        theirs, ours = (present([nano])[0] for nano in (bill.found.theirs_nano, bill.found.ours_nano))
        click.echo(
            f"{bill.vendor} {found.period.name}: bill {theirs:,} {bill.currency}, ledger {ours:,}, gap "
            f"{theirs - ours:+,}"
        )
        for one in bill.imports:
            days = span(one.covers_start_us, one.covers_end_us)
            click.echo(f"  import {one.id[:12]} {one.source} {one.file} {days}")
        causes = bill.found.causes
        for (cause, _), amount in zip(causes.items(), present(list(causes.values())), strict=True):
            click.echo(f"  {amount:>14,} {cause.replace('_', ' ')}: {CAUSES[cause]}")
        shown = bill.differences if everything else bill.open
        for difference in shown:
            click.echo(f"  {_exception(difference)}")
        if not bill.open:
            click.echo("  nothing to decide")
    for vendor, currency, nano in found.without:
        click.echo(f"{vendor}: no bill imported; the ledger holds {present([nano])[0]:,} {currency}")


def _exception(one: Difference) -> str:
    amount = present([one.left_nano])[0]
    return (
        f"{one.id} {one.status}: {day_of(one.cell)} {one.cell.model or '–'} {amount:+,} {one.currency}: "
        f"{explained(one.cell.parts, one.currency)}"
    )


def _deciding(function: click.decorators.FC) -> click.decorators.FC:
    """Give a command what names the exceptions that it is about."""
    for option in (
        click.option("--reason", required=True, help="Why, in a sentence; it is recorded."),
        click.option("--month", "month_name", metavar="YYYY-MM", help="Billing month [this one]."),
        click.option("--vendor", help="All open exceptions of this vendor …"),
        click.option("--cause", type=click.Choice(list(CAUSES)), help="… and of this main cause."),
    ):
        function = option(function)
    return click.argument("exceptions", nargs=-1)(function)


@command.command("accept")
@_deciding
@with_config
def accept_(
    *,
    exceptions: tuple[str, ...],
    reason: str,
    month_name: str | None,
    vendor: str | None,
    cause: str | None,
    toml: Path | None,
) -> None:
    """Let EXCEPTIONS stand as they are, for a reason. A difference that changes later is open again."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    _named(exceptions, vendor, cause)
    try:
        who = Decider(by=_me(), at_us=time.time_ns() // 1000, reason=reason_of(reason))
        with store_of(settings) as store, store.write() as connection:
            found = bills(connection, snapshot, month_name or month_of(time.time_ns(), snapshot.timezone))
            picked = chosen(found, exceptions, vendor=vendor, cause=cause)
            entries = []
            for one in picked:
                case = case_of(snapshot, found, one, booking=False)
                accept(connection, case, who)
                entries.append(told(case, who, None))
                logged(connection, snapshot, "reconcile.accepted", one.id, {"reason": who.reason})
    except ValueError as wrong:
        stop(str(wrong))
    note(settings, entries)
    for one in picked:
        click.echo(f"accepted {one.id}: {present([one.left_nano])[0]:+,} {one.currency}")


@command.command("adjust")
@_deciding
@with_config
def adjust_(
    *,
    exceptions: tuple[str, ...],
    reason: str,
    month_name: str | None,
    vendor: str | None,
    cause: str | None,
    toml: Path | None,
) -> None:
    """Book EXCEPTIONS: the ledger then says what the bill says. Calls without usage are corrected first."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    _named(exceptions, vendor, cause)
    said: list[str] = []
    entries_told: list[Told] = []
    try:
        who = Decider(by=_me(), at_us=time.time_ns() // 1000, reason=reason_of(reason))
        with store_of(settings) as store, store.write() as connection:
            found = bills(connection, snapshot, month_name or month_of(time.time_ns(), snapshot.timezone))
            for one in chosen(found, exceptions, vendor=vendor, cause=cause):
                case = case_of(snapshot, found, one, booking=True)
                made = adjust(connection, case, who)
                entries_told.append(told(case, who, made))
                logged(connection, snapshot, "reconcile.adjusted", one.id, {"reason": who.reason})
                booked = present([sum(entry.nano for entry in made)])[0]
                period = made[0].billing_period if made else found.period.name
                entries = f"{len(made)} {'entry' if len(made) == 1 else 'entries'}"
                said.append(f"adjusted {one.id}: {booked:+,} {one.currency}, {entries} in {period}")
    except ValueError as wrong:
        stop(str(wrong))
    note(settings, entries_told)
    for line in said:
        click.echo(line)


def _named(exceptions: tuple[str, ...], vendor: str | None, cause: str | None) -> None:
    if bool(exceptions) == bool(vendor or cause):
        stop("name exceptions, or `--vendor` and `--cause` for all that are such")


# ------------------------------------------------------------------------ shared


def matched(snapshot: Snapshot, settings: Settings, month_name: str | None) -> Bills:
    """Match the bills of a month, or end the command."""
    name = month_name or month_of(time.time_ns(), snapshot.timezone)
    try:
        return reading(settings, lambda connection: bills(connection, snapshot, name))
    except ValueError as wrong:
        stop(str(wrong))


def declared_for(snapshot: Snapshot, vendor: str) -> Billing:
    """Return what is declared about a vendor's bill, or end the command: nobody of ours is so called."""
    known = {deployment.vendor for deployment in snapshot.deployments.values()} | set(snapshot.billing)
    if vendor not in known:
        hint = did_you_mean(vendor, sorted(known))
        stop(f"no deployment is of the vendor `{vendor}`{f'; {hint}' if hint else ''}")
    return snapshot.billing.get(vendor, Billing(vendor=vendor))


def logged(
    connection: Connection, snapshot: Snapshot, action: str, target: str, detail: dict[str, object]
) -> None:
    """Note in the admin log who did what."""
    key_rows.log_action(
        connection,
        at_us=time.time_ns() // 1000,
        tenant=snapshot.tenant,
        actor=_me(),
        role="operator",
        action=action,
        target=target,
        detail=detail,
    )


def _me() -> str:
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


def _amount(text: str) -> Decimal:
    if not re.fullmatch(r"-?\d{1,12}(\.\d{1,9})?", text):
        stop(f"`{text}` is no amount; write it as 1234.56")
    return Decimal(text)


def _covers(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    try:
        start, end = date.fromisoformat(first), date.fromisoformat(last or "none")
    except ValueError:
        start, end = date.max, date.min
    if not dots or end < start:
        stop(f"`{text}` are no days; write them as 2026-11-01..2026-11-30")
    return day_us(start), day_us(end) + DAY_US


def _pairs(only: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in only:
        column, equals, value = each.partition("=")
        if not column or not equals:
            stop(f"`{each}` is no pair; write COLUMN=VALUE")
        found[column] = value
    return found
