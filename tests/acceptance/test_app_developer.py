"""The app developer: swaps the base URL, and the official SDKs notice nothing."""

from __future__ import annotations

import anthropic
import openai
import pytest

from tests.acceptance.running import Running
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]


@pytest.fixture
def client(maple: Running, teller: str) -> openai.OpenAI:
    """The OpenAI SDK, only its base URL and key changed."""
    return openai.OpenAI(base_url=f"{maple.url}/v1", api_key=teller)


@pytest.fixture
def claude(maple: Running, teller: str) -> anthropic.Anthropic:
    """The Anthropic SDK, only its base URL and key changed."""
    return anthropic.Anthropic(base_url=maple.url, api_key=teller)


def test_chat_answers_and_says_where_it_ran(client: openai.OpenAI, places: Places) -> None:
    """A plain chat call is answered from Quebec, and its headers say so."""
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": "bonjour"}]
    )
    completion = raw.parse()
    assert completion.choices[0].message.content == "You said: bonjour"
    assert completion.choices[0].finish_reason == "stop"
    assert raw.headers["x-borderpost-place"] == "CA-QC"
    assert raw.headers["x-borderpost-model"] == "chat"
    assert raw.headers["x-request-id"].startswith("req_ca-qc_")
    assert places["us"].seen == []


def test_chat_streams(client: openai.OpenAI) -> None:
    """A stream arrives in pieces and ends as the vendor ended it."""
    pieces = []
    finish = None
    for chunk in client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": "one two three"}], stream=True
    ):
        if chunk.choices:
            pieces.append(chunk.choices[0].delta.content or "")
            finish = chunk.choices[0].finish_reason or finish
    assert "".join(pieces) == "You said: one two three"
    assert sum(1 for piece in pieces if piece) > 3
    assert finish == "stop"


def test_messages_of_anthropics_sdk_reach_an_openai_compatible_model(
    claude: anthropic.Anthropic, places: Places
) -> None:
    """An app on messages is routed to an OpenAI-compatible model, plain and streamed."""
    message = claude.messages.create(
        model="only-ca", max_tokens=100, messages=[{"role": "user", "content": "hello there"}]
    )
    assert message.content[0].type == "text"
    assert message.content[0].text == "You said: hello there"
    assert message.stop_reason == "end_turn"
    assert places["ca"].seen[0].path == "/v1/chat/completions"
    with claude.messages.stream(
        model="only-ca", max_tokens=100, messages=[{"role": "user", "content": "hello there"}]
    ) as stream:
        assert "".join(stream.text_stream) == "You said: hello there"
        assert stream.get_final_message().usage.output_tokens > 0


def test_a_sin_is_masked_and_an_email_comes_back(client: openai.OpenAI, places: Places) -> None:
    """A SIN never reaches the vendor; an e-mail address does as a token, and is restored."""
    sin = "046 " + "454 " + "286"
    completion = client.chat.completions.create(
        model="chat",
        messages=[{"role": "user", "content": f"SIN {sin}, write to ann@maple.example"}],
    )
    answer = completion.choices[0].message.content or ""
    assert sin.encode() not in places["ca"].raw
    assert b"ann@maple.example" not in places["ca"].raw
    assert sin not in answer
    assert "ann@maple.example" in answer


def test_a_refusal_names_the_rule_and_the_way_out(client: openai.OpenAI, places: Places) -> None:
    """Client data on a US model: 403 by CA-1, the alias to use instead, and nothing sent."""
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client.chat.completions.create(model="chat-pro", messages=[{"role": "user", "content": "x"}])
    body = refused.value.body
    assert isinstance(body, dict)
    assert body["code"] == "policy_refused"
    assert "CA-1" in body["message"]
    assert "chat" in body["borderpost"]["use_instead"]
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert places["us"].raw == b""


def test_a_vendors_error_keeps_its_identity(client: openai.OpenAI, places: Places) -> None:
    """The vendor's 400 arrives as the vendor's 400, without its address."""
    places["ca"].script(Script(status=400))
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="only-ca", messages=[{"role": "user", "content": "x"}])
