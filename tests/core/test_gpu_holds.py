"""What a call takes of GPUs: nothing of a vendor's, an upper bound of ours, doubt without a pool."""

from __future__ import annotations

from gateway.core.gpu_holds import most, used
from gateway.core.values import Usage
from tests.core.gpu_runs import pool
from tests.core.maple import NOW, deployment, snapshot

OWN = deployment(id="own-llama", vendor="self", operator="self")
LOOSE = deployment(id="loose", vendor="self", operator="self")
BUNDLE = snapshot(
    deployments={"own-llama": OWN, "loose": LOOSE, "here": deployment()}, pools={"llama-ca": pool()}
)


def test_a_vendors_gpus_are_the_vendors() -> None:
    """Zero is known there; what is of ours without a pool, and what nobody knows, is not."""
    assert most(BUNDLE, "here", input_tokens=10, output_tokens=10) == 0
    assert used(BUNDLE, "here", None, started=NOW, ended=NOW) == 0
    for name in ("loose", "ghost"):
        assert most(BUNDLE, name, input_tokens=10, output_tokens=10) is None
        assert used(BUNDLE, name, Usage(input=1), started=NOW, ended=NOW) is None


def test_what_was_used_is_within_what_was_held() -> None:
    """Fewer tokens, cached ones and a short run only make it less; without usage the hold stands."""
    held = most(BUNDLE, "own-llama", input_tokens=1000, output_tokens=500)
    assert held is not None
    full = Usage(input=1000, output=500)
    long = NOW + 3600 * 10**9
    assert used(BUNDLE, "own-llama", full, started=NOW, ended=long) == held
    cached = used(BUNDLE, "own-llama", Usage(input=100, cache_read=900, output=500), started=NOW, ended=long)
    assert cached is not None
    assert 0 < cached < held
    # Four GPUs for a millisecond are four GPU-milliseconds, whatever the tokens say.
    assert used(BUNDLE, "own-llama", full, started=NOW, ended=NOW + 10**6) == 4_000
    assert used(BUNDLE, "own-llama", None, started=NOW, ended=long) is None


def test_calls_beside_it_share_its_steps() -> None:
    """Forty in flight on one replica: nearly all of the step's cost is theirs. Never more than alone."""
    long = NOW + 3600 * 10**9
    usage = Usage(input=1000, output=500)
    took = [
        used(BUNDLE, "own-llama", usage, started=NOW, ended=long, beside=beside)
        for beside in (1, 2, 40, 10_000)
    ]
    assert took == sorted(took, key=lambda amount: -(amount or 0))  # fewer shares, never more
    alone, crowded = took[0], took[2]
    assert alone is not None
    assert crowded is not None
    assert crowded < alone / 10
