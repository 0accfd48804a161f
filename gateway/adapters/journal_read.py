"""Reading journals: the tail for the projector, the whole chain for an auditor.

``verify`` needs nothing but the files: it folds over lines and names file and line
of every edit, drop, reorder, gap and torn tail. What a chain alone cannot show is
the loss of a writer's last entries; ``writer.closed``, ``writer.adopted`` in another
writer's journal and (later) signed checkpoints pin the end.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from typing_extensions import override

from gateway.core.canonical import GENESIS, NotCanonical, digest, encode
from gateway.core.record import VERSION, Entry


class Garbled(ValueError):
    """A line is not an entry."""


def parse(line: bytes) -> Entry:
    """Parse one line without its newline. Raises Garbled."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise Garbled("not JSON") from None
    # Written out, not as a pattern: the projector reads back every entry of every call.
    if type(found) is not dict or found.keys() != _FIELDS or found["v"] != VERSION:
        raise Garbled(_why(found))
    fields: dict[str, Any] = found  # JSON; every field is looked at here
    if not (
        type(fields["writer"]) is str
        and type(fields["seq"]) is int
        and type(fields["t"]) is int
        and type(fields["kind"]) is str
        and type(fields["data"]) is dict
        and type(fields["prev"]) is str
    ):
        raise Garbled(_why(found))
    del fields["v"]
    return Entry(**fields)


_FIELDS = {"v", "writer", "seq", "t", "kind", "data", "prev"}


def _why(found: object) -> str:
    match found:
        case {"v": int(v)} if v != VERSION:
            return f"entry of version {v}: use the version of borderpost that wrote it"
        case _:
            return "not a journal entry"


def segments(folder: Path) -> list[Path]:
    """Return a writer's segments in order."""
    return sorted(folder.glob("[0-9]*.jsonl"))


class Tail:
    """Reads a writer's entries from the first on, as far as whole lines go.

    Call :meth:`read` again for what came since. Raises Garbled on a whole line that
    is not an entry, OSError when the files cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._segment = 1
        self._offset = 0

    def read(self, most: int = 1000, chunk_bytes: int = 1 << 20) -> list[Entry]:
        """Return up to about ``most`` further entries, or an empty list at the end."""
        entries: list[Entry] = []
        while len(entries) < most:
            path = self._folder / f"{self._segment:08d}.jsonl"
            lines = self._lines(path, chunk_bytes)
            if lines:
                for line in lines[: most - len(entries)]:
                    entries.append(parse(line))
                    self._offset += len(line) + 1
            elif (self._folder / f"{self._segment + 1:08d}.jsonl").exists():
                # The next segment exists, so this one has ended: look once more for
                # what came between the two looks, then move on.
                if not self._lines(path, chunk_bytes):
                    self._segment, self._offset = self._segment + 1, 0
            else:
                break
        return entries

    def _lines(self, path: Path, chunk_bytes: int) -> list[bytes]:
        try:
            with path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read(chunk_bytes)
                while chunk and b"\n" not in chunk and len(chunk) % chunk_bytes == 0:
                    more = file.read(chunk_bytes)
                    if not more:
                        break
                    chunk += more
        except FileNotFoundError:
            return []
        end = chunk.rfind(b"\n")
        return chunk[:end].split(b"\n") if end >= 0 else []


# ---------------------------------------------------------------------- verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong, and where. ``line`` counts from 1; 0 means the whole file."""

    file: str
    line: int
    message: str

    @override
    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterReport:
    """The chain of one writer. ``head`` is the hash of its last line.

    ``end`` says what pins the end of the chain: ``closed``, ``adopted``, ``live`` (its
    process holds the lock) or ``open`` (nothing: lost last entries would not show).
    """

    writer: str
    entries: int
    head: str
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What ``verify`` found in a folder."""

    writers: tuple[WriterReport, ...]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether every chain is whole."""
        return not self.problems

    @property
    def entries(self) -> int:
        """Entries over all writers."""
        return sum(writer.entries for writer in self.writers)


@dataclass(slots=True)
class _Chain:
    """The state of the fold over one writer's lines."""

    writer: str
    prev: str = GENESIS
    seq: int = 0
    closed: bool = False

    def step(self, line: bytes, adopted: dict[str, tuple[int, str]]) -> str | None:
        """Take the next line; return what is wrong with it, or None."""
        try:
            entry = parse(line)
            canonical = encode(orjson.loads(line))
        except (Garbled, NotCanonical) as error:
            self._resume(line, self.seq + 1)
            return str(error)
        wrong: str | None = None
        if canonical != line:
            wrong = "the line is not in canonical form: it was edited"
        elif entry.writer != self.writer:
            wrong = f"the entry is of writer `{entry.writer}`: it was moved here"
        elif entry.seq != self.seq + 1:
            wrong = f"entry {entry.seq} follows {self.seq}: {_what(entry.seq, self.seq)}"
        elif entry.prev != self.prev:
            wrong = f"entry {entry.seq} does not continue the chain: it or the line before was edited"
        elif self.closed:
            wrong = f"entry {entry.seq} follows the end of the writer"
        elif self.seq == 0 and entry.kind != "writer.open":
            wrong = "the chain does not begin with `writer.open`"
        if entry.kind == "writer.closed":
            self.closed = True
        if entry.kind == "writer.adopted":
            data = entry.data
            who, last, head = data.get("writer"), data.get("seq"), data.get("head")
            if isinstance(who, str) and isinstance(last, int) and isinstance(head, str):
                adopted[who] = (last, head)
        self._resume(line, entry.seq)
        return wrong

    def _resume(self, line: bytes, seq: int) -> None:
        """Go on from what is there, so that one fault is reported once."""
        self.prev = digest(line)
        self.seq = seq


def _what(seq: int, before: int) -> str:
    if seq > before + 1:
        return f"{seq - before - 1} dropped" if seq - before > 2 else "one was dropped"
    return "entries were reordered or repeated"


def verify(folder: Path) -> Report:
    """Verify one writer's folder, or every writer below a folder. Changes nothing.

    Raises FileNotFoundError if there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no journal at `{folder}`: name the folder that holds it")
    problems: list[Problem] = []
    adopted: dict[str, tuple[int, str]] = {}
    chains: list[tuple[Path, _Chain, bool]] = []
    for path in _writers(folder):
        chain = _Chain(path.name)
        live = _is_live(path)
        problems += _fold(path, folder, chain, adopted, live=live)
        chains.append((path, chain, live))
    reports: list[WriterReport] = []
    for path, chain, live in chains:
        pinned = adopted.get(chain.writer)
        if pinned is not None and pinned != (chain.seq, chain.prev):
            problems.append(
                Problem(
                    file=_name(path, folder),
                    line=0,
                    message=f"its adopter saw {pinned[0]} entries, here are {chain.seq}: the end was changed",
                )
            )
        end = "closed" if chain.closed else "adopted" if pinned else "live" if live else "open"
        reports.append(WriterReport(writer=chain.writer, entries=chain.seq, head=chain.prev, end=end))
    for missing in sorted(set(adopted) - {chain.writer for _, chain, _ in chains}):
        if not segments(folder):  # a single writer's folder says nothing about others
            problems.append(Problem(file=missing, line=0, message="an adopted writer's journal is missing"))
    return Report(writers=tuple(reports), problems=tuple(problems))


def _fold(
    path: Path, root: Path, chain: _Chain, adopted: dict[str, tuple[int, str]], *, live: bool
) -> Iterator[Problem]:
    found = segments(path)
    if not found:
        yield Problem(file=_name(path, root), line=0, message="the writer has no segment")
    for index, segment in enumerate(found, start=1):
        name = _name(segment, root)
        if segment.name != f"{index:08d}.jsonl":
            yield Problem(file=name, line=0, message=f"segment {index:08d}.jsonl is missing")
            return
        with segment.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    if not (live and index == len(found)):
                        yield Problem(file=name, line=number, message="the last line is torn")
                    break
                wrong = chain.step(line[:-1], adopted)
                if wrong is not None:
                    yield Problem(file=name, line=number, message=wrong)


def _writers(folder: Path) -> list[Path]:
    if segments(folder):
        return [folder]
    found = {path.parent for path in folder.rglob("[0-9]*.jsonl")}
    found |= {path.parent for path in folder.rglob("lock")}
    return sorted(path for path in found if not path.name.startswith("."))


def _is_live(folder: Path) -> bool:
    """Whether the writer's process holds its lock."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path != root else path.name
