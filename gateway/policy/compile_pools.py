"""``pools.yaml`` → the core's pools: instants, picoseconds, millionths."""

from __future__ import annotations

from decimal import Decimal

from gateway.core.gpu_pools import DEFAULTS, PS_PER_US, Coefficients, GpuRate, Pool, Replica
from gateway.policy.bundle import Bundle
from gateway.policy.schema_pools import CalibrationModel, PoolModel

_MILLION = 1_000_000


def pools(bundle: Bundle) -> dict[str, Pool]:
    """Return the pools of a checked bundle by name."""
    return {name: _pool(bundle, name, pool) for name, pool in bundle.pools.items()}


def _pool(bundle: Bundle, name: str, pool: PoolModel) -> Pool:
    rates = tuple(
        sorted(
            (
                GpuRate(
                    per_gpu_hour=Decimal(rate.per_gpu_hour),
                    currency=rate.currency,
                    basis=rate.basis,
                    valid_from=rate.from_,
                    source=rate.source,
                )
                for rate in pool.rate
            ),
            key=lambda rate: rate.valid_from,
        )
    )
    return Pool(
        id=name,
        engine=pool.engine,
        deployments=tuple(pool.deployments),
        region=pool.region,
        gpus=pool.gpus_per_replica,
        most_running=pool.most_running,
        replicas=tuple(
            Replica(
                name=replica.name,
                metrics_url=replica.metrics_url,
                plain=replica.plain_http is not None,
                deployment=replica.deployment or "",
                # A replica without a day is there from the first rate on: none is billed without a rate.
                since=rates[0].valid_from if replica.from_ is None else replica.from_,
                until=replica.to,
            )
            for replica in pool.replicas
        ),
        rates=rates,
        coefficients=_coefficients(pool.calibration),
        idle=pool.idle.rule,
        shares={team: int(Decimal(share) * _MILLION) for team, share in pool.idle.shares.items()},
        at=bundle.at("pools", "pools", name),
    )


def _coefficients(stated: CalibrationModel | str) -> Coefficients:
    if not isinstance(stated, CalibrationModel):
        return DEFAULTS
    prefill, decode, step, kv = (
        int(Decimal(text) * PS_PER_US)
        for text in (stated.prefill_us, stated.decode_us, stated.step_us, stated.kv_us)
    )
    return Coefficients(
        prefill_ps=prefill,
        decode_ps=decode,
        step_ps=step,
        kv_ps=kv,
        source=stated.source,
        measured=stated.measured.isoformat(),
    )
