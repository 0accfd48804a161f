"""The app developer when a call fails: the SDKs' own error classes, and retries only where they can help."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import anthropic
import openai
import pytest

from tests.acceptance.running import Running
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
ASKED: Any = [{"role": "user", "content": "hello"}]


@dataclass
class Sdks:
    """Both SDKs with their usual retries, for one key; ``sent`` counts the requests that they make."""

    shop: Running
    key: str
    sent: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Open both."""
        hooks = {"request": [lambda request: self.sent.append(str(request.url))]}
        self.gpt = openai.OpenAI(
            base_url=f"{self.shop.url}/v1",
            api_key=self.key,
            http_client=openai.DefaultHttpxClient(event_hooks=hooks),
        )
        self.claude = anthropic.Anthropic(
            base_url=self.shop.url,
            api_key=self.key,
            http_client=anthropic.DefaultHttpxClient(event_hooks=hooks),
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Close both."""
        self.gpt.close()
        self.claude.close()

    def chat(self, model: str = "only-ca", *, stream: bool = False, **more: Any) -> Any:
        """Make one call on chat; a stream is read to its end."""
        got = self.gpt.chat.completions.create(model=model, messages=ASKED, stream=stream, **more)
        return list(got) if stream else got

    def messages(self, model: str = "only-ca-on", *, stream: bool = False, **more: Any) -> Any:
        """Make one call on messages; a stream is read to its end."""
        body: Any = {"model": model, "max_tokens": 20, "messages": ASKED, **more}
        if not stream:
            return self.claude.messages.create(**body)
        with self.claude.messages.stream(**body) as events:
            return events.get_final_message()


@pytest.fixture
def sdks(shop: Running, shop_keys: dict[str, str]) -> Iterator[Sdks]:
    """Both SDKs for the teller."""
    with Sdks(shop, shop_keys["teller"]) as both:
        yield both


def error_of(caught: pytest.ExceptionInfo[Any]) -> dict[str, Any]:
    """Return the error object that an SDK keeps of an answer."""
    body = caught.value.body
    assert isinstance(body, dict)
    inner = body.get("error", body)
    assert isinstance(inner, dict)
    return inner


def test_a_wrong_key(shop: Running) -> None:
    """An unknown key is each SDK's AuthenticationError, at once."""
    with Sdks(shop, "bp_" + "live_" + "a" * 16 + "_" + "b" * 52) as both:
        with pytest.raises(openai.AuthenticationError) as chat:
            both.chat()
        with pytest.raises(anthropic.AuthenticationError) as messages:
            both.messages()
        assert len(both.sent) == 2
    assert chat.value.code == "invalid_api_key"
    assert error_of(messages)["type"] == "authentication_error"


def test_an_unknown_model(sdks: Sdks) -> None:
    """A model that the app has not is NotFoundError, and the message lists what it has."""
    with pytest.raises(openai.NotFoundError, match="'chat'") as chat:
        sdks.chat("gpt-9")
    with pytest.raises(anthropic.NotFoundError, match="'chat'") as messages:
        sdks.messages("gpt-9")
    assert (chat.value.code, chat.value.param) == ("model_not_found", "model")
    assert error_of(messages)["type"] == "not_found_error"
    assert messages.value.request_id == messages.value.response.headers["x-request-id"]
    assert len(sdks.sent) == 2


def test_a_wrong_base_url(shop: Running, shop_keys: dict[str, str]) -> None:
    """The two commonest slips, ``/v1`` missing and ``/v1`` too many, are answered with the right one."""
    key = shop_keys["teller"]
    with (
        openai.OpenAI(base_url=shop.url, api_key=key) as gpt,
        anthropic.Anthropic(base_url=f"{shop.url}/v1", api_key=key) as claude,
    ):
        with pytest.raises(openai.NotFoundError, match=r"OpenAI's SDK takes a base URL that ends in /v1"):
            gpt.chat.completions.create(model="chat", messages=ASKED)
        with pytest.raises(anthropic.NotFoundError, match="Anthropic's SDK takes a base URL without /v1"):
            claude.messages.create(model="chat", max_tokens=9, messages=ASKED)


def test_a_wrong_field(sdks: Sdks) -> None:
    """A wrong type is BadRequestError and names the field."""
    with pytest.raises(openai.BadRequestError) as chat:
        sdks.chat(extra_body={"temperature": "warm"})
    assert chat.value.param == "temperature"
    with pytest.raises(anthropic.BadRequestError) as messages:
        sdks.messages(extra_body={"messages": "hello"})
    assert error_of(messages)["type"] == "invalid_request_error"
    assert len(sdks.sent) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_policys_refusal_is_not_retried(sdks: Sdks, places: Places, *, stream: bool) -> None:
    """403 is PermissionDeniedError in either SDK, asked once, with every failing rule and the way out."""
    with pytest.raises(openai.PermissionDeniedError) as chat:
        sdks.chat("chat-pro", stream=stream)
    with pytest.raises(anthropic.PermissionDeniedError) as messages:
        sdks.messages("chat-pro", stream=stream)
    assert len(sdks.sent) == 2
    for caught in (chat, messages):
        told = error_of(caught)["borderpost"]
        assert told["rules"] == ["CA-1"]
        assert "chat" in told["use_instead"]
        assert told["decision"].startswith("dec_")
        assert told["ask"] == "privacy-office"
        assert caught.value.response.headers["x-should-retry"] == "false"
    assert error_of(messages)["type"] == "permission_error"
    assert places["us"].raw == b""


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_spent_budget_is_not_retried(
    shop: Running, shop_keys: dict[str, str], places: Places, *, stream: bool
) -> None:
    """402 is asked once, says when the budget resets, and nothing is sent."""
    with Sdks(shop, shop_keys["pocket"]) as both:
        with pytest.raises(openai.APIStatusError) as chat:
            both.chat(stream=stream)
        with pytest.raises(anthropic.PaymentRequiredError) as messages:
            both.messages(stream=stream)
        assert len(both.sent) == 2
    assert chat.value.status_code == 402
    assert chat.value.code == "budget_exceeded"
    assert error_of(messages)["type"] == "billing_error"
    for caught in (chat, messages):
        assert int(caught.value.response.headers["retry-after"]) > 0
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert "pocket" in caught.value.message
    assert places["ca"].raw + places["ca_on"].raw == b""


def test_a_rate_limit_of_ours(shop: Running, shop_keys: dict[str, str]) -> None:
    """The second call within a minute is RateLimitError with the seconds to wait."""
    with Sdks(shop, shop_keys["hasty"]) as both:
        both.chat("chat")
        impatient = both.gpt.with_options(max_retries=0)

        def hurry() -> None:
            for _ in range(3):  # a minute may end in between, but not two
                impatient.chat.completions.create(model="chat", messages=ASKED)

        with pytest.raises(openai.RateLimitError) as limited:
            hurry()
    assert limited.value.code == "rate_limited"
    assert 0 < int(limited.value.response.headers["retry-after"]) <= 60


def test_a_vendors_rate_limit_keeps_its_identity(sdks: Sdks, places: Places) -> None:
    """A vendor's 429 is RateLimitError with the vendor's type, code and wait, and no address of it."""
    places["ca"].script(Script(status=429, retry_after=7))
    with pytest.raises(openai.RateLimitError) as chat:
        sdks.gpt.with_options(max_retries=0).chat.completions.create(model="only-ca", messages=ASKED)
    assert (chat.value.type, chat.value.code) == ("requests", "rate_limit_exceeded")
    assert chat.value.response.headers["retry-after"] == "7"
    places["ca_on"].script(Script(status=429, retry_after=3))
    with pytest.raises(anthropic.RateLimitError) as messages:
        sdks.claude.with_options(max_retries=0).messages.create(
            model="only-ca-on", max_tokens=9, messages=ASKED
        )
    assert error_of(messages)["type"] == "rate_limit_error"
    assert messages.value.response.headers["retry-after"] == "3"
    for caught in (chat, messages):
        assert "127.0.0.1" not in caught.value.response.text
        assert "org-hidden" not in str(dict(caught.value.response.headers))


def test_an_sdks_retry_after_a_vendors_rate_limit_succeeds(sdks: Sdks, places: Places) -> None:
    """The SDK waits as told and asks again; the second answer is served."""
    places["ca"].script(Script(status=429, retry_after=1), Script(text="now"))
    assert sdks.chat().choices[0].message.content == "now"
    assert len(sdks.sent) == 2


def test_a_vendors_failures(sdks: Sdks, places: Places) -> None:
    """500 and ``overloaded_error`` arrive as the classes that the vendor's own SDK would raise."""
    gpt, claude = sdks.gpt.with_options(max_retries=0), sdks.claude.with_options(max_retries=0)
    places["ca"].script(Script(status=500))
    with pytest.raises(openai.InternalServerError) as chat:
        gpt.chat.completions.create(model="only-ca", messages=ASKED)
    assert (chat.value.status_code, chat.value.type) == (500, "server_error")
    places["ca_on"].script(Script(status=529), Script(status=529))
    with pytest.raises(anthropic.OverloadedError) as messages:
        claude.messages.create(model="only-ca-on", max_tokens=9, messages=ASKED)
    assert messages.value.status_code == 529
    assert error_of(messages)["type"] == "overloaded_error"


def test_a_vendors_400_keeps_code_and_param(sdks: Sdks, places: Places) -> None:
    """What a vendor says about the request is said to the app, in the surface's shape."""
    places["ca"].script(
        Script(
            status=400,
            error={
                "error": {
                    "message": "maximum context length is 8192 tokens",
                    "type": "invalid_request_error",
                    "param": "messages",
                    "code": "context_length_exceeded",
                }
            },
        )
    )
    with pytest.raises(openai.BadRequestError, match="maximum context length is 8192 tokens") as chat:
        sdks.chat()
    assert (chat.value.code, chat.value.param) == ("context_length_exceeded", "messages")
    places["ca"].script(Script(status=400))
    with pytest.raises(anthropic.BadRequestError) as messages:
        sdks.messages("only-ca")
    assert error_of(messages)["type"] == "invalid_request_error"


@pytest.mark.parametrize("status", [401, 403])
def test_a_vendors_refusal_of_our_key_is_not_the_apps(sdks: Sdks, places: Places, status: int) -> None:
    """The vendor did not accept the gateway's key: no AuthenticationError, 502, and asked once."""
    places["ca"].script(*[Script(status=status)] * 2)
    with pytest.raises(openai.InternalServerError) as chat:
        sdks.chat()
    places["ca_on"].script(*[Script(status=status)] * 2)
    with pytest.raises(anthropic.InternalServerError) as messages:
        sdks.messages()
    for caught in (chat, messages):
        assert caught.value.status_code == 502
        assert "Your key and request are fine" in str(caught.value)
        assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(sdks.sent) == 2


def test_a_failure_in_the_middle_of_a_stream(sdks: Sdks, places: Places) -> None:
    """An error event mid-stream is the SDK's error, after what had been said."""
    places["ca"].script(Script(text="one two three four five six", error_at=4))
    said: list[str] = []

    def listen() -> None:
        for part in sdks.gpt.chat.completions.create(model="only-ca", messages=ASKED, stream=True):
            said.extend(choice.delta.content for choice in part.choices if choice.delta.content)

    with pytest.raises(openai.APIError) as chat:
        listen()
    assert "".join(said) == "one two three "
    assert "server_error" in str(chat.value.body)
    places["ca_on"].script(Script(text="one two three four five six", error_at=6))
    with pytest.raises(anthropic.APIStatusError) as messages:
        sdks.messages(stream=True)
    assert error_of(messages)["type"] == "overloaded_error"


def test_an_idempotency_key_through_the_sdks(sdks: Sdks, places: Places) -> None:
    """The same key and body is answered once by the vendor and replayed; another body is a conflict."""
    name = str(uuid.uuid4())
    headers = {"Idempotency-Key": name}
    first = sdks.chat(extra_headers=headers)
    raw = sdks.gpt.chat.completions.with_raw_response.create(
        model="only-ca", messages=ASKED, stream=False, extra_headers=headers
    )
    assert raw.parse().id == first.id
    assert raw.headers["x-borderpost-replayed"] == "true"
    assert len(places["ca"].seen) == 1
    with pytest.raises(openai.ConflictError) as conflict:
        sdks.chat(extra_headers=headers, temperature=0.5)
    assert conflict.value.code == "idempotency_conflict"
    assert len(sdks.sent) == 3
    for _ in range(2):
        message = sdks.messages(extra_headers={"Idempotency-Key": f"{name}-2"}, stream=True)
        assert message.content[0].text == "You said: hello"
    assert len(places["ca_on"].seen) == 1


def test_a_body_that_is_too_large(sdks: Sdks) -> None:
    """5 MiB of prompt are 413 in either SDK."""
    long: Any = [{"role": "user", "content": "x" * (5 << 20)}]
    with pytest.raises(openai.APIStatusError) as chat:
        sdks.gpt.chat.completions.create(model="chat", messages=long)
    assert chat.value.status_code == 413
    with pytest.raises(anthropic.RequestTooLargeError):
        sdks.claude.messages.create(model="chat", max_tokens=5, messages=long)
    assert len(sdks.sent) == 2
