"""``borderpost books``: where months stand, closing and checking them, corrections, and their trail."""

from __future__ import annotations

import getpass
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import orjson

from gateway.adapters.clock import SystemClock
from gateway.adapters.store_sql import books as rows
from gateway.adapters.store_sql import money_changes
from gateway.cli import books_sums
from gateway.cli.opened import note, reading, settings_of, snapshot_of, stop, store_of, with_config
from gateway.core.money import decimal_of, present
from gateway.policy.sign import Keyring, Unusable, read_keyring
from gateway.policy.sign_statement import genuine, signer
from gateway.reports import closing, correcting, rebuilding
from gateway.reports.correcting import NotCorrected
from gateway.reports.statements import By, NotClosed, Sign, Stated, restate
from gateway.reports.verifying import noted_in, verify
from gateway.settings import Settings

_KEY = click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Private key to sign the statement with, as `borderpost policy keygen` makes it [`statement_key`].",
)
_JSON = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")


@click.group("books")
def command() -> None:
    """Months of the ledger: where they stand, closing them, correcting what is booked."""


command.add_command(books_sums.command)


@command.command("status")
@_JSON
@with_config
def status(form: str, toml: Path | None) -> None:
    """List the months: open, preliminary, closed or restated, with figures and hashes."""
    settings = settings_of(toml)
    snapshot, now = snapshot_of(settings.policies), SystemClock().now()
    with store_of(settings) as store, store.read() as connection:
        found = [
            closing.standing(connection, snapshot, name, now=now, journals=_journals(settings))
            for name in closing.periods(connection, snapshot, now=now)
        ]
    if form == "json":
        click.echo(orjson.dumps([closing.shown(item) for item in found], option=orjson.OPT_INDENT_2))
        return
    for item in found:
        click.echo(f"{item.period}  {item.status}{_figures(item)}")
        for version in item.statements:
            signed = f", signed by {version.signer}" if version.signer else ", not signed"
            click.echo(
                f"         v{version.version}  {version.sha256}  "
                f"{_moment(version.made_us, snapshot.timezone)} by {version.made_by}{signed}"
            )
        for unread in item.unread:
            click.echo(f"         waits for {unread}")
        if item.later:
            click.echo(
                f"         {item.later} {'entry' if item.later == 1 else 'entries'} about it booked later; "
                f"`borderpost books restate {item.period}` states it again"
            )


@command.command("close")
@click.argument("month")
@click.option("--force", is_flag=True, help="Close although journals are unread.")
@click.option("--reason", default="", help="Why, with --force; the statement shows it.")
@_KEY
@with_config
def close(month: str, reason: str, key: Path | None, toml: Path | None, *, force: bool) -> None:
    """Close MONTH (2026-11): nothing is booked in it any more; its rows are hashed, its figures frozen."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    try:
        sign = _sign(key, settings)
        with store_of(settings) as store:
            done = closing.close(
                store,
                snapshot,
                month,
                now=SystemClock().now(),
                by=_by(),
                journals=_journals(settings),
                sign=sign,
                force=force,
                reason=reason,
            )
    except (NotClosed, Unusable) as wrong:
        stop(str(wrong), 1)
    except ValueError as wrong:
        stop(str(wrong))
    note(settings, done.entries)
    _say(done, "closed")


@command.command("restate")
@click.argument("month")
@click.option("--reason", required=True, help="Why; the statement shows it.")
@_KEY
@with_config
def restate_(month: str, reason: str, key: Path | None, toml: Path | None) -> None:
    """State closed MONTH again with all that was booked about it since. Its figures as closed stay."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    try:
        sign = _sign(key, settings)
        with store_of(settings) as store:
            done = restate(
                store, snapshot, month, now=SystemClock().now(), by=_by(), reason=reason, sign=sign
            )
    except (NotClosed, Unusable) as wrong:
        stop(str(wrong), 1)
    note(settings, done.entries)
    _say(done, "restated")


@command.command("statement")
@click.argument("month")
@click.option("--version", type=int, help="Which; the first one is as it was closed [the last].")
@with_config
def statement(month: str, version: int | None, toml: Path | None) -> None:
    """Print the statement of closed MONTH, the very bytes that were signed."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    found = reading(settings, lambda connection: rows.statements(connection, snapshot.tenant, month))
    chosen = [item for item in found if version in {None, item.version}]
    if not chosen:
        stop(f"{month} has no such statement; `borderpost books status` lists all", 1)
    click.echo(chosen[-1].statement, nl=False)


@command.command("verify")
@click.argument("month", required=False)
@click.option("--journal", is_flag=True, help="Also compare with what the journal on this machine noted.")
@with_config
def verify_(month: str | None, toml: Path | None, *, journal: bool) -> None:
    """Compute the hash of MONTH again, or of every closed month, and name the first difference.

    Status 0 if everything holds, 1 if not.
    """
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    bad = False
    try:
        keyring = _keyring(settings)
        judge = genuine(keyring)
        noted = noted_in(_journals(settings), snapshot.tenant) if journal else None
        with store_of(settings) as store, store.read() as connection:
            months = (
                [month]
                if month is not None
                else [item.period for item in rows.all_closed(connection, snapshot.tenant)]
            )
            if not months:
                click.echo("no month is closed yet")
            for name in months:
                for check in verify(connection, snapshot.tenant, name, genuine=judge, noted=noted):
                    bad = bad or bool(check.problems)
                    state = "DIFFERS" if check.problems else "holds"
                    signed = f", signed by {check.signer}" if check.signer else ", not signed"
                    if check.signer and keyring is None:
                        signed += " (no `policy_keyring` says whose key it is)"
                    if noted is not None and (name, check.version) not in noted:
                        signed += ", in no journal here"
                    click.echo(f"{name} v{check.version}  {state}  {check.rows} rows  {check.sha256}{signed}")
                    for problem in check.problems:
                        click.echo(f"         {problem}")
    except (NotClosed, Unusable) as wrong:
        stop(str(wrong), 1)
    raise SystemExit(1 if bad else 0)


@command.command("correct")
@click.option("--attempt", required=True, help="Id of the attempt, as the ledger has it.")
@click.option("--to", "amount", required=True, help="What it costs, in the currency of its price.")
@click.option("--reason", required=True, help="Why; every report shows it.")
@with_config
def correct(attempt: str, amount: str, reason: str, toml: Path | None) -> None:
    """Correct what an attempt costs, by an entry in the open month. Nothing that stands is changed."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    to = _amount(amount)
    try:
        with store_of(settings) as store, store.write() as connection:
            done = correcting.correct(
                connection, snapshot, attempt, to=to, reason=reason, now=SystemClock().now(), by=_by()
            )
    except NotCorrected as wrong:
        stop(str(wrong), 1)
    note(settings, done.entries)
    if not done.booked:
        click.echo(f"`{attempt}` costs that already; nothing was booked")
    for item in done.booked:
        what = f"{decimal_of(item.nano):f} {item.currency} as {item.kind} in {item.billing_period}"
        click.echo(f"booked {what}  {item.id}")


@command.command("entries")
@click.option("--attempt", required=True, help="Id of the attempt.")
@_JSON
@with_config
def entries(attempt: str, form: str, toml: Path | None) -> None:
    """Show an attempt's whole trail: held, topped up, settled, released, adjusted, corrected."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    try:
        with store_of(settings) as store, store.read() as connection:
            found = correcting.trail(connection, snapshot, attempt, journals=_journals(settings))
    except NotCorrected as wrong:
        stop(str(wrong), 1)
    if form == "json":
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    cells = [
        (_moment(s.at_us, snapshot.timezone), s.what, s.budget or "charge", s.amount, s.unit, s.note, s.where)
        for s in found.steps
    ]
    _table(("when", "what", "of", "amount", "unit", "note", "where"), cells)
    click.echo(f"costs {found.total}" + (f"; {found.missing}" if found.missing else ""))


@command.command("rebuild")
@_JSON
@with_config
def rebuild(form: str, toml: Path | None) -> None:
    """Sum the ledger again for every budget window and compare it with the counters.

    Status 0 if they agree, 1 if not.
    """
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    with store_of(settings) as store, store.read() as connection:
        found = rebuilding.rebuild(connection, snapshot, journals=_journals(settings))
    if form == "json":
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    else:
        cells = [
            (i.budget, i.window, i.unit, i.counted, i.rebuilt, i.estimated, i.source, i.says) for i in found
        ]
        _table(("budget", "window", "unit", "counter", "rebuilt", "estimated", "from", ""), cells)
    raise SystemExit(1 if any(item.differs for item in found) else 0)


@command.command("changes")
@_JSON
@with_config
def changes(form: str, toml: Path | None) -> None:
    """List changes of budgets and prices: what, old and new, who wrote it, who of finance approved it."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    found = reading(settings, lambda connection: money_changes.listed(connection, snapshot.tenant))
    shown = [
        {
            "at_us": item.at_us,
            "bundle": item.bundle,
            "author": item.author or None,
            "by": item.by,
            "approved_by": orjson.loads(item.approved_by),
            "changes": orjson.loads(item.changes),
        }
        for item in found
        if item.replaces
    ]
    if form == "json":
        click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
        return
    if not shown:
        click.echo("no budget or price was changed since this database is kept")
    for item in shown:
        approved = ", ".join(item["approved_by"]) or "nobody"
        click.echo(
            f"{_moment(item['at_us'], snapshot.timezone)}  {item['bundle'][:12]}  written by "
            f"{item['author'] or 'unknown'}, put in force by {item['by']}, approved by {approved}"
        )
        for sentence in item["changes"]:
            click.echo(f"         {sentence}")


# --------------------------------------------------------------------------- inner


def _by() -> By:
    return By(name=getpass.getuser(), role="cli")


def _journals(settings: Settings) -> Path:
    return settings.data_dir / "journal"


def _keyring(settings: Settings) -> Keyring | None:
    return read_keyring(settings.policy_keyring) if settings.policy_keyring is not None else None


def _sign(key: Path | None, settings: Settings) -> Sign | None:
    key = key or settings.statement_key
    return None if key is None else signer(key, _keyring(settings), name=getpass.getuser())


def _say(done: Stated, what: str) -> None:
    if done.waits:
        click.echo(
            f"{done.period} is not closed yet: `books.two_people` asks for a second person, who runs the "
            f"same command\nyou asked for  {done.sha256}"
        )
        return
    nano = int(str(done.statement["restated_nano" if done.version > 1 else "nano"]))
    state = f"{what} now" if done.fresh else f"{what} before"
    click.echo(f"{done.period} v{done.version} {state}  {present([nano])[0]:,} {done.statement['currency']}")
    click.echo(f"sha256  {done.sha256}")
    if what == "closed":
        counts = done.statement["rows"]
        if isinstance(counts, dict):
            click.echo(
                f"{counts['ledger']} attempts ({counts['late']} late ones of earlier months), "
                f"{counts['ledger_entries']} entries"
            )
        lines = done.statement["gl"]
        bare = [line for line in lines if not line["account"]] if isinstance(lines, list) else []
        if bare:
            click.echo(
                f"note: {len(bare)} GL lines have no account; add them under `books.gl` in teams.yaml "
                "before the next month is closed",
                err=True,
            )
        if done.statement["reason"]:
            click.echo(f"forced: {done.statement['reason']}")


def _amount(text: str) -> Decimal:
    """Return an amount as it is written, or end the command."""
    if re.fullmatch(r"\d{1,12}(\.\d{1,12})?", text) is None:
        stop(f'--to is an amount of zero or more, written like "0.1234"; `{text[:40]}` is none')
    return Decimal(text)


def _figures(item: closing.Standing) -> str:
    if not item.statements:
        return ""
    said = orjson.loads(item.statements[-1].statement)
    nano = int(said["restated_nano"] if item.statements[-1].version > 1 else said["nano"])
    return f"  {present([nano])[0]:,} {said['currency']}"


def _moment(at_us: int, timezone: str) -> str:
    moment = datetime.fromtimestamp(at_us // 1_000_000, UTC).astimezone(ZoneInfo(timezone))
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _table(head: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[column]) for line in (head, *cells)) for column in range(len(head))]
    for line in (head, *cells):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
