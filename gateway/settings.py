"""Process settings: what one node is told at start, read once and frozen.

Owns every ``BORDERPOST_*`` variable and the one TOML file. What people decide about
calls (rules, facts, budgets, prices) is not here but in the policy bundle; what is here
needs a restart. This module is the only reader of the environment, so that a reader of
any other module knows that nothing hides there.

Reading is strict: an unknown key or variable is an error that names the nearest right
word, since a misspelt limit that is silently ignored is a limit that is not there.
Every setting says what it is for in its own metadata; ``describe()`` lists them and
``docs/reference/settings.md`` is checked against that list.
"""

# ruff: noqa: RUF009 (`_setting` returns a dataclass field; the rule cannot see that)

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit, urlunsplit

PREFIX = "BORDERPOST_"

# The variable that names the TOML file. It is no setting: it cannot stand in the file.
FILE_VARIABLE = "BORDERPOST_SETTINGS"

# The test suite's own switches, which a server started by a test inherits.
_RESERVED = ("BORDERPOST_TEST_", "BORDERPOST_REQUIRE_")

UNKNOWN_PLACE = "ZZ"
"""The place of a node that declared none (CLDR's code for an unknown region): no rule accepts it."""

_PLACE = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(Exception):
    """The settings cannot be used. ``problems`` holds one line each; the text is all of them."""

    def __init__(self, problems: list[str]) -> None:
        """Keep the problems, in the order found."""
        super().__init__("\n".join(problems))
        self.problems = problems


class _Text(str):
    """A value from the environment, which is always text, unlike a typed TOML value."""

    __slots__ = ()


# --------------------------------------------------------------- kinds of value

_Parse = Callable[[object, Path], object]
"""Turns a raw value into a checked one. Relative paths start at the folder given. Raises ValueError."""


def _string(raw: object, _base: Path) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError("must be a text that is not empty")
    return raw.strip()


def _path(raw: object, base: Path) -> Path:
    return (base / Path(_string(raw, base)).expanduser()).absolute()


def _boolean(raw: object, base: Path) -> bool:
    if isinstance(raw, _Text):
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if (word := _string(raw, base).lower()) in words:
            return words[word]
    elif isinstance(raw, bool):
        return raw
    raise ValueError("must be `true` or `false`")


def _integer(least: int, most: int) -> _Parse:
    def parse(raw: object, _base: Path) -> int:
        if isinstance(raw, _Text) and re.fullmatch(r"\s*\d{1,12}\s*", raw):
            raw = int(raw)
        if isinstance(raw, bool) or not isinstance(raw, int) or not least <= raw <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return raw

    return parse


def _ratio(raw: object, _base: Path) -> float:
    try:
        value = float(raw) if isinstance(raw, _Text | int | float) else -1.0
    except ValueError:
        value = -1.0
    if isinstance(raw, bool) or not 0.0 <= value <= 1.0:
        raise ValueError("must be a number from 0 to 1")
    return value


def _choice(*words: str) -> _Parse:
    def parse(raw: object, _base: Path) -> str:
        if raw not in words:
            raise ValueError(
                f"must be one of {', '.join(f'`{word}`' for word in words)}{_nearest(raw, words)}"
            )
        return str(raw)

    return parse


def _place(raw: object, base: Path) -> str:
    place = _string(raw, base)
    if not _PLACE.fullmatch(place):
        raise ValueError("must be an ISO 3166 code such as `CA` or `CA-QC`")
    return place


def _listen(raw: object, base: Path) -> str:
    text = _string(raw, base)
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be `host:port`, for example `0.0.0.0:8080` or `[::]:8080`")
    return text


def _networks(raw: object, base: Path) -> tuple[Network, ...]:
    parts: list[object]
    if isinstance(raw, _Text):
        parts = [part.strip() for part in raw.split(",") if part.strip()]
    elif isinstance(raw, list):
        parts = raw
    else:
        raise ValueError("must be a list of networks such as `10.0.0.0/8`")  # noqa: TRY004 (as every kind)
    return tuple(ipaddress.ip_network(_string(part, base)) for part in parts)


def _endpoint(raw: object, base: Path) -> str:
    parts = urlsplit(_string(raw, base))
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise ValueError("must be an http(s) URL without user name and query")
    return urlunsplit(parts).rstrip("/")


def _setting(
    parse: _Parse, doc: str, default: object, *, secret: bool = False
) -> Any:  # Any: as dataclasses.field
    return field(
        default=default,
        repr=not secret,
        metadata={"parse": parse, "doc": doc},
    )


def _section(cls: type, doc: str) -> Any:  # Any: as dataclasses.field
    return field(default_factory=cls, metadata={"section": cls, "doc": doc})


# ------------------------------------------------------------------- the settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one worker accepts from clients. Sizes in bytes, times in seconds."""

    max_body_bytes: int = _setting(
        _integer(1024, 1 << 30),
        "Largest request body. A larger one is answered 413 before it is read.",
        4 << 20,
    )
    max_header_bytes: int = _setting(
        _integer(1024, 1 << 20), "Largest request line and headers together; more is a 400.", 32 << 10
    )
    header_timeout_s: int = _setting(
        _integer(1, 3600), "Time for a client to send the whole request head. Then 408.", 10
    )
    body_timeout_s: int = _setting(
        _integer(1, 3600), "Time for a client to send the whole request body. Then 408.", 60
    )
    idle_timeout_s: int = _setting(
        _integer(1, 3600), "Time that an idle kept-alive connection stays open.", 75
    )
    write_timeout_s: int = _setting(
        _integer(1, 3600),
        "Time that a client may take nothing of a reply that waits for it. Then it is cut off "
        "and the upstream call ended.",
        60,
    )
    max_connections: int = _setting(
        _integer(1, 1_000_000), "Open client connections per worker. Further ones are answered 503.", 4096
    )
    max_concurrent: int = _setting(
        _integer(1, 1_000_000), "Calls in flight per worker. Further ones are answered 503.", 1024
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectors:
    """How personal data is looked for."""

    mode: Literal["off", "inline", "presidio"] = _setting(
        _choice("off", "inline", "presidio"),
        "`inline`: compiled patterns with checksums. `presidio`: these and Presidio with language "
        "models in processes of its own. `off`: none; then a policy that needs one refuses start-up.",
        "inline",
    )
    processes: int = _setting(_integer(1, 64), "Presidio processes per worker.", 1)
    ner_en: str | None = _setting(
        _string,
        "Another model for names in English: a spaCy package or folder, `transformers:FOLDER` or "
        "`gliner:FOLDER`. It must lie on this machine. Unset: the one that comes along.",
        None,
    )
    ner_fr: str | None = _setting(_string, "The same for names in French.", None)
    timeout_ms: int = _setting(
        _integer(10, 60_000),
        "Time for one detection. Then the call counts as not scanned and is refused.",
        1500,
    )
    tuning: Path | None = _setting(
        _path,
        "YAML file of values never reported, values always reported and own recognizers. See "
        "docs/how-to/legal/tune-detection.md.",
        None,
    )
    injection_url: str | None = _setting(
        _endpoint,
        "Address of a self-hosted classifier of prompt injection, asked beside the built-in heuristic. "
        "Unset: the heuristic alone.",
        None,
    )
    injection_place: str | None = _setting(
        _place,
        "Where that classifier runs. Needed with `injection_url`, and must be `place`: it sees prompts "
        "before anything is decided about them.",
        None,
    )

    @property
    def models(self) -> dict[str, str]:
        """The models for names that are not the ones that come along, by language."""
        named = {"en": self.ner_en, "fr": self.ner_fr}
        return {language: model for language, model in named.items() if model is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Where traces go. `/metrics` needs no setting."""

    otlp_endpoint: str | None = _setting(
        _endpoint,
        "Base URL of an OTLP/HTTP collector; `/v1/traces` and `/v1/metrics` are added. Unset: "
        "nothing is exported.",
        None,
    )
    otlp_place: str | None = _setting(
        _place, "Where that collector keeps what it gets. Needed with `otlp_endpoint`.", None
    )
    otlp_metrics: bool = _setting(_boolean, "Export metrics to the collector too.", False)
    otlp_interval_s: int = _setting(_integer(1, 3600), "Time between two exports of metrics.", 60)
    sampling: float = _setting(
        _ratio,
        "Share of calls that are traced when the caller sent no sampled `traceparent` (0 to 1).",
        0.01,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The process log on standard error. It never holds content."""

    level: Literal["debug", "info", "warning", "error"] = _setting(
        _choice("debug", "info", "warning", "error"), "Least severe level that is written.", "info"
    )
    format: Literal["json", "text"] = _setting(
        _choice("json", "text"), "`json`: one object a line. `text`: for people.", "json"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one process."""

    listen: str = _setting(
        _listen, "Address and port to serve on. Port 0 takes a free one.", "127.0.0.1:8080"
    )
    data_dir: Path = _setting(
        _path,
        "Folder of the journal, the embedded database and run-time files. On a durable volume.",
        Path(".borderpost/data"),
    )
    database_url: str | None = _setting(
        _string,
        "SQLAlchemy URL of the database: `sqlite:///…` or `postgresql+psycopg://…`. Unset: "
        "SQLite in `data_dir`.",
        None,
        secret=True,
    )
    policies: Path = _setting(_path, "Folder of the policy bundle.", Path("policies"))
    policy_source: Literal["folder", "store"] = _setting(
        _choice("folder", "store"),
        "Where the policy in force comes from: `folder`, the folder `policies`; `store`, the bundle that "
        "was activated last in the database, on every worker and replica within 2 s.",
        "folder",
    )
    policy_signing: Literal["off", "required"] = _setting(
        _choice("off", "required"),
        "`required`: a bundle without the signatures that it needs is refused, at start and at reload.",
        "off",
    )
    policy_keyring: Path | None = _setting(
        _path, "File of the public keys that may sign bundles. Needed with `policy_signing`.", None
    )
    statement_key: Path | None = _setting(
        _path,
        "Private key (PEM, Ed25519) that signs the statements of closed months, where `--key` names none. "
        "With `policy_keyring` it must be known there as `finance`.",
        None,
    )
    policy_last_good_s: int = _setting(
        _integer(0, 31_536_000),
        "How long the last good policy stays in force when the one that should be cannot be taken. Then "
        "calls are refused.",
        259_200,
    )
    database_place: str | None = _setting(
        _place,
        "Where the database keeps its data, for `log_in` rules and proofs. Unset: as `place`.",
        None,
    )
    place: str = _setting(
        _place,
        "Where this node runs and keeps its journal: an ISO 3166 code. `ZZ` is unknown, which "
        "satisfies no `log_in` rule.",
        UNKNOWN_PLACE,
    )
    workers: int = _setting(_integer(1, 256), "Worker processes that share the listening socket.", 1)
    durability: Literal["process", "host"] = _setting(
        _choice("process", "host"),
        "What a journal entry survives before a call goes on: `process`, `kill -9`; `host`, a "
        "power cut (slower: waits for the disk).",
        "process",
    )
    tls_certificate: Path | None = _setting(
        _path, "PEM file with the server's certificate chain. Needs `tls_key`.", None
    )
    tls_key: Path | None = _setting(_path, "PEM file with the server's private key.", None)
    trusted_proxies: tuple[Network, ...] = _setting(
        _networks,
        "Networks of reverse proxies. Only from these are `X-Forwarded-For` and "
        "`X-Forwarded-Proto` believed. In a variable: separated by commas.",
        (),
    )
    ca_bundle: Path | None = _setting(
        _path, "PEM file of certificate authorities for upstreams, instead of the system's.", None
    )
    admin_token_file: Path | None = _setting(
        _path,
        "File of admin tokens, one a line: `<role> <sha256 of the token, in hex> [<name>]`, role "
        "`admin`, `finance` or `auditor`. Unset: the admin API is closed.",
        None,
    )
    stream_ping_s: int = _setting(
        _integer(1, 3600), "Time without output after which a stream that is held back gets a ping.", 15
    )
    drain_s: int = _setting(
        _integer(0, 3600),
        "After SIGTERM, time for calls in flight to finish. Then they are cut with a proper end.",
        30,
    )
    demo: bool = _setting(_boolean, "Demo mode: embedded demo models, demo keys. Never for real data.", False)
    limits: Limits = _section(Limits, "What one worker accepts from clients.")
    detectors: Detectors = _section(Detectors, "How personal data is looked for.")
    telemetry: Telemetry = _section(Telemetry, "Where traces and metrics go.")
    log: Log = _section(Log, "The process log.")

    @property
    def host(self) -> str:
        """The address to listen on, without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen on; 0 takes a free one."""
        return int(self.listen.rpartition(":")[2])

    @property
    def database(self) -> str:
        """The URL of the database, with the embedded default applied."""
        return self.database_url or f"sqlite:///{self.data_dir / 'borderpost.db'}"

    @property
    def run_dir(self) -> Path:
        """The folder of files that live only as long as this process family."""
        return self.data_dir / "run"

    @staticmethod
    def load(toml_path: Path | None, environ: Mapping[str, str]) -> Settings:
        """Read the file (if any), then the variables, which win over it.

        Without ``toml_path`` the variable ``BORDERPOST_SETTINGS`` may name the file.
        Relative paths in the file start at the file's folder, those in variables at
        the current one. Raises SettingsError with every problem found.
        """
        problems: list[str] = []
        named = environ.get(FILE_VARIABLE)
        path = toml_path or (Path(named) if named else None)
        values = _read_file(path, problems) if path else {}
        values.update(_read_environment(environ, problems))
        if problems:
            raise SettingsError(problems)
        settings = _build(values)
        problems.extend(_contradictions(settings))
        if problems:
            raise SettingsError(problems)
        return settings


def environment() -> Mapping[str, str]:
    """Return the process environment, for those who are handed it (secret references ``env:NAME``)."""
    return os.environ


def put_variable(name: str, value: str | None) -> None:
    """Set or remove a variable of this process and its children, for a package that takes no argument."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One setting as documented: ``detectors.mode``, its variable, its default as text."""

    key: str
    variable: str
    default: str
    doc: str


def describe() -> tuple[Described, ...]:
    """List every setting in the order of the file."""
    return tuple(
        Described(
            key=key,
            variable=_variable(key),
            default=_shown(item.default),
            doc=str(item.metadata["doc"]),
        )
        for key, item in _fields(Settings)
    )


# ------------------------------------------------------------------ admin tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminToken:
    """One admin token: its role, and the SHA-256 of the token (never the token)."""

    role: Literal["admin", "finance", "auditor"]
    sha256: bytes = field(repr=False)
    name: str


def read_admin_tokens(path: Path | None) -> tuple[AdminToken, ...]:
    """Read the file of admin tokens; empty lines and ``#`` comments are skipped.

    ``None`` gives none. Raises SettingsError; its text never holds what the line says.
    """
    if path is None:
        return ()
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise SettingsError([f"admin_token_file: cannot read `{path}`; make it readable text"]) from None
    tokens: list[AdminToken] = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        role = words[0]
        if (
            len(words) not in {2, 3}
            or role not in {"admin", "finance", "auditor"}
            or not re.fullmatch("[0-9a-f]{64}", words[1])
        ):
            wanted = "`<role> <sha256 in hex> [<name>]`, the role one of admin, finance, auditor"
            raise SettingsError([f"{path}:{number}: must be {wanted}"])
        tokens.append(
            AdminToken(
                role=cast("Literal['admin', 'finance', 'auditor']", role),
                sha256=bytes.fromhex(words[1]),
                name=words[2] if len(words) == 3 else role,
            )
        )
    return tuple(tokens)


# ------------------------------------------------------------------------ reading


def _fields(cls: type) -> Iterator[tuple[str, dataclasses.Field[object]]]:
    for item in dataclasses.fields(cls):
        if section := item.metadata.get("section"):
            for inner in dataclasses.fields(section):
                yield f"{item.name}.{inner.name}", inner
        else:
            yield item.name, item


def _variable(key: str) -> str:
    return PREFIX + key.replace(".", "_").upper()


def _shown(default: object) -> str:
    match default:
        case None:
            return "unset"
        case ():
            return "none"
        case bool():
            return str(default).lower()
        case _:
            return str(default)


def _nearest(word: object, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


def _parse(item: dataclasses.Field[object], raw: object, base: Path) -> object:
    parse: _Parse = item.metadata["parse"]
    return parse(raw, base)


def _read_file(path: Path, problems: list[str]) -> dict[str, object]:
    try:
        text = path.read_text("utf-8")
        tree = tomllib.loads(text)
    except (OSError, UnicodeDecodeError):
        problems.append(f"{path}: cannot be read as text")
        return {}
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{path}: not valid TOML: {error}")
        return {}
    known = dict(_fields(Settings))
    sections = {key.partition(".")[0] for key in known if "." in key}
    values: dict[str, object] = {}
    for key, raw in _flatten(tree, sections):
        where = f"{path}:{_line_of(text, key)}"
        if key not in known:
            problems.append(f"{where}: unknown setting `{key}`{_nearest(key, [*known, *sections])}")
            continue
        try:
            values[key] = _parse(known[key], raw, path.parent)
        except ValueError as error:
            problems.append(f"{where}: `{key}` {error}")
    return values


def _flatten(tree: Mapping[str, object], sections: set[str]) -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if key in sections and isinstance(value, dict):
            for inner, raw in value.items():
                yield f"{key}.{inner}", raw
        else:
            yield key, value


def _line_of(text: str, key: str) -> int:
    """Return the line of a key: tomllib keeps no positions, and a name alone is hard to find."""
    section, _, name = key.rpartition(".")
    inside = not section
    for number, line in enumerate(text.splitlines(), 1):
        if heading := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
            inside = heading[1] == section
            if heading[1] == key:
                return number
        elif inside and re.match(rf'\s*"?{re.escape(name)}"?\s*[.=]', line):
            return number
    return 1


def _read_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, object]:
    known = {_variable(key): (key, item) for key, item in _fields(Settings)}
    values: dict[str, object] = {}
    for name, raw in environ.items():
        if not name.startswith(PREFIX) or name == FILE_VARIABLE or name.startswith(_RESERVED):
            continue
        if name not in known:
            problems.append(f"unknown variable `{name}`{_nearest(name, list(known))}")
            continue
        key, item = known[name]
        try:
            values[key] = _parse(item, _Text(raw), Path.cwd())
        except ValueError as error:
            # The value is not shown: it may be a secret that was put in the wrong variable.
            problems.append(f"`{name}` {error}")
    return values


def _build(values: Mapping[str, object]) -> Settings:
    flat = {key: value for key, value in values.items() if "." not in key}
    nested: dict[str, dict[str, object]] = {}
    for key, value in values.items():
        section, dot, name = key.partition(".")
        if dot:
            nested.setdefault(section, {})[name] = value
    for item in dataclasses.fields(Settings):
        if section_type := item.metadata.get("section"):
            flat[item.name] = section_type(**nested.get(item.name, {}))
    flat.setdefault("data_dir", Path(".borderpost/data").absolute())
    flat.setdefault("policies", Path("policies").absolute())
    # Any: each value was checked by its own parser, which the type checker cannot follow.
    settings: Settings = cast("Any", Settings)(**flat)
    return settings


def _contradictions(settings: Settings) -> Iterator[str]:
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        yield "`tls_certificate` and `tls_key` go together; set both or neither"
    telemetry = settings.telemetry
    if telemetry.otlp_endpoint and not telemetry.otlp_place:
        yield "`telemetry.otlp_endpoint` needs `telemetry.otlp_place`: where does the collector keep data?"
    if settings.detectors.injection_url and settings.detectors.injection_place != settings.place:
        yield "`detectors.injection_url` needs `detectors.injection_place`, and that must equal `place`"
    if settings.policy_signing == "required" and settings.policy_keyring is None:
        yield "`policy_signing` needs `policy_keyring`: whose signatures count?"
    if settings.database_url and not settings.database_url.startswith(
        ("sqlite:///", "postgresql+psycopg://")
    ):
        yield "`database_url` must start with `sqlite:///` or `postgresql+psycopg://`"
