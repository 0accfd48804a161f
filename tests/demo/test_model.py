"""The demo model: through the official SDKs, over a real socket in a process of its own."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Iterator

import anthropic
import httpx
import openai
import pytest

from gateway.demo import model


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A running demo model with one deployment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(
        target=model.run, args=({"demo-ca-qc": port},), daemon=True
    )
    process.start()
    address = f"http://127.0.0.1:{port}/v1"
    until = time.monotonic() + 30
    while True:
        try:
            httpx.get(f"{address}/models", trust_env=False)
            break
        except httpx.TransportError:
            assert time.monotonic() < until
            time.sleep(0.05)
    yield address
    process.terminate()
    process.join(10)


def test_chat(url):
    """It says what it saw, system prompt included, and what it used."""
    with openai.OpenAI(base_url=url, api_key="none") as client:
        turns = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "my SIN is <SIN_1>"}]
        reply = client.chat.completions.create(model="m", messages=turns)
    text = reply.choices[0].message.content
    assert "You said: my SIN is <SIN_1>" in text
    assert "be kind" in text
    assert "demo-ca-qc" in text
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_chat_streamed_says_the_same(url):
    """Deterministic, streamed or not."""
    with openai.OpenAI(base_url=url, api_key="none") as client:
        turns = [{"role": "user", "content": "hello"}]
        plain = client.chat.completions.create(model="m", messages=turns)
        stream = client.chat.completions.create(
            model="m", messages=turns, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == plain.choices[0].message.content
    assert chunks[-1].usage == plain.usage


def test_tools(url):
    """It calls an offered tool when asked to, and reads its result."""
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    with openai.OpenAI(base_url=url, api_key="none") as client:
        turns = [{"role": "user", "content": "call the weather tool"}]
        reply = client.chat.completions.create(model="m", messages=turns, tools=tools)
        message = reply.choices[0].message
        assert reply.choices[0].finish_reason == "tool_calls"
        (call,) = message.tool_calls
        assert call.function.name == "weather"
        result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
        turns += [message.model_dump(exclude_none=True), result]
        last = client.chat.completions.create(model="m", messages=turns, tools=tools)
    assert last.choices[0].message.content == "The tool said: sunny"


def test_responses_and_embeddings(url):
    """The other surfaces of OpenAI."""
    with openai.OpenAI(base_url=url, api_key="none") as client:
        assert "You said: hello" in client.responses.create(model="m", input="hello").output_text
        vectors = client.embeddings.create(model="m", input=["one", "two"], dimensions=5)
        with client.responses.stream(model="m", input="hello") as stream:
            assert stream.get_final_response().output_text.startswith("You said: hello")
    assert [len(item.embedding) for item in vectors.data] == [5, 5]


def test_messages(url):
    """Anthropic's surface, streamed, cut by its limit, and counted."""
    with anthropic.Anthropic(base_url=url.removesuffix("/v1"), api_key="none") as client:
        turns = [{"role": "user", "content": "hello"}]
        with client.messages.stream(model="m", max_tokens=3, messages=turns) as stream:
            final = stream.get_final_message()
        counted = client.messages.count_tokens(model="m", messages=turns)
    assert final.stop_reason == "max_tokens"
    assert final.content[0].text == "You said: hello; "
    assert counted.input_tokens == 2


def test_structured_output(url):
    """JSON when JSON is asked for."""
    with openai.OpenAI(base_url=url, api_key="none") as client:
        turns = [{"role": "user", "content": "hello"}]
        reply = client.chat.completions.create(
            model="m", messages=turns, response_format={"type": "json_object"}
        )
    assert '"you_said":"hello"' in reply.choices[0].message.content


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/chat/completions", b"{", 400), ("/chat/completions", b"[]", 400), ("/files", b"{}", 404)],
)
def test_what_it_does_not_know(url, path, body, status):
    """An error in a shape that SDKs read."""
    answer = httpx.post(url + path, content=body, trust_env=False)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"
