"""The process log: one JSON object a line on standard error, without content.

Only the fields of an allow-list are written, and a message is a constant of ours, so that
a prompt, a key or an upstream address cannot reach the log by way of an argument. Other
packages' records keep their logger and level, and their message only from a warning up,
shortened; a traceback shows files and lines, never the values or the exception's text.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal, Protocol

import orjson
from typing_extensions import override

OURS = "gateway"

FIELDS = frozenset({
    "abandoned", "alias", "app", "attempt", "budget", "call", "check", "code", "deployment",
    "entries", "error", "exit", "in_flight", "kind", "lag_s", "line", "listen", "metric", "number",
    "outcome", "part", "pause_s", "pid", "place", "request_id", "segment", "sequence", "snapshot",
    "stage", "status", "surface", "team", "version", "waited_s", "why", "worker", "writer",
})  # fmt: skip
"""The names that ``extra`` may carry into a line. Anything else is dropped."""

# Values of these types only; an object's text could hold content.
_PLAIN = (str, int, float, bool, type(None))

_LONGEST = 200

# Why a start failed may take several lines; uvicorn passes on what our own start-up said.
_LONGEST_OURS = 4_000


class LogSettings(Protocol):
    """What is needed of the settings."""

    @property
    def level(self) -> Literal["debug", "info", "warning", "error"]:
        """The least severe level written."""
        ...

    @property
    def format(self) -> Literal["json", "text"]:
        """How a line is written."""
        ...


def fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    """Yield what a line says, in order."""
    yield "time", datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    yield "level", record.levelname.lower()
    yield "logger", record.name
    # INVARIANT: arguments are never formatted into a message. A message with placeholders
    # shows them unfilled; what may be said has a name in FIELDS.
    if record.name.partition(".")[0] == OURS or record.name == "uvicorn.error":
        yield "message", str(record.msg)[:_LONGEST_OURS]
    elif record.levelno >= logging.WARNING:
        # The first line only: asyncio, for one, puts an exception's text into the second.
        yield "message", str(record.msg).partition("\n")[0][:_LONGEST]
    for name in sorted(FIELDS & record.__dict__.keys()):
        value = record.__dict__[name]
        if isinstance(value, _PLAIN):
            yield name, value[:_LONGEST] if isinstance(value, str) else value
    if record.exc_info and record.exc_info[1] is not None:
        yield "error", type(record.exc_info[1]).__name__
        frames = traceback.extract_tb(record.exc_info[2])
        yield "at", [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-12:]]


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        return orjson.dumps(dict(fields(record))).decode()


class TextFormatter(logging.Formatter):
    """Writes a record for a person at a terminal."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        seen = dict(fields(record))
        head = f"{str(seen.pop('time'))[11:23]} {seen.pop('level')!s:7} {seen.pop('logger')}"
        message = seen.pop("message", "")
        rest = " ".join(f"{name}={value}" for name, value in seen.items())
        return f"{head}  {message}  {rest}".rstrip()


def configure(settings: LogSettings) -> None:
    """Send every logger of the process to standard error in our format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(settings.level.upper())
    logging.captureWarnings(capture=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        theirs = logging.getLogger(name)
        # Not none: a logger without any writes its warnings to standard error by itself.
        theirs.handlers = [logging.NullHandler()]
        theirs.propagate = name != "uvicorn.access"
        # What uvicorn says of a start or an end, we say ourselves.
        theirs.setLevel(logging.WARNING)
