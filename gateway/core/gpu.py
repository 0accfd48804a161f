"""phase-v1: how a pool's GPU time is split over the calls that it served. Pure integers.

In each window of ten seconds the time in which a replica had something in flight is *busy*, and is
split by weight; the rest is *idle*. The weight of a call in a window, in picoseconds of a replica::

    α · its uncached prompt tokens prefilled in the window
  + β · its tokens emitted in the window
  + φ · Σ over those tokens of 1 / n(t)        n(t): calls in flight on that replica
  + κ · Σ over those tokens of its context     κ is 0 unless it was measured (decision 0019)

INVARIANTS: Σ of the shares of an hour = its busy time, to the micro-GPU-second; busy + idle = billed;
no share is negative; the order of calls does not matter; more tokens never lower a call's own weight.

A window's shares are kept to 2⁻⁴⁰ of a micro-GPU-second and rounded once per hour, by largest
remainder. Instants in µs; a micro-GPU-second is one GPU for one µs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Generic, TypeVar

from gateway.core.gpu_pools import HOUR_US, PS_PER_US, Coefficients, Pool

WINDOW_US = 10_000_000
METHOD = "phase-v1"

_FINE = 40
"""Bits behind the point, of 1/n(t) and of a window's shares."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran(Generic[K]):
    """One attempt as the ledger knows it. ``key`` is who pays; calls of one key are added up.

    ``first_us`` is when its first chunk came; None where it is not known (a plain reply): its tokens
    are spread over the whole attempt then. ``known`` false: its usage never arrived, and it pays by the
    time that it was in flight.
    """

    key: K
    deployment: str
    start_us: int
    first_us: int | None
    end_us: int
    prompt: int  # uncached prompt tokens
    output: int
    cached: int = 0  # prompt tokens that the engine's cache held: context, but no prefill
    known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HourSplit(Generic[K]):
    """An hour of a pool in micro-GPU-seconds: ``used`` sums to ``busy``, ``idle`` is the rest."""

    billed: int
    busy: int
    used: Mapping[K, int]

    @property
    def idle(self) -> int:
        """What nothing used."""
        return self.billed - self.busy


def apportion(total: int, weights: Mapping[K, int]) -> dict[K, int]:
    """Split a whole by weights, by largest remainder: the parts sum to it exactly.

    Ties go to the key that sorts first as text, so that the order of ``weights`` does not count. A whole
    without any weight is nobody's: the result is empty.
    """
    return _closed(total, sum(weights.values()), weights)


def _closed(total: int, whole: int, weights: Mapping[K, int]) -> dict[K, int]:
    if whole <= 0:
        return {}
    parts: dict[K, int] = {}
    left: list[tuple[int, str, K]] = []
    for key, weight in weights.items():
        parts[key], rest = divmod(total * weight, whole)
        left.append((-rest, repr(key), key))
    short = total - sum(parts.values())
    left.sort(key=lambda item: item[:2])
    for _, _, key in left[:short]:
        parts[key] += 1
    return parts


def split(pool: Pool, runs: Iterable[Ran[K]], *, start_us: int, end_us: int) -> HourSplit[K]:
    """Split a pool's time between two instants, whole windows apart from the last.

    ``runs`` are attempts of the pool's deployments; what lies outside the time is cut off.
    """
    lanes = _lanes(pool, runs, start_us, end_us)
    billed = busy = 0
    fine: dict[K, int] = {}
    for lane in lanes:
        billed += lane.billed(start_us, end_us)
        for window in lane.windows(pool.coefficients):
            busy += window.busy
            _add(fine, window)
    used = _closed(busy, sum(fine.values()), fine)
    return HourSplit(billed=billed, busy=busy, used={key: part for key, part in used.items() if part})


def weight_ps(
    run: Ran[K],
    others: Sequence[Ran[K]],
    coefficients: Coefficients,
    *,
    replicas: int = 1,
    most: int = 1 << 20,
) -> int:
    """Return a call's whole weight beside ``others``, in picoseconds of a replica."""
    lane: _Lane[K] = _Lane(
        runs=[run, *others],
        capacity=[(min(r.start_us for r in (run, *others)), replicas)],
        gpus=1,
        most=most,
        start_us=min(r.start_us for r in (run, *others)),
        end_us=max(_end(r) for r in (run, *others)),
    )
    lane.sweep()
    return sum(lane.weight(run, lo, hi, coefficients) for lo, hi in lane.spans())


# --------------------------------------------------------------------- one lane


@dataclass(slots=True, kw_only=True)
class _Window(Generic[K]):
    """What a window holds: busy time, and the weights that split it."""

    busy: int
    weights: dict[K, int]


def _add(fine: dict[K, int], window: _Window[K]) -> None:
    whole = sum(window.weights.values())
    if whole:
        for key, weight in window.weights.items():
            if weight:
                fine[key] = fine.get(key, 0) + (window.busy << _FINE) * weight // whole


@dataclass(slots=True, kw_only=True)
class _Lane(Generic[K]):
    """The replicas that take the same calls. Which replica took a call is not known within a lane.

    With k calls in flight on R replicas, min(k, R) are busy, as behind a balancer that picks the least
    loaded, and n(t) is k / R, at least 1 and at most ``most``.
    """

    runs: list[Ran[K]]
    capacity: list[tuple[int, int]]  # (since µs, replicas), ordered
    gpus: int
    most: int
    start_us: int
    end_us: int
    _times: list[int] = field(default_factory=list[int])
    _flow: list[tuple[int, int]] = field(
        default_factory=list[tuple[int, int]]
    )  # (busy per µs, 1/n) after a time
    _busy: list[int] = field(default_factory=list[int])
    _shared: list[int] = field(default_factory=list[int])  # ∫ 1/n dt

    def billed(self, start_us: int, end_us: int) -> int:
        """Return the GPU time that is paid for."""
        steps = [*self.capacity, (end_us, 0)]
        return sum(
            max(0, min(until, end_us) - max(since, start_us)) * count * self.gpus
            for (since, count), (until, _) in pairwise(steps)
        )

    def spans(self) -> list[tuple[int, int]]:
        """Return the windows between start and end."""
        edges = [*range(self.start_us, self.end_us, WINDOW_US), self.end_us]
        return list(pairwise(edges))

    def windows(self, coefficients: Coefficients) -> list[_Window[K]]:
        """Return every window that is not wholly idle."""
        self.sweep()
        spans = self.spans()
        found = [
            _Window[K](busy=self._at(self._busy, hi, 0) - self._at(self._busy, lo, 0), weights={})
            for lo, hi in spans
        ]
        for run in self.runs:
            first = max(0, (run.start_us - self.start_us) // WINDOW_US)
            for number in range(first, len(spans)):
                lo, hi = spans[number]
                if lo >= _end(run):
                    break
                weights = found[number].weights
                weights[run.key] = weights.get(run.key, 0) + self.weight(run, lo, hi, coefficients)
        for (lo, hi), window in zip(spans, found, strict=True):
            if window.busy and not any(window.weights.values()):
                # Nothing but calls without tokens of their own: their time is all there is to go by.
                for run in self.runs:
                    if run.start_us < hi and _end(run) > lo:
                        share = self._time_share(run, lo, hi)
                        window.weights[run.key] = window.weights.get(run.key, 0) + share
        return [window for window in found if window.busy]

    def weight(self, run: Ran[K], lo: int, hi: int, coefficients: Coefficients) -> int:
        """Return a call's weight within a window, in ps."""
        if not run.known:
            return self._time_share(run, lo, hi)
        begin, end = run.start_us, _end(run)
        # How far the prefill went by the window's ends; its whole is α · prompt whatever the windows.
        work = coefficients.prefill_ps * run.prompt
        over = max(
            1, (_first(run) - begin) if run.first_us is not None else min(work // PS_PER_US, end - begin)
        )
        done = [work * min(max(t - begin, 0), over) // over for t in (lo, hi)]
        since = _first(run) if run.first_us is not None else begin
        a, b = max(lo, since), min(hi, end)
        if b <= a or not run.output:
            return done[1] - done[0]
        own = coefficients.decode_ps * run.output * (b - a) // (end - since)
        if coefficients.kv_ps:
            own += coefficients.kv_ps * _context(run, a - since, b - since, end - since)
        shared = self._at(self._shared, b, 1) - self._at(self._shared, a, 1)
        step = coefficients.step_ps * run.output * shared // ((end - since) << _FINE)
        return done[1] - done[0] + own + step

    def _time_share(self, run: Ran[K], lo: int, hi: int) -> int:
        """Return the share of replica time of a call whose tokens are not known, in ps.

        One token a step is as much weight per second as 1/n, whatever the coefficients.
        """
        a, b = max(lo, run.start_us), min(hi, _end(run))
        if b <= a:
            return 0
        return (self._at(self._shared, b, 1) - self._at(self._shared, a, 1)) * PS_PER_US >> _FINE

    def sweep(self) -> None:
        """Count what is in flight at every instant, and add up busy time and 1/n."""
        change: dict[int, int] = {self.start_us: 0}
        for run in self.runs:
            change[run.start_us] = change.get(run.start_us, 0) + 1
            change[_end(run)] = change.get(_end(run), 0) - 1
        steps = dict(self.capacity)
        self._times = times = sorted({*change, *steps})
        self._busy, self._shared, self._flow = [0], [0], []
        flying = 0
        count = 0
        for number, at in enumerate(times):
            flying += change.get(at, 0)
            count = steps.get(at, count)
            lanes = max(1, count)
            # Busy within the time that is asked for only: what is before or after it is another hour's.
            busy = min(flying, count) * self.gpus
            share = (lanes << _FINE) // min(max(flying, lanes), lanes * self.most)
            self._flow.append((busy, share))
            if number + 1 < len(times):
                span = times[number + 1] - at
                self._busy.append(self._busy[-1] + busy * span)
                self._shared.append(self._shared[-1] + share * span)

    def _at(self, sums: list[int], at: int, which: int) -> int:
        """Return a running sum at an instant."""
        number = bisect_right(self._times, at) - 1
        if number < 0:
            return 0
        return sums[number] + self._flow[number][which] * (at - self._times[number])


def _context(run: Ran[K], a: int, b: int, whole: int) -> int:
    """Return Σ of the context over the tokens that came from ``a`` to ``b`` of a decode of ``whole`` µs.

    The context is the whole prompt, and one token more with every token.
    """
    tokens = run.output
    return (2 * tokens * (run.prompt + run.cached) * (b - a) * whole + tokens * tokens * (b * b - a * a)) // (
        2 * whole * whole
    )


def _end(run: Ran[K]) -> int:
    """Return when it ended: at least two µs after its start, so that both phases have a time."""
    return max(run.end_us, run.start_us + 2)


def _first(run: Ran[K]) -> int:
    """Return when its first chunk came, within the attempt."""
    first = run.start_us if run.first_us is None else run.first_us
    return min(max(first, run.start_us + 1), _end(run) - 1)


def _lanes(pool: Pool, runs: Iterable[Ran[K]], start_us: int, end_us: int) -> list[_Lane[K]]:
    named = {replica.deployment for replica in pool.replicas if replica.deployment}
    sorted_runs: dict[str, list[Ran[K]]] = {}
    for run in runs:
        if run.start_us < end_us and _end(run) > start_us:
            sorted_runs.setdefault(run.deployment if run.deployment in named else "", []).append(run)
    lanes: list[_Lane[K]] = []
    for name in sorted({*named, *(replica.deployment for replica in pool.replicas), *sorted_runs}):
        change: dict[int, int] = {start_us: 0}
        for replica in pool.replicas:
            if replica.deployment != name:
                continue
            since = max(start_us, replica.since // 1000)
            until = end_us if replica.until is None else min(end_us, replica.until // 1000)
            if since < until:
                change[since] = change.get(since, 0) + 1
                change[until] = change.get(until, 0) - 1
        count, capacity = 0, list[tuple[int, int]]()
        for at in sorted(change):
            count += change[at]
            capacity.append((at, count))
        lanes.append(
            _Lane(
                runs=sorted_runs.get(name, []),
                capacity=capacity,
                gpus=pool.gpus,
                most=pool.most_running,
                start_us=start_us,
                end_us=end_us,
            )
        )
    return lanes


# -------------------------------------------------------------------- estimates


def estimate_micro_gpu_seconds(
    pool: Pool,
    input_tokens: int,
    output_tokens: int,
    in_flight: int = 1,
    *,
    cached_tokens: int = 0,
    duration_us: int | None = None,
) -> int:
    """Return what a call of so many tokens weighs, rounded upward, in micro-GPU-seconds.

    With ``in_flight`` 1, as at admission, it is the most that its weight can become: alone on a replica
    nobody shares its steps. What the window's close attributes differs by as much as the coefficients
    are wrong, which is why GPU budgets are corrected then. ``cached_tokens`` of the prompt need no
    prefill. ``duration_us``, once known, bounds it: a call never used more than its replica while it ran.
    """
    c = pool.coefficients
    weight = c.prefill_ps * input_tokens + c.decode_ps * output_tokens
    weight += c.kv_ps * output_tokens * (input_tokens + cached_tokens + output_tokens)
    weight += -(-c.step_ps * output_tokens // max(1, min(in_flight, pool.most_running)))
    most = -(-weight * pool.gpus // PS_PER_US)
    return most if duration_us is None else min(most, max(0, duration_us) * pool.gpus)


def hour_of(at_us: int) -> int:
    """Return the start of the hour of UTC that holds an instant (µs)."""
    return at_us - at_us % HOUR_US
