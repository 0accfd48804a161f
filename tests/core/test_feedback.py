"""A rating is strict in what it takes, and shares come with honest intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Code, Refusal
from gateway.core.feedback import Rating, nano_per_good, parse, pseudonym, too_late, wilson

NOW = 1_795_416_006_625_000_000
DAY = 24 * 3600


def parsed(**body):
    return parse({"target": "req_x", **body}, now=NOW)


@pytest.mark.parametrize("value", ["up", "UP", " up ", True, "true", 1, "1", "+1", "good"])
def test_each_spelling_of_up_is_one(value):
    """Apps send what their widget gives them."""
    rating = parsed(value=value)
    assert isinstance(rating, Rating)
    assert (rating.key, rating.value, rating.thumb) == ("thumbs", "1", 1)


@pytest.mark.parametrize("value", ["down", False, "false", 0, "0", "-1", "bad"])
def test_each_spelling_of_down_is_zero(value):
    """As for up."""
    rating = parsed(value=value)
    assert isinstance(rating, Rating)
    assert (rating.value, rating.thumb) == ("0", 0)


@pytest.mark.parametrize("value", ["maybe", 2, 0.5, -1.5, [], {}, "", "nul"])
def test_what_is_neither_is_refused(value):
    """A typing error is not stored as an opinion."""
    refusal = parsed(value=value)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.param) == (Code.INVALID_REQUEST, "value")


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (-3, "-3"), (7, "7")])
def test_a_number_of_another_key_is_kept_as_text(value, text):
    """Values are decimal text, so that no store rounds them."""
    rating = parsed(key="helpfulness", value=value)
    assert isinstance(rating, Rating)
    assert (rating.value, rating.thumb) == (text, None)


@pytest.mark.parametrize("value", [True, "0.5", float("nan"), float("inf"), 1e300, 10**20, 1e-20])
def test_no_number_is_refused_for_another_key(value):
    """Not a number, or one that no column should hold."""
    assert isinstance(parsed(key="helpfulness", value=value), Refusal)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"value": "up", "colour": "red"}, "colour"),
        ({"value": "up", "key": "Thumbs Up"}, "key"),
        ({"value": "up", "comment": "x" * 4001}, "comment"),
        ({"value": "up", "comment": 5}, "comment"),
        ({"value": "up", "rater": ""}, "rater"),
        ({"value": "up", "rater_kind": "boss"}, "rater_kind"),
        ({"value": "up", "feedback_id": "two words"}, "feedback_id"),
        ({"value": "up", "label": "Jean Tremblay called"}, "label"),
        ({"value": "up", "occurred_at": 1.5}, "occurred_at"),
        ({"value": "up", "occurred_at": NOW // 10**9 - 36 * DAY}, "occurred_at"),
        ({"value": "up", "occurred_at": NOW // 10**9 + 3600}, "occurred_at"),
        ({}, "value"),
    ],
)
def test_a_wrong_field_is_named(body, param):
    """The refusal says which field to mend."""
    refusal = parsed(**body)
    assert isinstance(refusal, Refusal)
    assert refusal.param == param


@pytest.mark.parametrize(
    "body", [None, [], "up", 5, {}, {"target": ""}, {"target": 5}, {"target": "x" * 257}]
)
def test_a_body_without_a_target_is_refused(body):
    """Nothing but an object with a target goes on."""
    assert isinstance(parse(body, now=NOW), Refusal)


@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.dictionaries(st.text(), x))
)
def test_no_body_breaks_it(body):
    """Whatever JSON comes, the answer is a rating or a refusal."""
    assert isinstance(parse(body, now=NOW), Rating | Refusal)


def test_what_a_person_wrote_is_not_shown():
    """A log of the rating holds neither comment nor rater."""
    shown = repr(parsed(value="up", comment="call me", rater="jean"))
    assert "call me" not in shown
    assert "jean" not in shown


def test_a_pseudonym_is_stable_and_keyed():
    """The same rater is one rater; without the key nobody can tell who."""
    assert pseudonym(b"k" * 32, "jean") == pseudonym(b"k" * 32, "jean")
    assert (
        len({pseudonym(b"k" * 32, "jean"), pseudonym(b"k" * 32, "anne"), pseudonym(b"j" * 32, "jean")}) == 3
    )


def test_ratings_are_taken_for_35_days():
    """A month's figures must come to rest."""
    assert not too_late(NOW // 10**6 - 34 * DAY * 1000, now=NOW)
    assert too_late(NOW // 10**6 - 36 * DAY * 1000, now=NOW)


@pytest.mark.parametrize(
    ("up", "total", "low", "high"),
    [(9, 10, 60, 98), (45, 50, 79, 96), (180, 200, 85, 93), (900, 1000, 88, 92)],
)
def test_wilson_agrees_with_published_figures(up, total, low, high):
    """The intervals of the literature, to the percent."""
    interval = wilson(up, total)
    assert interval is not None
    assert (round(interval.low * 100), round(interval.high * 100)) == (low, high)


@given(st.integers(min_value=1, max_value=10_000), st.data())
def test_an_interval_holds_its_share(total, data):
    """0 ≤ low ≤ share ≤ high ≤ 1, and the mirror question has the mirror interval."""
    up = data.draw(st.integers(min_value=0, max_value=total))
    interval, mirror = wilson(up, total), wilson(total - up, total)
    assert interval is not None
    assert mirror is not None
    assert 0 <= interval.low <= interval.share + 1e-12
    assert interval.share - 1e-12 <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirror.high, abs=1e-9)


@given(st.integers(min_value=0, max_value=29))
def test_few_ratings_are_never_enough(total):
    """Below thirty, a share is called insufficient data."""
    interval = wilson(total, total)
    assert interval is None or not interval.enough


def test_no_ratings_give_no_share():
    """Nothing is not zero percent."""
    assert wilson(0, 0) is None
    with pytest.raises(ValueError, match="no share"):
        wilson(3, 2)


def test_cost_per_good_answer_counts_all_cost():
    """Ten calls of one unit each, half of the rated ones good: two units per good answer."""
    assert nano_per_good(10_000, calls=10, up=3, total=6) == 2_000
    assert nano_per_good(10_000, calls=10, up=0, total=6) is None
    assert nano_per_good(10_000, calls=10, up=0, total=0) is None
    assert nano_per_good(0, calls=10, up=3, total=3) == 0
