"""The in-memory twin of the key snapshot: the same look-up without a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from gateway.adapters.keys import VALID_S, KeyTable, mint
from gateway.core.snapshot import App


class MemoryKeys(KeyTable):
    """Keys that live as long as the process, for tests and benchmarks."""

    def __init__(self, apps: Callable[[], Mapping[str, App]], *, now: int, valid_s: float = VALID_S) -> None:
        """Start without keys, fresh at ``now`` (nanoseconds)."""
        super().__init__(apps, valid_s=valid_s)
        self.replace([], now)

    def create(self, app: App, *, now: int, kind: str = "live", expires_us: int | None = None) -> str:
        """Make a key of an app and return it."""
        presented, row = mint(
            tenant=app.tenant, app=app.id, now=now, by="memory", kind=kind, expires_us=expires_us
        )
        self.replace([*self._rows.values(), row], now)
        return presented

    def revoke(self, key_id: str, *, at_us: int, now: int) -> None:
        """Revoke a key from ``at_us`` on. Raises KeyError if there is none."""
        self._rows[key_id] = replace(self._rows[key_id], revoked_us=at_us)
        self.replace([*self._rows.values()], now)
