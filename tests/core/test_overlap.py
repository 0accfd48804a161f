"""Overlapping finds: one cluster that covers them all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.overlap import clustered
from gateway.core.values import Span


def span(kind, start, end, score=80):
    return Span(kind=kind, start=start, end=end, score=score, detector="test")


def test_the_longest_names_the_cluster():
    """Of equally long ones the surer."""
    assert clustered([span("sin", 4, 9), span("phone", 0, 6)]) == [span("phone", 0, 9)]
    assert [s.kind for s in clustered([span("a", 0, 3, 70), span("b", 0, 3, 90)])] == ["b"]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=8))
def test_every_character_stays_covered_once(raw):
    """Clusters cover what the spans cover, in order, without overlap."""
    spans = [span("k", start, start + size) for start, size in raw]
    made = clustered(spans)
    covered = {p for s in spans for p in range(s.start, s.end)}
    assert [p for s in made for p in range(s.start, s.end)] == sorted(covered)
