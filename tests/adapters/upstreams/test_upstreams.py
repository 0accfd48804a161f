"""The choice between vendors, and what of an attempt is said to them."""

from __future__ import annotations

import pytest

from gateway.adapters.transport import Transport
from gateway.adapters.upstreams import Upstreams, request_body, secret_words
from gateway.adapters.upstreams.secrets import Secrets
from gateway.core.errors import Code, UpstreamFailed
from gateway.core.values import Dialect, Surface
from tests.fakes.attempts import attempt, connection
from tests.fakes.plugin import vendors  # noqa: F401 (a fixture)

KEY = "not-" + "a-real-key"
CHAT: dict[str, object] = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}
MESSAGES: dict[str, object] = {**CHAT, "max_tokens": 40}
URL = "http://127.0.0.1:1"


@pytest.fixture
async def upstreams():
    transport = Transport()
    made = Upstreams(transport, Secrets({"KEY": KEY}))
    yield made
    await made.close()
    await transport.close()


@pytest.mark.parametrize(
    ("api", "surface", "path", "header"),
    [
        ("openai", Surface.CHAT, "/v1/chat/completions", "authorization"),
        ("azure_openai", Surface.CHAT, "/v1/chat/completions", "api-key"),
        ("anthropic", Surface.MESSAGES, "/v1/messages", "x-api-key"),
        ("anthropic", Surface.CHAT, "/v1/messages", "x-api-key"),
        ("openai", Surface.MESSAGES, "/v1/chat/completions", "authorization"),
    ],
)
async def test_each_api_has_its_address_and_its_key(vendors, upstreams, api, surface, path, header):  # noqa: F811
    """The key stands in the one header of its vendor, and nowhere else."""
    vendor = vendors.start("any")
    base = vendor.origin if api == "anthropic" else vendor.origin + "/v1"
    to = connection(base, api=api, secret="env:KEY")
    async with upstreams.open(attempt(to, MESSAGES, surface=surface)) as exchange:
        assert await exchange.body()
    (seen,) = vendor.seen
    assert seen.path == path
    assert [name for name, value in seen.header_list if KEY in value] == [header]
    assert KEY.encode() not in seen.body


async def test_beta_flags_go_to_anthropic_by_allow_list(vendors, upstreams):  # noqa: F811
    """From the caller's own headers, through the call."""
    vendor = vendors.start("messages")
    asked = {"anthropic-beta": "interleaved-thinking-2025-05-14,files-api-2025-04-14"}
    to = connection(vendor.url, api="anthropic")
    async with upstreams.open(attempt(to, MESSAGES, surface=Surface.MESSAGES, forward_headers=asked)):
        pass
    assert vendor.seen[0].headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"


def test_a_connection_may_name_the_field_of_its_limit():
    """Some models take ``max_completion_tokens`` only."""
    to = connection(URL, options={"max_tokens_field": "max_completion_tokens"})
    dialect, body = request_body(attempt(to, {**CHAT, "max_tokens": 900}, output_cap=50))
    assert dialect is Dialect.CHAT
    assert body["max_completion_tokens"] == 50
    assert "max_tokens" not in body


def test_what_the_dialect_cannot_say_is_refused_before_sending():
    """Another deployment may be able to."""
    to = connection(URL, api="anthropic")
    with pytest.raises(UpstreamFailed) as failed:
        request_body(attempt(to, {**CHAT, "n": 3}))
    assert failed.value.refusal.code is Code.UNSUPPORTED_FEATURE
    assert (failed.value.retryable, failed.value.sent) == (True, False)


def test_secret_words():
    """Our key, the deployment and its model id; a model that the app itself named is no secret."""
    to = connection(URL, options={"organization": "org-made-up", "aws_region": "ca"})
    words = secret_words(attempt(to, CHAT), KEY)
    assert {KEY, "vendor-model-7", "here", "org-made-up"} <= set(words)
    named = connection(URL, model="chat")
    assert "chat" not in secret_words(attempt(named, CHAT), None)
