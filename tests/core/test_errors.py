"""Errors carry refusals and nothing else."""

from __future__ import annotations

from gateway.core.errors import Code, GatewayError, Refusal, UpstreamFailed


def test_the_text_of_an_error_is_its_code() -> None:
    """An exception that is logged by accident shows no message that was meant for one caller."""
    error = GatewayError(Refusal(code=Code.POLICY_REFUSED, message="about client Tremblay"))
    assert str(error) == "policy_refused"
    assert "Tremblay" not in repr(error)


def test_a_failed_try_says_what_the_ledger_must_know() -> None:
    """Whether another may be tried, and whether the vendor may bill."""
    failed = UpstreamFailed(Refusal(code=Code.UPSTREAM_TIMEOUT, message="x"), retryable=True, sent=True)
    assert (failed.retryable, failed.sent) == (True, True)
    assert isinstance(failed, GatewayError)


def test_codes_are_stable_words() -> None:
    """Codes are lower-case words: they are metric labels and headings."""
    assert all(code.value == code.name.lower() for code in Code)
