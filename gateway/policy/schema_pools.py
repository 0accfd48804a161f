"""What may stand in ``pools.yaml``: our own GPUs, what they cost by the hour, and who pays for idle.

Kept by finance (rates, idle) and the platform (replicas). A metrics URL is an egress destination.
"""

# ruff: noqa: RUF012 (pydantic copies defaults; across files ruff cannot see that these are models)

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from gateway.core.gpu_pools import HOUR_NS, PS_PER_US
from gateway.policy.schema_words import Amount, Code, Currency, Day, Instant, Name, Names, Strict, Text, wrong

MOST_US = 60_000_000


def _metrics_url(value: str) -> str:
    if not re.fullmatch(
        r"https?://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?", value
    ):
        raise wrong(
            "this is no URL of an engine's metrics",
            "write for example https://gpu-1.example.com:8000/metrics",
        )
    return value


def _microseconds(value: str) -> str:
    amount = Decimal(value)
    if amount > MOST_US or amount * PS_PER_US % 1:
        raise wrong(f"`{value}` is no time of a token or a step", "write microseconds, six decimals at most")
    return value


def _whole_hour(value: int) -> int:
    if value % HOUR_NS:
        raise wrong("a rate begins at a whole hour of UTC", "write it as 2026-11-01T05:00:00Z")
    return value


def _positive(value: str) -> str:
    if not Decimal(value):
        raise wrong("this is nothing", "write what it costs; amortise what is bought")
    return value


PoolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
"""It stands within the ids of entries, between colons."""

Microseconds = Annotated[Amount, AfterValidator(_microseconds)]
"""µs of one replica, a decimal string."""


class ReplicaModel(Strict):
    """One running engine: where its counters are read, and from when to when it is paid for."""

    name: Name
    metrics_url: Annotated[str, AfterValidator(_metrics_url)] | None = None
    plain_http: Literal["allowed"] | None = None
    deployment: Name | None = None
    from_: Instant | None = Field(default=None, alias="from")
    to: Instant | None = None

    @model_validator(mode="after")
    def _safe(self) -> ReplicaModel:
        url = self.metrics_url or ""
        if url.startswith("http://") and self.plain_http is None:
            host = url.split("/")[2]
            if not re.fullmatch(r"(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:\d+)?", host):
                raise wrong(
                    "plain http leaves this machine unprotected",
                    "write https, or plain_http: allowed where the network is your own",
                )
        return self


class GpuRateModel(Strict):
    """What one GPU costs per hour, from an instant on."""

    per_gpu_hour: Annotated[Amount, AfterValidator(_positive)]
    currency: Currency
    basis: Literal["amortised", "on_demand"]
    from_: Annotated[Instant, AfterValidator(_whole_hour)] = Field(alias="from")
    source: Text
    approved_by: Names = []


class CalibrationModel(Strict):
    """What `borderpost gpu calibrate` found: µs of a replica per step and per token of each kind.

    ``kv_us`` is per token emitted and token of its context.
    """

    prefill_us: Annotated[Microseconds, AfterValidator(_positive)]
    decode_us: Microseconds
    step_us: Microseconds
    kv_us: Microseconds = "0"
    source: Text
    measured: Day


class IdleModel(Strict):
    """Who pays for time that nobody used."""

    rule: Literal["unallocated", "reserved_share", "used_share"]
    shares: dict[Name, Amount] = {}

    @model_validator(mode="after")
    def _fitting(self) -> IdleModel:
        if (self.rule == "reserved_share") != bool(self.shares):
            raise wrong(
                "shares are for `reserved_share`, which needs them",
                'write idle: {rule: reserved_share, shares: {branch: "3", lab: "1"}}',
            )
        if self.shares and not any(Decimal(share) for share in self.shares.values()):
            raise wrong("every share is nothing", 'write for example shares: {branch: "3", lab: "1"}')
        return self


class PoolModel(Strict):
    """Replicas of one engine on one kind of GPU, and the deployments that they serve."""

    engine: Literal["vllm", "sglang", "tgi", "llamacpp", "ollama"]
    deployments: Annotated[Names, Field(min_length=1)]
    region: Code
    gpus_per_replica: Annotated[int, Field(ge=1, le=1_024)] = 1
    most_running: Annotated[int, Field(ge=1, le=100_000)] = 256
    replicas: Annotated[list[ReplicaModel], Field(min_length=1)]
    rate: Annotated[list[GpuRateModel], Field(min_length=1)]
    calibration: CalibrationModel | Literal["default"] = "default"
    idle: IdleModel = IdleModel(rule="unallocated")


class PoolsFile(Strict):
    """``pools.yaml``: own GPUs that are paid by time. Optional."""

    pools: dict[PoolName, PoolModel] = {}
