"""Degrading before refusing, as the unmodified SDKs see it: what is answered, and what is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import anthropic
import httpx
import openai
import pytest

from tests.acceptance import bank
from tests.acceptance.running import Running, eventually, gateway
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
ASKED: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def thrifty(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Quebec is dear, Ontario is cheap; apps allow different ladders under budgets of their own."""
    folder = tmp_path_factory.mktemp("thrifty")
    files = bank.bundle(places)
    # One input token costs nothing, so that what is held is the answer.
    files["prices/all.yaml"] = [
        bank.price("ca", inputs="0.00", outputs="4000.00"),
        bank.price("ca_on", inputs="0.00", outputs="1.00"),
        bank.price("us", inputs="0.00", outputs="0.01"),
        bank.price("eu", inputs="0.00", outputs="0.01"),
    ]
    app: dict[str, object] = {"data": ["client"], "models": ["chat", "only-ca", "only-ca-on"]}
    files["teams.yaml"]["teams"]["thrift"] = {
        "apps": {
            "saver": {**app, "budget": {"per": "month", "limit": "1.00"}, "when_over": [{"cheaper": True}]},
            "short": {
                **app,
                "budget": {"per": "month", "limit": "1.00"},
                "when_over": [{"cap_answer_tokens": 64}],
            },
            "patient": {
                **app,
                "budget": {"per": "month", "limit": "8.00"},
                "when_over": [{"queue": "60s"}],
            },
            "empty": {
                **app,
                "budget": {"per": "month", "limit": "0.00"},
                "when_over": [{"cheaper": True}, {"cap_answer_tokens": 16}, {"queue": "5s"}],
            },
        }
    }
    bank.write(folder / "policies", files)
    with gateway(folder, folder / "policies") as running:
        yield running


@pytest.fixture(scope="module")
def keys(thrifty: Running) -> dict[str, str]:
    """A key of each app."""
    apps = ("saver", "short", "patient", "empty")
    return dict(zip(apps, thrifty.keys_of(apps), strict=True))


class Both:
    """Both SDKs with their usual retries, and how many requests they made."""

    def __init__(self, running: Running, key: str) -> None:
        self.sent: list[str] = []
        hooks = {"request": [lambda request: self.sent.append(str(request.url))]}
        self.gpt = openai.OpenAI(
            base_url=f"{running.url}/v1",
            api_key=key,
            http_client=openai.DefaultHttpxClient(event_hooks=hooks),
        )
        self.claude = anthropic.Anthropic(
            base_url=running.url, api_key=key, http_client=anthropic.DefaultHttpxClient(event_hooks=hooks)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.gpt.close()
        self.claude.close()

    def ask(self, surface: str, *, stream: bool, model: str = "chat") -> tuple[str, httpx.Headers]:
        """Ask on a surface; return the text and the headers."""
        match surface:
            case "chat":
                return self._chat(model, stream)
            case "messages":
                return self._messages(model, stream)
            case _:
                return self._responses(model, stream)

    def _chat(self, model: str, stream: bool) -> tuple[str, httpx.Headers]:
        create: Any = self.gpt.chat.completions.with_raw_response.create
        raw = create(model=model, messages=ASKED, stream=stream)
        got = raw.parse()
        if not stream:
            return str(got.choices[0].message.content), raw.headers
        text = "".join(c.choices[0].delta.content or "" for c in got if c.choices)
        return text, raw.headers

    def _messages(self, model: str, stream: bool) -> tuple[str, httpx.Headers]:
        body: Any = {"model": model, "max_tokens": 1000, "messages": ASKED}
        if stream:
            with self.claude.messages.stream(**body) as events:
                return str(events.get_final_text()), events.response.headers
        raw = self.claude.messages.with_raw_response.create(**body)
        got: Any = raw.parse()
        return str(got.content[0].text), raw.headers

    def _responses(self, model: str, stream: bool) -> tuple[str, httpx.Headers]:
        create: Any = self.gpt.responses.with_raw_response.create
        raw = create(model=model, input="hello", stream=stream)
        got = raw.parse()
        if not stream:
            return str(got.output_text), raw.headers
        done = [event for event in got if event.type == "response.completed"]
        return str(done[-1].response.output_text), raw.headers


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("surface", ["chat", "messages", "responses"])
def test_a_cheaper_model_answers_and_says_so(
    thrifty: Running, keys: dict[str, str], places: Places, surface: str, *, stream: bool
) -> None:
    """A thousand tokens in Quebec may cost 5.57 of a budget of 1.00: Ontario answers, on every surface."""
    places["ca_on"].script(Script(text="from Ontario"))
    with Both(thrifty, keys["saver"]) as both:
        text, headers = both.ask(surface, stream=stream)
        assert len(both.sent) == 1
    assert text == "from Ontario"
    assert headers["x-borderpost-degraded"] == "cheaper=chat"
    assert headers["x-borderpost-place"] == "CA-ON"
    assert places["ca"].raw == b""


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("surface", ["chat", "messages", "responses"])
def test_a_shorter_answer_is_asked_for_and_says_so(
    thrifty: Running, keys: dict[str, str], places: Places, surface: str, *, stream: bool
) -> None:
    """64 tokens fit: the vendor is asked for as many, and the headers say both."""
    places["ca"].script(Script(text="short"))
    with Both(thrifty, keys["short"]) as both:
        text, headers = both.ask(surface, stream=stream, model="only-ca")
    assert text == "short"
    assert headers["x-borderpost-degraded"] == "answer_tokens=64"
    assert headers["x-borderpost-max-tokens"] == "64"
    asked = places["ca"].seen[-1].json
    assert 64 in (asked.get("max_tokens"), asked.get("max_completion_tokens"), asked.get("max_output_tokens"))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("surface", ["chat", "messages", "responses"])
def test_an_exhausted_ladder_is_refused_once(
    thrifty: Running, keys: dict[str, str], places: Places, surface: str, *, stream: bool
) -> None:
    """402 with what is known of the budget; both SDKs make one request and no retry; nothing is sent."""
    with Both(thrifty, keys["empty"]) as both:
        with pytest.raises((openai.APIStatusError, anthropic.PaymentRequiredError)) as caught:
            both.ask(surface, stream=stream)
        assert len(both.sent) == 1
    answer = caught.value.response
    assert answer.status_code == 402
    assert answer.headers["x-should-retry"] == "false"
    assert int(answer.headers["retry-after"]) > 0
    told = answer.json()["error"]["borderpost"]
    assert told["code"] == "budget_exceeded"
    assert told["tried"] == ["cheaper", "answer_tokens", "queue"]
    assert {"scope", "limit", "spent", "held", "resets"} <= set(told)
    assert places["ca"].raw + places["ca_on"].raw == b""


def test_calls_wait_in_line_and_all_are_served(
    thrifty: Running, keys: dict[str, str], places: Places
) -> None:
    """Six calls at once, room for the hold of one: none is refused, and the budget is never passed."""
    # The first one holds the room until all the others have asked.
    slow, quick = Script(text="one after the other", delay_ms=2_000), Script(text="one after the other")
    places["ca"].script(slow, *[quick] * 5)
    key = keys["patient"]
    together = threading.Barrier(6)

    def one(_: int) -> tuple[str, str | None]:
        with Both(thrifty, key) as both:
            together.wait(30)
            text, headers = both.ask("chat", stream=False, model="only-ca")
        assert len(both.sent) == 1
        return text, headers.get("x-borderpost-degraded")

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(one, range(6)))
    assert [text for text, _ in answers] == ["one after the other"] * 6
    waited = [told for _, told in answers if told is not None]
    assert waited
    assert all(told.startswith("queued_ms=") for told in waited)
    committed, spent = thrifty.windows("app:patient:%")["app:patient:CAD"]
    assert spent <= committed <= 8_000_000_000


def test_what_was_done_is_in_the_record(thrifty: Running, keys: dict[str, str], places: Places) -> None:
    """The table of records says which calls were degraded, and how."""
    places["ca_on"].script(Script(text="kept"))
    with Both(thrifty, keys["saver"]) as both:
        both.ask("chat", stream=False)

    def degraded() -> list[object]:
        found = thrifty.rows("SELECT degraded FROM records WHERE app = 'saver' AND degraded IS NOT NULL")
        return [row["degraded"] for row in found]

    eventually(degraded, 10)
    assert set(degraded()) == {'{"cheaper":"chat"}'}
