"""phase-v1 beside the per-step Shapley yardstick: simulated, per effect, and as measured on an H100.

The bounds of effects that the method does not model are what was recorded (decision 0019), with a margin:
they are there to see a change, not to call an error small.
"""

from __future__ import annotations

import pytest

from bench.gpu import measured
from bench.gpu.errors import EFFECTS, fitted, mixed, real, shares, skewed, truth, worst
from bench.gpu.simulator import LOADS, Costs, simulate

SECONDS = 240
TARGET = 5.0
"""Percent: what issue 5 asks of the calibrated method."""

RECORDED = {
    "base model": (1.6, 1.1, 1.4),
    "chunked prefill (512)": (8.8, 3.6, 0.9),
    "KV not linear (+100 % at 200k)": (4.2, 3.5, 0.8),
    "prefill attention (square)": (5.1, 4.4, 12.5),
    "noise (σ 30 %)": (11.5, 3.0, 1.7),
    "stalls (1 % of steps ×10)": (7.1, 12.5, 6.2),
    "network (50 ms each way)": (4.8, 2.6, 1.0),
    "preemption (60k KV tokens)": (1.1, 1.1, 46.9),
    "queue (32 run at once)": (1.1, 1.1, 1.8),
    "prefix cache, unreported (50 %)": (31.7, 53.7, 57.3),
    "all but the cache": (13.6, 4.5, 37.7),
}
"""Worst team error in percent at low, mid and saturated load: the larger of two seeds."""


def margin(recorded: float) -> float:
    """What may be found where so much was recorded."""
    return recorded * 1.25 + 1.0


@pytest.fixture(scope="module")
def base():
    """The base model under the three loads."""
    return {load: simulate(rate, SECONDS, seed=1) for load, rate in LOADS.items()}


@pytest.fixture(scope="module")
def calibrated(base):
    """Coefficients as a calibration finds them from the engine's counters."""
    return fitted(mixed(base))


def test_calibration_finds_the_costs_of_the_step(calibrated):
    """From counters alone, within one percent."""
    costs = Costs()
    assert calibrated.step == pytest.approx(costs.fixed, rel=0.01)
    assert calibrated.prefill == pytest.approx(costs.prefill, rel=0.01)
    assert calibrated.decode == pytest.approx(costs.decode, rel=0.02)
    assert calibrated.kv == pytest.approx(costs.kv, rel=0.01)


@pytest.mark.parametrize("load", LOADS)
def test_calibrated_every_teams_share_is_within_five_percent(base, calibrated, load):
    """The target of the issue, in the model that the method knows; streamed or plain."""
    c = calibrated.coefficients()
    assert worst(base[load], c) <= TARGET
    assert worst(base[load], c, streamed=False) <= TARGET


@pytest.mark.parametrize("load", LOADS)
def test_a_team_pays_the_same_streamed_or_plain(base, calibrated, load):
    """Within one percent: the first chunk's instant is a refinement, not a price."""
    c = calibrated.coefficients()
    streamed, plain = (shares(base[load], c, streamed=how) for how in (True, False))
    assert all(abs(streamed[team] - plain[team]) <= streamed[team] / 100 for team in streamed)


def test_wrong_coefficients_are_the_largest_error(base, calibrated):
    """Why uncalibrated rows are marked."""
    wrong = skewed(calibrated.coefficients())
    assert min(worst(run, wrong) for run in base.values()) > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", EFFECTS)
def test_the_error_of_each_effect_is_as_recorded(name):
    """What the method does not model, switched on one by one; calibrated with the effect on."""
    effects = EFFECTS[name]
    runs = {load: simulate(rate, SECONDS, seed=1, effects=effects) for load, rate in LOADS.items()}
    c = fitted(mixed(runs)).coefficients()
    for (load, run), recorded in zip(runs.items(), RECORDED[name], strict=True):
        assert worst(run, c, most_running=effects.most_running) <= margin(recorded), load


def test_the_yardstick_lays_every_microsecond_on_somebody(base):
    """Σ of what is true = what the engine was busy."""
    for run in base.values():
        assert sum(seen.true for seen in run.seen) == pytest.approx(run.busy_us)
        assert sum(truth(run).values()) == pytest.approx(1)


# ----------------------------------------------------------------- as measured


def test_a_decode_step_is_linear_on_a_real_gpu():
    """Fixed + β·decodes + κ·KV tokens: R² above 0.99, no cell of 51 further off than 3 %."""
    (fixed, decode, kv), r2, most, rms = measured.fitted(measured.grid("decode"), (0, 2, 3))
    assert r2 > 0.99
    assert most < 3
    assert rms < 1.5
    assert fixed == pytest.approx(7_993, rel=0.01)
    assert decode == pytest.approx(23.9, rel=0.01)
    assert kv == pytest.approx(0.0446, rel=0.01)


def test_prefill_is_not_linear_on_a_real_gpu():
    """Short prompts ride on the weights that are read anyway; long ones pay for attention's square."""
    prefill = [(p, us) for n, _, p, us in measured.grid("flash") if n == 0]
    fixed = measured.fitted(measured.grid("decode"), (0, 2, 3))[0][0]
    per_token = {p: (us - fixed) / p for p, us in prefill}
    assert per_token[512] < 17
    assert 22 < per_token[2_048] < per_token[8_192] < per_token[12_288] < 36


def test_the_real_engine_is_split_within_five_percent():
    """The small engine on one H100 under three loads, calibrated from its own counters."""
    runs = measured.runs()
    c = fitted(mixed(runs)).coefficients()
    assert {load: len(run.seen) for load, run in runs.items()} == {"low": 17, "mid": 104, "saturated": 215}
    for load, run in runs.items():
        assert worst(run, c, most_running=160) <= TARGET, load


@pytest.mark.slow
def test_errors_on_what_was_measured_are_as_recorded():
    """Real engine and measured step times: calibrated, without κ, plain replies, shipped defaults."""
    recorded = {
        "real engine": (3.2, 4.7, 2.0),
        "real engine, κ = 0": (6.2, 1.0, 4.0),
        "real engine, plain replies": (3.2, 4.4, 2.1),
        "real engine, shipped defaults": (9.0, 0.3, 1.6),
        "simulated, measured step times": (1.7, 3.2, 9.3),
        "simulated, measured step times, κ = 0": (2.2, 5.3, 14.9),
        "simulated, measured step times, plain replies": (1.9, 3.2, 9.3),
        "simulated, measured step times, shipped defaults": (1.1, 3.9, 9.5),
    }
    for name, errors in real().items():
        for (load, error), known in zip(errors.items(), recorded[name], strict=True):
            assert error <= margin(known), (name, load)
