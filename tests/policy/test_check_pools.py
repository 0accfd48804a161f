"""What must agree between pools.yaml and the other files."""

# ruff: noqa: E501 (files, rows and sentences stand whole, as people read them)

from __future__ import annotations

import pytest

from gateway.policy.problems import PolicyErrors
from tests.policy.pools import FILES, OTHERS, POOLS
from tests.policy.written import written


def errors(**changes: str) -> list[str]:
    """The problems of the bundle with changes."""
    with pytest.raises(PolicyErrors) as caught:
        written(**{**FILES, **changes})
    return [str(problem) for problem in caught.value.problems]


def warnings(**changes: str) -> list[str]:
    """The warnings of the bundle with changes."""
    return [str(problem) for problem in written(**{**FILES, **changes}).warnings]


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("deployments: [own-llama]", "deployments: [own-lama]", "unknown deployment `own-lama`; did you mean `own-llama`?"),
        ("lab:", "labs:", "unknown team `labs`; did you mean `lab`?"),
        ("name: r2", "name: r1", "the replica `r1` stands twice"),
        ("name: r1", "name: r1, deployment: other", "unknown deployment of this pool `other`"),
        ("from: 2026-11-10T12:00:00Z}", "from: 2026-11-10T12:00:00Z, to: 2026-11-10T12:00:00Z}", "`to` is not after"),
        ("from: 2026-12-01T05:00:00Z", "from: 2026-11-01T05:00:00Z", "two rates begin at the same instant"),
        ("currency: USD", "currency: JPY", "no rate leads from `JPY` to `CAD`"),
    ],
)  # fmt: skip
def test_a_pool_agrees_with_the_rest(was, becomes, said):
    """Names, days and currencies that do not fit stop the bundle, at their line."""
    assert was in POOLS
    found = errors(pools=POOLS.replace(was, becomes, 1))
    assert any(said in problem and problem.startswith("pools.yaml:") for problem in found), found


def test_one_deployment_is_in_one_pool():
    """Its calls can be split over one pool's time only."""
    twice = POOLS + POOLS.replace("pools:\n", "").replace("llama-ca:", "other:")
    assert any(
        "`own-llama` is served by the pool `llama-ca` too" in problem for problem in errors(pools=twice)
    )


def test_a_price_per_token_beside_time_would_be_paid_twice():
    """Named with the line of the price, and with the fix."""
    priced = OTHERS["prices"].replace("meters: {}\n  free: true", 'meters: {input: "1.00", output: "2.00"}')
    found = errors(prices=priced)
    assert any("also has a price per token (prices/prices.yaml:1)" in problem for problem in found), found
    assert any("free: true" in problem for problem in found)


def test_every_deployment_has_a_replica():
    """Replicas that all name another deployment leave one without."""
    named = POOLS.replace("deployments: [own-llama]", "deployments: [own-llama, vendor-1]")
    named = named.replace("name: r1,", "name: r1, deployment: own-llama,").replace(
        "name: r2,", "name: r2, deployment: own-llama,"
    )
    assert any("no replica serves `vendor-1`" in problem for problem in errors(pools=named))


def test_what_is_not_calibrated_is_said():
    """A pool on shipped defaults is a warning, with the command that cures it."""
    default = POOLS.replace(POOLS[POOLS.index("    calibration:") : POOLS.index("    idle:")], "")
    assert any("borderpost gpu calibrate llama-ca" in problem for problem in warnings(pools=default))
    assert not any("calibrate" in problem for problem in warnings())


def test_a_deployment_without_a_price_is_said():
    """Under a money budget its calls would be refused."""
    unpriced = "".join(OTHERS["prices"].partition("- id: vendor")[1:])
    assert any("add one with free: true" in problem for problem in warnings(prices=unpriced))
