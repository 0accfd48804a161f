"""The least squares of a calibration: busy seconds on engine steps, uncached prompt and output tokens.

The one place that uses numpy, imported by commands alone. No amount of money is computed here: what
comes out are coefficients that a person writes into ``pools.yaml``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

Column = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

NAMES = ("step", "prefill", "decode", "kv")

LEAST_INTERVALS = 12
"""Fewer say nothing about so many unknowns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What one engine did in one interval in which it was never idle, or known to be busy for so long."""

    busy_s: float
    steps: float
    prompt: float  # uncached prompt tokens
    generated: float
    kv: float | None = None  # Σ over its steps of the tokens whose keys and values were read; None: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Coefficients in µs of a replica, and how far to trust them."""

    step_us: float
    prefill_us: float
    decode_us: float
    kv_us: float  # per token emitted and token of context; 0 where the engine does not tell
    r2: float
    worst_pct: float  # largest relative residual of an interval
    error_pct: tuple[float, ...]  # standard error of step, prefill, decode, kv
    intervals: int
    zeroed: tuple[str, ...]  # what least squares would have made negative

    @property
    def confidence(self) -> str:
        """``high``, ``medium`` or ``low``, in words that a report may show."""
        worst = max(self.error_pct)
        if self.zeroed or self.r2 < 0.9 or worst > 25:
            return "low"
        return "high" if self.r2 >= 0.98 and worst <= 5 else "medium"


class TooLittle(Exception):
    """The intervals cannot tell the coefficients apart; the text says what to do."""


def fit(intervals: Sequence[Interval]) -> Fitted:
    """Fit non-negative coefficients. Raises TooLittle.

    With so few unknowns every set of them that is not zero can be tried: the best of those whose solution
    has no negative part is the non-negative least squares.
    """
    used = [i for i in intervals if i.busy_s > 0 and i.steps > 0]
    if len(used) < LEAST_INTERVALS:
        raise TooLittle(
            f"{len(used)} intervals of work were seen, {LEAST_INTERVALS} are needed: "
            "measure for longer, or while the pool is busy"
        )
    names = NAMES if all(i.kv is not None for i in used) else NAMES[:3]
    x = np.array([[i.steps, i.prompt, i.generated, i.kv or 0.0][: len(names)] for i in used], dtype=float)
    y = np.array([i.busy_s * 1e6 for i in used], dtype=float)
    scale = np.maximum(np.abs(x).max(axis=0), 1e-12)
    z = x / scale
    if np.linalg.matrix_rank(z, tol=1e-6 * max(z.shape)) < len(names):
        raise TooLittle(
            "the load never changed its mix of prompts, answers and calls at once, so their costs cannot be "
            "told apart: measure while it does, or send some long prompts"
        )
    best: tuple[float, Column, tuple[int, ...]] | None = None
    for size in range(len(names), 0, -1):
        for kept in combinations(range(len(names)), size):
            solution, *_ = np.linalg.lstsq(z[:, kept], y, rcond=None)
            if (solution < 0).any():
                continue
            full: Column = np.zeros(len(names))
            full[list(kept)] = solution
            loss = float(((y - z @ full) ** 2).sum())
            if best is None or loss < best[0] * (1 - 1e-12):
                best = (loss, full, kept)
    assert best is not None  # noqa: S101 (a single column of counts always has a solution that is not negative)
    loss, full, kept = best
    spread = float(((y - y.mean()) ** 2).sum())
    # Intervals of equal length leave nothing to explain: what counts then is the size of the residual.
    r2 = 1 - loss / spread if spread > 1e-3 * float((y**2).sum()) else 1 - loss / float((y**2).sum())
    step, prefill, decode, kv = [*(full / scale).tolist(), 0.0][:4]
    return Fitted(
        step_us=step,
        prefill_us=prefill,
        decode_us=decode,
        kv_us=kv,
        r2=r2,
        worst_pct=float(100 * np.max(np.abs(y - z @ full) / y)),
        error_pct=_errors(z, loss, full, kept),
        intervals=len(used),
        zeroed=tuple(name for number, name in enumerate(names) if number not in kept),
    )


def _errors(z: Column, loss: float, full: Column, kept: tuple[int, ...]) -> tuple[float, ...]:
    """Return the standard error of each coefficient in percent of it."""
    columns = z[:, kept]
    free = max(1, len(z) - len(kept))
    covariance = np.linalg.pinv(columns.T @ columns) * loss / free
    found = [0.0] * len(full)
    for place, number in enumerate(kept):
        size = float(full[number])
        found[number] = 100 * float(np.sqrt(max(0.0, covariance[place, place]))) / size if size else 100.0
    return tuple(found)
