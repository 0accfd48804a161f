"""``borderpost doctor``: can this machine serve with these settings, and if not, what to do.

Looks, and changes nothing that outlives it. Each check says what it found in one line and,
where something is wrong, the fix. Secrets are read but never shown.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import click

from gateway.settings import UNKNOWN_PLACE, Settings, SettingsError, environment, read_admin_tokens

Level = Literal["ok", "warning", "fault"]

_MARKS: dict[Level, str] = {"ok": "ok  ", "warning": "warn", "fault": "FAIL"}

# Less room than this and the journal would soon stop every call.
_LEAST_FREE_BYTES = 512 << 20

# No clock of a machine that runs this version can honestly show an earlier year.
_LEAST_YEAR = 2026


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found. ``fix`` is empty when there is nothing to do."""

    name: str
    level: Level
    text: str
    fix: str = ""


Check = Callable[[Settings], Iterator[Finding]]


def check_python(_settings: Settings) -> Iterator[Finding]:
    """The fast parts of the server are there; an older Python could not have come this far."""
    version = ".".join(map(str, sys.version_info[:3]))
    missing = [name for name in ("uvloop", "httptools", "orjson") if importlib.util.find_spec(name) is None]
    if missing:
        yield Finding(
            name="python",
            level="warning",
            text=f"{version}, without {', '.join(missing)}",
            fix="install requirements/run.txt again",
        )
    else:
        yield Finding(name="python", level="ok", text=version)


def check_place(settings: Settings) -> Iterator[Finding]:
    """The place of this node is declared: `log_in` rules depend on it."""
    if settings.place == UNKNOWN_PLACE:
        yield Finding(
            name="place",
            level="warning",
            text="not declared, so no `log_in` rule can be met here",
            fix="set BORDERPOST_PLACE to where this node keeps its journal, for example CA-QC",
        )
    else:
        yield Finding(name="place", level="ok", text=settings.place)


def check_clock(settings: Settings) -> Iterator[Finding]:
    """The clock is not absurd, and not behind what was already journalled."""
    now = datetime.now(UTC)
    newest = max(
        (path.stat().st_mtime for path in (settings.data_dir / "journal").rglob("*.jsonl")), default=0.0
    )
    if now.year < _LEAST_YEAR or newest > time.time() + 60:
        yield Finding(
            name="clock",
            level="fault",
            text=f"shows {now:%Y-%m-%d %H:%M} UTC, earlier than it can be",
            fix="synchronise it (NTP): budgets, facts and prices go by it",
        )
    else:
        yield Finding(name="clock", level="ok", text=f"{now:%Y-%m-%d %H:%M} UTC")


def check_data(settings: Settings) -> Iterator[Finding]:
    """The journal's folder can be written and synced, and has room."""
    folder = settings.data_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent  # it is made at the first start, within this one
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as probe:
            probe.write(b"x")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        yield Finding(
            name="journal",
            level="fault",
            text=f"`{folder}` cannot be written: {error.strerror}",
            fix="make it writable for this user, or set BORDERPOST_DATA_DIR",
        )
        return
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE_BYTES:
        yield Finding(
            name="journal",
            level="fault",
            text=f"`{folder}` has {free >> 20} MB left",
            fix="free some: a full disk stops every call",
        )
    else:
        yield Finding(name="journal", level="ok", text=f"`{folder}` can be written, {free >> 30} GB left")


def check_database(settings: Settings) -> Iterator[Finding]:
    """The database answers and is at this version's schema."""
    # The database's packages are imported only by this check.
    from gateway.adapters.store_sql import Store, StoreUnavailable  # noqa: PLC0415
    from gateway.adapters.store_sql.schema import HEAD, SchemaMismatch, check, current  # noqa: PLC0415

    store = Store(settings.database)
    new_file = store.dialect == "sqlite" and not Path(settings.database.removeprefix("sqlite:///")).exists()
    try:
        if new_file or (store.dialect == "sqlite" and current(store) is None):
            yield Finding(name="database", level="ok", text="SQLite, made at the first start")
            return
        check(store)
    except SchemaMismatch as error:
        # SQLite is migrated at start; a version that is unknown is refused there too.
        known = store.dialect == "sqlite" and "does not know" not in str(error)
        text = "SQLite, migrated at the next start" if known else str(error)
        yield Finding(name="database", level="ok" if known else "fault", text=text)
    except StoreUnavailable:
        yield Finding(
            name="database",
            level="fault",
            text=f"{store.dialect} does not answer",
            fix="start it, or correct BORDERPOST_DATABASE_URL",
        )
    else:
        yield Finding(name="database", level="ok", text=f"{store.dialect} at revision {HEAD}")
    finally:
        store.close()


def check_policies(settings: Settings) -> Iterator[Finding]:
    """The bundle loads, its facts are fresh, its secrets can be read, its detectors are on."""
    from gateway.policy.compile import compile_bundle  # noqa: PLC0415 (only this check needs the policy)
    from gateway.policy.load import load_bundle  # noqa: PLC0415 (as above)
    from gateway.policy.problems import PolicyErrors  # noqa: PLC0415 (as above)

    now = time.time_ns()
    try:
        snapshot = compile_bundle(load_bundle(settings.policies, now=now), now=now)
    except PolicyErrors as errors:
        text = f"`{settings.policies}` cannot be used\n{errors}"
        yield Finding(name="policies", level="fault", text=text, fix="run `borderpost policy check`")
        return
    except OSError as error:
        yield Finding(
            name="policies",
            level="fault",
            text=f"`{settings.policies}` cannot be read: {error.strerror}",
            fix="set BORDERPOST_POLICIES, or make a first bundle with `borderpost init`",
        )
        return
    yield Finding(
        name="policies",
        level="ok",
        text=f"{snapshot.policy_name} v{snapshot.policy_version} ({snapshot.hash[:12]})",
    )
    stale = sorted(d.id for d in snapshot.deployments.values() if d.expires <= now)
    if stale:
        yield Finding(
            name="facts",
            level="warning",
            text=f"stale, so refused: {', '.join(stale)}",
            fix="check them again and renew `seen` in deployments.yaml",
        )
    from gateway.adapters.upstreams.secrets import SecretMissing, Secrets  # noqa: PLC0415 (as above)

    secrets = Secrets(environment())
    missing = secrets.missing(snapshot.connections.values())
    for receiver in snapshot.alerts.receivers.values():
        try:
            secrets.get(receiver.way.secret)
        except SecretMissing as why:
            missing.append(f"{receiver.name}: {str(why).replace('connection', 'destination')}")
    for line in missing:
        yield Finding(name="secrets", level="fault", text=line)
    if not missing:
        yield Finding(name="secrets", level="ok", text=f"{len(snapshot.connections)} connections")
    wanted = sorted(frozenset().union(*snapshot.detectors_for.values()))
    yield from _detectors(settings, wanted)


def _detectors(settings: Settings, wanted: list[str]) -> Iterator[Finding]:
    from gateway.core import injection, patterns  # noqa: PLC0415 (compiles every pattern)

    inline = patterns.KINDS | injection.KINDS
    mode = settings.detectors.mode
    if mode == "off" and wanted:
        yield Finding(
            name="detectors",
            level="fault",
            text=f"off, and the policies need {', '.join(wanted)}",
            fix="set BORDERPOST_DETECTORS_MODE to `inline`, or to `presidio` for names and places",
        )
    elif mode == "presidio":
        missing = [
            name
            for name in ("presidio_analyzer", "spacy", "phonenumbers")
            if importlib.util.find_spec(name) is None
        ]
        if missing:
            yield Finding(
                name="detectors",
                level="fault",
                text=f"presidio lacks {', '.join(missing)}",
                fix="install requirements/privacy.txt and requirements/model-en.txt",
            )
        else:
            yield Finding(name="detectors", level="ok", text=f"presidio, for {len(wanted)} kinds")
    elif mode == "inline" and (beyond := [kind for kind in wanted if kind not in inline]):
        yield Finding(
            name="detectors",
            level="fault",
            text=f"patterns cannot find {', '.join(beyond)}, and the policies need it",
            fix="set BORDERPOST_DETECTORS_MODE to `presidio`, or change the rules",
        )
    else:
        yield Finding(name="detectors", level="ok", text=f"{mode}, for {len(wanted)} kinds")


def check_tls(settings: Settings) -> Iterator[Finding]:
    """The server's certificate and key belong together and are in date; the CA bundle reads."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is not None and key is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            yield Finding(
                name="tls",
                level="fault",
                text=f"certificate and key cannot be used: {type(error).__name__}",
                fix="both must be PEM files, readable, and belong together",
            )
        else:
            yield _in_date(certificate)
    elif settings.host not in {"127.0.0.1", "::1", "localhost"} and not settings.trusted_proxies:
        yield Finding(
            name="tls",
            level="warning",
            text=f"keys travel in clear to `{settings.listen}`",
            fix="set BORDERPOST_TLS_CERTIFICATE and _KEY, or declare the proxy that ends TLS",
        )
    if settings.ca_bundle is not None:
        try:
            ssl.create_default_context(cafile=settings.ca_bundle)
        except (OSError, ssl.SSLError):
            yield Finding(
                name="ca bundle",
                level="fault",
                text=f"`{settings.ca_bundle}` holds no certificates",
                fix="name a readable PEM file of certificate authorities",
            )


def _in_date(certificate: Path) -> Finding:
    from cryptography import x509  # noqa: PLC0415 (only where TLS is on)

    until = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    left = until - datetime.now(UTC)
    if left < timedelta(0):
        return Finding(
            name="tls", level="fault", text=f"the certificate ended {until:%Y-%m-%d}", fix="renew it"
        )
    if left < timedelta(days=14):
        return Finding(
            name="tls", level="warning", text=f"the certificate ends {until:%Y-%m-%d}", fix="renew it"
        )
    return Finding(name="tls", level="ok", text=f"the certificate ends {until:%Y-%m-%d}")


def check_admin(settings: Settings) -> Iterator[Finding]:
    """The file of admin tokens reads, and others cannot write it."""
    path = settings.admin_token_file
    if path is None:
        yield Finding(name="admin", level="ok", text="no admin tokens: the admin API is closed")
        return
    try:
        tokens = read_admin_tokens(path)
    except SettingsError as error:
        yield Finding(name="admin", level="fault", text=str(error))
        return
    if path.stat().st_mode & 0o022:
        yield Finding(
            name="admin",
            level="fault",
            text=f"others can write `{path}`",
            fix=f"chmod 640 {path}",
        )
    else:
        yield Finding(name="admin", level="ok", text=f"{len(tokens)} tokens")


def check_address(settings: Settings) -> Iterator[Finding]:
    """The address can be bound."""
    from gateway.api.server import bind  # noqa: PLC0415 (only this check needs the server)

    try:
        bind(settings).close()
    except OSError as error:
        yield Finding(
            name="address",
            level="warning",
            text=f"`{settings.listen}` cannot be bound now: {error.strerror}",
            fix="nothing, if a gateway runs there; else free it or set BORDERPOST_LISTEN",
        )
    else:
        yield Finding(name="address", level="ok", text=settings.listen)


CHECKS: tuple[Check, ...] = (
    check_python,
    check_clock,
    check_place,
    check_data,
    check_database,
    check_policies,
    check_tls,
    check_admin,
    check_address,
)


@click.command("doctor")
@click.option(
    "--config",
    "toml",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file of settings. Variables BORDERPOST_* win over it.",
)
def command(toml: Path | None) -> None:
    """Check that this machine can serve. Exit 0: it can; 1: something must be fixed; 2: settings."""
    try:
        settings = Settings.load(toml, environment())
    except SettingsError as error:
        click.echo(f"FAIL  settings: {error}", err=True)
        sys.exit(2)
    faults = 0
    for check in CHECKS:
        for finding in check(settings):
            faults += finding.level == "fault"
            click.echo(f"{_MARKS[finding.level]}  {finding.name}: {finding.text}")
            if finding.fix:
                click.echo(f"      → {finding.fix}")
    if faults:
        click.echo(f"{faults} to fix")
        sys.exit(1)
