"""The detector's process: reads texts from a pipe, answers with spans, and nothing else.

It has no way out: an audit hook refuses every connection, name look-up and new process,
so that text cannot leave through a library's good intentions. Standard output carries
frames only; whatever a library prints goes to standard error, which the parent discards.
It ends when its standard input does.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import BinaryIO

_FORBIDDEN = frozenset(
    {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind", "socket.getaddrinfo",
     "socket.gethostbyname", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"}
)  # fmt: skip


class WayOutClosed(Exception):
    """Something in the detector's process tried to reach the network or start a program."""


def _refuse(event: str, _: tuple[object, ...]) -> None:
    if event in _FORBIDDEN:
        raise WayOutClosed(event)


def main(named: dict[str, str]) -> int:
    """Serve until standard input ends. The exit status is 3 if the engine cannot serve.

    ``named`` holds the models that settings name, by language.
    """
    sys.addaudithook(_refuse)
    logging.disable(logging.CRITICAL)  # Presidio logs what it analyses
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Imported here: the hook must be there before any library is.
    from gateway.adapters.detectors.frames import frame  # noqa: PLC0415
    from gateway.adapters.detectors.ner_models import NoSuchModel  # noqa: PLC0415
    from gateway.adapters.detectors.presidio_engine import NotReady, PresidioEngine  # noqa: PLC0415

    try:
        engine = PresidioEngine(named)
    except (NotReady, NoSuchModel, ImportError, OSError, WayOutClosed) as failure:
        _write(sink, frame({"ready": False, "why": f"{type(failure).__name__}: {failure}"[:300]}))
        return 3
    _write(sink, frame({"ready": True}))
    return _serve(engine, source, sink)


def _serve(engine: object, source: BinaryIO, sink: BinaryIO) -> int:
    import orjson  # noqa: PLC0415 (as above)

    from gateway.adapters.detectors.frames import frame  # noqa: PLC0415
    from gateway.adapters.detectors.presidio_engine import PresidioEngine  # noqa: PLC0415

    assert isinstance(engine, PresidioEngine)  # noqa: S101 (the type is imported late)
    while len(head := source.read(4)) == 4:
        request = orjson.loads(source.read(int.from_bytes(head, "big")))
        kinds = frozenset(request["kinds"])
        spans = engine.detect([(text, context) for text, context in request["texts"]], kinds)
        _write(sink, frame({"id": request["id"], "spans": spans}))
    return 0


def _write(sink: BinaryIO, data: bytes) -> None:
    sink.write(data)
    sink.flush()


if __name__ == "__main__":
    sys.exit(main(dict(pair.split("=", 1) for pair in sys.argv[1:])))
