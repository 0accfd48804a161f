"""The walk: every string of a request is seen, and only the listed ones are kept from change."""

from __future__ import annotations

import base64
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.values import Surface
from gateway.core.walk import KEY_MARK, binaries, leaves, leaves_below, replace, reply_leaves

CHAT = {
    "model": "m",
    "user": "jane",
    "messages": [
        {"role": "system", "content": "be kind"},
        {
            "role": "user",
            "name": "Jane_Doe",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 8}},
            ],
        },
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {
                        "name": "lookup",
                        "arguments": '{"customer_name": "Jane", "deep": "{\\"city\\": \\"Laval\\"}"}',
                    },
                },
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": '{"rows": ["a", "b"]}'},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "lookup",
                "description": "finds people",
                "parameters": {
                    "type": "object",
                    "properties": {"customer_name": {"type": "string", "enum": ["x"], "description": "who"}},
                    "required": ["customer_name"],
                },
            },
        }
    ],
    "metadata": {"id": "free", "type": "free too"},
    "field_of_tomorrow": {"deep": [{"note": "see me"}]},
}


def text_at(body, path):
    """Read the text of one leaf, decoding JSON strings on the way."""
    for part in path:
        body = json.loads(body) if isinstance(body, str) else body[part]
    return body if isinstance(body, str) else str(body)


def texts(surface, body):
    return {leaf.path: (leaf.text, leaf.shape) for leaf in leaves(surface, body)}


def test_chat_leaves():
    """Prompts, parts, names, JSON inside strings, descriptions and unknown fields are leaves."""
    seen = texts(Surface.CHAT, CHAT)
    m = ("messages",)
    assert seen == {
        ("user",): ("jane", "pseudonym"),
        (*m, 0, "content"): ("be kind", "any"),
        (*m, 1, "name"): ("Jane_Doe", "word"),
        (*m, 1, "content", 0, "text"): ("look", "any"),
        (*m, 2, "tool_calls", 0, "function", "arguments", "~json", "customer_name"): ("Jane", "any"),
        (*m, 2, "tool_calls", 0, "function", "arguments", "~json", "deep", "~json", "city"): ("Laval", "any"),
        (*m, 3, "content", "~json", "rows", 0): ("a", "any"),
        (*m, 3, "content", "~json", "rows", 1): ("b", "any"),
        ("tools", 0, "function", "description"): ("finds people", "any"),
        ("tools", 0, "function", "parameters", "properties", "customer_name", "description"): ("who", "any"),
        ("metadata", "id"): ("free", "any"),
        ("metadata", "type"): ("free too", "any"),
        ("field_of_tomorrow", "deep", 0, "note"): ("see me", "any"),
    }


def test_the_key_is_the_context():
    """A value in a tool call carries its key; prose under `content` carries none."""
    contexts = {leaf.path[-1]: leaf.context for leaf in leaves(Surface.CHAT, CHAT)}
    assert contexts["customer_name"] == "customer_name"
    assert contexts["content"] is None


def test_messages_leaves():
    """A tool's input is an object that the app fills: nothing in it is structural, numbers included."""
    body = {
        "model": "m",
        "system": [{"type": "text", "text": "be kind"}],
        "metadata": {"user_id": "u1"},
        "messages": [
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVkIGJ5dGVzIQ=="},
                    {
                        "type": "tool_use",
                        "id": "toolu_1",
                        "name": "f",
                        "input": {"id": "A1", "type": "B2", "sin": 130692544},
                    },
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "done"}],
            },
        ],
    }
    seen = {path[-1]: value for path, value in texts(Surface.MESSAGES, body).items()}
    assert seen == {
        "text": ("be kind", "any"),
        "user_id": ("u1", "pseudonym"),
        "thinking": ("hm", "sealed"),
        "id": ("A1", "any"),
        "type": ("B2", "any"),
        "sin": ("130692544", "any"),
        "content": ("done", "any"),
    }
    assert [path[-1] for path in binaries(Surface.MESSAGES, body)] == ["signature"]


def test_responses_and_embeddings_leaves():
    """Instructions, items, function calls and outputs; inputs of embeddings."""
    body = {
        "model": "m",
        "instructions": "be kind",
        "prompt": {"id": "pmpt_1", "variables": {"who": "Jane"}},
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"who": "Jane"}'},
            {"type": "function_call_output", "call_id": "c1", "output": "found"},
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "so"}],
                "encrypted_content": "QUJD" * 8,
            },
        ],
    }
    assert [text for text, _ in texts(Surface.RESPONSES, body).values()] == [
        "be kind",
        "Jane",
        "hi",
        "Jane",
        "found",
        "so",
    ]
    assert len(binaries(Surface.RESPONSES, body)) == 1
    assert [leaf.text for leaf in leaves(Surface.EMBEDDINGS, {"model": "m", "input": ["a", "b"]})] == [
        "a",
        "b",
    ]


@pytest.mark.parametrize("key", ["role", "id", "tool_call_id", "type"])
def test_an_identifier_in_a_structural_field_is_still_seen(key):
    """What must not change is scanned nevertheless, so that redaction can refuse."""
    body = {"messages": [{key: "jane" + "@" + "example.com"}]}
    (leaf,) = leaves(Surface.CHAT, body)
    assert (leaf.text, leaf.shape) == ("jane@example.com", "fixed")


def test_an_object_key_that_could_be_an_identifier_is_a_leaf():
    """`{"130 692 544": …}` does not slip through as a key, in objects and in JSON strings."""
    body = {"metadata": {"130 692 544": "x"}, "messages": [{"content": '{"514-555-0199": 1}'}]}
    keys = [leaf for leaf in leaves(Surface.CHAT, body) if KEY_MARK in leaf.path]
    assert [(leaf.text, leaf.shape) for leaf in keys] == [("130 692 544", "fixed"), ("514-555-0199", "fixed")]


@pytest.mark.parametrize(
    ("part", "is_binary"),
    [
        ({"type": "base64", "data": base64.b64encode(b"x" * 40).decode()}, True),
        ({"format": "wav", "data": base64.b64encode(b"x" * 40).decode()}, True),
        ({"url": "data:image/png;base64," + "QUJD" * 8}, True),
        ({"type": "text", "data": "QUJDQUJDQUJDQUJDQUJD"}, False),
        ({"type": "base64", "data": "My SIN is 130 692 544, call me!"}, False),
        ({"url": "data:text/plain,My SIN is 130 692 544"}, False),
        ({"url": "data:image/png;base64,My SIN is 130-692-544!"}, False),
        ({"url": "data:image/png;base64,130 692 544"}, False),
        ({"type": "base64", "data": "130692544130692544"}, False),
        ({"type": "base64", "data": "Ann Smith lives in Laval"}, False),
        ({"type": "base64", "data": "QUJDQUJDQUJD\r\nQUJDQUJDQUJD=="}, True),
    ],
)
def test_binary_is_told_by_place_and_alphabet(part, is_binary):
    """Prose cannot hide in a field for bytes."""
    body = {"messages": [{"content": [part]}]}
    assert bool(binaries(Surface.CHAT, body)) is is_binary
    assert bool([leaf for leaf in leaves(Surface.CHAT, body) if leaf.shape == "any"]) is not is_binary


def test_almost_base64_is_told_in_linear_time():
    """A long run of white space before one wrong character does not make the check backtrack."""
    body = {"messages": [{"content": [{"type": "base64", "data": "A" + " " * 300_000 + "!"}]}]}
    assert not binaries(Surface.CHAT, body)


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=12) | st.just('{"a": "b", "c": ["d"]}'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=15,
)


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4), st.text(max_size=5))
def test_every_leaf_can_be_replaced_and_nothing_else_changes(body, new):
    """Each leaf reads back as replaced, the others as before, and the input is not mutated."""
    before = copy.deepcopy(body)
    found = [leaf for leaf in leaves(Surface.CHAT, body) if KEY_MARK not in leaf.path]
    for leaf in found:
        assert text_at(body, leaf.path) == leaf.text
    changed = replace(body, {leaf.path: new for leaf in found})
    assert body == before
    for leaf in found:
        assert text_at(changed, leaf.path) == new
    json.dumps(changed)
    if found:
        one = replace(body, {found[0].path: new})
        assert all(text_at(one, leaf.path) == leaf.text for leaf in found[1:])


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4))
def test_replacing_nothing_copies_nothing(body):
    """Copy on write: the same object comes back, and untouched branches are shared."""
    assert replace(body, {}) is body


def test_untouched_branches_are_shared():
    """Only the way to an edit is copied."""
    body = {"a": {"x": ["1"]}, "b": {"y": ["2"]}}
    changed = replace(body, {("a", "x", 0): "!"})
    assert changed == {"a": {"x": ["!"]}, "b": {"y": ["2"]}}
    assert changed["b"] is body["b"]


@pytest.mark.parametrize("path", [("a", "q"), ("a", 0, "x"), ("z",), ("a", 9)])
def test_an_edit_that_leads_nowhere_raises(path):
    """An edit that is not made must never go unnoticed."""
    with pytest.raises((KeyError, IndexError)):
        replace({"a": ["text"]}, {path: "new"})


def test_deep_nesting_needs_no_recursion():
    """Depth is walked with a stack of our own."""
    body: object = "bottom"
    for _ in range(5_000):
        body = [body]
    assert [leaf.text for leaf in leaves(Surface.CHAT, {"messages": body})] == ["bottom"]


def test_reply_leaves_and_whole_json():
    """A reply's texts are leaves; `leaves_below` leaves JSON strings whole and skips instants."""
    reply = {
        "created": 1_700_000_000,
        "usage": {"total_tokens": 1_000_000_000},
        "choices": [
            {
                "message": {
                    "content": "hi",
                    "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a": "b"}'}}],
                }
            }
        ],
    }
    assert [leaf.text for leaf in leaves_below(Surface.CHAT, reply)] == ["hi", '{"a": "b"}']
    assert "b" in [leaf.text for leaf in reply_leaves(Surface.CHAT, reply)]
