"""Secrets of connections: references in, values out, never shown.

Owns the reading of ``file:/path`` and ``env:NAME``. A file is read again when it
changes, so that a rotated secret is used without a restart. A value is never logged
and never part of an error.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import override

from gateway.core.snapshot import Connection

_LOOK_AGAIN_S = 1.0


class SecretMissing(Exception):
    """A reference leads to nothing. The text names the reference, never a value."""


@dataclass(slots=True)
class _Kept:
    value: str = field(repr=False)
    stamp: tuple[int, int]
    looked: float


class Secrets:
    """Resolves references. ``environ`` is handed in by the composition root."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Keep the environment to look ``env:`` references up in."""
        self._environ = environ
        self._files: dict[str, _Kept] = {}

    @override
    def __repr__(self) -> str:
        """Show no value."""
        return "Secrets()"

    def get(self, reference: str | None) -> str | None:
        """Return the value of a reference, None for none. Raises SecretMissing.

        A file's stamp is looked at once a second at most.
        """
        if reference is None:
            return None
        kind, _, name = reference.partition(":")
        if kind == "env":
            value = self._environ.get(name)
            if not value:
                raise SecretMissing(f"`{reference}` is not set; set it or correct the connection")
            return value
        if kind == "file":
            return self._file(reference, Path(name))
        raise SecretMissing(f"`{kind}:…` is no kind of secret; write file:/path or env:NAME")

    def missing(self, connections: Iterable[Connection]) -> list[str]:
        """Return a sentence for each connection whose secret cannot be read (doctor, check)."""
        problems = []
        for connection in connections:
            try:
                self.get(connection.secret)
            except SecretMissing as missing:
                problems.append(f"{connection.deployment}: {missing}")
        return problems

    def _file(self, reference: str, path: Path) -> str:
        now = time.monotonic()
        kept = self._files.get(reference)
        if kept is not None and now - kept.looked < _LOOK_AGAIN_S:
            return kept.value
        try:
            seen = path.stat()
            stamp = (seen.st_mtime_ns, seen.st_size)
            if kept is not None and kept.stamp == stamp:
                kept.looked = now
                return kept.value
            value = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise SecretMissing(f"`{reference}` cannot be read; mount it or correct the connection") from None
        if not value:
            raise SecretMissing(f"`{reference}` is empty; write the secret into it")
        self._files[reference] = _Kept(value=value, stamp=stamp, looked=now)
        return value
