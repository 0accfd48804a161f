"""The app developer on messages: what Anthropic's SDK can ask, over both kinds of vendor.

``only-ca-on`` speaks Anthropic's dialect, ``only-ca`` is OpenAI-compatible (translated).
"""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]

VENDORS = {"only-ca": "ca", "only-ca-on": "ca_on"}
BOTH = pytest.mark.parametrize("model", sorted(VENDORS))
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
ASKED: Any = [{"role": "user", "content": "Weather in Laval and Gatineau?"}]
CALLS = (("weather", '{"city":"Laval"}'), ("weather", '{"city":"Gatineau"}'))


def ask(client: anthropic.Anthropic, *, stream: bool, **more: Any) -> anthropic.types.Message:
    """Return the message that the SDK makes of a reply, plain or streamed."""
    body: dict[str, Any] = {"max_tokens": 100, "messages": ASKED, **more}
    if not stream:
        return client.messages.create(**body)
    with client.messages.stream(**body) as events:
        return events.get_final_message()


@BOTH
@STREAMED
def test_parallel_tools_go_round(
    claude: anthropic.Anthropic, places: Places, model: str, *, stream: bool
) -> None:
    """Two ``tool_use`` blocks at once; their results go back in one turn and are answered."""
    places[VENDORS[model]].script(Script(tools=CALLS), Script(text="Cold in both."))
    message = ask(claude, stream=stream, model=model, tools=[WEATHER])
    assert message.stop_reason == "tool_use"
    blocks = [block for block in message.content if block.type == "tool_use"]
    assert [block.input for block in blocks] == [{"city": "Laval"}, {"city": "Gatineau"}]
    assert len({block.id for block in blocks}) == 2
    history: Any = [
        *ASKED,
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in blocks]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": block.id, "content": "-20"} for block in blocks
            ],
        },
    ]
    answer = ask(claude, stream=stream, model=model, tools=[WEATHER], messages=history)
    assert answer.content[0].type == "text"
    assert answer.content[0].text == "Cold in both."
    seen = places[VENDORS[model]].seen[-1].json
    assert json.dumps(seen).count("-20") == 2
    if model == "only-ca":
        assert [turn["role"] for turn in seen["messages"]] == ["user", "assistant", "tool", "tool"]


@STREAMED
def test_tool_input_comes_back_with_the_originals(
    claude: anthropic.Anthropic, places: Places, *, stream: bool
) -> None:
    """A token inside a tool's input, cut over several deltas, is turned back into the address."""
    places["ca_on"].script(Script(tools=(("mail", '{"to":"<EMAIL_1>","text":"bonjour"}'),)))
    message = ask(
        claude,
        stream=stream,
        model="only-ca-on",
        tools=[{"name": "mail", "input_schema": {"type": "object"}}],
        messages=[{"role": "user", "content": "Write to ann@maple.example"}],
    )
    (block,) = message.content
    assert block.type == "tool_use"
    assert block.input == {"to": "ann@maple.example", "text": "bonjour"}
    assert b"ann@maple.example" not in places["ca_on"].raw


@BOTH
def test_a_schema_for_the_answer(claude: anthropic.Anthropic, places: Places, model: str) -> None:
    """``output_config.format`` reaches each vendor in its own words."""
    places[VENDORS[model]].script(Script(text='{"city": "Laval"}'))
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    message = ask(
        claude,
        stream=False,
        model=model,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert message.content[0].type == "text"
    assert json.loads(message.content[0].text) == {"city": "Laval"}
    seen = places[VENDORS[model]].seen[-1].json
    told = (
        seen["response_format"]["json_schema"]["schema"]
        if model == "only-ca"
        else seen["output_config"]["format"]["schema"]
    )
    assert told == schema


@pytest.mark.parametrize("model", ["seeing", "claude-seeing"])
def test_an_image_passes_where_facts_cover_it(
    claude: anthropic.Anthropic, places: Places, model: str
) -> None:
    """A picture inside the message is sent where it is covered, and refused elsewhere."""
    picture: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    turn: Any = [{"role": "user", "content": [picture, {"type": "text", "text": "What is this?"}]}]
    ask(claude, stream=False, model=model, messages=turn)
    seen = places["ca" if model == "seeing" else "ca_on"].seen[-1]
    assert PIXEL.encode() in seen.body
    with pytest.raises(anthropic.PermissionDeniedError, match="unscannable"):
        ask(claude, stream=False, model="chat", messages=turn)


@BOTH
@STREAMED
def test_thinking(claude: anthropic.Anthropic, places: Places, model: str, *, stream: bool) -> None:
    """A model's thinking is a block of its own; the budget reaches a chat vendor as an effort."""
    places[VENDORS[model]].script(Script(reasoning="two and two", text="four"))
    message = ask(
        claude,
        stream=stream,
        model=model,
        max_tokens=2000,
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].type == "thinking"
    assert message.content[0].thinking == "two and two"
    seen = places[VENDORS[model]].seen[-1].json
    if model == "only-ca":
        assert seen["reasoning_effort"] == "low"
    else:
        assert seen["thinking"] == {"type": "enabled", "budget_tokens": 1024}
        assert message.content[0].signature == "c2lnbmVk"


@BOTH
@STREAMED
@pytest.mark.parametrize(
    ("finish", "expected"), [("length", "max_tokens"), ("content_filter", "refusal"), ("refusal", "refusal")]
)
def test_stop_reasons_are_kept(
    claude: anthropic.Anthropic, places: Places, model: str, finish: str, expected: str, *, stream: bool
) -> None:
    """Truncation and refusals arrive as what they were, with what was said."""
    places[VENDORS[model]].script(Script(text="no further", finish=finish))
    message = ask(claude, stream=stream, model=model)
    assert message.stop_reason == expected
    assert message.content[0].type == "text"
    assert message.content[0].text == "no further"


def test_unknown_fields_pass_both_ways(claude: anthropic.Anthropic, places: Places) -> None:
    """A field that the gateway does not know reaches the vendor, and the vendor's own comes back."""
    whole = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "fake-1",
        "content": [{"type": "text", "text": "oui"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 1},
        "weather_outside": {"degrees": -20},
    }
    places["ca_on"].script(Script(body=json.dumps(whole).encode()))
    message = ask(
        claude,
        stream=False,
        model="only-ca-on",
        stop_sequences=["END"],
        extra_body={"vendor_knob": {"depth": 3}},
    )
    seen = places["ca_on"].seen[-1].json
    assert seen["vendor_knob"] == {"depth": 3}
    assert seen["stop_sequences"] == ["END"]
    assert (message.model_extra or {})["weather_outside"] == {"degrees": -20}


def test_tokens_are_counted(claude: anthropic.Anthropic, places: Places) -> None:
    """``count_tokens`` asks a vendor that can count, and is estimated high where none can."""
    counted = claude.messages.count_tokens(model="only-ca-on", messages=ASKED)
    assert places["ca_on"].seen[-1].path == "/v1/messages/count_tokens"
    estimated = claude.messages.count_tokens(model="only-ca", messages=ASKED)
    assert places["ca"].seen == []
    assert estimated.input_tokens >= counted.input_tokens > 0


def test_the_model_list(claude: anthropic.Anthropic) -> None:
    """Anthropic's SDK lists and shows the names that this key may use."""
    names = [model.id for model in claude.models.list()]
    assert {"chat", "gpt-4.1-mini", "only-ca-on"} <= set(names)
    assert claude.models.retrieve("chat").id == "chat"
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("somebody-elses")


def test_the_raw_response_has_the_gateways_headers(claude: anthropic.Anthropic) -> None:
    """``with_raw_response`` shows ids and place; the SDK's own request id is the gateway's."""
    raw = claude.messages.with_raw_response.create(model="only-ca-on", max_tokens=20, messages=ASKED)
    message = raw.parse()
    assert raw.headers["x-borderpost-place"] == "CA-ON"
    assert raw.headers["x-request-id"] == raw.headers["request-id"]
    assert message._request_id == raw.headers["request-id"]
    assert raw.headers["x-borderpost-cost"].endswith(" USD")


async def test_the_async_client(claude: anthropic.Anthropic) -> None:
    """``AsyncAnthropic`` streams the same."""
    async with (
        anthropic.AsyncAnthropic(base_url=str(claude.base_url), api_key=claude.api_key) as client,
        client.messages.stream(model="only-ca-on", max_tokens=100, messages=ASKED) as events,
    ):
        text = "".join([piece async for piece in events.text_stream])
    assert text == "You said: Weather in Laval and Gatineau?"
