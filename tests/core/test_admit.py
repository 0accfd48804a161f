"""The cheap refusal: rates and concurrency per app."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.admit import Load, admit
from gateway.core.errors import Code, Refusal
from gateway.core.snapshot import App

SECOND = 1_000_000_000


def app(**limits: Any) -> App:
    """Return an app with the given limits."""
    return App(
        id="teller",
        team="branch",
        tenant="maple",
        data=("client",),
        models=("chat",),
        groups=frozenset({"registered"}),
        purpose=None,
        cost_centres=(),
        budgets=(),
        key_budgets=(),
        requests_per_minute=limits.get("rate"),
        concurrent=limits.get("concurrent"),
        at="teams.yaml:1",
    )


def test_no_limits_admit_everything() -> None:
    """An app without limits is never refused here."""
    assert admit(app(), Load(in_flight=10_000), now=0) is None


def test_concurrency_counts_calls_in_flight() -> None:
    """The call that would be one too many is refused, with a short retry."""
    assert admit(app(concurrent=2), Load(in_flight=1), now=0) is None
    refused = admit(app(concurrent=2), Load(in_flight=2), now=0)
    assert isinstance(refused, Refusal)
    assert refused.code is Code.RATE_LIMITED
    assert refused.retry_after == 1


def test_a_rate_refills_with_time() -> None:
    """60 a minute: a burst of 60 passes, the next is told to wait a second, then passes."""
    load, limited = Load(), app(rate=60)
    assert all(admit(limited, load, now=0) is None for _ in range(60))
    refused = admit(limited, load, now=0)
    assert isinstance(refused, Refusal)
    assert refused.retry_after == 1
    assert admit(limited, load, now=SECOND + 1) is None


@given(
    rate=st.integers(1, 600),
    gaps=st.lists(st.integers(0, 5 * SECOND), min_size=1, max_size=300),
)
def test_no_minute_admits_more_than_its_burst_and_its_rate(rate: int, gaps: list[int]) -> None:
    """Over any stretch of time, at most one minute's burst plus the rate times the time passes."""
    load, limited, now, admitted = Load(), app(rate=rate), 0, 0
    for gap in gaps:
        now += gap
        if admit(limited, load, now=now) is None:
            admitted += 1
    assert admitted <= rate + now * rate / (60 * SECOND) + 1
