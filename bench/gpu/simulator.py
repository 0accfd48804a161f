"""A simulated engine with continuous batching, and the yardstick: each step's cost by Shapley.

The yardstick per step: what the step costs whoever is in it is shared equally by its members, own work
(prefill, decode, reading one's own KV) goes to its owner. :func:`simulate` yields what a gateway would
see (:class:`Seen`), what is true, and the engine's counters; :mod:`bench.gpu.errors` compares.

What phase-v1 does not model can be switched on one by one (:class:`Effects`): chunked prefill,
preemption with recomputation, a KV cost that is not linear, prefill attention that grows with the
square, noise, a network between gateway and engine, a queue in front of a full engine.
"""

# ruff: noqa: PLR0917 (tables and scripts)

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """A step's time in µs: fixed + α·prefill + β·decodes + κ·KV tokens read."""

    fixed: float = 7_500.0
    prefill: float = 27.0
    decode: float = 32.0
    kv: float = 0.045


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Calls of one team: log-normal lengths around medians, and its part of all arrivals."""

    name: str
    prompt: float
    output: float
    share: float
    spread: float = 0.6


TEAMS = (
    Team(name="chat", prompt=600, output=200, share=0.60),
    Team(name="long-prompt", prompt=6_000, output=60, share=0.15),
    Team(name="long-answer", prompt=150, output=1_200, share=0.25),
)

LOADS = {"low": 0.25, "mid": 2.0, "saturated": 7.0}
"""Calls per second on one replica: a few at once; dozens; more than it can serve for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What the method does not model. The default is the base model."""

    chunk: int = 0  # prompt tokens prefilled per step at most; 0: a whole prompt at once
    kv_room: int = 0  # KV tokens that fit; 0: no limit. Above it the newest call is preempted
    kv_bend: float = 0.0  # reading KV costs (1 + bend · KV / 200 000) times as much
    square: float = 0.0  # µs per prompt token and 1 000 tokens before it
    noise: float = 0.0  # σ of a log-normal factor on every step
    stalls: float = 0.0  # share of steps that take ten times as long (host, garbage collection)
    network_us: float = 0.0  # from gateway to engine and back, mean of an exponential, each way
    most_running: int = 256
    cached: float = 0.0  # part of prompts that a prefix cache holds, not reported


@dataclass(slots=True, kw_only=True)
class Seen:
    """One call as the gateway sees it, and the truth about it. Times in µs."""

    team: str
    start: int
    prompt: int
    output: int
    first: int = 0
    end: int = 0
    true: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Live:
    """One call in the engine."""

    seen: Seen
    to_prefill: int
    done: int = 0  # tokens prefilled in this life
    made: int = 0
    kv: int = 0


@dataclass(slots=True, kw_only=True)
class Counters:
    """The engine's counters over one interval, as a scraper would have them."""

    busy_us: float = 0.0
    steps: int = 0
    prompt: int = 0
    generated: int = 0
    kv: int = 0  # Σ over steps of the KV tokens that were read


@dataclass(slots=True, kw_only=True)
class Run:
    """What came out."""

    seen: list[Seen] = field(default_factory=list)
    intervals: list[Counters] = field(default_factory=list)
    busy_us: float = 0.0
    preempted: int = 0


StepTime = Callable[[int, int, int], tuple[float, float, float, float]]
"""(prefill tokens, decodes, KV tokens) → µs: (fixed, all prefill, all decode, all KV)."""


def linear(costs: Costs) -> StepTime:
    """The step-time model of the research note."""

    def step(prefill: int, decodes: int, kv: int) -> tuple[float, float, float, float]:
        return costs.fixed, costs.prefill * prefill, costs.decode * decodes, costs.kv * kv

    return step


def arrivals(
    rate: float, seconds: float, chance: random.Random, teams: tuple[Team, ...] = TEAMS
) -> list[Seen]:
    """Poisson arrivals of the teams' calls."""
    found: list[Seen] = []
    at = 0.0
    while True:
        at += chance.expovariate(rate) * 1e6
        if at >= seconds * 1e6:
            return found
        team = chance.choices(teams, [t.share for t in teams])[0]
        found.append(
            Seen(
                team=team.name,
                start=int(at),
                prompt=max(1, int(team.prompt * math.exp(chance.gauss(0, team.spread)))),
                output=max(1, int(team.output * math.exp(chance.gauss(0, team.spread)))),
            )
        )


def simulate(
    rate: float,
    seconds: float,
    *,
    seed: int = 1,
    step_time: StepTime | None = None,
    effects: Effects | None = None,
    interval_us: float = 1e6,
) -> Run:
    """Serve the arrivals of some seconds until the last one is done."""
    chance = random.Random(seed)
    effects = effects or Effects()
    step_time = step_time or linear(Costs())
    run = Run(seen=arrivals(rate, seconds, chance))

    def delay() -> float:
        return chance.expovariate(1 / effects.network_us) if effects.network_us else 0.0

    coming = deque(sorted(((s.start + delay(), n) for n, s in enumerate(run.seen))))
    waiting: deque[_Live] = deque()
    running: list[_Live] = []
    now = 0.0
    counters = Counters()
    since = 0.0
    while coming or waiting or running:
        if not waiting and not running:
            now = max(now, coming[0][0])
        while coming and coming[0][0] <= now:
            seen = run.seen[coming.popleft()[1]]
            waiting.append(_Live(seen=seen, to_prefill=max(1, int(seen.prompt * (1 - effects.cached)))))
        members, prefilled = _admit(waiting, running, effects)
        _preempt(waiting, running, members, effects, run)
        decoding = [live for live in running if live.to_prefill == live.done]
        kv = sum(live.kv for live in decoding)
        fixed, all_prefill, all_decode, all_kv = step_time(sum(prefilled.values()), len(decoding), kv)
        if effects.kv_bend:
            all_kv *= 1 + effects.kv_bend * kv / 200_000
        squares = (
            {
                n: effects.square * tokens * ((members[n].kv + tokens / 2) / 1_000)
                for n, tokens in prefilled.items()
            }
            if effects.square
            else {}
        )
        took = fixed + all_prefill + all_decode + all_kv + sum(squares.values())
        factor = math.exp(chance.gauss(-(effects.noise**2) / 2, effects.noise)) if effects.noise else 1.0
        if effects.stalls and chance.random() < effects.stalls:
            factor *= 10
        now += took * factor
        run.busy_us += took * factor
        _share(members, prefilled, decoding, kv, (fixed, all_prefill, all_decode, all_kv), squares, factor)
        counters.busy_us += took * factor
        counters.steps += 1
        counters.kv += kv
        counters.prompt += sum(prefilled.values())
        counters.generated += _emit(members, prefilled, decoding, running, now, delay)
        if now - since >= interval_us:
            run.intervals.append(counters)
            counters, since = Counters(), now
    return run


def _admit(
    waiting: deque[_Live], running: list[_Live], effects: Effects
) -> tuple[dict[int, _Live], dict[int, int]]:
    """Take calls in and choose what is prefilled in this step: (members by id, tokens by id)."""
    prefilled: dict[int, int] = {}
    room = effects.chunk or 1 << 30
    for live in running:  # those half way, first
        if live.done < live.to_prefill and room:
            tokens = min(room, live.to_prefill - live.done)
            prefilled[id(live)] = tokens
            room -= tokens
    load = sum(live.kv + live.to_prefill - live.done for live in running)
    while waiting and room and len(running) < effects.most_running:
        live = waiting[0]
        if effects.kv_room and running and load + live.to_prefill > effects.kv_room * 0.95:
            break
        if prefilled and not effects.chunk:
            break  # one whole prompt per step
        waiting.popleft()
        running.append(live)
        load += live.to_prefill
        tokens = min(room, live.to_prefill)
        prefilled[id(live)] = tokens
        room -= tokens
    return {id(live): live for live in running}, prefilled


def _preempt(
    waiting: deque[_Live], running: list[_Live], members: dict[int, _Live], effects: Effects, run: Run
) -> None:
    """Throw the newest calls out while the KV cache overflows; they are computed again from the start."""
    while effects.kv_room and len(running) > 1 and sum(live.kv for live in running) > effects.kv_room:
        live = running[-1]
        if live.done < live.to_prefill:
            return  # it only just came in
        running.pop()
        members.pop(id(live))
        run.preempted += 1
        live.to_prefill, live.done, live.kv = live.seen.prompt + live.made, 0, 0
        waiting.appendleft(live)


def _share(
    members: dict[int, _Live],
    prefilled: dict[int, int],
    decoding: list[_Live],
    kv: int,
    parts: tuple[float, float, float, float],
    squares: dict[int, float],
    factor: float,
) -> None:
    """Lay the step on its members: the fixed part equally, own work to its owner."""
    fixed, all_prefill, all_decode, all_kv = parts
    in_step = {*prefilled, *(id(live) for live in decoding)}
    tokens = sum(prefilled.values())
    for key in in_step:
        members[key].seen.true += fixed / len(in_step) * factor
    for key, own in prefilled.items():
        members[key].seen.true += (all_prefill * own / tokens + squares.get(key, 0.0)) * factor
    for live in decoding:
        own_kv = all_kv * live.kv / kv if kv else 0.0
        live.seen.true += (all_decode / len(decoding) + own_kv) * factor


def _emit(
    members: dict[int, _Live],
    prefilled: dict[int, int],
    decoding: list[_Live],
    running: list[_Live],
    now: float,
    delay: Callable[[], float],
) -> int:
    """Advance every member by its step; return how many tokens came out."""
    made = 0
    for live in decoding:
        live.made += 1
        live.kv += 1
        made += 1
    for key, tokens in prefilled.items():
        live = members[key]
        live.done += tokens
        live.kv += tokens
        if live.done == live.to_prefill and live.made == 0:
            live.made = 1
            live.seen.first = int(now + delay())
            made += 1
    for live in [live for live in running if live.made >= live.seen.output]:
        running.remove(live)
        live.seen.end = max(int(now + delay()), live.seen.first)
    return made
