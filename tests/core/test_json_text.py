"""JSON in strings: located value by value, edited in place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.json_text import json_leaves, looks_like_json, splice

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


def strings(node, path=()):
    """List the strings of a parsed value by path: the rule written the other way."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from strings(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from strings(value, (*path, index))


@given(OBJECTS, st.booleans(), st.sampled_from([None, 2]))
def test_every_string_is_a_leaf(value, ascii_only, indent):
    """All strings of the object, and no other, are found under their paths."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    found = {
        leaf.path: leaf.text
        for leaf in json_leaves(text) or ()
        if not leaf.is_key and text[leaf.start] == '"'
    }
    assert found == dict(strings(value))


@given(OBJECTS, st.text(max_size=6))
def test_splice_changes_only_what_it_is_told(value, new):
    """After editing one leaf the text parses to the value with that leaf changed."""
    text = json.dumps(value)
    for path, _ in strings(value):
        changed = json.loads(splice(text, {path: new}))
        assert dict(strings(changed)) == {**dict(strings(value)), path: new}
        break


def test_everything_else_stays_byte_exact():
    """Spacing, number spelling and escapes outside the edit are kept."""
    text = '{ "a":1.50e+3,\t"b" : "x", "c":"\\u00e9" }'
    assert splice(text, {("b",): 'say "hi"'}) == '{ "a":1.50e+3,\t"b" : "say \\"hi\\"", "c":"\\u00e9" }'


def test_a_long_number_is_a_leaf_and_becomes_a_string():
    """An identifier written as a number is scanned, and masked as a string that still parses."""
    text = '{"sin": 130692544, "n": 42}'
    assert [leaf.text for leaf in json_leaves(text) if not leaf.is_key] == ["130692544"]
    assert json.loads(splice(text, {("sin",): "[SIN]"})) == {"sin": "[SIN]", "n": 42}


@pytest.mark.parametrize("text", ['{"a":1', "[1,", '{"a":1,"a":2}', "plain", "{not json}", "", "[" * 100_000])
def test_what_is_no_clear_json_is_read_as_text(text):
    """Invalid JSON and duplicate keys have no leaves: the caller scans the raw text."""
    assert json_leaves(text) is None


def test_looks_like_json_sees_through_white_space():
    """Leading and trailing white space does not hide an object."""
    assert looks_like_json(' \n{"a": 1} ')
    assert not looks_like_json("{ of course")


def test_an_edit_of_no_leaf_is_an_error():
    """An edit that cannot be made never passes unnoticed."""
    with pytest.raises(KeyError):
        splice('{"a": "x"}', {("b",): "y"})
