"""Reload: a bundle is read whole; a good one replaces the snapshot, a bad one is reported.

A bundle comes from an origin: a folder, or the store's active hash. INVARIANT: there is never a
mixture of two bundles, and never none: the last good snapshot stays until a better one is there.
How long it may stay when what should be in force cannot be taken, :meth:`PolicySource.stale` says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from gateway.core.snapshot import Snapshot
from gateway.policy.bundle import Bundle
from gateway.policy.compile import compile_bundle
from gateway.policy.load import PATTERNS, bundle_of, read_folder
from gateway.policy.problems import PolicyErrors, Problem
from gateway.policy.sign import SIGNATURES, Signature, Unusable, beside

_Signature = tuple[tuple[str, int, int], ...]


class NotAccepted(Exception):
    """This process cannot enforce a snapshot; the text says why and the fix."""


class OriginAway(Exception):
    """Where bundles come from does not answer now. Try again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A bundle as an origin offers it. ``hash`` is the name that its content must have, if it has one."""

    files: Mapping[str, bytes]
    hash: str | None = None
    author: str = ""
    signatures: tuple[Signature, ...] = ()
    revoke: bool = False  # end attempts in flight that it does not permit


class Origin(Protocol):
    """Where bundles come from. Both raise OriginAway; ``read`` raises PolicyErrors too."""

    def seen(self) -> object:
        """Return what changes when the content may have changed. Cheap."""
        ...

    def read(self) -> Offered:
        """Return the bundle that should be in force."""
        ...


class FolderOrigin(Origin):
    """A folder of policy files, with its signatures beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @override
    def seen(self) -> object:
        return _signature(self.folder)

    @override
    def read(self) -> Offered:
        files = read_folder(self.folder)
        try:
            author, signatures = beside(self.folder)
        except Unusable as wrong:
            raise PolicyErrors([_whole(str(wrong))]) from None
        return Offered(files=files, author=author, signatures=signatures)


class StoreOrigin(Origin):
    """The active hash of the store. ``version`` and ``active`` ask it, blocking, and raise OriginAway."""

    def __init__(self, version: Callable[[], int], active: Callable[[], Offered | None]) -> None:
        self._version = version
        self._active = active

    @override
    def seen(self) -> object:
        return self._version()

    @override
    def read(self) -> Offered:
        offered = self._active()
        if offered is None:
            raise PolicyErrors(
                [_whole("no bundle is active in the store", "run `borderpost policy publish FOLDER`")]
            )
        return offered


def _anything(_: Snapshot) -> None:
    """Accept every snapshot."""


def _anybody(_offered: Offered, _bundle: Bundle, _snapshot: Snapshot) -> None:
    """Approve every bundle."""


def _nobody(_snapshot: Snapshot, _offered: Offered) -> None:
    """Tell nobody."""


class PolicySource:
    """Snapshots from an origin; a path is a folder.

    ``snapshot`` and ``bundle`` are the last good ones; ``problems`` says what is wrong with what
    is offered now (empty when it is in force).
    """

    def __init__(self, origin: Path | Origin) -> None:
        self.origin: Origin = FolderOrigin(origin) if isinstance(origin, Path) else origin
        self.accept: Callable[[Snapshot], None] = _anything
        """Called with a snapshot before it is in force; raises NotAccepted to keep the last good one."""
        self.approve: Callable[[Offered, Bundle, Snapshot], None] = _anybody
        """Called before ``accept``; raises NotAccepted for a bundle whose signatures do not suffice."""
        self.changed: Callable[[Snapshot, Offered], None] = _nobody
        """Called after a snapshot is in force, on the thread that polled."""
        self.problems: tuple[Problem, ...] = ()
        self.offered: Offered | None = None
        """What the bundle in force was offered as."""
        self._lock = threading.Lock()
        self._bundle: Bundle | None = None
        self._snapshot: Snapshot | None = None
        self._seen: object = None
        self._wrong_since: int | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot in force. Raises LookupError before the first good load."""
        if self._snapshot is None:
            raise LookupError("no policy was loaded yet")
        return self._snapshot

    @property
    def bundle(self) -> Bundle:
        """The bundle in force. Raises LookupError before the first good load."""
        if self._bundle is None:
            raise LookupError("no policy was loaded yet")
        return self._bundle

    def stale(self, *, now: int, most_s: float) -> bool:
        """Whether the last good bundle has stood in for longer than it may. ``now`` in ns."""
        return self._wrong_since is not None and now - self._wrong_since > most_s * 1e9

    def behind_s(self, *, now: int) -> float | None:
        """Return for how long what should be in force could not be taken; None when it is."""
        return None if self._wrong_since is None else max(0.0, (now - self._wrong_since) / 1e9)

    def load(self, *, now: int) -> Snapshot:
        """Load what is offered, whatever was there before.

        Raises PolicyErrors and keeps the last good one. Blocks; one thread at a time loads.
        """
        with self._lock:
            return self._load(now)

    def _load(self, now: int) -> Snapshot:
        try:
            self._seen = self.origin.seen()
            offered = self.origin.read()
            bundle = bundle_of(offered.files, now=now)
            snapshot = compile_bundle(bundle, now=now)
            self._ask(offered, bundle, snapshot)
        except OriginAway as away:
            self._seen = None  # looked at again as soon as it answers
            self._wrong(now, (_whole(str(away)),))
            raise PolicyErrors(self.problems) from None
        except PolicyErrors as errors:
            self._wrong(now, tuple(errors.problems))
            raise
        self.problems, self._wrong_since = (), None
        if self._snapshot is not None and snapshot.hash == self._snapshot.hash:
            return self._snapshot  # the same content: what is in force keeps its memos
        self._bundle, self._snapshot, self.offered = bundle, snapshot, offered
        self.changed(snapshot, offered)
        return snapshot

    def _wrong(self, now: int, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        if self._wrong_since is None:
            self._wrong_since = now

    def _ask(self, offered: Offered, bundle: Bundle, snapshot: Snapshot) -> None:
        if offered.hash is not None and offered.hash != bundle.hash:
            raise PolicyErrors(
                [
                    _whole(
                        f"the content of bundle `{offered.hash[:12]}` is not what its name says: it was "
                        "changed, or published by another version",
                        "publish it again",
                    )
                ]
            )
        try:
            self.approve(offered, bundle, snapshot)
            self.accept(snapshot)
        except NotAccepted as refused:
            raise PolicyErrors([_whole(str(refused))]) from None

    def poll(self, *, now: int) -> Snapshot | tuple[Problem, ...] | None:
        """Look again: ``None`` if nothing changed, a new snapshot, or what is wrong with the files.

        Cheap while nothing changes. A change that leaves the content the same (a comment, a
        touched file) gives ``None`` too.
        """
        with self._lock:
            return self._poll(now)

    def _poll(self, now: int) -> Snapshot | tuple[Problem, ...] | None:
        try:
            if self.origin.seen() == self._seen:
                return None
        except OriginAway as away:
            self._seen = None
            self._wrong(now, (_whole(str(away)),))
            return self.problems
        before = self._snapshot
        try:
            snapshot = self._load(now)
        except PolicyErrors:
            return self.problems
        return None if before is not None and snapshot.hash == before.hash else snapshot


def _whole(message: str, suggestion: str | None = None) -> Problem:
    return Problem(file="policy.yaml", line=0, column=0, message=message, suggestion=suggestion)


def _signature(folder: Path) -> _Signature:
    found: list[tuple[str, int, int]] = []
    for pattern in (*PATTERNS, SIGNATURES):
        for path in folder.glob(pattern):
            try:
                stat = path.stat()
            except OSError:
                continue
            found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return tuple(sorted(found))
