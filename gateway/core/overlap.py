"""Overlapping finds as one: what redaction would replace is what a scan shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.core.values import Span


def clustered(spans: Sequence[Span]) -> list[Span]:
    """Merge overlapping spans: each cluster covers them all and bears the longest one's kind.

    Ordered by start, none overlapping.
    """
    clusters: list[tuple[int, int, Span]] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if clusters and span.start < clusters[-1][1]:
            start, end, best = clusters[-1]
            longest = max(best, span, key=lambda s: (s.end - s.start, s.score))
            clusters[-1] = (start, max(end, span.end), longest)
        else:
            clusters.append((span.start, span.end, span))
    return [replace(best, start=start, end=end) for start, end, best in clusters]
