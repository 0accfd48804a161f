"""What a pool of our own GPUs is: replicas, what they cost by the hour, how its engine spends a step.

Values only, made by the policy compiler from ``pools.yaml``; :mod:`gateway.core.gpu` splits a
pool's time with them. Instants in ns. A coefficient is whole picoseconds of one replica, so that
no split depends on a machine's floating point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

Engine = Literal["vllm", "sglang", "tgi", "llamacpp", "ollama"]
Idle = Literal["unallocated", "reserved_share", "used_share"]

PS_PER_US = 1_000_000
HOUR_US = 3_600_000_000
HOUR_NS = HOUR_US * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """What one engine step costs, in picoseconds of a replica: fixed, and per token of each kind.

    ``calibrated`` false: they are the shipped defaults, and every row that rests on them says so.
    """

    prefill_ps: int  # α: per prompt token that no cache held
    decode_ps: int  # β: per token emitted
    step_ps: int  # φ: per step, shared equally by the requests that are in it
    kv_ps: int = 0  # κ: per token emitted and token of its context, whose keys and values are read for it
    source: str
    measured: str = ""  # the day, ISO; "" for defaults
    calibrated: bool = True


DEFAULTS = Coefficients(
    prefill_ps=30 * PS_PER_US,
    decode_ps=25 * PS_PER_US,
    step_ps=8_000 * PS_PER_US,
    kv_ps=45 * PS_PER_US // 1000,
    source="default",
    calibrated=False,
)
"""A dense model of 7 to 8 billion parameters in 16 bits on one H100 (decision 0019). Any other model or
GPU wants its own: wrong coefficients were the largest error of all in every simulation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One running engine. ``deployment``: only this deployment's calls reach it; "" is any of the pool's."""

    name: str
    metrics_url: str | None
    plain: bool  # http to a host that is not loopback is declared to be meant
    deployment: str
    since: int  # it is billed from here
    until: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRate:
    """What one GPU costs per hour from an instant on, a whole hour of UTC."""

    per_gpu_hour: Decimal
    currency: str
    basis: Literal["amortised", "on_demand"]
    valid_from: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Replicas of an engine that are paid by time, and the deployments that they serve."""

    id: str
    engine: Engine
    deployments: tuple[str, ...]
    region: str
    gpus: int  # per replica
    most_running: int  # requests that one replica runs at once, at most
    replicas: tuple[Replica, ...]
    rates: tuple[GpuRate, ...]  # oldest first
    coefficients: Coefficients
    idle: Idle
    shares: Mapping[str, int]  # team → its part of the reservation, in millionths; for reserved_share
    at: str  # file:line

    def rate_at(self, at: int) -> GpuRate | None:
        """Return the rate in force at an instant, or None before the first."""
        return next((rate for rate in reversed(self.rates) if rate.valid_from <= at), None)

    def replicas_at(self, at: int) -> int:
        """Return how many replicas are there at an instant."""
        return sum(1 for r in self.replicas if r.since <= at and (r.until is None or at < r.until))

    def calibrated(self, coefficients: Coefficients) -> Pool:
        """Return the same pool with other coefficients."""
        return replace(self, coefficients=coefficients)

    @property
    def begins(self) -> int | None:
        """The first instant at which it has both a replica and a rate; None where it never has."""
        if not self.rates or not self.replicas:
            return None
        return max(self.rates[0].valid_from, min(replica.since for replica in self.replicas))
