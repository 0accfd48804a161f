"""The app developer on chat completions: what OpenAI's SDK can ask, over both kinds of vendor.

``only-ca`` is an OpenAI-compatible vendor (the same dialect), ``only-ca-on`` is Anthropic's (translated).
"""

from __future__ import annotations

import json
from typing import Any

import openai
import pydantic
import pytest

from tests.acceptance.running import Running
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]

VENDORS = {"only-ca": "ca", "only-ca-on": "ca_on"}
BOTH = pytest.mark.parametrize("model", sorted(VENDORS))
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASKED: Any = [{"role": "user", "content": "Weather in Laval and Gatineau?"}]
CALLS = (("weather", '{"city":"Laval"}'), ("weather", '{"city":"Gatineau"}'))


class Answer(pydantic.BaseModel):
    """What a structured output is parsed into."""

    city: str
    degrees: int


def sent(places: Places, model: str) -> Any:
    """Return the last body that the vendor of a model received."""
    return places[VENDORS[model]].seen[-1].json


@BOTH
@STREAMED
def test_parallel_tools_go_round(gpt: openai.OpenAI, places: Places, model: str, *, stream: bool) -> None:
    """Two calls at once, arguments in pieces when streamed; the results go back and are answered."""
    vendor = places[VENDORS[model]]
    vendor.script(Script(tools=CALLS), Script(text="Cold in both."))
    if stream:
        with gpt.chat.completions.stream(model=model, messages=ASKED, tools=[WEATHER]) as events:
            pieces = [e for e in events if e.type == "tool_calls.function.arguments.delta"]
            completion = events.get_final_completion()
        assert len(pieces) > len(CALLS)
    else:
        completion = gpt.chat.completions.create(model=model, messages=ASKED, tools=[WEATHER])
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls or []
    assert [(call.function.name, json.loads(call.function.arguments)["city"]) for call in calls] == [
        ("weather", "Laval"),
        ("weather", "Gatineau"),
    ]
    assert len({call.id for call in calls}) == 2
    history = [
        *ASKED,
        choice.message.model_dump(exclude_none=True, exclude={"parsed"}),
        *({"role": "tool", "tool_call_id": call.id, "content": "-20"} for call in calls),
    ]
    answer = gpt.chat.completions.create(model=model, messages=history, tools=[WEATHER])
    assert answer.choices[0].message.content == "Cold in both."
    seen = json.dumps(sent(places, model))
    assert all(call.id in seen for call in calls)
    assert seen.count("-20") == 2


@STREAMED
def test_tool_arguments_come_back_with_the_originals(
    gpt: openai.OpenAI, places: Places, *, stream: bool
) -> None:
    """A token in tool arguments, cut over several pieces, is turned back into the address."""
    places["ca"].script(Script(tools=(("mail", '{"to":"<EMAIL_1>","text":"bonjour"}'),)))
    ask: Any = [{"role": "user", "content": "Write to ann@maple.example"}]
    tool: Any = {"type": "function", "function": {"name": "mail", "parameters": {"type": "object"}}}
    if stream:
        with gpt.chat.completions.stream(model="only-ca", messages=ask, tools=[tool]) as events:
            completion = events.get_final_completion()
    else:
        completion = gpt.chat.completions.create(model="only-ca", messages=ask, tools=[tool])
    (call,) = completion.choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments) == {"to": "ann@maple.example", "text": "bonjour"}
    assert b"ann@maple.example" not in places["ca"].raw


@BOTH
@STREAMED
def test_structured_output_is_parsed(gpt: openai.OpenAI, places: Places, model: str, *, stream: bool) -> None:
    """``parse`` with a schema: the vendor gets the schema in its own words, the app gets the object."""
    places[VENDORS[model]].script(Script(text='{"city": "Laval", "degrees": -20}'))
    if stream:
        with gpt.chat.completions.stream(model=model, messages=ASKED, response_format=Answer) as events:
            parsed = events.get_final_completion().choices[0].message.parsed
    else:
        done = gpt.chat.completions.parse(model=model, messages=ASKED, response_format=Answer)
        parsed = done.choices[0].message.parsed
    assert parsed == Answer(city="Laval", degrees=-20)
    body = sent(places, model)
    schema = (
        body["response_format"]["json_schema"]["schema"]
        if model == "only-ca"
        else body["output_config"]["format"]["schema"]
    )
    assert set(schema["properties"]) == {"city", "degrees"}


@pytest.mark.parametrize("model", ["seeing", "claude-seeing"])
def test_an_image_passes_where_facts_cover_it(gpt: openai.OpenAI, places: Places, model: str) -> None:
    """A picture goes to a deployment whose facts cover what no detector reads, and to no other."""
    picture: Any = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": PNG}},
            ],
        }
    ]
    answer = gpt.chat.completions.create(model=model, messages=picture)
    assert answer.choices[0].message.content == "You said: What is this?"
    seen = places["ca" if model == "seeing" else "ca_on"].seen[-1]
    assert PNG.partition(",")[2].encode() in seen.body
    with pytest.raises(openai.PermissionDeniedError) as refused:
        gpt.chat.completions.create(model="chat", messages=picture)
    assert "unscannable" in str(refused.value)
    assert len(places["ca"].seen) + len(places["ca_on"].seen) == 1


def test_an_image_by_address_is_not_fetched_by_anyone(gpt: openai.OpenAI, places: Places) -> None:
    """An address would make the vendor fetch: refused even where pictures are covered."""
    with pytest.raises(openai.PermissionDeniedError, match="url_fetch"):
        gpt.chat.completions.create(
            model="seeing",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "https://pictures.example/x.png"}}
                    ],
                }
            ],
        )
    assert places["ca"].seen == []


@STREAMED
def test_logprobs_pass_where_nothing_is_altered(
    shop: Running, shop_keys: dict[str, str], places: Places, *, stream: bool
) -> None:
    """An app whose replies no rule alters gets the vendor's log-probabilities; another, a clear 400."""
    odds = {
        "content": [{"token": "oui", "logprob": -0.5, "bytes": None, "top_logprobs": []}],
        "refusal": None,
    }
    choice: dict[str, Any] = {"index": 0, "logprobs": odds, "finish_reason": "stop"}
    base = {"id": "chatcmpl-1", "created": 1, "model": "fake-1"}
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    if stream:
        chunk = {
            **base,
            "object": "chat.completion.chunk",
            "choices": [{**choice, "delta": {"role": "assistant", "content": "oui"}}],
        }
        last = {**base, "object": "chat.completion.chunk", "choices": [], "usage": usage}
        body = b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in (chunk, last))
        places["ca"].script(Script(body=body + b"data: [DONE]\n\n", content_type="text/event-stream"))
    else:
        whole = {
            **base,
            "object": "chat.completion",
            "usage": usage,
            "choices": [{**choice, "message": {"role": "assistant", "content": "oui"}}],
        }
        places["ca"].script(Script(body=json.dumps(whole).encode()))
    ask: dict[str, Any] = {"model": "only-ca", "messages": ASKED, "logprobs": True, "top_logprobs": 2}
    with openai.OpenAI(base_url=f"{shop.url}/v1", api_key=shop_keys["printer"]) as printer:
        if stream:
            found = [
                c.logprobs
                for part in printer.chat.completions.create(**ask, stream=True)
                for c in part.choices
            ]
        else:
            found = [c.logprobs for c in printer.chat.completions.create(**ask).choices]
    assert found[0] is not None
    assert found[0].content is not None
    assert found[0].content[0].logprob == -0.5
    assert places["ca"].seen[-1].json["top_logprobs"] == 2
    with (
        openai.OpenAI(base_url=f"{shop.url}/v1", api_key=shop_keys["teller"]) as teller,
        pytest.raises(openai.BadRequestError) as refused,
    ):
        teller.chat.completions.create(**ask, stream=stream)
    assert refused.value.code == "unsupported_feature"
    assert refused.value.param == "logprobs"


@STREAMED
def test_two_choices(gpt: openai.OpenAI, places: Places, *, stream: bool) -> None:
    """``n=2``: each choice is whole, and usage counts both."""
    if stream:
        texts = {0: "", 1: ""}
        usage = None
        for part in gpt.chat.completions.create(
            model="only-ca", messages=ASKED, n=2, stream=True, stream_options={"include_usage": True}
        ):
            usage = part.usage or usage
            for choice in part.choices:
                texts[choice.index] += choice.delta.content or ""
        said = [texts[0], texts[1]]
    else:
        done = gpt.chat.completions.create(model="only-ca", messages=ASKED, n=2)
        said, usage = [choice.message.content or "" for choice in done.choices], done.usage
    assert said == ["You said: Weather in Laval and Gatineau?"] * 2
    assert usage is not None
    assert usage.completion_tokens == places["ca"].billed.output


def test_two_choices_of_a_vendor_without_them(gpt: openai.OpenAI, places: Places) -> None:
    """Anthropic's models give one answer: a 400 that names ``n``, and nothing sent."""
    with pytest.raises(openai.BadRequestError) as refused:
        gpt.chat.completions.create(model="only-ca-on", messages=ASKED, n=2)
    assert (refused.value.code, refused.value.param) == ("unsupported_feature", "n")
    assert places["ca_on"].seen == []


def test_sampling_and_unknown_fields_pass(gpt: openai.OpenAI, places: Places) -> None:
    """``stop``, ``seed``, ``reasoning_effort`` and a field that nobody knows reach the vendor."""
    gpt.chat.completions.create(
        model="only-ca",
        messages=ASKED,
        stop=["END"],
        seed=7,
        temperature=0.5,
        top_p=0.9,
        reasoning_effort="low",
        max_completion_tokens=50,
        extra_body={"vendor_knob": {"depth": 3}, "another": ["x", 1, None]},
    )
    body = sent(places, "only-ca")
    assert body["stop"] == ["END"]
    assert (body["seed"], body["temperature"], body["top_p"]) == (7, 0.5, 0.9)
    assert body["reasoning_effort"] == "low"
    assert body["max_completion_tokens"] == 50
    assert body["vendor_knob"] == {"depth": 3}
    assert body["another"] == ["x", 1, None]
    assert body["model"] == "fake-1"


@STREAMED
def test_a_vendors_unknown_field_comes_back(gpt: openai.OpenAI, places: Places, *, stream: bool) -> None:
    """What a vendor adds to its answer reaches the app as the SDK's extra field."""
    base = {"id": "chatcmpl-9", "created": 1, "model": "fake-1", "citations": ["page 4"]}
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    kind = "chat.completion.chunk" if stream else "chat.completion"
    key = "delta" if stream else "message"
    choice = {
        "index": 0,
        key: {"role": "assistant", "content": "oui", "mood": "calm"},
        "finish_reason": "stop",
    }
    body = json.dumps({**base, "object": kind, "choices": [choice], "usage": usage}).encode()
    if stream:
        body = b"data: " + body + b"\n\ndata: [DONE]\n\n"
    places["ca"].script(Script(body=body, content_type="text/event-stream" if stream else None))
    if stream:
        (part,) = gpt.chat.completions.create(model="only-ca", messages=ASKED, stream=True)
        extra, inner = part.model_extra, part.choices[0].delta.model_extra
    else:
        done = gpt.chat.completions.create(model="only-ca", messages=ASKED)
        extra, inner = done.model_extra, done.choices[0].message.model_extra
    assert (extra or {})["citations"] == ["page 4"]
    assert (inner or {})["mood"] == "calm"


def test_translation_carries_sampling_to_anthropic(gpt: openai.OpenAI, places: Places) -> None:
    """``stop``, effort, system prompt and the token limit arrive under Anthropic's names."""
    gpt.chat.completions.create(
        model="only-ca-on",
        messages=[{"role": "system", "content": "Be brief."}, *ASKED],
        stop="END",
        reasoning_effort="high",
        max_tokens=60,
    )
    seen = places["ca_on"].seen[-1]
    assert seen.path == "/v1/messages"
    assert seen.json["stop_sequences"] == ["END"]
    assert seen.json["output_config"] == {"effort": "high"}
    assert seen.json["max_tokens"] == 60
    assert "Be brief." in json.dumps(seen.json["system"])


@BOTH
@STREAMED
def test_reasoning_arrives(gpt: openai.OpenAI, places: Places, model: str, *, stream: bool) -> None:
    """A model's reasoning stands in ``reasoning_content``, apart from the answer."""
    places[VENDORS[model]].script(Script(reasoning="two and two", text="four"))
    if stream:
        thought = said = ""
        for part in gpt.chat.completions.create(model=model, messages=ASKED, stream=True):
            for choice in part.choices:
                thought += (choice.delta.model_extra or {}).get("reasoning_content") or ""
                said += choice.delta.content or ""
    else:
        message = gpt.chat.completions.create(model=model, messages=ASKED).choices[0].message
        thought, said = (message.model_extra or {})["reasoning_content"], message.content or ""
    assert (thought, said) == ("two and two", "four")


@BOTH
@STREAMED
@pytest.mark.parametrize("finish", ["length", "content_filter", "refusal"])
def test_finish_reasons_are_kept(
    gpt: openai.OpenAI, places: Places, model: str, finish: str, *, stream: bool
) -> None:
    """Truncation, filtering and refusals arrive as what they were."""
    places[VENDORS[model]].script(Script(text="no further", finish=finish))
    if stream:
        reasons, refused, said = [], "", ""
        for part in gpt.chat.completions.create(model=model, messages=ASKED, stream=True):
            for choice in part.choices:
                reasons.append(choice.finish_reason)
                refused += choice.delta.refusal or ""
                said += choice.delta.content or ""
        reason = reasons[-1]
    else:
        choice = gpt.chat.completions.create(model=model, messages=ASKED).choices[0]
        reason, refused, said = (
            choice.finish_reason,
            choice.message.refusal or "",
            choice.message.content or "",
        )
    if finish == "length":
        assert (reason, said) == ("length", "no further")
    elif model == "only-ca":
        assert reason == ("content_filter" if finish == "content_filter" else "stop")
        assert (refused or said) == "no further"
        assert bool(refused) == (finish == "refusal")
    else:  # Anthropic has one word for both
        assert reason == "content_filter"
        assert (refused or said) == "no further"


def test_a_stream_that_asks_for_usage_gets_it(gpt: openai.OpenAI, places: Places) -> None:
    """``include_usage``: the last chunk has the vendor's own count; without it there is no such chunk."""
    asked = list(
        gpt.chat.completions.create(
            model="only-ca-on", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
    )
    assert asked[-1].usage is not None
    assert asked[-1].choices == []
    assert asked[-1].usage.completion_tokens == places["ca_on"].billed.output
    for model in VENDORS:
        assert all(
            part.choices for part in gpt.chat.completions.create(model=model, messages=ASKED, stream=True)
        )
