"""Anthropic's connections: addresses, authentication, beta flags."""

from __future__ import annotations

import pytest

from gateway.adapters.upstreams import anthropic
from gateway.core.values import Dialect
from tests.fakes.attempts import connection

URL = "https://api.anthropic.com"


@pytest.mark.parametrize("url", [URL, URL + "/", URL + "/v1", URL + "/v1/"])
def test_addresses(url):
    """With or without ``/v1``, as people write it."""
    assert anthropic.address(connection(url), Dialect.MESSAGES) == URL + "/v1/messages"
    assert anthropic.address(connection(url), Dialect.COUNT_TOKENS) == URL + "/v1/messages/count_tokens"


def test_authentication_and_version():
    """The key goes in its own header; the version can be pinned."""
    assert anthropic.headers(connection(URL), "k", {}) == {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "k",
    }
    pinned = connection(URL, options={"anthropic_version": "2027-01-01"})
    assert anthropic.headers(pinned, None, {})["anthropic-version"] == "2027-01-01"


def test_betas_go_on_by_allow_list():
    """What may fetch, store or run something is dropped; so is any other header."""
    asked = {"anthropic-beta": "interleaved-thinking-2025-05-14, files-api-2025-04-14,x", "x-evil": "1"}
    said = anthropic.headers(connection(URL), None, asked)
    assert said["anthropic-beta"] == "interleaved-thinking-2025-05-14"
    assert "x-evil" not in said
    only_bad = anthropic.headers(connection(URL), None, {"anthropic-beta": "mcp-client-2025-04-04"})
    assert "anthropic-beta" not in only_bad


def test_the_declared_geography_is_sent():
    """It overrides the app's, and only messages know it."""
    body: dict[str, object] = {"model": "m", "inference_geo": "global"}
    to = connection(URL, options={"inference_geo": "us"})
    assert anthropic.with_geography(to, Dialect.MESSAGES, body) == {"model": "m", "inference_geo": "us"}
    assert anthropic.with_geography(to, Dialect.COUNT_TOKENS, body) is body
    assert anthropic.with_geography(connection(URL), Dialect.MESSAGES, body) is body
