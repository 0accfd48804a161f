"""The demo model's reading of requests, in every dialect."""

from __future__ import annotations

import pytest

from gateway.demo import prompts

PART = [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": "data:"}}]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hello"}]},
        {"messages": [{"role": "user", "content": PART}]},
        {"input": "hello"},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}]},
        {"messages": [{"role": "user", "content": [{"text": "hello"}]}]},
        {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
    ],
)
def test_said(body):
    """The last turn, whatever its shape."""
    assert prompts.said(body) == "hello"


@pytest.mark.parametrize("body", [{}, {"messages": "x", "input": 3}, {"messages": [3, None]}, {"tools": 7}])
def test_odd_shapes_read_as_empty(body):
    """The demo model does not fall over."""
    assert isinstance(prompts.said(body), str)
    assert isinstance(prompts.everything(body), str)
    assert prompts.tool_names(body) == []
    assert not prompts.is_tool_result(body)


def test_everything_has_the_system_first():
    """What the model saw, all of it."""
    body = {"system": [{"type": "text", "text": "be kind"}], "messages": [{"role": "user", "content": "hi"}]}
    assert prompts.everything(body) == "be kind\nhi"
    assert prompts.everything({"input": ["a", "b"]}) == "a\nb"


@pytest.mark.parametrize(
    "last",
    [
        {"role": "tool", "tool_call_id": "1", "content": "sunny"},
        {"type": "function_call_output", "call_id": "1", "output": "sunny"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "sunny"}]},
    ],
)
def test_tool_results(last):
    """Recognised and read in each dialect."""
    body = {"messages": [last]}
    assert prompts.is_tool_result(body)
    assert prompts.said(body) == "sunny"


def test_tool_names():
    """Chat nests the name, responses and messages do not."""
    assert prompts.tool_names({"tools": [{"function": {"name": "a"}}, {"name": "b"}, {"type": "x"}]}) == [
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6, "max_tokens": 5}, 6),
        ({"max_output_tokens": 7}, 7),
        ({"inferenceConfig": {"maxTokens": 8}}, 8),
        ({"generationConfig": {"maxOutputTokens": 9}}, 9),
        ({"max_tokens": True}, None),
        ({}, None),
    ],
)
def test_output_limit(body, limit):
    """The limit under each name."""
    assert prompts.output_limit(body) == limit
