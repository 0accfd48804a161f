"""The reports there are: name → the module that builds it, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from gateway.core.snapshot import Snapshot
from gateway.reports.document import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a report is asked for: a month of the organisation, and columns to group by."""

    month: str  # 2026-11
    by: tuple[str, ...]  # empty: the report's own
    now: int  # ns


Build = Callable[[Snapshot, Asked], Callable[[Connection], Document]]
"""What a report's module exports as ``build``: the work that reads and builds it in one transaction.

Raises ValueError, with the fix, on what cannot be asked for.
"""

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "spend": ("gateway.reports.spend", "What was spent, by any grouping."),
    "budget": ("gateway.reports.budget", "Budget, actual, held, forecast and variance per budget."),
    "chargeback": ("gateway.reports.chargeback", "Cost centres with GL accounts, ready to post."),
    "reconcile": ("gateway.reports.reconcile", "Ours against the vendors' bills, by cause."),
    "unit-cost": ("gateway.reports.unit_cost", "Cost per request, per million tokens, per good answer."),
    "forecast": ("gateway.reports.forecast", "Where the month will end, with a range; anomalies."),
    "gpu": ("gateway.reports.gpu", "GPU pools: used, idle, cost per million tokens, break-even."),
}
"""Report → (module, one line of help)."""
