"""Shape checks: the parameter is named as the vendor would, sound requests pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Code
from gateway.core.features import features
from gateway.core.shapes import DEEPEST, LONGEST, invalid
from gateway.core.values import Surface

CHAT, MESSAGES, RESPONSES, EMBED = Surface.CHAT, Surface.MESSAGES, Surface.RESPONSES, Surface.EMBEDDINGS
BASE = {
    CHAT: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    MESSAGES: {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    Surface.COUNT_TOKENS: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    RESPONSES: {"model": "m", "input": "hi"},
    EMBED: {"model": "m", "input": "hi"},
}
GONE = object()


def nest(levels):
    value: object = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("surface", Surface)
def test_the_smallest_request_is_sound(surface):
    """The least that a surface needs passes."""
    assert invalid(surface, BASE[surface]) is None


SOUND = [
    (
        CHAT,
        {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}],
                }
            ]
        },
    ),
    (
        CHAT,
        {
            "temperature": 0,
            "top_p": 0.5,
            "n": 2,
            "stop": ["a"],
            "max_tokens": None,
            "stream": None,
            "seed": -1,
        },
    ),
    (CHAT, {"messages": [{"role": "new_role", "content": [{"type": "new_part", "x": 1}]}], "x_new": [[[]]]}),
    (CHAT, {"stream": True, "stream_options": {"include_usage": True}, "prediction": {"type": "content"}}),
    (
        MESSAGES,
        {"system": [{"type": "text", "text": "x"}], "stop_sequences": ["a"], "tool_choice": {"type": "auto"}},
    ),
    (RESPONSES, {"input": [{"role": "user", "content": "x"}, {"type": "function_call", "call_id": "c"}]}),
    (RESPONSES, {"input": None, "prompt": {"id": "p"}}),
    (RESPONSES, {"background": False, "conversation": None, "store": True}),
    (EMBED, {"input": [1, 2]}),
    (EMBED, {"input": [[1], [2, 3]]}),
]


@pytest.mark.parametrize(("surface", "fields"), SOUND)
def test_sound_requests_pass(surface, fields):
    """What vendors accept, and what only a vendor can judge, passes."""
    assert invalid(surface, {**BASE[surface], **fields}) is None


def msgs(*messages):
    return {"messages": list(messages)}


USER = {"role": "user", "content": "x"}
BAD = [
    *[(surface, {"model": model}, "model") for surface in Surface for model in (GONE, None, "", 3)],
    *[
        (s, {"messages": value}, "messages")
        for s in (CHAT, MESSAGES, Surface.COUNT_TOKENS)
        for value in (GONE, None, [], "hi", {})
    ],
    (CHAT, msgs("hi"), "messages[0]"),
    (CHAT, msgs(USER, {"content": "x"}), "messages[1].role"),
    (CHAT, msgs({"role": "user"}), "messages[0].content"),
    (CHAT, msgs({"role": "user", "content": 5}), "messages[0].content"),
    (CHAT, msgs({"role": "user", "content": ["x"]}), "messages[0].content[0]"),
    (CHAT, msgs({"role": "user", "content": [{"text": "x"}]}), "messages[0].content[0].type"),
    (CHAT, msgs({"role": "user", "content": [{"type": "text", "text": 1}]}), "messages[0].content[0].text"),
    (CHAT, msgs({"role": "assistant", "tool_calls": {}}), "messages[0].tool_calls"),
    (
        CHAT,
        msgs({"role": "assistant", "tool_calls": [{"function": 1}]}),
        "messages[0].tool_calls[0].function",
    ),
    (
        CHAT,
        msgs({"role": "assistant", "tool_calls": [{"function": {"arguments": {}}}]}),
        "messages[0].tool_calls[0].function.arguments",
    ),
    *[(CHAT, {"n": n}, "n") for n in (0, -1, 129, 1.0, "2", True)],
    *[
        (CHAT, {key: value}, key)
        for key in ("max_tokens", "max_completion_tokens")
        for value in (0, -5, True, 10.0, "10")
    ],
    (CHAT, {"stream": "true"}, "stream"),
    (CHAT, {"stream": 1}, "stream"),
    (CHAT, {"stream_options": []}, "stream_options"),
    (CHAT, {"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
    (CHAT, {"temperature": "hot"}, "temperature"),
    (CHAT, {"temperature": True}, "temperature"),
    (CHAT, {"stop": 3}, "stop"),
    (CHAT, {"stop": [3]}, "stop"),
    (CHAT, {"seed": 1.5}, "seed"),
    (CHAT, {"user": 7}, "user"),
    (CHAT, {"response_format": "json"}, "response_format"),
    (CHAT, {"tools": {}}, "tools"),
    (CHAT, {"tools": ["f"]}, "tools[0]"),
    (CHAT, {"tools": [{"type": 4}]}, "tools[0].type"),
    (CHAT, {"tool_choice": 4}, "tool_choice"),
    (MESSAGES, msgs({"role": "user", "content": None}), "messages[0].content"),
    (MESSAGES, {"max_tokens": GONE}, "max_tokens"),
    (MESSAGES, {"max_tokens": 0}, "max_tokens"),
    (MESSAGES, {"max_tokens": True}, "max_tokens"),
    (MESSAGES, {"system": 4}, "system"),
    (MESSAGES, {"system": [{"type": "text"}]}, "system[0].text"),
    (MESSAGES, {"stop_sequences": "x"}, "stop_sequences"),
    (MESSAGES, {"tool_choice": "auto"}, "tool_choice"),
    (MESSAGES, {"metadata": "x"}, "metadata"),
    (
        MESSAGES,
        msgs({"role": "user", "content": [{"type": "tool_result", "content": [1]}]}),
        "messages[0].content[0].content[0]",
    ),
    (RESPONSES, {"input": GONE}, "input"),
    (RESPONSES, {"input": 4}, "input"),
    (RESPONSES, {"input": ["x"]}, "input[0]"),
    (RESPONSES, {"input": [{"content": "x"}]}, "input[0].role"),
    (RESPONSES, {"input": [{"type": 3}]}, "input[0].type"),
    (RESPONSES, {"store": "yes"}, "store"),
    (RESPONSES, {"max_output_tokens": 0}, "max_output_tokens"),
    (RESPONSES, {"text": "json"}, "text"),
    *[(EMBED, {"input": value}, "input") for value in (GONE, None, [], 4, {})],
    (EMBED, {"input": ["a", None]}, "input[1]"),
    (EMBED, {"input": [["a"]]}, "input[0]"),
    (EMBED, {"dimensions": 0}, "dimensions"),
]


@pytest.mark.parametrize(("surface", "fields", "param"), BAD)
def test_a_malformed_request_names_its_parameter(surface, fields, param):
    """The refusal is a 400 that names the very parameter, and an SDK need not try again."""
    body = {k: v for k, v in {**BASE[surface], **fields}.items() if v is not GONE}
    refusal = invalid(surface, body)
    assert refusal is not None
    assert refusal.code is Code.INVALID_REQUEST
    assert refusal.param == param
    assert refusal.retry is False


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"input": [{"type": "item_reference", "id": "i"}]}, "input[0]"),
    ],
)
def test_stored_state_is_unsupported_and_says_the_fix(fields, param):
    """Stateless: what needs responses kept at a vendor is a clear 400."""
    refusal = invalid(RESPONSES, {**BASE[RESPONSES], **fields})
    assert refusal is not None
    assert refusal.code is Code.UNSUPPORTED_FEATURE
    assert refusal.param == param
    assert "send the whole conversation" in refusal.message


def test_depth_and_size_are_limited_without_recursion():
    """A body deeper or wider than the limits is refused; just within them it passes."""
    assert invalid(CHAT, {**BASE[CHAT], "x": nest(DEEPEST - 1)}) is None
    for body in ({"x": nest(DEEPEST)}, {"x": nest(5_000)}, {"x": [0] * (LONGEST + 1)}):
        refusal = invalid(CHAT, {**BASE[CHAT], **body})
        assert refusal is not None
        assert refusal.code is Code.INVALID_REQUEST


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "type",
                    "text",
                    "messages",
                    "input",
                    "tools",
                    "function",
                    "tool_calls",
                    "source",
                    "url",
                    "file_id",
                    "output",
                    "max_tokens",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(list(Surface)),
    st.dictionaries(
        st.sampled_from(["model", "messages", "input", "tools", "system", "n", "stream", "stop"]), JSON
    ),
)
def test_no_json_breaks_the_checks(surface, body):
    """Any JSON object is judged, never a crash."""
    refusal = invalid(surface, body)
    assert refusal is None or refusal.param is not None
    features(surface, body)
