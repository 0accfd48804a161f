"""Deployments that billed beyond their bound, suspended for hard budgets on every worker.

The worker that books an overrun suspends the deployment at once, in memory. The journal entry is
projected into a table that every worker polls, so the others follow within seconds; a database
that is away delays the others, not the one that knows. Only a person brings it back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import StoreUnavailable
from gateway.adapters.store_sql import suspensions as rows
from gateway.adapters.store_sql.suspensions import Suspended
from gateway.core.overruns import Overrun, reason

log = logging.getLogger("gateway.suspensions")

POLL_S: Final = 2.0


def nobody(_: Overrun) -> None:
    """Tell nobody."""


class Suspensions:
    """What is suspended, in memory: what this worker booked, and what the table says."""

    def __init__(
        self,
        store: Database,
        *,
        tenant: str,
        poll_s: float = POLL_S,
        tell: Callable[[Overrun], None] = nobody,
    ) -> None:
        """Know nothing yet; ``refresh`` or ``run`` reads the table. ``tell`` hears of each overrun here."""
        self._store = store
        self._tenant = tenant
        self._poll_s = poll_s
        self._tell = tell
        self._seen: dict[str, Overrun] = {}  # by this worker, not in the table yet
        self._rows: dict[str, Suspended] = {}
        self._shown: Mapping[str, str] = {}
        self.fresh = False
        """Whether the last look at the table succeeded."""

    def note(self, found: Overrun) -> None:
        """Suspend a deployment at once, on this worker."""
        log.error(
            "a vendor billed beyond the bound", extra={"deployment": found.deployment, "call": found.call}
        )
        known = self._seen.get(found.deployment)
        if known is None or known.at <= found.at:
            self._seen[found.deployment] = found
        self._show()
        self._tell(found)

    def suspended(self) -> Mapping[str, str]:
        """Return the suspended deployments, and why. Asked for every call: it only reads a name."""
        return self._shown

    def _show(self) -> None:
        shown = {name: row.why for name, row in self._rows.items() if row.active}
        shown |= {name: reason(found) for name, found in self._seen.items()}
        self._shown = shown

    async def refresh(self) -> None:
        """Read the table. Raises StoreUnavailable; what is known stays then."""
        tenant = self._tenant
        found = await self._store.ask(lambda connection: rows.suspended(connection, tenant))
        self._rows = {row.found.deployment: row for row in found}
        # What the table has by now, the table decides about: a person may have cleared it.
        self._seen = {
            name: mine
            for name, mine in self._seen.items()
            if name not in self._rows or self._rows[name].found.at // 1000 < mine.at // 1000
        }
        self._show()
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
