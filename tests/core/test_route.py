"""Routing: which permitted deployment is tried next, and what is answered when none is left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.decide import Decision
from gateway.core.errors import Code, Refusal, UpstreamFailed
from gateway.core.route import give_up, next_try
from gateway.core.snapshot import Route

ROUTE = Route(
    alias="chat",
    also_called=(),
    tries=("a", "b", "c"),
    timeout_ms=60_000,
    tries_at_most=5,
    at="routes.yaml:1",
)


def decision(*permitted: str) -> Decision:
    """Return a decision that permits these deployments."""
    return Decision(id="dec_1", permitted=permitted)


def failure(
    code: Code = Code.UPSTREAM_UNAVAILABLE,
    *,
    retryable: bool = True,
    sent: bool = False,
    retry_after: int | None = None,
    status: int | None = None,
    retry: bool | None = None,
) -> UpstreamFailed:
    """Return a failed try."""
    return UpstreamFailed(
        Refusal(code=code, message="x", retry_after=retry_after, status=status, retry=retry),
        retryable=retryable,
        sent=sent,
    )


def test_tries_go_in_the_order_of_the_decision() -> None:
    """First try first; each failure moves on to the next permitted one."""
    first = next_try(decision("a", "b"), ROUTE, (), {}, now=0)
    assert first is not None
    assert (first.number, first.deployment) == (1, "a")
    second = next_try(decision("a", "b"), ROUTE, (("a", failure()),), {}, now=0)
    assert second is not None
    assert (second.number, second.deployment) == (2, "b")
    assert next_try(decision("a", "b"), ROUTE, (("a", failure()), ("b", failure())), {}, now=0) is None


def test_a_failure_that_is_not_retryable_ends_it() -> None:
    """A vendor's 400 is the app's to mend: no other deployment is bothered."""
    assert next_try(decision("a", "b"), ROUTE, (("a", failure(retryable=False)),), {}, now=0) is None


def test_a_lone_deployment_gets_one_more_try_if_nothing_was_sent() -> None:
    """A refused connection is tried once more after a pause; a billed failure is not."""
    again = next_try(decision("a"), ROUTE, (("a", failure()),), {}, now=0)
    assert again is not None
    assert again.pause_ms > 0
    assert next_try(decision("a"), ROUTE, (("a", failure(sent=True)),), {}, now=0) is None
    assert next_try(decision("a"), ROUTE, (("a", failure(retry_after=5)),), {}, now=0) is None


def test_what_is_hopeless_is_not_tried_again() -> None:
    """A request that a lone deployment cannot say, or our own bad key, fails at once and once."""
    for hopeless in (failure(Code.UNSUPPORTED_FEATURE), failure(Code.UPSTREAM_REJECTED, retry=False)):
        assert next_try(decision("a"), ROUTE, (("a", hopeless),), {}, now=0) is None


def test_a_resting_deployment_goes_last() -> None:
    """A vendor that asked to be left alone is tried only when no other is left."""
    step = next_try(decision("a", "b"), ROUTE, (), {"a": 10}, now=5)
    assert step is not None
    assert step.deployment == "b"
    step = next_try(decision("a"), ROUTE, (), {"a": 10}, now=5)
    assert step is not None
    assert step.deployment == "a"


@given(
    permitted=st.lists(st.sampled_from("abcde"), unique=True, min_size=1),
    outcomes=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8),
    resting=st.dictionaries(st.sampled_from("abcde"), st.integers(0, 20)),
)
def test_only_what_is_permitted_is_ever_tried(
    permitted: list[str], outcomes: list[tuple[bool, bool]], resting: dict[str, int]
) -> None:
    """INVARIANT: whatever fails and rests, no try leaves the permitted set, and tries are bounded."""
    failures: tuple[tuple[str, UpstreamFailed], ...] = ()
    for retryable, sent in outcomes:
        step = next_try(decision(*permitted), ROUTE, failures, resting, now=10)
        if step is None:
            break
        assert step.deployment in permitted
        assert step.number == len(failures) + 1 <= ROUTE.tries_at_most
        failures = (*failures, (step.deployment, failure(retryable=retryable, sent=sent)))


def test_the_only_vendors_error_keeps_its_identity() -> None:
    """One vendor's 429 is passed on; two vendors' failures are one 503 that names neither."""
    rejected = failure(Code.UPSTREAM_REJECTED, status=429, retry_after=7)
    assert give_up((("a", rejected),)).status == 429
    both = give_up((("a", rejected), ("b", failure(Code.UPSTREAM_TIMEOUT))))
    assert both.code is Code.PERMITTED_MODELS_UNAVAILABLE
    assert both.retry_after == 7
