"""What litellm would blur: limits, parameters and finish reasons are held or refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway.adapters.guard import origin_of
from gateway.adapters.upstreams import litellm_words as words

SUPPORTED = {"max_tokens", "temperature", "tools", "n"}


class Dumped(SimpleNamespace):
    """Stands for litellm's pydantic objects: attributes, and ``model_dump``."""

    def model_dump(self, *, exclude_none: bool) -> dict[str, object]:
        assert exclude_none
        return {key: value for key, value in vars(self).items() if value is not None}


def test_params_are_handed_on():
    """What chat says and litellm supports."""
    body = {"model": "m", "messages": [], "max_tokens": 5, "temperature": 0.1, "stream": True, "user": "u"}
    assert words.params_of(body, SUPPORTED) == {"max_tokens": 5, "temperature": 0.1}


@pytest.mark.parametrize(
    "idle", [{"n": 1}, {"logprobs": False}, {"parallel_tool_calls": True}, {"seed": None}]
)
def test_params_that_ask_for_nothing_are_left_out(idle):
    """The default said aloud is no demand."""
    assert words.params_of(idle, SUPPORTED) == {}


@pytest.mark.parametrize(
    "param", ["seed", "logit_bias", "web_search_options", "extra_headers", "requestMetadata", "unheard_of"]
)
def test_params_that_cannot_be_said_are_refused_by_name(param):
    """Never dropped into silence; what would fetch or add headers is not handed on either."""
    with pytest.raises(words.UnsayableError) as refused:
        words.params_of({param: 1}, SUPPORTED | {"web_search_options", "extra_headers", "requestMetadata"})
    assert refused.value.param == param


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
        {"type": "image_url", "image_url": "https://x.example/a.png"},
        {"type": "file", "file": {"file_id": "https://x.example/a.pdf"}},
        {"type": "file", "file": {"file_id": "gs://bucket/a.pdf"}},
    ],
)
def test_nothing_is_fetched(part):
    """Media by URL or id is refused: litellm would fetch it."""
    with pytest.raises(words.UnsayableError):
        words.no_remote_media(
            [{"role": "user", "content": [{"type": "text", "text": "see https://x"}, part]}]
        )


def test_media_in_the_request_may_go():
    """Data URLs are already here."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    words.no_remote_media([{"role": "user", "content": [image]}])


@pytest.mark.parametrize(
    ("said", "after"),
    [
        ({}, {"inferenceConfig": {"maxTokens": 9}}),
        ({"inferenceConfig": {"maxTokens": 5000}}, {"inferenceConfig": {"maxTokens": 9}}),
        ({"inferenceConfig": {"topP": 1}}, {"inferenceConfig": {"topP": 1, "maxTokens": 9}}),
    ],
)
def test_the_cap_that_was_cleared_is_the_cap_that_leaves(said, after):
    """For some models litellm raises limits; the hold would not cover that."""
    words.hold_cap(said, "inferenceConfig", ("maxTokens",), 9)
    assert said == after


def test_addresses_keep_the_origin():
    """A model id cannot lead elsewhere."""
    asked = {
        "api": "bedrock",
        "url": "https://bedrock-runtime.ca-central-1.amazonaws.com/",
        "model": "../@evil/x:0?",
    }
    url = words.address(asked, stream=True)
    assert (
        url
        == "https://bedrock-runtime.ca-central-1.amazonaws.com/model/..%2F%40evil%2Fx%3A0%3F/converse-stream"
    )
    assert origin_of(url) == origin_of(asked["url"])
    gemini = {
        "api": "gemini",
        "url": "https://generativelanguage.googleapis.com/v1beta",
        "model": "gemini-2.5",
    }
    assert words.address(gemini, stream=False).endswith(".com/v1beta/models/gemini-2.5:generateContent")
    assert words.address(gemini, stream=True).endswith(":streamGenerateContent?alt=sse")


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "OTHER", "new_reason", None, 3])
def test_unknown_finish_reasons_are_never_a_stop(reason):
    """These litellm calls ``stop``."""
    for table in (words.BEDROCK_FINISH, words.GEMINI_FINISH):
        with pytest.raises(ValueError, match="unknown"):
            words.known(table, reason)


@pytest.mark.parametrize(
    ("finish", "called", "said"),
    [
        ("stop", False, "stop"),
        ("stop", True, "tool_calls"),
        ("tool_calls", True, "tool_calls"),
        ("tool_calls", False, "stop"),
        ("length", True, "length"),
        ("content_filter", False, "content_filter"),
    ],
)
def test_with_tools(finish, called, said):
    """A cut tool call stays ``length``."""
    assert words.with_tools(finish, called=called) == said


def test_blocked_prompts_are_a_content_filters():
    """Gemini sends no candidate then."""
    assert words.gemini_finishes({"promptFeedback": {"blockReason": "SAFETY"}}) == ["content_filter"]
    assert words.gemini_finishes({"candidates": [{"finishReason": "MAX_TOKENS"}]}) == ["length"]


def test_usage_that_did_not_come_is_not_made_up():
    """Zeros are what litellm fills in; zero would be booked as free."""
    message = Dumped(role="assistant", content="hi", odd="dropped", thinking_blocks=[])
    choice = SimpleNamespace(message=message, index=0)
    usage = Dumped(prompt_tokens=0, completion_tokens=0)
    reply = SimpleNamespace(choices=[choice], id="x", created=1, model="m", usage=usage)
    body = words.chat(reply, ["stop"], usage=False)
    assert "usage" not in body
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "hi", "refusal": None}
    assert words.chat(reply, ["stop"], usage=True)["usage"] == {"prompt_tokens": 0, "completion_tokens": 0}


def test_chunks_say_only_what_they_carry():
    """No ``stop`` that litellm made up, no empty parts, no half-empty tool call."""
    part = {"id": None, "type": "function", "index": 0, "function": {"name": None, "arguments": '{"a'}}
    delta = Dumped(role="assistant", content="", tool_calls=[part])
    reply = SimpleNamespace(choices=[SimpleNamespace(delta=delta, index=0, finish_reason="stop")])
    said = words.chunk_of(reply)
    assert said["choices"] == [
        {
            "index": 0,
            "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"a'}}]},
            "finish_reason": None,
        }
    ]
    assert words.carries_calls(said)
    empty = SimpleNamespace(choices=[SimpleNamespace(delta=Dumped(content=""), index=0)])
    assert words.chunk_of(empty) == {}
