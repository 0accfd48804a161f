"""From pools.yaml to the core's pools, exactly; and what a metrics URL is: an egress."""

from __future__ import annotations

from decimal import Decimal

from gateway.core.destinations import destinations
from gateway.core.gpu_pools import DEFAULTS
from gateway.policy.diff import difference
from tests.policy.pools import FILES, POOLS
from tests.policy.written import NOW, compiled


def test_a_pool_is_compiled_exactly():
    """Decimal strings become whole picoseconds and millionths; no float takes part."""
    snapshot = compiled(**FILES)
    pool = snapshot.pools["llama-ca"]
    assert snapshot.pool_of == {"own-llama": pool}
    assert (pool.engine, pool.gpus, pool.region, pool.idle) == ("vllm", 4, "CA-QC", "reserved_share")
    c = pool.coefficients
    assert (c.prefill_ps, c.decode_ps, c.step_ps) == (31_500_000, 42_000_000, 9_800_250_000)
    assert (c.source, c.measured, c.calibrated) == ("measured", "2026-11-20", True)
    assert pool.shares == {"branch": 3_000_000, "lab": 500_000}
    assert [replica.since for replica in pool.replicas] == [1_793_509_200 * 10**9, 1_794_312_000 * 10**9]
    assert pool.at.startswith("pools.yaml:2")


def test_the_rate_of_an_instant():
    """None before the first; then the newest that has begun."""
    pool = compiled(**FILES).pools["llama-ca"]
    assert pool.rate_at(pool.rates[0].valid_from - 1) is None
    first, later = pool.rate_at(pool.rates[0].valid_from), pool.rate_at(pool.rates[1].valid_from)
    assert (first.per_gpu_hour, later.per_gpu_hour) == (Decimal("2.85"), Decimal("3.10"))
    assert pool.begins == pool.rates[0].valid_from


def test_without_a_calibration_the_defaults_are_taken_and_marked():
    """Every row that rests on them will say so."""
    default = POOLS.replace(POOLS[POOLS.index("    calibration:") : POOLS.index("    idle:")], "")
    pool = compiled(**{**FILES, "pools": default}).pools["llama-ca"]
    assert pool.coefficients is DEFAULTS
    assert not DEFAULTS.calibrated


def test_a_metrics_url_is_on_the_list_of_destinations():
    """`borderpost egress` names it, with its pool's place (promise 1)."""
    found = [d for d in destinations(compiled(**FILES)) if d.purpose == "engine_metrics"]
    assert [(d.origin, d.used_by, d.place) for d in found] == [
        ("https://gpu-1.example.com:8000", "llama-ca/r1", "CA-QC"),
        ("https://gpu-2.example.com:8000", "llama-ca/r2", "CA-QC"),
    ]


def test_reading_another_engine_widens():
    """A new metrics URL is a new destination, so two people approve it; a new rate is not."""
    snapshot = compiled(**FILES)
    moved = compiled(**{**FILES, "pools": POOLS.replace("gpu-2.example.com", "gpu-9.example.com")})
    dearer = compiled(**{**FILES, "pools": POOLS.replace('"2.85"', '"2.95"')})
    change = difference(snapshot, moved, now=NOW)
    assert change.widens
    assert "gpu-9.example.com" in str(change)
    assert not difference(snapshot, dearer, now=NOW).widens
