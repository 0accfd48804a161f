"""What was measured on one NVIDIA H100, as the simulator and the tests use it.

``h100/step_times.csv``: the grid of :mod:`bench.gpu.measure`. ``h100/intervals.csv`` and ``h100/calls.csv``:
its small engine under three loads, reduced by :func:`reduce` from the log of every step: counters per
second as a scraper would have them, and per call what the gateway would see and what is true. The truth of
a step that took so long: decode, KV and prefill at the grid's marginal costs go to their owners; the rest
of the measured time, whatever it was, is shared equally by the step's members.
"""

# ruff: noqa: E501, PERF401 (tables and scripts)

from __future__ import annotations

import csv
import random
import sys
from bisect import bisect_right
from pathlib import Path

import numpy as np

from bench.gpu.simulator import Counters, Run, Seen, StepTime

TEAMS = (("chat", 600, 200, 0.60), ("long-prompt", 6_000, 60, 0.15), ("long-answer", 150, 1_200, 0.25))
SECONDS = 30.0
HERE = Path(__file__).parent / "h100"


def grid(*attention: str) -> list[tuple[int, int, int, float]]:
    """(decodes, KV tokens, prompt tokens, µs) of every cell: ``decode``, and prefill by ``cudnn`` or ``flash``."""
    with (HERE / "step_times.csv").open() as file:
        return [
            (int(r["decodes"]), int(r["kv_tokens"]), int(r["prompt_tokens"]), float(r["median_us"]))
            for r in csv.DictReader(file)
            if r["attention"] in attention
        ]


def fitted(
    rows: list[tuple[int, int, int, float]], columns: tuple[int, ...]
) -> tuple[list[float], float, float, float]:
    """Least squares of relative error on (1, prompt, decodes, KV): coefficients, R², worst and rms residual in %."""
    x = np.array([[1, p, n, kv] for n, kv, p, _ in rows], float)[:, columns]
    y = np.array([us for *_, us in rows])
    c, *_ = np.linalg.lstsq(x / y[:, None], np.ones(len(y)), rcond=None)
    rest = (y - x @ c) / y
    r2 = 1 - ((y - x @ c) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    return c.tolist(), float(r2), float(100 * abs(rest).max()), float(100 * (rest**2).mean() ** 0.5)


def step_time() -> StepTime:
    """The step time as measured: linear in decodes and KV, prefill by the measured curve."""
    rows = grid("decode", "flash")
    (fixed, decode, kv_cost), *_ = fitted([r for r in rows if r[2] == 0], (0, 2, 3))
    curve = sorted((p, us - fixed) for n, _, p, us in rows if n == 0)
    tokens, times = [0.0, *(float(p) for p, _ in curve)], [0.0, *(us for _, us in curve)]

    def prefill(count: int) -> float:
        at = min(bisect_right(tokens, count) - 1, len(tokens) - 2)
        slope = (times[at + 1] - times[at]) / (tokens[at + 1] - tokens[at])
        return times[at] + slope * (count - tokens[at])

    def step(prompt: int, decodes: int, kv: int) -> tuple[float, float, float, float]:
        return fixed, prefill(prompt) if prompt else 0.0, decode * decodes, kv_cost * kv

    return step


def arrived() -> dict[str, list[Seen]]:
    """The calls that :mod:`bench.gpu.measure` sent: the same chance, so the same calls."""
    found: dict[str, list[Seen]] = {}
    for load, rate in (("low", 0.5), ("mid", 2.5), ("saturated", 6.0)):
        chance, at = random.Random(7), 0.0
        found[load] = []
        while (at := at + chance.expovariate(rate)) < SECONDS:
            name, p, o, _ = chance.choices(TEAMS, [t[3] for t in TEAMS])[0]
            prompt = min(12_000, max(1, int(p * 2.718 ** chance.gauss(0, 0.6))))
            output = min(4_000, max(1, int(o * 2.718 ** chance.gauss(0, 0.6))))
            found[load].append(Seen(team=name, start=round(at * 1e6), prompt=prompt, output=output))
    return found


def reduce(log: Path) -> None:
    """Turn the log of every step into what is kept: intervals and calls with their true cost.

    A call that the end of the log cut off has the tokens that it got, as an aborted one has.
    """
    time_of = step_time()
    known = arrived()
    intervals: list[list[object]] = []
    kept: list[list[object]] = []
    with log.open() as file:
        rows = list(csv.DictReader(file))
    for load in known:
        steps = [r for r in rows if r["load"] == load and None not in r.values()]
        plain = [_rest(r, time_of) for r in steps if r["prompt_tokens"] == "0"]
        usual = float(np.median(plain))
        live: dict[str, Seen] = {}
        counters, since, first = Counters(), float(steps[0]["at_us"]), True
        for r in steps:
            took, kv, prompt = float(r["us"]), int(r["kv_tokens"]), int(r["prompt_tokens"])
            ended = float(r["at_us"]) + took
            running, fresh = r["running"].split(), r["fresh"].split()
            _, prefill, decode, read = time_of(prompt, len(running), kv)
            rest = took - prefill - decode - read
            if rest < 0:  # faster than the grid says: scaled, nothing is left to share
                prefill, decode, read = (part * took / (took - rest) for part in (prefill, decode, read))
                rest = 0.0
            # What a step with prefill takes beyond the usual is caused by those who are prefilled.
            extra = max(0.0, rest - usual) if fresh else 0.0
            each = (rest - extra) / (len(running) + len(fresh))
            for name in running:
                call = live[name]
                call.true += each + decode / len(running) + read * (call.prompt + call.output) / kv
                call.output += 1
                call.end = round(ended)
            for name in fresh:
                call = live[name] = known[load][int(name)]
                call.true = each + (prefill * call.prompt / prompt) + extra / len(fresh)
                call.output, call.first, call.end = 1, round(ended), round(ended)
            counters.busy_us += took
            counters.steps += 1
            counters.prompt += prompt
            counters.generated += len(running) + len(fresh)
            counters.kv += kv
            if ended - since >= 1e6:
                if not first:
                    c = counters
                    intervals.append([load, round(c.busy_us), c.steps, c.prompt, c.generated, c.kv])
                counters, since, first = Counters(), ended, False
        for call in live.values():
            kept.append(
                [
                    load,
                    call.team,
                    call.start,
                    call.first,
                    call.end,
                    call.prompt,
                    call.output,
                    round(call.true),
                ]
            )
    _write("intervals.csv", ["load", "busy_us", "steps", "prompt", "generated", "kv"], intervals)
    names = ["load", "team", "start_us", "first_us", "end_us", "prompt", "output", "true_us"]
    _write("calls.csv", names, kept)


def _rest(r: dict[str, str], time_of: StepTime) -> float:
    return float(r["us"]) - sum(time_of(0, int(r["decodes"]), int(r["kv_tokens"]))[1:])


def _write(name: str, columns: list[str], rows: list[list[object]]) -> None:
    with (HERE / name).open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)


def runs() -> dict[str, Run]:
    """The engine's runs by load."""
    found: dict[str, Run] = {}
    with (HERE / "intervals.csv").open() as file:
        for r in csv.DictReader(file):
            found.setdefault(r["load"], Run()).intervals.append(
                Counters(busy_us=float(r["busy_us"]), steps=int(r["steps"]), prompt=int(r["prompt"]),
                         generated=int(r["generated"]), kv=int(r["kv"]))
            )  # fmt: skip
    with (HERE / "calls.csv").open() as file:
        for r in csv.DictReader(file):
            found[r["load"]].seen.append(
                Seen(team=r["team"], start=int(r["start_us"]), first=int(r["first_us"]), end=int(r["end_us"]),
                     prompt=int(r["prompt"]), output=int(r["output"]), true=float(r["true_us"]))
            )  # fmt: skip
    return found


if __name__ == "__main__":
    reduce(Path(sys.argv[1]))
