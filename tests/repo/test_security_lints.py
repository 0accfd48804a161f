"""The promises of the design that can be read off the source, read off the source.

Each rule here stands for a promise: a breach is found before any test runs the code. Where a rule has
exceptions they are named, with a reason, in the tables at the top; an exception that no file uses any
more fails too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.repo.reading import GATEWAY, name_of, parsed, sources

# Promise 1: who may speak to a network at all, and why.
NETWORK_HOMES: dict[str, str] = {
    "adapters/alert_mail.py": "smtplib: hands alerts to the relay that its permit names, and to no other",
    "adapters/children.py": "receives a confined child's own loopback listener for the proxy; dials nothing",
    "adapters/confine.py": "the launcher: leaves the network, and listens in a namespace that leads nowhere",
    "adapters/egress_proxy.py": "a confined child's only way out: dials authorities of the allow-list alone",
    "adapters/transport.py": "the guarded transport: every byte that leaves goes through it",
    "api/server.py": "binds the listening socket; connects to nothing",
    "cli/try_.py": "plays a client of a demo on loopback; part of no server",
}

NETWORK_MODULES = frozenset({
    "aiohttp", "curl_cffi", "ftplib", "grpc", "h11", "h2", "http.client", "httpcore", "httpx", "imaplib",
    "poplib", "pycurl", "pyreqwest", "requests", "smtplib", "socket", "socketserver", "telnetlib",
    "urllib.request", "urllib3", "websockets", "xmlrpc",
})  # fmt: skip

# Calls that open a connection without importing any of the above.
NETWORK_CALLS = frozenset({
    "create_connection", "create_datagram_endpoint", "create_unix_connection", "open_connection",
    "open_unix_connection", "sock_connect",
})  # fmt: skip

# Design §4: exactly one file knows each of these; a second adapter would replace it, not join it.
ONE_FILE = ("litellm", "presidio_analyzer")

# … and each of these has one home, a file or a folder below this one.
ONE_HOME = {
    "botocore": "gateway/adapters/",
    "phonenumbers": "gateway/adapters/",
    "prometheus_client": "gateway/adapters/",
    "psycopg": "gateway/adapters/",
    "pyreqwest": "gateway/adapters/",
    "spacy": "gateway/adapters/",
    "stdnum": "gateway/core/",
}

# Style §5.20: the places where anything at all may be caught, since there every exit is recorded.
BOUNDARIES: dict[str, str] = {
    "adapters/upstreams/litellm_child.py": "a bug in litellm is an answer of its child, not a death",
    "app.py": "a worker that cannot start says why, in a sentence, and stops",
    "api/cycle.py": "the connection: no traceback reaches a client, whatever the application did",
    "api/hot.py": "the call: no failure of ours reaches a caller as a traceback; the pipeline recorded it",
    "policy/only_if.py": "whatever breaks in an expression is doubt, and doubt is no",
}

# Promise 6: no float where money or quotas are counted.
NO_FLOATS = ("core/money.py", "core/budget.py", "core/meter.py")

# Promises 1 and 7: a stage's type is made by its step alone.
ONLY_MAKER = {"ClearedCall": "core/redact.py", "Attempt": "core/clear.py"}

ENVIRONMENT_READERS = ("settings.py", "cli/*")


def at(path: Path, node: ast.AST) -> str:
    """Where a breach stands."""
    return f"{name_of(path)}:{getattr(node, 'lineno', '?')}"


def imported(module: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every absolute module name that a file imports, wherever in it."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func)
            in {
                "__import__",
                "importlib.import_module",
                "import_module",
            }
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value), node


def within(name: str, modules: frozenset[str] | set[str]) -> bool:
    """Whether a dotted name is one of the modules, or inside one."""
    parts = name.split(".")
    return any(".".join(parts[: i + 1]) in modules for i in range(len(parts)))


def inner(path: Path) -> str:
    """A file's name inside the package."""
    return path.relative_to(GATEWAY).as_posix()


def holds(breaches: list[str], rule: str) -> None:
    """Fail with the rule and every breach of it."""
    assert not breaches, "\n  ".join([rule, *sorted(set(breaches))])


def homes_are_used(table: dict[str, str], used: set[str]) -> None:
    """An exception that nothing needs any more goes."""
    idle = sorted(set(table) - used)
    assert not idle, f"these exceptions are used by no file any more, strike them: {idle}"


# ------------------------------------------------------------------ promise 1: no clearance, no egress


def test_only_the_named_homes_speak_to_a_network() -> None:
    """Our own transport sends every vendor call; nothing else holds a client."""
    breaches, used = [], set()
    for path in sources():
        module = parsed(path)
        found = [node for name, node in imported(module) if within(name, NETWORK_MODULES)]
        found += [
            node
            for node in ast.walk(module)
            if isinstance(node, ast.Attribute) and node.attr in NETWORK_CALLS
        ]
        home = next((home for home in NETWORK_HOMES if fnmatch(inner(path), home)), None)
        if found and home:
            used.add(home)
        elif found:
            breaches += [at(path, node) for node in found]
    holds(breaches, "a network library outside NETWORK_HOMES:")
    homes_are_used(NETWORK_HOMES, used)


def test_no_client_follows_redirects_or_the_environment() -> None:
    """A redirect is another destination, and so is a proxy variable: neither was cleared."""
    breaches = []
    for path in sources():
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Call):
                continue
            options = {word.arg: word.value for word in node.keywords if word.arg}
            for name in ("follow_redirects", "allow_redirects", "trust_env"):
                value = options.get(name)
                if value is not None and not (isinstance(value, ast.Constant) and value.value is False):
                    breaches.append(f"{at(path, node)} {name}={ast.unparse(value)}")
            called = ast.unparse(node.func)
            if called in {"httpx.Client", "httpx.AsyncClient"} and "trust_env" not in options:
                breaches.append(f"{at(path, node)} {called} without trust_env=False")
            if called.startswith("httpx.") and called.split(".")[1] in {
                "get",
                "post",
                "put",
                "request",
                "stream",
                "delete",
            }:
                breaches.append(f"{at(path, node)} {called} makes a client that reads the environment")
    holds(breaches, "redirects and proxy variables:")


def users_of(kit: str) -> list[Path]:
    """The files that import a kit."""
    return [path for path in sources() if any(within(name, {kit}) for name, _ in imported(parsed(path)))]


@pytest.mark.parametrize("kit", ONE_FILE)
def test_one_file_knows_each_of_these(kit: str) -> None:
    """Replaceable, because one file knows it."""
    users = [name_of(path) for path in users_of(kit)]
    assert len(users) <= 1, f"{kit} is known to more than one file: {users}"
    assert all(name.startswith("gateway/adapters/") for name in users), f"{kit} is no adapter's: {users}"


@pytest.mark.parametrize("kit", ONE_HOME)
def test_each_kit_has_one_home(kit: str) -> None:
    """All who import it live in one folder, or are one file."""
    home = ONE_HOME[kit]
    users = [name_of(path) for path in users_of(kit)]
    assert all(name.startswith(home) for name in users), f"{kit} is at home in {home}, not in {users}"
    rooms = {name.removeprefix(home).partition("/")[0] for name in users}
    assert len(rooms) <= 1, f"{kit} has more than one home: {users}"


def test_litellm_is_imported_late() -> None:
    """A million lines are read only by who needs them: never at the top of a module."""
    breaches = [
        at(path, node)
        for path in sources()
        for node in parsed(path).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and "litellm" in ast.unparse(node).split()[1].split(".")[0]
    ]
    holds(breaches, "litellm at import time:")


# ------------------------------------------------------------- promises 1 and 7: a type for each stage


@pytest.mark.parametrize("made", ONLY_MAKER)
def test_a_stage_is_made_by_its_step_alone(made: str) -> None:
    """Nothing skips redaction or the clearance by making their result itself, or by altering one."""
    breaches = []
    for path in sources():
        if inner(path) == ONLY_MAKER[made]:
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called.split(".")[-1] == made or called in {f"cast.{made}", f"{made}.__new__"}:
                    breaches.append(at(path, node))
    holds(breaches, f"{made} is made in {ONLY_MAKER[made]} only:")


def test_no_stage_is_altered_by_replace() -> None:
    """``dataclasses.replace`` on a cleared call or an attempt would be a second maker."""
    breaches = []
    for path in sources():
        if inner(path) in ONLY_MAKER.values():
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "replace",
                "dataclasses.replace",
                "copy.replace",
            }:
                first = ast.unparse(node.args[0]) if node.args else ""
                if first.split(".")[-1] in {"attempt", "cleared", "cleared_call"}:
                    breaches.append(f"{at(path, node)} replace({first}, …)")
    holds(breaches, "a cleared call or an attempt is altered:")


# -------------------------------------------------------------------------- promise 6: never float


@pytest.mark.parametrize("name", NO_FLOATS)
def test_money_and_quotas_know_no_float(name: str) -> None:
    """Amounts are integers and decimals; true division of integers is a float too, but decimals may."""
    path = GATEWAY / name
    if not path.exists():
        pytest.skip(f"{name} is not there")
    breaches = []
    for node in ast.walk(parsed(path)):
        literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
        named = isinstance(node, ast.Name) and node.id == "float"
        if literal or named:
            breaches.append(at(path, node))
    holds(breaches, "a float where money is counted:")


def test_sql_columns_know_no_float() -> None:
    """Money at rest is an integer: no column is a float, real or double."""
    breaches = [
        at(path, node)
        for path in sources()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Name | ast.Attribute)
        and ast.unparse(node).split(".")[-1]
        in {"Float", "REAL", "Double", "DOUBLE", "DOUBLE_PRECISION", "FLOAT"}
    ]
    holds(breaches, "a float column:")


# ------------------------------------------------------------------------------------ the pure core


def test_the_core_reads_no_clock_and_throws_no_dice() -> None:
    """Time and ids are arguments, so that every decision can be made again."""
    clocks = {"now", "utcnow", "today", "time_ns", "monotonic", "monotonic_ns", "perf_counter"}
    owners = {"datetime", "date", "time", "datetime.datetime", "datetime.date"}
    breaches = []
    for path in (GATEWAY / "core").rglob("*.py"):
        for node in ast.walk(parsed(path)):
            owned = isinstance(node, ast.Attribute) and ast.unparse(node.value) in owners
            if owned and (node.attr in clocks or ast.unparse(node) == "time.time"):
                breaches.append(at(path, node))
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"open", "input", "print"}:
                breaches.append(f"{at(path, node)} {ast.unparse(node.func)}()")
    holds(breaches, "the core reads a clock or does input and output:")


# ------------------------------------------------------------------- settings, boundaries, no globals


def test_the_environment_is_read_by_settings_alone() -> None:
    """Settings are read once and passed down; an ambient vendor key is never used by accident."""
    breaches = []
    for path in sources():
        if any(fnmatch(inner(path), reader) for reader in ENVIRONMENT_READERS):
            continue
        for node in ast.walk(parsed(path)):
            attribute = isinstance(node, ast.Attribute) and ast.unparse(node) in {
                "os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv",
            }  # fmt: skip
            name = (
                isinstance(node, ast.ImportFrom)
                and node.module == "os"
                and any(alias.name in {"environ", "environb", "getenv", "putenv"} for alias in node.names)
            )
            if attribute or name:
                breaches.append(at(path, node))
    holds(breaches, "the environment is read outside settings and cli:")


def _swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler ends otherwise than by raising on."""
    last = handler.body[-1]
    return not (isinstance(last, ast.Raise) and last.exc is None)


def test_everything_is_caught_at_the_boundaries_only() -> None:
    """Anywhere else a broad ``except`` hides the bug that lets a byte out. Raising on is no catching."""
    breaches, used = [], set()
    for path in sources():
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.ExceptHandler) or not _swallows(node):
                continue
            caught = ast.unparse(node.type) if node.type else "everything"
            if not {"Exception", "BaseException", "everything"} & set(caught.strip("()").split(", ")):
                continue
            said = any("# boundary:" in line for line in lines[max(0, node.lineno - 2) : node.lineno + 1])
            if inner(path) in BOUNDARIES and said:
                used.add(inner(path))
            else:
                breaches.append(f"{at(path, node)} except {caught}")
    holds(breaches, "a broad except outside BOUNDARIES, or without its `# boundary:` comment:")
    homes_are_used(BOUNDARIES, used)


def test_cancellation_is_never_swallowed() -> None:
    """A cancelled task that goes on holds what it should let go: who catches it raises it on, or may."""
    breaches = [
        at(path, node)
        for path in sources()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ExceptHandler)
        and node.type is not None
        and "CancelledError" in ast.unparse(node.type)
        and not any(isinstance(line, ast.Raise) and line.exc is None for line in ast.walk(node))
    ]
    rule = "CancelledError caught and never raised on (around a task that we ended: contextlib.suppress):"
    holds(breaches, rule)


def test_nothing_is_global() -> None:
    """State has an owner that is passed along."""
    breaches = [
        at(path, node)
        for path in sources()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Global)
    ]
    holds(breaches, "`global`:")


# ------------------------------------------------------------------------------- the lints themselves


SEEDED = """
import httpx, os
from pyreqwest.client import ClientBuilder
def f(call, attempt):
    global x
    try:
        return Attempt(id="a"), os.environ["K"], httpx.AsyncClient(follow_redirects=True)
    except Exception:
        return None
"""


def test_the_lints_see_a_seeded_breach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lint that finds nothing in a file full of breaches would prove nothing."""
    house = tmp_path / "gateway"
    (house / "core").mkdir(parents=True)
    (house / "core" / "budget.py").write_text("from datetime import datetime\nx = 0.5\nt = datetime.now()\n")
    (house / "api.py").write_text(SEEDED)
    here = globals()
    monkeypatch.setitem(here, "GATEWAY", house)
    monkeypatch.setitem(here, "sources", lambda: tuple(sorted(house.rglob("*.py"))))
    monkeypatch.setitem(here, "name_of", lambda path: path.name)
    monkeypatch.setitem(here, "NETWORK_HOMES", {})
    monkeypatch.setitem(here, "BOUNDARIES", {})
    for lint in (
        test_only_the_named_homes_speak_to_a_network,
        test_no_client_follows_redirects_or_the_environment,
        lambda: test_a_stage_is_made_by_its_step_alone("Attempt"),
        lambda: test_money_and_quotas_know_no_float("core/budget.py"),
        test_the_core_reads_no_clock_and_throws_no_dice,
        test_the_environment_is_read_by_settings_alone,
        test_everything_is_caught_at_the_boundaries_only,
        test_nothing_is_global,
    ):
        with pytest.raises(AssertionError):
            lint()
