"""phase-v1: what must hold of every split of GPU time, on random calls and beside a naive oracle."""

# ruff: noqa: E501 (files, rows and sentences stand whole, as people read them)

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.gpu import (
    WINDOW_US,
    Ran,
    apportion,
    estimate_micro_gpu_seconds,
    hour_of,
    split,
    weight_ps,
)
from gateway.core.gpu_pools import HOUR_US, PS_PER_US, Coefficients, Pool
from tests.core.gpu_runs import MEASURED, START, pool, runs

MINUTES = 3 * 60_000_000
SEVERAL = st.lists(runs(), max_size=25)


def oracle(of: Pool, calls: list[Ran[str]], start: int, end: int) -> tuple[int, dict[str, Fraction]]:
    """The method as the sentence in finance.md says it, in fractions: every instant looked at by itself."""
    r = len(of.replicas)
    ends = {id(c): max(c.end_us, c.start_us + 2) for c in calls}
    firsts = {
        id(c): None if c.first_us is None else min(max(c.first_us, c.start_us + 1), ends[id(c)] - 1)
        for c in calls
    }
    cuts = {start, end, *range(start, end, WINDOW_US)}
    cuts |= {t for c in calls for t in (c.start_us, ends[id(c)], firsts[id(c)]) if t is not None}
    edges = sorted(t for t in cuts if start <= t <= end)
    busy_of: dict[int, int] = {}
    weights: dict[int, dict[int, Fraction]] = {}
    c0 = of.coefficients
    for lo, hi in pairwise(edges):
        window = (lo - start) // WINDOW_US
        flying = [c for c in calls if c.start_us <= lo < ends[id(c)]]
        busy_of[window] = busy_of.get(window, 0) + min(len(flying), r) * of.gpus * (hi - lo)
        n = Fraction(min(max(len(flying), r), r * of.most_running), r)
        for number, c in enumerate(calls):
            if c not in flying:
                continue
            mine = weights.setdefault(window, {})
            if not c.known:
                mine[number] = mine.get(number, Fraction(0)) + (hi - lo) * PS_PER_US / n
                continue
            since = firsts[id(c)] or c.start_us
            if lo >= since:
                tokens = Fraction(c.output * (hi - lo), ends[id(c)] - since)
                mine[number] = mine.get(number, Fraction(0)) + tokens * (c0.decode_ps + c0.step_ps / n)
                whole = ends[id(c)] - since
                a, b = Fraction(lo - since, whole), Fraction(hi - since, whole)
                context = c.output * (c.prompt + c.cached) * (b - a) + c.output**2 * (b**2 - a**2) / 2
                mine[number] += c0.kv_ps * context
    for number, c in enumerate(calls):
        if not c.known:
            continue
        work = c0.prefill_ps * c.prompt
        first = firsts[id(c)]
        over = max(
            1, first - c.start_us if first is not None else min(work // PS_PER_US, ends[id(c)] - c.start_us)
        )
        for window in range((end - start + WINDOW_US - 1) // WINDOW_US):
            lo, hi = start + window * WINDOW_US, min(end, start + (window + 1) * WINDOW_US)
            part = max(0, min(hi, c.start_us + over) - max(lo, c.start_us))
            if part:
                mine = weights.setdefault(window, {})
                mine[number] = mine.get(number, Fraction(0)) + Fraction(work * part, over)
    shares: dict[str, Fraction] = {}
    for window, busy in busy_of.items():
        mine = {n: w for n, w in weights.get(window, {}).items() if w}
        if busy and not mine:
            lo, hi = start + window * WINDOW_US, min(end, start + (window + 1) * WINDOW_US)
            for number, c in enumerate(calls):
                time = _time_share(c, calls, ends, of, lo, hi)
                if time:
                    mine[number] = time
        whole = sum(mine.values())
        for number, w in mine.items():
            key = calls[number].key
            shares[key] = shares.get(key, Fraction(0)) + busy * w / whole
    return sum(busy_of.values()), shares


def _time_share(
    c: Ran[str], calls: list[Ran[str]], ends: dict[int, int], of: Pool, lo: int, hi: int
) -> Fraction:
    r = len(of.replicas)
    cuts = sorted({lo, hi, *(t for o in calls for t in (o.start_us, ends[id(o)]) if lo < t < hi)})
    total = Fraction(0)
    for a, b in pairwise(cuts):
        if c.start_us <= a < ends[id(c)]:
            k = sum(1 for o in calls if o.start_us <= a < ends[id(o)])
            total += (b - a) / Fraction(min(max(k, r), r * of.most_running), r)
    return total


@settings(max_examples=150, deadline=None)
@given(SEVERAL, st.integers(1, 3), st.sampled_from([0, 45_000]))
def test_it_is_the_method_of_the_sentence(calls, replicas, kv_ps):
    """The integers agree with a naive reading in fractions, to a micro-GPU-second and its rounding."""
    of = pool(replicas, coefficients=replace(MEASURED, kv_ps=kv_ps))
    calls = [replace(c, key=f"{c.key}-{number}") for number, c in enumerate(calls)]
    found = split(of, calls, start_us=START, end_us=START + MINUTES)
    busy, shares = oracle(of, calls, START, START + MINUTES)
    assert found.busy == busy
    # Weights are whole picoseconds: a call whose whole weight is a handful of them is rounded coarsely.
    slack = 2 + busy * 60 // 10**6
    for key in shares.keys() | found.used.keys():
        assert abs(found.used.get(key, 0) - shares.get(key, 0)) <= slack, key


@settings(max_examples=200, deadline=None)
@given(SEVERAL, st.integers(1, 3), st.integers(1, MINUTES))
def test_nothing_is_lost_and_nothing_is_made(calls, replicas, length):
    """Σ used + idle = billed, exactly; no share is negative; used is what was busy."""
    of = pool(replicas)
    found = split(of, calls, start_us=START, end_us=START + length)
    assert found.billed == length * replicas * of.gpus
    assert sum(found.used.values()) + found.idle == found.billed
    assert sum(found.used.values()) == found.busy
    assert all(part > 0 for part in found.used.values())
    assert 0 <= found.busy <= found.billed


@settings(max_examples=100, deadline=None)
@given(SEVERAL, st.randoms(use_true_random=False))
def test_the_order_of_calls_does_not_count(calls, chance):
    """A ledger read in another order gives the same bill."""
    shuffled = list(calls)
    chance.shuffle(shuffled)
    a = split(pool(2), calls, start_us=START, end_us=START + MINUTES)
    b = split(pool(2), shuffled, start_us=START, end_us=START + MINUTES)
    assert a == b


@settings(max_examples=200, deadline=None)
@given(
    runs(),
    st.lists(runs(), max_size=8),
    st.integers(0, 5_000),
    st.integers(0, 5_000),
    st.builds(
        Coefficients,
        prefill_ps=st.integers(1, 10**9),
        decode_ps=st.integers(1, 10**9),
        step_ps=st.integers(0, 10**11),
        kv_ps=st.integers(0, 10**6),
        source=st.just("any"),
    ),
)
def test_more_tokens_never_lower_a_calls_weight(call, others, more_in, more_out, coefficients):
    """Padding a prompt or an answer cannot make it cheaper."""
    call = replace(call, known=True)
    fuller = replace(call, prompt=call.prompt + more_in, output=call.output + more_out)
    before = weight_ps(call, others, coefficients)
    after = weight_ps(fuller, others, coefficients)
    # Each window rounds down once: nine at most here.
    assert after >= before - (0 if more_in + more_out else 1)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 40_000_000), min_size=1, max_size=30),
    st.integers(1, 6_000),
    st.integers(2, 3_000),
)
def test_a_streamed_call_and_its_plain_twin_cost_the_same(starts, prompt, output):
    """Within 1 % in a steady crowd: whether an app streams does not change what its team pays."""
    crowd = [
        Ran(key="crowd", deployment="own-llama", start_us=START, first_us=None, end_us=START + MINUTES,
            prompt=100, output=2_000)
        for _ in starts
    ]  # fmt: skip
    begin = START + starts[0]
    prefill = prompt * 32
    end = begin + prefill + output * 12_000
    plain = Ran(key="twin", deployment="own-llama", start_us=begin, first_us=None, end_us=end, prompt=prompt,
                output=output)  # fmt: skip
    streamed = replace(plain, first_us=begin + prefill)
    costs = [
        split(pool(), [*crowd, twin], start_us=START, end_us=START + HOUR_US).used["twin"]
        for twin in (plain, streamed)
    ]
    assert abs(costs[0] - costs[1]) <= max(costs) / 100 + 1


def test_a_hundred_thousand_calls_close_exactly():
    """Conservation at the size of a busy hour, to the micro-GPU-second."""
    chance = random.Random(5)  # noqa: S311 (made-up load)
    calls = []
    for number in range(100_000):
        start = START + chance.randrange(-30_000_000, HOUR_US)
        length = int(chance.lognormvariate(15, 1))
        calls.append(
            Ran(
                key=(f"team{chance.randrange(40)}", f"app{chance.randrange(7)}"),
                deployment="own-llama",
                start_us=start,
                first_us=start + length // 9 if chance.random() < 0.7 else None,
                end_us=start + length,
                prompt=chance.randrange(8_000),
                output=chance.randrange(1_500),
                known=chance.random() > 0.01,
            )
        )
        if number % 50 == 0:
            calls[-1] = replace(calls[-1], key=number)
    found = split(pool(8), calls, start_us=START, end_us=START + HOUR_US)
    assert sum(found.used.values()) + found.idle == found.billed == HOUR_US * 8 * 4
    assert len(found.used) > 2_000


def test_an_idle_hour_is_billed_to_nobody():
    """Nothing in flight: all of it is idle."""
    found = split(pool(), [], start_us=START, end_us=START + HOUR_US)
    assert (found.billed, found.busy, found.used) == (HOUR_US * 4, 0, {})


def test_a_call_alone_pays_for_its_replica_and_no_more():
    """One call of ten seconds on one of two replicas: forty GPU-seconds, the other replica idles."""
    call = Ran(key="a", deployment="own-llama", start_us=START, first_us=None, end_us=START + 10_000_000, prompt=9,
               output=9)  # fmt: skip
    found = split(pool(2), [call], start_us=START, end_us=START + HOUR_US)
    assert found.used == {"a": 40_000_000}
    assert found.billed == 2 * 4 * HOUR_US


def test_a_call_that_was_cut_off_pays_for_what_it_used():
    """Its client left after 3 s: it pays for the tokens that were made, and for its prompt."""
    whole = Ran(key="whole", deployment="own-llama", start_us=START, first_us=START + 1_000_000,
                end_us=START + 9_000_000, prompt=4_000, output=800)  # fmt: skip
    cut = replace(whole, key="cut", end_us=START + 3_000_000, output=200)
    found = split(pool(), [whole, cut], start_us=START, end_us=START + HOUR_US)
    assert 0 < found.used["cut"] < found.used["whole"]


def test_a_call_whose_usage_never_came_pays_by_its_time():
    """Beside an equal call with tokens it pays, and is no free ride."""
    known = Ran(key="known", deployment="own-llama", start_us=START, first_us=START + 1, end_us=START + 5_000_000,
                prompt=0, output=550)  # fmt: skip
    lost = replace(known, key="lost", output=0, known=False)
    found = split(pool(), [known, lost], start_us=START, end_us=START + HOUR_US)
    assert 0.8 < found.used["lost"] / found.used["known"] < 1.25


def test_calls_without_any_weight_share_their_time():
    """Every token was cached and none came out: busy time still has somebody who pays."""
    call = Ran(key="a", deployment="own-llama", start_us=START, first_us=None, end_us=START + 1_000_000, prompt=0,
               output=0)  # fmt: skip
    later = replace(call, key="b", start_us=START + 1_000_000, end_us=START + 4_000_000)
    found = split(pool(), [call, later], start_us=START, end_us=START + HOUR_US)
    assert found.used == {"a": 4_000_000, "b": 12_000_000}


def test_a_deployment_of_one_replica_is_split_on_that_replica_alone():
    """Calls that can only have gone to r0 do not pay for r1, nor thin each other's steps there."""
    of = pool(2, deployments=("own-llama", "own-small"))
    only, other = of.replicas
    of = replace(of, replicas=(replace(only, deployment="own-small"), other))
    small = Ran(key="small", deployment="own-small", start_us=START, first_us=None, end_us=START + 1_000_000, prompt=1,
                output=10)  # fmt: skip
    large = replace(small, key="large", deployment="own-llama", output=1_000)
    found = split(of, [small, large], start_us=START, end_us=START + HOUR_US)
    assert found.used == {"small": 4_000_000, "large": 4_000_000}


def test_a_replica_is_billed_while_it_is_there():
    """One that is added at half past bills half the hour."""
    of = pool(2)
    first, second = of.replicas
    of = replace(of, replicas=(first, replace(second, since=(START + HOUR_US // 2) * 1000)))
    assert split(of, [], start_us=START, end_us=START + HOUR_US).billed == HOUR_US * 6
    gone = replace(second, until=(START + HOUR_US // 4) * 1000)
    of = replace(of, replicas=(first, gone))
    assert split(of, [], start_us=START, end_us=START + HOUR_US).billed == HOUR_US * 5


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 10**12), max_size=12), st.integers(0, 10**15))
def test_apportioning_closes(weights, total):
    """The parts of a whole sum to it, are never negative, and are off by less than one."""
    parts = apportion(total, weights)
    whole = sum(weights.values())
    assert sum(parts.values()) == (total if whole else 0)
    assert all(abs(parts[key] - Fraction(total * weights[key], whole)) < 1 for key in parts)


@settings(max_examples=150, deadline=None)
@given(runs(), st.lists(runs(), max_size=6), st.integers(1, 3))
def test_the_estimate_at_admission_is_an_upper_bound_of_the_weight(call, others, replicas):
    """Whatever else runs, a call's weight never passes what is held for it."""
    call = replace(call, known=True)
    of = pool(replicas)
    of = of.calibrated(replace(MEASURED, kv_ps=45_000))
    held = estimate_micro_gpu_seconds(of, call.prompt + call.cached, call.output)
    weight = weight_ps(call, others, of.coefficients, replicas=replicas)
    assert weight * of.gpus <= held * PS_PER_US


def test_an_estimate_never_passes_the_replicas_own_time():
    """Once it is over, a call is settled at no more than its replica's GPUs for as long as it ran."""
    of = pool()
    assert estimate_micro_gpu_seconds(of, 0, 1_000) == 4 * 1_000 * (9_000 + 41)
    assert estimate_micro_gpu_seconds(of, 0, 1_000, 10) == 4 * 1_000 * (900 + 41)
    assert estimate_micro_gpu_seconds(of, 0, 1_000, duration_us=100) == 400


@pytest.mark.parametrize("at", [START, START + 1, START + HOUR_US - 1])
def test_hours_are_of_utc(at):
    """An instant belongs to the whole hour before it."""
    assert hour_of(at) == START
