"""The app developer on responses, embeddings and models, with OpenAI's SDK.

``native`` speaks the responses dialect; ``only-ca`` speaks chat and ``only-ca-on`` messages
(both translated).
"""

from __future__ import annotations

import json
import math
from typing import Any

import openai
import pydantic
import pytest

from tests.acceptance.running import Running
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]

VENDORS = {"native": "ca", "only-ca": "ca", "only-ca-on": "ca_on"}
ALL = pytest.mark.parametrize("model", sorted(VENDORS))
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
CALLS = (("weather", '{"city":"Laval"}'), ("weather", '{"city":"Gatineau"}'))


class Answer(pydantic.BaseModel):
    """What a structured output is parsed into."""

    city: str


def ask(client: openai.OpenAI, *, stream: bool, **more: Any) -> Any:
    """Return the response that the SDK makes of a reply, plain or streamed."""
    body: dict[str, Any] = {"input": "Weather in Laval and Gatineau?", **more}
    if not stream:
        return client.responses.create(**body)
    with client.responses.stream(**body) as events:
        return events.get_final_response()


@ALL
@STREAMED
def test_text_comes_back_and_nothing_is_stored(
    gpt: openai.OpenAI, places: Places, model: str, *, stream: bool
) -> None:
    """A response is answered over every dialect; where the vendor could store it, it is told not to."""
    response = ask(gpt, stream=stream, model=model, instructions="Be brief.", max_output_tokens=50)
    assert response.output_text == "You said: Weather in Laval and Gatineau?"
    assert response.status == "completed"
    seen = places[VENDORS[model]].seen[-1]
    assert "Be brief." in seen.text
    assert response.usage.output_tokens == places[VENDORS[model]].billed.output
    if model == "native":
        assert seen.path == "/v1/responses"
        assert seen.json["store"] is False


@ALL
@STREAMED
def test_parallel_tools_go_round(gpt: openai.OpenAI, places: Places, model: str, *, stream: bool) -> None:
    """Two function calls at once, statelessly: the whole history goes back with both outputs."""
    places[VENDORS[model]].script(Script(tools=CALLS), Script(text="Cold in both."))
    response = ask(gpt, stream=stream, model=model, tools=[WEATHER])
    calls = [item for item in response.output if item.type == "function_call"]
    assert [json.loads(call.arguments)["city"] for call in calls] == ["Laval", "Gatineau"]
    assert len({call.call_id for call in calls}) == 2
    history = [
        {"role": "user", "content": "Weather in Laval and Gatineau?"},
        *(
            {
                "type": "function_call",
                "call_id": call.call_id,
                "name": call.name,
                "arguments": call.arguments,
            }
            for call in calls
        ),
        *({"type": "function_call_output", "call_id": call.call_id, "output": "-20"} for call in calls),
    ]
    answer = ask(gpt, stream=stream, model=model, tools=[WEATHER], input=history)
    assert answer.output_text == "Cold in both."
    assert json.dumps(places[VENDORS[model]].seen[-1].json).count("-20") == 2


@ALL
def test_structured_output_is_parsed(gpt: openai.OpenAI, places: Places, model: str) -> None:
    """``responses.parse`` gives the object, whichever dialect the vendor speaks."""
    places[VENDORS[model]].script(Script(text='{"city": "Laval"}'))
    parsed = gpt.responses.parse(model=model, input="Which city?", text_format=Answer)
    assert parsed.output_parsed == Answer(city="Laval")


@ALL
@STREAMED
def test_reasoning_is_an_item(gpt: openai.OpenAI, places: Places, model: str, *, stream: bool) -> None:
    """A model's reasoning is an item before the message."""
    places[VENDORS[model]].script(Script(reasoning="two and two", text="four"))
    response = ask(gpt, stream=stream, model=model, reasoning={"effort": "low"})
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output_text == "four"
    assert "two and two" in json.dumps(response.output[0].model_dump())


@ALL
@STREAMED
def test_a_truncated_answer_is_incomplete(
    gpt: openai.OpenAI, places: Places, model: str, *, stream: bool
) -> None:
    """Truncation is ``incomplete`` with its reason, and never ``completed``."""
    places[VENDORS[model]].script(Script(text="no further", finish="length"))
    if stream:
        with gpt.responses.create(model=model, input="x", stream=True) as events:
            *_, last = events
        assert last.type == "response.incomplete"
        response = last.response
    else:
        response = gpt.responses.create(model=model, input="x")
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize(
    "asked", [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"background": True}]
)
def test_state_at_the_vendor_is_a_clear_400(
    gpt: openai.OpenAI, places: Places, asked: dict[str, Any]
) -> None:
    """What would keep state at the vendor is refused by name before anything is sent."""
    with pytest.raises(openai.BadRequestError) as refused:
        gpt.responses.create(model="native", input="x", **asked)
    assert refused.value.code == "unsupported_feature"
    assert refused.value.param == next(iter(asked))
    assert places["ca"].seen == []


@pytest.mark.parametrize("how", ["float", "base64", None])
def test_embeddings(gpt: openai.OpenAI, places: Places, how: str | None) -> None:
    """Both encodings give the same numbers; what the SDK asks by itself (base64) is read by itself."""
    more: Any = {} if how is None else {"encoding_format": how}
    raw = gpt.embeddings.with_raw_response.create(model="embed", input=["un", "deux"], **more)
    data = json.loads(raw.text)["data"] if how == "base64" else [d.model_dump() for d in raw.parse().data]
    assert [item["index"] for item in data] == [0, 1]
    if how == "base64":
        assert all(isinstance(item["embedding"], str) for item in data)
    else:
        assert all(math.isclose(sum(item["embedding"]), 1, abs_tol=1e-6) for item in data)
    assert raw.headers["x-borderpost-place"] == "CA-QC"
    assert places["ca"].seen[-1].json["encoding_format"] == (how or "base64")


def test_embeddings_of_token_numbers_need_cover(gpt: openai.OpenAI, places: Places) -> None:
    """No detector reads token numbers: only a deployment whose facts cover that gets them."""
    with pytest.raises(openai.PermissionDeniedError, match="unscannable"):
        gpt.embeddings.create(model="embed", input=[1, 2, 3])
    assert places["ca"].seen == []
    gpt.embeddings.create(model="embed-numbers", input=[1, 2, 3], encoding_format="float")
    assert places["ca"].seen[-1].json["input"] == [1, 2, 3]


def test_the_model_list(gpt: openai.OpenAI, shop: Running, shop_keys: dict[str, str]) -> None:
    """A key lists its own names, also those that its app sends already, and finds no others."""
    names = {model.id for model in gpt.models.list()}
    assert {"chat", "gpt-4.1-mini", "chat-pro", "embed", "native"} <= names
    assert gpt.models.retrieve("gpt-4.1-mini").object == "model"
    with openai.OpenAI(base_url=f"{shop.url}/v1", api_key=shop_keys["hackathon"]) as other:
        assert "native" not in {model.id for model in other.models.list()}
        with pytest.raises(openai.NotFoundError) as missing:
            other.models.retrieve("native")
    assert missing.value.code == "model_not_found"


async def test_the_async_client(gpt: openai.OpenAI) -> None:
    """``AsyncOpenAI`` works the same, many at once."""
    import asyncio

    async with openai.AsyncOpenAI(base_url=gpt.base_url, api_key=gpt.api_key) as client:

        async def say(word: str) -> str:
            stream = await client.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": word}], stream=True
            )
            return "".join([part.choices[0].delta.content or "" async for part in stream if part.choices])

        said = await asyncio.gather(*(say(f"word {number}") for number in range(8)))
    assert said == [f"You said: word {number}" for number in range(8)]
