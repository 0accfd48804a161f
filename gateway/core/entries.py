"""Ledger entries that no attempt made: adjustments, corrections, shares of reserved capacity and GPUs.

The ledger's rows say what each attempt cost when it was booked, and never change. All
that is known later is an entry beside them: append-only, idempotent by its id, booked
into a billing period that is open, about a charge period that may be long past.
Reports sum rows and entries together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["adjust", "correction", "reserved", "gpu"]
"""``adjust`` reconciliation or rounding; ``correction`` of a closed period; ``reserved`` and
``gpu`` shares of capacity that is paid by time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. Its id names what caused it, so that booking it twice books it once.

    ``nano`` in ``currency``; ``spend_nano`` in the organisation's. Empty ``team`` and ``app``
    mean that nobody used it: idle or unallocated, shown as such.
    """

    id: str  # "gpu:<pool>:<window start>:<team>:<app>", "reconcile:<import>:<line>" …
    kind: Kind
    tenant: str
    billing_period: str  # 2026-11: the period that it is booked in
    start_us: int  # the charge period that it is about, half-open
    end_us: int
    team: str
    app: str
    cost_centre: str | None
    alias: str
    deployment: str
    vendor: str
    place: str
    model: str
    currency: str
    nano: int
    spend_currency: str
    spend_nano: int
    quantity: int  # in ``unit``; 0 where there is none
    unit: str  # "tokens", "micro-gpu-seconds", ""
    reason: str  # a sentence for finance
    refers: str  # the attempt, entry or import line that it is about; "" for none
    origin: str  # the charge that this is a share of; "" for none
    ratio_ppb: int  # its share of the origin, in parts per billion; 0 for none
    estimated: bool
    created_us: int
    created_by: str
