"""Scores: the matching rule on small texts, and what counts as a leak."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.accuracy import Count, Marked, Score, only

TEXT = "Jane Doe lives in Laval"
JANE, LAVAL = Marked("person", 0, 8), Marked("location", 18, 23)


def scored(marked, finds, text=TEXT):
    score = Score()
    score.add(text, marked, finds)
    return score


def test_half_of_a_spans_characters_is_enough():
    """White space does not count: four of seven characters are found, three are not enough."""
    assert scored([JANE], [Marked("person", 0, 4)]).overall.recall == 1
    assert scored([JANE], [Marked("person", 5, 8)]).overall.recall == 0


def test_two_halves_find_a_name_together():
    """A name that was cut in two is found, and both finds are right."""
    overall = scored([JANE], [Marked("person", 0, 4), Marked("person", 5, 8)]).overall
    assert (overall.recall, overall.precision, overall.finds) == (1, 1, 2)


def test_a_find_that_swallows_the_sentence_is_wrong():
    """It covers the name, so nothing leaks and the name is found; but it is no right find."""
    score = scored([JANE], [Marked("person", 0, len(TEXT))])
    assert (score.overall.recall, score.overall.precision, score.leak_rate) == (1, 0, 0)


def test_another_kind_covers_but_does_not_find():
    """A leak is what nothing covers; a mistaken kind does not leak."""
    score = scored([JANE, LAVAL], [Marked("organisation", 0, 8)])
    assert score.overall.recall == 0
    assert score.leaked_characters == 5
    assert score.marked_characters == 12


def test_harmless_texts_are_counted_apart():
    """A find in a text without marks is a harmless text touched."""
    score = scored([], [LAVAL])
    score.add("nothing", [], [])
    assert (score.touched_harmless, score.harmless) == (1, 2)


def test_f2_counts_recall_more():
    """With the two swapped, F1 is the same and F2 follows recall."""
    high, low = Count(marked=10, found=9, finds=10, right=5), Count(marked=10, found=5, finds=10, right=9)
    assert high.f(1) == low.f(1)
    assert high.f(2) > low.f(2)
    assert Count().f(2) == 1  # nothing asked, nothing told
    assert Count(marked=1, finds=1).f(2) == 0


def test_kinds_that_count_as_the_same():
    """An address may count as a location; kinds that nobody asked for are left out."""
    spans = [Marked("address", 0, 2), Marked("card", 3, 4)]
    assert only(spans, frozenset({"location"}), {"address": "location"}) == [Marked("location", 0, 2)]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20), st.integers(1, 9)), max_size=6))
def test_what_was_marked_scores_full(raw):
    """Finds equal to the marks are all right, all found, and leak nothing."""
    marks = [Marked(kind, start, start + size) for kind, start, size in raw]
    score = scored(marks, marks, "x" * 40)
    assert (score.overall.precision, score.overall.recall, score.leak_rate) == (1, 1, 0)
