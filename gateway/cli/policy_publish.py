"""``borderpost policy keygen | sign | publish | bundles | rollback | diff | replay``: a policy goes live.

What changes the database is noted in the admin log there and in the journal, as by the admin API.
"""

from __future__ import annotations

import base64
import getpass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from gateway.adapters.clock import SystemClock
from gateway.cli.opened import note, settings_of, stop, store_of, with_config
from gateway.policy import publish as publishing
from gateway.policy.diff import difference
from gateway.policy.load import read_folder
from gateway.policy.money import changes, money_of
from gateway.policy.problems import PolicyErrors
from gateway.policy.publish import Actor, NotPublished, Opened, Published
from gateway.policy.recorded import recorded_of
from gateway.policy.replay import replay, text
from gateway.policy.sign import (
    Keyring,
    Unusable,
    beside,
    new_key,
    private_key,
    put_beside,
    read_keyring,
    sign,
    signer_of,
)
from gateway.settings import Settings

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", required=True, help="Whose key it is.")
@click.option("--role", required=True, help="The role in which they sign.")
def keygen(file: Path, name: str, role: str) -> None:
    """Make a key: the private half into FILE, its line for the keyring on standard output."""
    pem, public = new_key()
    try:
        with file.open("xb") as opened:
            file.chmod(0o600)
            opened.write(pem)
    except FileExistsError:
        stop(f"`{file}` exists; a key is never overwritten")
    except OSError as error:
        stop(f"`{file}` cannot be written: {(error.strerror or 'error').lower()}")
    click.echo(f'- {{name: {name}, role: {role}, public: "{base64.b64encode(public).decode()}"}}')


@click.command("sign")
@click.argument("folder", type=_FOLDER)
@click.option("--as", "role", required=True, help="The role in which you sign.")
@click.option("--key", required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--author", required=True, help="Who wrote this change; their own signature does not count.")
@click.option("--replaces", default="", help="Hash of the bundle that you compared it with.")
@with_config
def sign_(folder: Path, *, role: str, key: Path, author: str, replaces: str, toml: Path | None) -> None:
    """Sign the policy in FOLDER as it is now, into its signatures.json."""
    settings = settings_of(toml)
    try:
        opened = _folder(folder)
        private = private_key(key)
        keyring = _keyring(settings)
        if keyring is None:
            stop("set `policy_keyring`: whose signatures count?")
        signer = signer_of(private, role, keyring)
        if signer == author:
            stop("an author cannot approve their own change; somebody else signs")
        _, had = beside(folder)
        fresh = sign(private, opened.package.hash, signer=signer, role=role, author=author, replaces=replaces)
        # Signatures of other content, or that name another author, would not count any more.
        kept = [one for one in had if one.author == author and (one.signer, one.role) != (signer, role)]
        put_beside(folder, author, [*kept, fresh])
    except Unusable as wrong:
        stop(str(wrong))
    click.echo(f"{signer} signed {opened.package.hash[:12]} as {role}; written by {author}")


@click.command()
@click.argument("folder", type=_FOLDER)
@click.option("--author", default="", help="Who wrote it; without it, as in signatures.json, or you.")
@click.option("--store-only", is_flag=True, help="Store it; another publish puts it in force.")
@click.option("--revoke", type=click.Choice(["now"]), help="End attempts in flight that it does not permit.")
@with_config
def publish(folder: Path, author: str, revoke: str | None, toml: Path | None, *, store_only: bool) -> None:
    """Store the policy in FOLDER, and put it in force for every worker that runs the store's."""
    settings = settings_of(toml)
    now, by = SystemClock().now(), Actor(name=getpass.getuser(), role="cli")
    try:
        named, signatures = beside(folder)
        opened = _folder(folder, author=author or named or by.name)
        opened = publishing.package_of(
            opened.package.files, author=opened.package.author, signatures=signatures, now=now
        )
        keyring = _judges(settings)
        with store_of(settings) as store:
            with store.write() as connection:
                entries = publishing.publish(connection, opened, now=now, by=by)
            note(settings, entries)
            click.echo(f"stored {opened.package.hash}")
            if store_only:
                return
            with store.write() as connection:
                done = publishing.activate(
                    connection,
                    opened.package.hash,
                    now=now,
                    by=by,
                    keyring=keyring,
                    revoke=revoke == "now",
                )
    except (Unusable, NotPublished) as wrong:
        stop(str(wrong), 1)
    note(settings, done.entries)
    _say(done, settings)


@click.command()
@with_config
def bundles(toml: Path | None) -> None:
    """List the stored bundles, who wrote and signed each, and which one is in force."""
    from gateway.adapters.store_sql import bundles as rows  # noqa: PLC0415 (only this command lists)

    settings = settings_of(toml)
    with store_of(settings) as store, store.read() as connection:
        for row in rows.listed(connection):
            signed = ", ".join(f"{one.signer} as {one.role}" for one in rows.signatures(connection, row.hash))
            state = "ACTIVE" if row.active else "stored"
            click.echo(
                f"{state}  {row.hash}  by {row.author or 'unknown'}  "
                f"{_moment(row.published_us)}  signed by {signed or 'nobody'}"
            )


@click.command()
@click.argument("hash_", metavar="[HASH]", required=False)
@click.option("--revoke", type=click.Choice(["now"]), help="End attempts in flight that it does not permit.")
@with_config
def rollback(hash_: str | None, revoke: str | None, toml: Path | None) -> None:
    """Put the bundle in force again that was before, or a stored one by its HASH."""
    settings = settings_of(toml)
    by = Actor(name=getpass.getuser(), role="cli")
    try:
        keyring = _judges(settings)
        with store_of(settings) as store, store.write() as connection:
            done = publishing.activate(
                connection,
                hash_ or publishing.rollback(connection),
                now=SystemClock().now(),
                by=by,
                keyring=keyring,
                revoke=revoke == "now",
            )
    except (Unusable, NotPublished) as wrong:
        stop(str(wrong), 1)
    except PolicyErrors as errors:
        stop(f"this bundle cannot be used any more\n{errors}", 1)
    note(settings, done.entries)
    _say(done, settings)


@click.command()
@click.argument("old", type=_FOLDER)
@click.argument("new", type=_FOLDER)
def diff(old: Path, new: Path) -> None:
    """Say which egress the policy in NEW adds to that in OLD, and which it removes; and changes of money.

    Status 0 if it only narrows, 1 if it widens.
    """
    now = SystemClock().now()
    before, after = _folder(old), _folder(new)
    change = difference(before.snapshot, after.snapshot, now=now)
    click.echo(str(change))
    money = changes(money_of(before.package.files), money_of(after.package.files))
    if money:
        click.echo("budgets and prices, for finance to approve:")
    for sentence in money:
        click.echo(f"  {sentence}")
    raise SystemExit(1 if change.widens else 0)


@click.command("replay")
@click.option(
    "--folder",
    type=_FOLDER,
    default=Path("policies"),
    envvar="BORDERPOST_POLICIES",
    show_default=True,
    help="The policy to compare with.",
)
@click.option("--from", "start", required=True, metavar="DAY", help="First day, as 2026-11-01.")
@click.option("--to", "end", required=True, metavar="DAY", help="Last day, included.")
@click.option(
    "--candidate", type=_FOLDER, help="The policy to try; without it, --folder against what was recorded."
)
@with_config
def replay_(folder: Path, start: str, end: str, candidate: Path | None, toml: Path | None) -> None:
    """Decide recorded calls again and say how many would change, by app and rule. No prompt is needed.

    Status 0 if none would, 1 if some would.
    """
    from gateway.adapters.store_sql import decisions  # noqa: PLC0415 (only this command reads records)

    settings = settings_of(toml)
    now = SystemClock().now()
    before = _folder(folder).snapshot
    new = before if candidate is None else _folder(candidate).snapshot
    first, last = _days(start, end, before.timezone)
    with store_of(settings) as store, store.read() as connection:
        outcome = replay(
            (
                (recorded_of(row), number)
                for row, number in decisions.groups(connection, before.tenant, start_us=first, end_us=last)
            ),
            new,
            now=now,
            before=None if candidate is None else before,
            undecided=decisions.undecided(connection, before.tenant, start_us=first, end_us=last),
        )
    click.echo(text(outcome))
    raise SystemExit(1 if outcome.changed else 0)


COMMANDS = (keygen, sign_, publish, bundles, rollback, diff, replay_)


# --------------------------------------------------------------------------- inner


def _folder(folder: Path, author: str = "") -> Opened:
    """Load and compile a folder, or end the command with every problem in it."""
    try:
        files = read_folder(folder)
        return publishing.package_of(files, author=author, signatures=(), now=SystemClock().now())
    except PolicyErrors as errors:
        stop(f"the policies in `{folder}` cannot be used\n{errors}")


def _keyring(settings: Settings) -> Keyring | None:
    return read_keyring(settings.policy_keyring) if settings.policy_keyring is not None else None


def _judges(settings: Settings) -> Keyring | None:
    """Return the keyring by which bundles are judged; None where signing is off."""
    return _keyring(settings) if settings.policy_signing == "required" else None


def _say(done: Published, settings: Settings) -> None:
    click.echo(f"in force: {done.hash}" + (f", {done.approval}" if done.approval else ", signing is off"))
    if done.change is not None:
        click.echo(str(done.change))
    if settings.policy_source != "store":
        click.echo("note: these settings run the folder (`policy_source`), not the store", err=True)


def _moment(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 1_000_000, ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%SZ")


def _days(start: str, end: str, timezone: str) -> tuple[int, int]:
    """Return the half-open stretch of days in the organisation's time zone, in microseconds."""
    zone = ZoneInfo(timezone)
    try:
        first = datetime.strptime(start, "%Y-%m-%d").replace(tzinfo=zone)
        last = datetime.strptime(end, "%Y-%m-%d").replace(tzinfo=zone) + timedelta(days=1)
    except ValueError:
        stop("days are written as 2026-11-30")
    if last <= first:
        stop("--to lies before --from")
    return int(first.timestamp()) * 1_000_000, int(last.timestamp()) * 1_000_000
