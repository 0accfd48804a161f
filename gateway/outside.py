"""What the spine asks of the outside world, in one value: the ports, and what watches beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.book import ignored
from gateway.core.errors import Refusal
from gateway.core.observed import Mismatch
from gateway.core.overruns import Overrun
from gateway.core.snapshot import Snapshot
from gateway.detection import Detection
from gateway.ports import Budgets, Clock, Conversations, Journal, Telemetry, Tokenizer, Upstream
from gateway.vaulting import Vault

NONE: Mapping[str, str] = {}


def never(_now: int) -> bool:
    """Say no, whenever it is."""
    return False


def nothing_suspended() -> Mapping[str, str]:
    """Say that no deployment is suspended."""
    return NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the spine needs of the outside world. ``salt`` keys irreversible hashes."""

    snapshot: Callable[[], Snapshot]
    clock: Clock
    detection: Detection
    budgets: Budgets
    upstream: Upstream
    journal: Journal
    telemetry: Telemetry
    decision_id: Callable[[int], str]
    status_of: Callable[[Refusal], int]
    log_places: frozenset[str]
    salt: bytes = field(repr=False)
    stale: Callable[[int], bool] = never  # whether the last good policy has stood in for too long
    withdraw: Callable[[Mismatch], None] = ignored
    suspended: Callable[[], Mapping[str, str]] = nothing_suspended  # for hard budgets: deployment → why
    suspend: Callable[[Overrun], None] = ignored
    tokenizer: Tokenizer | None = None  # None: input is bounded by its bytes
    vault: Vault | None = None  # None: tokens are stable within one call and a resent history only
    conversations: Conversations | None = None  # None: a call that names one is treated as unlabelled too
