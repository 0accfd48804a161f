"""Readers of parsed JSON: the right type or nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core import shape

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(JSON)
def test_a_reader_answers_its_type_or_nothing(value):
    """Whatever stands under a key, exactly the readers of its type return it."""
    body = {"k": value}
    assert shape.obj(body, "k") == (value if isinstance(value, dict) else None)
    assert shape.arr(body, "k") == (value if isinstance(value, list) else [])
    assert shape.text(body, "k") == (value if isinstance(value, str) else None)
    assert shape.whole(body, "k") is (value if type(value) is int else None)
    assert shape.objs({"k": [value]}, "k") == ([value] if isinstance(value, dict) else [])


def test_true_is_no_integer():
    """A boolean is not a count, though Python says so."""
    assert shape.whole({"k": True}, "k") is None
    assert not shape.is_whole(False)


@given(st.integers(0, 30), st.integers(0, 30))
def test_depth_is_counted_exactly(levels, limit):
    """A value of so many levels is deeper than every smaller limit and no other."""
    value: object = 1
    for i in range(levels):
        value = {"a": value} if i % 2 else [value]
    assert shape.deeper_than(value, limit) is (levels > limit)
