"""The least squares of a calibration: exact on exact counters, honest about what they do not tell."""

# ruff: noqa: E501 (files, rows and sentences stand whole, as people read them)

from __future__ import annotations

import random

import pytest

from gateway.adapters.gpu_fit import LEAST_INTERVALS, Interval, TooLittle, fit


def seen(count=60, *, kv=True, noise=0.0, step=9_000.0, prefill=31.0, decode=40.0, read=0.05, seed=3):
    """Intervals of an engine with known costs under a changing load."""
    chance = random.Random(seed)  # noqa: S311 (made-up load)
    found = []
    for _ in range(count):
        steps = chance.randrange(20, 110)
        running = chance.randrange(1, 60)
        prompt = chance.randrange(0, 8_000)
        held = steps * running * chance.randrange(100, 3_000)
        us = step * steps + prefill * prompt + decode * steps * running + read * held
        us *= 1 + chance.gauss(0, noise)
        found.append(
            Interval(
                busy_s=us / 1e6,
                steps=steps,
                prompt=prompt,
                generated=steps * running,
                kv=held if kv else None,
            )
        )
    return found


def test_exact_counters_give_the_costs_back():
    """All four, to a part in a million; confidence is high."""
    found = fit(seen())
    assert found.step_us == pytest.approx(9_000, rel=1e-6)
    assert found.prefill_us == pytest.approx(31, rel=1e-6)
    assert found.decode_us == pytest.approx(40, rel=1e-6)
    assert found.kv_us == pytest.approx(0.05, rel=1e-6)
    assert found.r2 == pytest.approx(1)
    assert (found.confidence, found.zeroed, found.intervals) == ("high", (), 60)


def test_without_kv_use_the_decode_cost_absorbs_it():
    """Three coefficients, the last one high, and less confidence: said, not hidden."""
    found = fit(seen(kv=False))
    assert found.kv_us == 0
    assert found.decode_us > 60
    assert found.confidence != "high"
    assert len(found.error_pct) == 3


def test_noise_costs_confidence():
    """A quarter of noise on every interval: the costs are near, the confidence is not high."""
    found = fit(seen(noise=0.25))
    assert found.step_us == pytest.approx(9_000, rel=0.35)
    assert found.confidence != "high"
    assert found.worst_pct > 20


def test_no_cost_is_negative():
    """Where least squares would say that a token saves time, it is nothing, and is named."""
    skew = [
        Interval(
            busy_s=i.busy_s - 20e-6 * i.prompt, steps=i.steps, prompt=i.prompt, generated=i.generated, kv=i.kv
        )
        for i in seen(prefill=1.0)
    ]
    found = fit([i for i in skew if i.busy_s > 0])
    assert found.prefill_us == 0
    assert "prefill" in found.zeroed
    assert min(found.step_us, found.decode_us, found.kv_us) >= 0
    assert found.confidence == "low"


def test_too_little_is_refused_with_what_to_do():
    """Few intervals, or a load that never changes, tell nothing."""
    with pytest.raises(TooLittle, match=f"{LEAST_INTERVALS} are needed"):
        fit(seen(5))
    same = [Interval(busy_s=1.0, steps=100, prompt=10, generated=800)] * 40
    with pytest.raises(TooLittle, match="never changed its mix"):
        fit(same)


def test_intervals_of_equal_length_are_no_perfect_fit_by_themselves():
    """A scraper's intervals are all a second long: R² is of the size of the residual then."""
    equal = [
        Interval(busy_s=1.0, steps=i.steps / i.busy_s, prompt=i.prompt / i.busy_s, generated=i.generated / i.busy_s,
                 kv=(i.kv or 0) / i.busy_s)
        for i in seen()
    ]  # fmt: skip
    found = fit(equal)
    assert found.step_us == pytest.approx(9_000, rel=1e-6)
    assert found.r2 == pytest.approx(1)
