"""How far phase-v1 is from the yardstick, per effect that it does not model.

``python -m bench.gpu.errors`` prints the table of decision 0019.
"""

# ruff: noqa: E501 (tables and scripts)

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from decimal import Decimal

from bench.gpu import measured
from bench.gpu.simulator import LOADS, Costs, Effects, Run, StepTime, simulate
from gateway.adapters.gpu_fit import Interval, fit
from gateway.core.gpu import Ran, split
from gateway.core.gpu_pools import DEFAULTS, PS_PER_US, Coefficients, GpuRate, Pool, Replica

EFFECTS: dict[str, Effects] = {
    "base model": Effects(),
    "chunked prefill (512)": Effects(chunk=512),
    "KV not linear (+100 % at 200k)": Effects(kv_bend=1.0),
    "prefill attention (square)": Effects(square=3.0),
    "noise (σ 30 %)": Effects(noise=0.3),
    "stalls (1 % of steps ×10)": Effects(stalls=0.01),
    "network (50 ms each way)": Effects(network_us=50_000),
    "preemption (60k KV tokens)": Effects(kv_room=60_000),
    "queue (32 run at once)": Effects(most_running=32),
    "prefix cache, unreported (50 %)": Effects(cached=0.5),
    "all but the cache": Effects(
        chunk=512, kv_bend=1.0, square=3.0, noise=0.3, stalls=0.01, network_us=50_000, kv_room=60_000
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Coefficients in µs, and R²."""

    step: float
    prefill: float
    decode: float
    kv: float
    r2: float

    def coefficients(self) -> Coefficients:
        """As the core takes them."""
        return Coefficients(
            prefill_ps=max(1, round(self.prefill * PS_PER_US)),
            decode_ps=max(0, round(self.decode * PS_PER_US)),
            step_ps=max(0, round(self.step * PS_PER_US)),
            kv_ps=max(0, round(self.kv * PS_PER_US)),
            source="fit",
        )


def fitted(run: Run, *, kv: bool = True) -> Fit:
    """Fit as `borderpost gpu calibrate` does, by its own code. ``kv`` false: the engine tells no KV use."""
    found = fit(
        [
            Interval(
                busy_s=i.busy_us / 1e6,
                steps=i.steps,
                prompt=i.prompt,
                generated=i.generated,
                kv=i.kv if kv else None,
            )
            for i in run.intervals
        ]
    )
    return Fit(
        step=found.step_us, prefill=found.prefill_us, decode=found.decode_us, kv=found.kv_us, r2=found.r2
    )


def pool(coefficients: Coefficients, *, most_running: int = 256) -> Pool:
    """One replica with one GPU."""
    return Pool(
        id="sim", engine="vllm", deployments=("d",), region="CA-QC", gpus=1, most_running=most_running,
        replicas=(Replica(name="r", metrics_url=None, plain=False, deployment="", since=0, until=None),),
        rates=(GpuRate(per_gpu_hour=Decimal(1), currency="CAD", basis="amortised",
                       valid_from=0, source="sim"),),
        coefficients=coefficients, idle="unallocated", shares={}, at="",
    )  # fmt: skip


def shares(
    run: Run, coefficients: Coefficients, *, streamed: bool = True, most_running: int = 256
) -> dict[str, float]:
    """The teams' shares by phase-v1, of one."""
    runs = [
        Ran(key=s.team, deployment="d", start_us=s.start, first_us=s.first if streamed else None, end_us=s.end,
            prompt=s.prompt, output=s.output)
        for s in run.seen
    ]  # fmt: skip
    end = max(s.end for s in run.seen) + 1
    found = split(pool(coefficients, most_running=most_running), runs, start_us=0, end_us=end)
    return {team: part / found.busy for team, part in found.used.items()}


def truth(run: Run) -> dict[str, float]:
    """The teams' true shares, of one."""
    total = sum(s.true for s in run.seen)
    found: dict[str, float] = {}
    for s in run.seen:
        found[s.team] = found.get(s.team, 0.0) + s.true / total
    return found


def worst(run: Run, coefficients: Coefficients, **how) -> float:
    """The relative error of the team that is worst off, in percent."""
    true, found = truth(run), shares(run, coefficients, **how)
    return 100 * max(abs(found.get(team, 0.0) - part) / part for team, part in true.items())


def skewed(c: Coefficients) -> Coefficients:
    """Coefficients that are wrong: +50 % prefill, −30 % step."""
    return replace(c, prefill_ps=c.prefill_ps * 3 // 2, step_ps=c.step_ps * 7 // 10)


def table(
    seconds: float = 240, seed: int = 1, step_time: StepTime | None = None
) -> dict[str, dict[str, float]]:
    """Effect → load → worst team error in percent, calibrated under a mix of the loads with that effect."""
    found: dict[str, dict[str, float]] = {}
    for name, effects in EFFECTS.items():
        runs = {
            load: simulate(rate, seconds, seed=seed, step_time=step_time, effects=effects)
            for load, rate in LOADS.items()
        }
        c = fitted(mixed(runs)).coefficients()
        found[name] = {load: worst(r, c, most_running=effects.most_running) for load, r in runs.items()}
    return found


def other_rules(seconds: float = 240, seed: int = 1) -> dict[str, dict[str, float]]:
    """What simpler rules would do in the base model, for comparison."""
    rules = {
        "tokens 1:1": lambda s: s.prompt + s.output,
        "in + 4·out": lambda s: s.prompt + 4 * s.output,
        "in + 16·out": lambda s: s.prompt + 16 * s.output,
        "time in flight": lambda s: s.end - s.start,
    }
    found: dict[str, dict[str, float]] = {name: {} for name in rules}
    for load, rate in LOADS.items():
        run = simulate(rate, seconds, seed=seed)
        true = truth(run)
        for name, rule in rules.items():
            whole = sum(rule(s) for s in run.seen)
            part = {t: sum(rule(s) for s in run.seen if s.team == t) / whole for t in true}
            found[name][load] = 100 * max(abs(part[t] - true[t]) / true[t] for t in true)
    return found


def mixed(runs: dict[str, Run]) -> Run:
    """The counters of several runs together: what a day of load shows."""
    return Run(intervals=[i for r in runs.values() for i in r.intervals])


def real() -> dict[str, dict[str, float]]:
    """Errors on what was measured: the small engine on one H100, and its step times in the simulator."""
    engine = measured.runs()
    own = {load: simulate(rate, 240, step_time=measured.step_time()) for load, rate in LOADS.items()}
    found: dict[str, dict[str, float]] = {}
    for name, runs in (("real engine", engine), ("simulated, measured step times", own)):
        most = 160 if runs is engine else 256
        for says, kv in (("", True), (", κ = 0", False)):
            c = fitted(mixed(runs), kv=kv).coefficients()
            found[name + says] = {load: worst(r, c, most_running=most) for load, r in runs.items()}
        c = fitted(mixed(runs)).coefficients()
        found[f"{name}, plain replies"] = {
            load: worst(r, c, most_running=most, streamed=False) for load, r in runs.items()
        }
        found[f"{name}, shipped defaults"] = {
            load: worst(r, DEFAULTS, most_running=most) for load, r in runs.items()
        }
    return found


def main() -> None:
    """Print the tables."""
    for seed in [int(text) for text in sys.argv[1:]] or [1]:
        print(f"seed {seed}: worst team error in %, by load")
        base = {load: simulate(rate, 240, seed=seed) for load, rate in LOADS.items()}
        fit = fitted(mixed(base))
        costs = Costs()
        print(f"  fit: step {fit.step:.0f} µs (true {costs.fixed:.0f}), prefill {fit.prefill:.2f} ({costs.prefill}),"
              f" decode {fit.decode:.1f} ({costs.decode}), KV {fit.kv:.4f} ({costs.kv}), R² {fit.r2:.5f}")  # fmt: skip
        rows = {**other_rules(seed=seed), **table(seed=seed)}
        wrong = skewed(fit.coefficients())
        bare = fitted(mixed(base), kv=False).coefficients()
        rows["coefficients +50 % prefill, −30 % step"] = {load: worst(r, wrong) for load, r in base.items()}
        rows["the note's three coefficients (κ = 0)"] = {load: worst(r, bare) for load, r in base.items()}
        rows["plain replies only (no first chunk)"] = {
            load: worst(r, fit.coefficients(), streamed=False) for load, r in base.items()
        }
        _print(rows)
    print("one NVIDIA H100: worst team error in %, by load")
    _print(real())


def _print(rows: dict[str, dict[str, float]]) -> None:
    print(f"  {'':42}" + "".join(f"{load:>10}" for load in LOADS))
    for name, errors in rows.items():
        print(f"  {name:42}" + "".join(f"{errors[load]:10.1f}" for load in LOADS))


if __name__ == "__main__":
    main()
