"""pools.yaml: what it may hold, and that every mistake names its line and the fix."""

from __future__ import annotations

import pytest

from gateway.policy.problems import PolicyErrors
from tests.policy.pools import FILES, POOLS
from tests.policy.written import written


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("engine: vllm", "engine: vlm", "pools.yaml:3:"),
        ("engine: vllm", "engine: vlm", "did you mean `vllm`?"),
        ("engine: vllm", "engin: vllm", "unknown key `engin`"),
        ('"2.85"', "2.85", 'write "2.85"'),
        ('"2.85"', '"0.00"', "amortise what is bought"),
        ('"2.85"', '"-1"', "`-1` is no amount"),
        ("2026-11-01T05:00:00Z", "2026-11-01T05:30:00Z", "a rate begins at a whole hour of UTC"),
        ("gpus_per_replica: 4", "gpus_per_replica: 0", "out of range"),
        ("https://gpu-1", "http://gpu-1", "plain_http: allowed"),
        ("https://gpu-1", "ftp://gpu-1", "no URL of an engine's metrics"),
        ("https://gpu-1", "https://user:pass@gpu-1", "no URL of an engine's metrics"),
        ('"9800.25"', '"9800.0000001"', "six decimals at most"),
        ('"31.5"', '"0"', "this is nothing"),
        ("rule: reserved_share", "rule: used_share", "shares are for `reserved_share`"),
        (', shares: {branch: "3", lab: "0.5"}', "", "shares are for `reserved_share`"),
        ('branch: "3", lab: "0.5"', 'branch: "0"', "every share is nothing"),
        ("region: CA-QC", "region: CA-QQ", "unknown place code `CA-QQ`"),
        ("currency: USD", "currency: dollars", "`dollars` is no name"),
    ],
)
def test_a_mistake_names_its_line_and_the_fix(was, becomes, said):
    """Each wrong value stops the bundle, with file:line and what to write instead."""
    assert was in POOLS
    with pytest.raises(PolicyErrors) as caught:
        written(**{**FILES, "pools": POOLS.replace(was, becomes, 1)})
    assert any(said in str(problem) for problem in caught.value.problems), str(caught.value)
    assert all(str(problem).startswith("pools.yaml:") for problem in caught.value.problems)


def test_plain_http_may_be_declared():
    """A network of one's own may be plain, said so; loopback needs no saying."""
    plain = POOLS.replace(
        'metrics_url: "https://gpu-1.example.com:8000/metrics"',
        'metrics_url: "http://gpu-1.example.com:8000/metrics", plain_http: allowed',
    )
    assert written(**{**FILES, "pools": plain}).pools["llama-ca"].replicas[0].plain_http == "allowed"
    local = POOLS.replace("https://gpu-1.example.com:8000/metrics", "http://127.0.0.1:8000/metrics")
    assert written(**{**FILES, "pools": local}).pools


def test_a_bundle_needs_no_pools():
    """The file is optional, and absent it changes no hash."""
    without = {name: text for name, text in FILES.items() if name != "pools"}
    assert written(**without).pools == {}
    assert written(**without).prices_hash != written(**FILES).prices_hash
    assert written(**without, pools="").pools == {}
    assert written(**without, pools="").prices_hash == written(**without).prices_hash
