"""What journals on this machine hold that the ledger does not: asked before a period is closed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.adapters.journal_read import Garbled, parse, segments
from gateway.adapters.store_sql.books import Unread
from gateway.core.record import BUILT

_ADOPTED = "adopted"  # the mark of :mod:`gateway.adapters.adoption`: all of it is in the tables


def unread_here(root: Path, cursors: Mapping[str, int], *, end_us: int) -> list[Unread]:
    """Return the writers below ``root`` with attempts from before ``end_us`` that are not in the tables.

    ``cursors`` says how far each journal is in the tables.
    """
    found: list[Unread] = []
    for folder in sorted(path for place in _folders(root) for path in _folders(place)):
        if (folder / _ADOPTED).exists():
            continue
        why = _why(folder, cursors.get(folder.name, 0), end_us)
        if why:
            found.append(Unread(writer=folder.name, host="this machine", place=folder.parent.name, why=why))
    return found


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _why(folder: Path, seen: int, end_us: int) -> str:
    """Return what is unread in one journal; empty if nothing of the period is."""
    count = 0
    try:
        for line in _after(folder, seen):
            entry = parse(line)
            started = entry.data.get("started")
            if entry.kind in BUILT and (started if isinstance(started, int) else entry.t) < end_us:
                count += 1
    except (Garbled, OSError):
        return "its journal cannot be read"
    return f"{count} entries of its journal are not in the ledger" if count else ""


def _after(folder: Path, seen: int) -> Iterator[bytes]:
    """Yield the lines behind entry ``seen``. Segments that the tables hold whole are not read."""
    needed: list[tuple[int, Path]] = []
    for segment in reversed(segments(folder)):
        with segment.open("rb") as file:
            line = file.readline()
        if not line.endswith(b"\n"):
            continue  # nothing whole is in it yet
        first = parse(line[:-1]).seq
        needed.append((first, segment))
        if first <= seen + 1:
            break
    for first, segment in reversed(needed):
        with segment.open("rb") as file:
            for number, line in enumerate(file, start=first):
                if number > seen and line.endswith(b"\n"):
                    yield line[:-1]
