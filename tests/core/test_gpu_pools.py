"""A pool's values: which rate counts when, and the defaults that mark what rests on them."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.gpu_pools import DEFAULTS, HOUR_NS, HOUR_US, PS_PER_US
from tests.core.gpu_runs import MEASURED, START, pool


def test_a_rate_counts_from_its_instant_on():
    """The newest that has begun; none before the first."""
    of = pool()
    first = of.rates[0]
    later = replace(first, valid_from=first.valid_from + HOUR_NS)
    of = replace(of, rates=(first, later))
    assert of.rate_at(first.valid_from - 1) is None
    assert of.rate_at(later.valid_from - 1) is first
    assert of.rate_at(later.valid_from) is later


def test_a_pool_begins_when_it_has_both_a_replica_and_a_rate():
    """Never before one of them."""
    of = pool()
    assert of.begins == max(of.rates[0].valid_from, of.replicas[0].since) == START * 1000 - 24 * HOUR_NS
    assert replace(of, rates=()).begins is None
    assert replace(of, replicas=()).begins is None


def test_replicas_are_counted_while_they_are_there():
    """From their instant on, until their end, which is not included."""
    of = pool(2)
    first, second = of.replicas
    of = replace(of, replicas=(first, replace(second, since=START, until=START + 5)))
    assert [of.replicas_at(at) for at in (START - 1, START, START + 4, START + 5)] == [0, 1, 1, 0]
    assert of.replicas_at(START * 1000) == 1


def test_other_coefficients_leave_the_rest_as_it_is():
    """A recalibration changes nothing but the coefficients."""
    of = pool()
    assert of.calibrated(DEFAULTS) == replace(of, coefficients=DEFAULTS)
    assert of.calibrated(MEASURED) == of


def test_the_defaults_are_what_was_measured_rounded():
    """An 8B model on one H100 (decision 0019), and marked as no calibration of anybody's."""
    assert not DEFAULTS.calibrated
    assert (DEFAULTS.step_ps, DEFAULTS.prefill_ps) == (8_000 * PS_PER_US, 30 * PS_PER_US)
    assert (DEFAULTS.decode_ps, DEFAULTS.kv_ps) == (25 * PS_PER_US, 45_000)
    assert HOUR_US * 1000 == HOUR_NS
