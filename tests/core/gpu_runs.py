"""Pools and random calls for the tests of the GPU split."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import strategies as st

from gateway.core.gpu import Ran
from gateway.core.gpu_pools import HOUR_US, PS_PER_US, Coefficients, GpuRate, Pool, Replica

START = 1_790_000_000_000_000 // HOUR_US * HOUR_US
"""A whole hour of September 2026, in µs."""

MEASURED = Coefficients(
    prefill_ps=32 * PS_PER_US,
    decode_ps=41 * PS_PER_US,
    step_ps=9_000 * PS_PER_US,
    source="test",
    measured="2026-09-01",
)


def pool(replicas: int = 1, **changes: object) -> Pool:
    """A pool of vLLM replicas with four GPUs each, paid in dollars from 2026 on."""
    made = Pool(
        id="llama-ca",
        engine="vllm",
        deployments=("own-llama",),
        region="CA-QC",
        gpus=4,
        most_running=256,
        replicas=tuple(
            Replica(
                name=f"r{number}",
                metrics_url=None,
                plain=False,
                deployment="",
                since=START * 1000 - 86_400 * 10**9,
                until=None,
            )
            for number in range(replicas)
        ),
        rates=(
            GpuRate(
                per_gpu_hour=Decimal("2.85"),
                currency="USD",
                basis="amortised",
                valid_from=1_767_225_600 * 10**9,
                source="lease 4711",
            ),
        ),
        coefficients=MEASURED,
        idle="unallocated",
        shares={},
        at="pools.yaml:2",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@st.composite
def runs(draw: st.DrawFn, *, keys: int = 4, span_us: int = 60_000_000) -> Ran[str]:
    """One attempt that starts up to a minute before or within the hour's first minutes."""
    start = START + draw(st.integers(-span_us, 2 * span_us))
    length = draw(st.integers(0, span_us))
    first = draw(st.none() | st.integers(0, length))
    return Ran(
        key=f"team{draw(st.integers(0, keys - 1))}",
        deployment="own-llama",
        start_us=start,
        first_us=None if first is None else start + first,
        end_us=start + length,
        prompt=draw(st.integers(0, 30_000)),
        output=draw(st.integers(0, 4_000)),
        cached=draw(st.sampled_from([0, 0, 9_000])),
        known=draw(st.sampled_from([True, True, True, False])),
    )
