"""``borderpost keys``: make, list, rotate and revoke the keys of apps.

Works on the same database as the running gateway: workers learn of a change within
seconds. A key is printed once, on standard output, and kept nowhere.
"""

from __future__ import annotations

import getpass
import hashlib
import re
import secrets
import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import orjson
from typing_extensions import override

from gateway.adapters import key_changes
from gateway.adapters.key_changes import By, Made, NoSuchKey
from gateway.adapters.store_sql import keys as rows
from gateway.cli.opened import note, reading, settings_of, snapshot_of, stop, store_of, with_config
from gateway.core.snapshot import App, Snapshot

_SPAN = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Span(click.ParamType[int]):
    """A span of time such as ``24h``, as seconds."""

    name = "span"

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = _SPAN.fullmatch(str(value))
        if found is None:
            self.fail(f"`{value}` is no span of time; write 90s, 30m, 24h or 7d", param, ctx)
        return int(found[1]) * _SECONDS[found[2]]


@click.group("keys")
def command() -> None:
    """Create, list, rotate and revoke keys."""


@command.command("create")
@click.argument("app")
@click.option("--label", default="", help="What the key is for, for people.")
@click.option("--kind", type=click.Choice(["live", "demo"]), default="live", show_default=True)
@click.option("--expires", metavar="DATE", help="Last day on which it works, such as 2027-01-31, local time.")
@with_config
def create(app: str, label: str, kind: str, expires: str | None, toml: Path | None) -> None:
    """Make a key of APP and show it, once."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    expires_us = None if expires is None else _end_of(expires, snapshot.timezone)
    with store_of(settings) as store, store.write() as connection:
        try:
            made = key_changes.create(
                connection,
                _app(snapshot, app),
                now=time.time_ns(),
                by=_me(),
                kind=kind,
                label=label,
                expires_us=expires_us,
            )
        except ValueError as wrong:
            stop(f"{wrong}")
    note(settings, made.entries)
    _show(made)


@command.command("list")
@click.option("--app", help="Of this app only.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@with_config
def list_keys(app: str | None, form: str, toml: Path | None) -> None:
    """List keys, dead ones included. Secrets are not stored, so none are shown."""
    now = time.time_ns()
    found = [row for row in reading(settings_of(toml), rows.all_keys) if app is None or row.app == app]
    if form == "json":
        click.echo(
            orjson.dumps([key_changes.shown(row, now=now) for row in found], option=orjson.OPT_INDENT_2)
        )
        return
    grid = [("id", "app", "kind", "state", "created", "expires", "label")]
    grid += [
        (
            row.id,
            row.app,
            row.kind,
            key_changes.state(row, now=now),
            _day(row.created_us),
            _day(row.expires_us),
            "".join(letter for letter in row.label if letter.isprintable()),
        )
        for row in found
    ]
    widths = [max(len(line[column]) for line in grid) for column in range(len(grid[0]))]
    for line in grid:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@command.command("rotate")
@click.argument("key_id")
@click.option(
    "--overlap", type=Span(), default="24h", show_default=True, help="How long the old key goes on."
)
@with_config
def rotate(key_id: str, overlap: int, toml: Path | None) -> None:
    """Make a successor of KEY_ID and show it, once."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    now = time.time_ns()
    with store_of(settings) as store, store.write() as connection:
        try:
            old = key_changes.living(connection, snapshot.tenant, key_id, now=now)
            made = key_changes.rotate(
                connection, _app(snapshot, old.app), key_id, now=now, by=_me(), overlap_s=overlap
            )
        except NoSuchKey as missing:
            stop(str(missing))
    note(settings, made.entries)
    _show(made)
    ends = datetime.fromtimestamp(now // 1_000_000_000, UTC) + timedelta(seconds=overlap)
    click.echo(f"{key_id} works until {ends:%Y-%m-%d %H:%M} UTC.", err=True)


@command.command("revoke")
@click.argument("key_id")
@with_config
def revoke(key_id: str, toml: Path | None) -> None:
    """Revoke KEY_ID. Every worker refuses it within 5 seconds."""
    settings = settings_of(toml)
    with store_of(settings) as store, store.write() as connection:
        # By id alone: a key must be revocable even while the policies cannot be loaded.
        row = next((row for row in rows.all_keys(connection) if row.id == key_id), None)
        if row is None:
            stop(f"no key `{key_id}`; `borderpost keys list` shows all")
        try:
            entries = key_changes.revoke(connection, row.tenant, key_id, now=time.time_ns(), by=_me())
        except NoSuchKey as missing:
            stop(str(missing))
    note(settings, entries)
    click.echo(f"{key_id} is revoked; every worker refuses it within 5 seconds.")


@command.command("admin-token")
@click.option("--role", type=click.Choice(["admin", "finance", "auditor"]), required=True)
@click.option("--name", required=True, help="Who holds it, one word, for the admin log.")
def admin_token(role: str, name: str) -> None:
    """Make a token for the admin API: shows it once, and the line for the file of admin tokens."""
    if not re.fullmatch(r"[\w.@-]{1,64}", name):
        stop(f"`{name}` is no name; use letters, digits and . _ @ -")
    token, line = new_admin_token(role, name)
    click.echo(token)
    click.echo(f"Add this line to the file that `admin_token_file` names:\n{line}", err=True)


def new_admin_token(role: str, name: str) -> tuple[str, str]:
    """Return a new token of 256 bits, and its line for the file of admin tokens."""
    token = f"bpa_{secrets.token_hex(32)}"
    return token, f"{role} {hashlib.sha256(token.encode()).hexdigest()} {name}"


def _app(snapshot: Snapshot, name: str) -> App:
    app = snapshot.apps.get(name)
    if app is None:
        known = ", ".join(sorted(snapshot.apps)) or "none"
        stop(f"no app `{name}` in teams.yaml; registered are: {known}")
    return app


def _me() -> By:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return By(actor=name, role="operator")


def _show(made: Made) -> None:
    click.echo(made.presented)
    click.echo(
        f"Key {made.row.id} of app {made.row.app}. Keep it now: it is not stored and not shown again.",
        err=True,
    )


def _end_of(day: str, timezone: str) -> int:
    try:
        last = date.fromisoformat(day)
    except ValueError:
        stop(f"`{day}` is no date; write it like 2027-01-31")
    end = datetime.combine(last + timedelta(days=1), clock_time(), tzinfo=ZoneInfo(timezone))
    return int(end.timestamp()) * 1_000_000


def _day(us: int | None) -> str:
    return "–" if us is None else f"{datetime.fromtimestamp(us // 1_000_000, UTC):%Y-%m-%d}"
