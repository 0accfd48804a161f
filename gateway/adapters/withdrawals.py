"""Deployments that dropped out because their vendor contradicted their facts, for every worker.

The worker that sees a mismatch drops the deployment at once, in memory. Its journal entry is
projected into a table that every worker polls, so the others follow within seconds; a
database that is away delays the others, not the one that knows. It comes back with facts that
were written anew, or when a person clears it.

:meth:`Withdrawals.view` shows a snapshot as decisions are to see it. A new view is a new object, so
a call in its fallback is decided anew, as after a reload.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import StoreUnavailable
from gateway.adapters.store_sql import withdrawals as rows
from gateway.adapters.store_sql.withdrawals import Withdrawn
from gateway.core.observed import Mismatch, facts_digest, reason, without
from gateway.core.snapshot import Snapshot

log = logging.getLogger("gateway.withdrawals")

POLL_S: Final = 2.0
_Key = tuple[str, str]


class Withdrawals:
    """What is withdrawn, in memory: what this worker saw, and what the table says."""

    def __init__(self, store: Database, *, tenant: str, poll_s: float = POLL_S) -> None:
        """Know nothing yet; ``refresh`` or ``run`` reads the table."""
        self._store = store
        self._tenant = tenant
        self._poll_s = poll_s
        self._seen: dict[_Key, Mismatch] = {}  # by this worker, not in the table yet
        self._rows: dict[_Key, Withdrawn] = {}
        self._shown: tuple[Snapshot, Snapshot] | None = None
        self.fresh = False
        """Whether the last look at the table succeeded."""

    def note(self, found: Mismatch) -> None:
        """Drop a deployment at once, on this worker."""
        log.error(
            "a vendor contradicted its facts", extra={"deployment": found.deployment, "call": found.call}
        )
        self._seen[found.deployment, found.facts] = found
        self._shown = None

    def view(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot without what is withdrawn; the same object while nothing changes."""
        if self._shown is None or self._shown[0] is not snapshot:
            self._shown = (snapshot, without(snapshot, self.reasons(snapshot)))
        return self._shown[1]

    def reasons(self, snapshot: Snapshot) -> dict[str, str]:
        """Return the deployments of a snapshot that are withdrawn, and why. Facts written anew are back."""
        found: dict[str, str] = {}
        for deployment, facts in (*self._rows, *self._seen):
            item = snapshot.deployments.get(deployment)
            if item is None or facts_digest(item) != facts:
                continue
            why = self._why((deployment, facts))
            if why is not None:
                found[deployment] = why
        return found

    def _why(self, key: _Key) -> str | None:
        row, seen = self._rows.get(key), self._seen.get(key)
        if seen is not None:
            return reason(seen.reported, seen.declared)
        if row is not None and row.active:
            return reason(row.reported, row.declared)
        return None

    async def refresh(self) -> None:
        """Read the table. Raises StoreUnavailable; what is known stays then."""
        found = await self._store.ask(lambda connection: rows.withdrawn(connection, self._tenant))
        fresh = {(row.deployment, row.facts): row for row in found}
        # What the table has by now, the table decides about: a person may have cleared it.
        seen = {
            key: mine
            for key, mine in self._seen.items()
            if key not in fresh or fresh[key].at_us < mine.at // 1000
        }
        if fresh != self._rows or seen != self._seen:
            self._rows, self._seen, self._shown = fresh, seen, None
        self.fresh = True

    async def run(self) -> None:
        """Look again and again until cancelled; a store that is away is no error."""
        while True:
            try:
                async with asyncio.timeout(max(2.0, 2 * self._poll_s)):
                    await self.refresh()
            except (StoreUnavailable, TimeoutError):
                self.fresh = False
            await asyncio.sleep(self._poll_s)
