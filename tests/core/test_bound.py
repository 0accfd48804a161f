"""Bounds before the call: never below any tokenizer, media by declared caps."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bound import asked_output, input_bound, input_estimate
from gateway.core.errors import Code, Refusal
from gateway.core.values import Surface

CAPS = {"image": 1_600, "audio_second": 25, "file": 50_000}
PICTURE = "data:image/png;base64," + base64.b64encode(b"\0" * 9_000).decode()


def chat(content, **fields):
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


@given(st.lists(st.text(max_size=200), min_size=1, max_size=5))
def test_the_bound_covers_every_byte(texts):
    """At most one token a byte, plus a template's own: no byte-level tokenizer makes more."""
    body = {"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}
    bound = input_bound(Surface.CHAT, body, 0, {})
    assert bound >= sum(len(text.encode()) for text in texts) + 16 * len(texts)


def test_normalising_tokenizers_are_covered():
    """One ligature that NFKC unfolds into eighteen characters counts as what it becomes."""
    ligature = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 1_000
    assert input_bound(Surface.CHAT, chat(ligature), 0, {}) > 33 * 1_000


def test_tools_count_twice_and_with_instructions():
    """Templates print schemas anew with indentation, and vendors explain tool use."""
    schema = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(50)}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    plain = input_bound(Surface.CHAT, chat("hi"), 0, {})
    with_tool = input_bound(Surface.CHAT, chat("hi", tools=[tool]), 0, {})
    assert with_tool - plain > 2 * len(json.dumps(tool, separators=(",", ":"))) + 1_000


@pytest.mark.parametrize(
    ("surface", "body"),
    [
        (Surface.CHAT, chat([{"type": "image_url", "image_url": {"url": PICTURE}}])),
        (
            Surface.MESSAGES,
            chat(
                [
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PICTURE[22:]},
                    }
                ]
            ),
        ),
        (
            Surface.MESSAGES,
            chat(
                [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [
                            {
                                "type": "image",
                                "source": {"type": "base64", "media_type": "image/png", "data": PICTURE[22:]},
                            }
                        ],
                    }
                ]
            ),
        ),
        (
            Surface.RESPONSES,
            {
                "model": "m",
                "input": [{"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}],
            },
        ),
        (
            Surface.RESPONSES,
            {
                "model": "m",
                "input": [
                    {
                        "type": "function_call_output",
                        "call_id": "c",
                        "output": [{"type": "input_image", "image_url": PICTURE}],
                    }
                ],
            },
        ),
    ],
)
def test_an_image_counts_its_cap_and_not_its_base64(surface, body):
    """Wherever an image stands, its declared cap is held; without one the call is refused by name."""
    bound = input_bound(surface, body, 20_000, CAPS)
    assert 1_600 < bound < 1_600 + 1_000
    refusal = input_bound(surface, body, 20_000, {})
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.UNSUPPORTED_FEATURE
    assert refusal.param
    assert "media_caps.image" in refusal.message


def test_audio_is_bounded_by_its_slowest_rate():
    """Seconds are at most the bytes over the lowest rate of speech; audio by reference has no bound."""
    data = "A" * 40_000  # 30,000 bytes: at most 60 s
    body = chat([{"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}}])
    assert 60 * 25 <= input_bound(Surface.CHAT, body, 0, CAPS) <= 61 * 25 + 1_000
    away = chat([{"type": "audio_url", "audio_url": {"url": "https://a.example/x.mp3"}}])
    assert isinstance(input_bound(Surface.CHAT, away, 0, CAPS), Refusal)


def test_parts_of_an_unknown_kind_have_no_bound():
    """What we do not know we cannot bound."""
    refusal = input_bound(Surface.CHAT, chat([{"type": "hologram", "data": "x"}]), 0, CAPS)
    assert isinstance(refusal, Refusal)
    assert refusal.param == "messages[0].content[0]"


def test_embeddings_count_each_input():
    """Each text of a batch has its own frame; token numbers are covered by their digits."""
    one = input_bound(Surface.EMBEDDINGS, {"model": "m", "input": ["a"]}, 0, {})
    many = input_bound(Surface.EMBEDDINGS, {"model": "m", "input": ["a"] * 100}, 0, {})
    assert many - one >= 99 * 8
    assert input_bound(Surface.EMBEDDINGS, {"model": "m", "input": list(range(9))}, 0, {}) >= 9


def test_what_cannot_be_written_falls_back_on_its_size():
    """A body with a value that is no JSON is bounded by what arrived."""
    assert input_bound(Surface.CHAT, {"messages": [], "x": {1, 2}}, 500, {}) >= 1_000


@pytest.mark.parametrize(
    ("surface", "body", "wanted"),
    [
        (Surface.CHAT, {}, (None, 1)),
        (Surface.CHAT, {"max_tokens": 5}, (5, 1)),
        (Surface.CHAT, {"max_completion_tokens": 7, "n": 3}, (7, 3)),
        (Surface.CHAT, {"max_completion_tokens": 7, "max_tokens": 9}, (9, 1)),
        (Surface.CHAT, {"max_tokens": None, "n": None}, (None, 1)),
        (Surface.CHAT, {"n": 2, "best_of": 5}, (None, 5)),
        (Surface.MESSAGES, {"max_tokens": 11, "n": 4}, (11, 1)),
        (Surface.RESPONSES, {"max_output_tokens": 13}, (13, 1)),
        (Surface.RESPONSES, {"max_tokens": 13}, (None, 1)),
        (Surface.EMBEDDINGS, {"max_tokens": 13}, (0, 1)),
        (Surface.COUNT_TOKENS, {"max_tokens": 13}, (0, 1)),
    ],
)
def test_asked_output(surface, body, wanted):
    """Each surface's own limit field and number of choices, and no other's."""
    assert asked_output(surface, body) == wanted


def test_the_estimate_errs_high_and_below_the_bound():
    """Prose of a known count is estimated above it; the bound is above the estimate."""
    prose = (
        "The quick brown fox jumps over the lazy dog. " * 20
    )  # 10 tokens a sentence in common vocabularies
    body = {"system": "Be brief.", **chat(prose, tools=[{"name": "f", "input_schema": {"type": "object"}}])}
    estimate = input_estimate(Surface.COUNT_TOKENS, body)
    assert 200 < estimate < input_bound(Surface.COUNT_TOKENS, body, 0, {})
    french = input_estimate(Surface.COUNT_TOKENS, chat("é" * 300))
    assert french >= 300
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 90_000}}
    assert 1_600 <= input_estimate(Surface.COUNT_TOKENS, chat([image])) < 2_000


def test_a_document_counts_its_cap():
    """A PDF is held at the declared cap, its base64 left out."""
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 200_000}}
    assert 50_000 <= input_bound(Surface.CHAT, chat([file]), 0, CAPS) < 51_000
