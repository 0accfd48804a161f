"""``borderpost demo``: the whole gateway with demo models and demo keys, in one command.

Real in everything but the models: the same server, policies, journal and ledger, and demo
models behind real HTTP on this machine. Nothing leaves; a vendor's key that happens to
be in the environment is taken out of it, unless ``--use-env-keys`` says otherwise.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import click
from sqlalchemy import Connection

from gateway.adapters import key_changes
from gateway.adapters.key_changes import By, Made
from gateway.adapters.keys import hash_of
from gateway.adapters.store_sql import keys as rows
from gateway.cli.keys import new_admin_token
from gateway.cli.opened import (
    HOME,
    note,
    settings_of,
    snapshot_of,
    starter_folder,
    stop,
    store_of,
    with_config,
)
from gateway.core import injection
from gateway.core.patterns import KINDS
from gateway.core.snapshot import App, Snapshot
from gateway.settings import UNKNOWN_PLACE, Settings

APPS = ("teller", "hackathon", "tiny")
ROLES = ("admin", "finance")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_BY = By(actor="borderpost demo", role="operator")
VENDOR_KEYS = (
    "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "MISTRAL_API_KEY",
    "TOGETHER_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "COHERE_API_KEY", "CO_API_KEY", "GROQ_API_KEY",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
)  # fmt: skip

DEMO_PLACE = "CA-QC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What a running demo can be reached by: its URL, keys by app, admin tokens by role."""

    url: str
    keys: Mapping[str, str] = field(repr=False)
    tokens: Mapping[str, str] = field(repr=False)


@click.command("demo")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--use-env-keys", is_flag=True, help="Let connections read vendors' keys in the environment.")
@with_config
def command(port: int, *, use_env_keys: bool, toml: Path | None) -> None:
    """Serve with demo models and demo keys; nothing leaves this machine."""
    ignored = [] if use_env_keys else forget_vendor_keys(os.environ)
    settings = _settings(settings_of(toml), port)
    snapshot = snapshot_of(settings.policies)
    if missing := undetectable(settings, snapshot):
        stop(
            f"the policies look for {', '.join(missing)}, which patterns cannot find; "
            "install the extra `privacy` and its language models (`make run` does)"
        )
    from gateway.api.server import bind, run  # noqa: PLC0415 (imports the web server only when it serves)

    try:
        # Before the greeting: lines to paste that lead to another process would mislead.
        bind(settings).close()
    except OSError as error:
        _cannot_listen(settings, error)
    demo = prepare(settings, snapshot, HOME / "demo.json")
    settings = replace(settings, admin_token_file=HOME / "admin.tokens")
    click.echo(greeting(demo, settings, snapshot, ignored))
    sys.stdout.flush()
    models = _start_models(snapshot)
    try:
        status = run(settings)
    except OSError as error:
        _cannot_listen(settings, error)
    finally:
        if models is not None:
            models.terminate()
    sys.exit(status)


def _cannot_listen(settings: Settings, error: OSError) -> NoReturn:
    other = settings.port + 1
    stop(
        f"cannot listen on `{settings.listen}`: {error.strerror}; "
        f"is another demo running? else try borderpost demo --port {other}",
        1,
    )


def forget_vendor_keys(environ: dict[str, str] | os._Environ[str]) -> list[str]:
    """Take vendors' keys out of the environment and return their names."""
    found = [name for name in VENDOR_KEYS if name in environ]
    for name in found:
        del environ[name]
    return found


def undetectable(settings: Settings, snapshot: Snapshot) -> list[str]:
    """Return the kinds that the policies need and the detectors of the settings cannot find."""
    if settings.detectors.mode == "presidio":
        return []
    needed: frozenset[str] = frozenset().union(*snapshot.detectors_for.values())
    inline = KINDS | injection.KINDS
    return sorted(needed - inline if settings.detectors.mode == "inline" else needed)


def prepare(settings: Settings, snapshot: Snapshot, file: Path) -> Demo:
    """Make the demo's keys and tokens, or find those of last time, and write ``file`` (owner only).

    Doing it twice makes nothing twice: keys that still work are kept.
    """
    last = read(file)
    known = {} if last is None else last.keys
    apps = [snapshot.apps[name] for name in APPS if name in snapshot.apps] or list(snapshot.apps.values())
    made: list[Made] = []
    with store_of(settings) as store, store.write() as connection:
        keys: dict[str, str] = {}
        for app in apps:
            key = _working(connection, app, known.get(app.id))
            if key is None:
                made.append(
                    key_changes.create(
                        connection, app, now=time.time_ns(), by=_BY, kind="demo", label="borderpost demo"
                    )
                )
                key = made[-1].presented
            keys[app.id] = key
    if made:
        note(settings, [entry for one in made for entry in one.entries])
    tokens = {} if last is None else dict(last.tokens)
    lines = _tokens(file.with_name("admin.tokens"), tokens)
    demo = Demo(url=f"http://localhost:{settings.port}", keys=keys, tokens=tokens)
    _write(file.with_name("admin.tokens"), lines)
    _write(file, json.dumps({"url": demo.url, "keys": keys, "tokens": tokens}, indent=2) + "\n")
    return demo


def read(file: Path) -> Demo | None:
    """Return what a demo left in ``file``; None if it is not there or not readable as such."""
    try:
        found = json.loads(file.read_text("utf-8"))
        return Demo(url=str(found["url"]), keys=dict(found["keys"]), tokens=dict(found["tokens"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def greeting(demo: Demo, settings: Settings, snapshot: Snapshot, ignored: list[str]) -> str:
    """Return what the demo says when it starts: the lines to paste, and what to try."""
    key = demo.keys.get("teller") or next(iter(demo.keys.values()), "")
    places = sorted({place for item in snapshot.deployments.values() for place in item.processed_in or ()})
    lines = [
        f"Borderpost demo on {demo.url}: policy {snapshot.policy_name} v{snapshot.policy_version},",
        f"demo models in {', '.join(places)}; nothing leaves this machine. Data: {settings.data_dir}",
        "",
        "In a new terminal, paste:",
        f"  export OPENAI_BASE_URL={demo.url}/v1 OPENAI_API_KEY={key}",
        f"  (Anthropic: export ANTHROPIC_BASE_URL={demo.url} ANTHROPIC_API_KEY={key})",
        "",
        "Then try:",
        "  borderpost try sin       a SIN in a prompt is masked; shows what the model saw",
        "  borderpost try abroad    refused by CA-1, naming the model to use",
        "  borderpost try budget    402, and when it resets",
        "  borderpost try thumb     a rating",
        "  borderpost try report    the spend, to the cent",
        "  (with make: make try-sin …)",
    ]
    if ignored:
        lines += ["", f"Not used: {', '.join(ignored)} in your environment (opt in: --use-env-keys)."]
    return "\n".join(lines) + "\n"


def ports_of(snapshot: Snapshot) -> dict[str, int]:
    """Return the deployments that the demo models stand in for: those whose connection is on this machine."""
    found = {}
    for name, connection in snapshot.connections.items():
        where = urlsplit(connection.url)
        if where.hostname in _LOOPBACK and where.port is not None:
            found[name] = where.port
    return found


def _settings(settings: Settings, port: int) -> Settings:
    policies = settings.policies
    if not (policies / "policy.yaml").is_file():
        policies = starter_folder()
    detectors = settings.detectors
    # The starter policies look for names; the extra `privacy` finds them. `make run` installs it.
    if detectors.mode == "inline" and importlib.util.find_spec("presidio_analyzer") is not None:
        detectors = replace(detectors, mode="presidio")
    return replace(
        settings,
        listen=f"{settings.host}:{port}",
        policies=policies,
        detectors=detectors,
        # The demo plays a node in Montreal, as its models play theirs; a declared place stands.
        place=DEMO_PLACE if settings.place == UNKNOWN_PLACE else settings.place,
        demo=True,
    )


def _working(connection: Connection, app: App, key: str | None) -> str | None:
    """Return the key if it is one of the app's and still works."""
    if key is None:
        return None
    now = time.time_ns()
    for row in rows.all_keys(connection, app.tenant):
        if row.sha256 == hash_of(key) and row.app == app.id:
            return key if key_changes.state(row, now=now) == "active" else None
    return None


def _tokens(file: Path, tokens: dict[str, str]) -> str:
    """Fill in the tokens that are missing and return the lines of the file of admin tokens."""
    known = file.read_text("utf-8") if file.is_file() else ""
    lines = []
    for role in ROLES:
        line = next((line for line in known.splitlines() if line.startswith(f"{role} ")), None)
        if role not in tokens or line is None:
            tokens[role], line = new_admin_token(role, f"demo-{role}")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    # INVARIANT: never readable by others, not even for a moment: demo keys are keys.
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    fresh.replace(file)


def _start_models(snapshot: Snapshot) -> multiprocessing.process.BaseProcess | None:
    ports = ports_of(snapshot)
    if not ports:
        return None
    # spawn: a fork would copy threads and locks of a process that is about to serve.
    child = multiprocessing.get_context("spawn").Process(
        target=_models, args=(ports, os.getpid()), name="demo-models", daemon=True
    )
    child.start()
    return child


def _models(ports: Mapping[str, int], parent: int) -> None:
    from gateway.demo.model import run  # noqa: PLC0415 (in the child only)

    def watch() -> None:
        # A parent that was killed cannot end its child: the child looks after itself.
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    # The server says itself what it cannot bind; asyncio would add a page about the same.
    logging.getLogger("asyncio").disabled = True
    try:
        run(ports)
    except (SystemExit, OSError):
        stop(f"the demo models cannot listen on ports {sorted(ports.values())}; is another demo running?", 1)
    except KeyboardInterrupt:
        os._exit(0)
