"""The tables: places that two rules accept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.places import contains, known_codes
from gateway.core.rules import Obligations, both, merge
from tests.policy.written import snapshot

CODES = st.sampled_from(["CA", "CA-QC", "CA-ON", "US", "EU", "FR", "global", *known_codes()[:5]])


@given(st.frozensets(CODES, max_size=3), st.frozensets(CODES, max_size=3), CODES)
def test_both_is_the_intersection(one, other, place):
    """A place lies inside both sets exactly if it lies inside what they have in common."""
    assert contains(both(one, other), place) is (contains(one, place) and contains(other, place))


def test_merging_nothing_is_no_duty():
    """Without duties there is nothing to do."""
    assert merge(()) == Obligations()


@given(
    st.lists(st.builds(Obligations, answer_tokens=st.integers(1, 9), log_in=st.none() | st.frozensets(CODES)))
)
def test_merging_is_in_any_order(todo):
    """The order of duties does not matter, and twice is once."""
    assert merge(todo) == merge(reversed(todo)) == merge([*todo, *todo])


def test_which_rules_refuse():
    """A rule refuses unless it warns only."""
    assert all(rule.refuses for rule in snapshot("bank").rules.rules)
