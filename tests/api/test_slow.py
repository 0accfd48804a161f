"""The slow surfaces: errors of FastAPI in the gateway's shape."""

from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from gateway.api import openai_chat
from gateway.api.slow import answer, as_refusal, described, misdirected
from gateway.core.errors import Code


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (HTTPException(404), Code.ROUTE_NOT_FOUND),
        (HTTPException(405), Code.METHOD_NOT_ALLOWED),
        (HTTPException(413), Code.INVALID_REQUEST),
        (ZeroDivisionError("secret detail"), Code.INTERNAL),
    ],
)
def test_failures_become_codes(failure: Exception, code: Code) -> None:
    """Whatever FastAPI raises has a code of ours, and no detail of the implementation."""
    refusal = as_refusal(failure)
    assert refusal.code is code
    assert "secret detail" not in refusal.message


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/chat/completions", "/v1/chat/completions? OpenAI's SDK takes a base URL that ends in /v1"),
        ("/v1/v1/messages", "/v1/messages? Anthropic's SDK takes a base URL without /v1"),
        ("/v1/messages/", "Did you mean /v1/messages?"),
        ("//v1/messages", "Did you mean /v1/messages?"),
        ("/openai/deployments/chat/chat/completions", "plain OpenAI client"),
        ("/v1/files", ""),
        ("/v1/v1/files", ""),
        ("/", ""),
    ],
)
def test_a_wrong_base_url_is_told_apart_from_a_path_that_nobody_serves(path: str, said: str) -> None:
    """The commonest mistakes with a base URL are named; any other path gets no guess."""
    hint = misdirected(path, {"/v1/chat/completions", "/v1/messages"})
    assert said in hint
    assert bool(hint) == bool(said)
    assert as_refusal(HTTPException(404), hint).message.endswith(hint)


def test_the_shape_follows_the_path() -> None:
    """Anthropic's shape below its path, OpenAI's elsewhere; the request id in the headers."""

    def request(path: str) -> Request:
        return Request({"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""})

    anthropic = answer(request("/v1/messages/batches"), as_refusal(HTTPException(404)), "req_1")
    openai = answer(request("/v1/files"), as_refusal(HTTPException(404)), "req_1")
    assert b'"type":"error"' in bytes(anthropic.body)
    assert b'"type":"error"' not in bytes(openai.body)
    assert openai.headers["x-request-id"] == "req_1"


def test_a_hot_surface_is_described() -> None:
    """Its operation has a summary, a body and the answers."""
    operation = described(openai_chat.ENDPOINT)
    assert operation["operationId"] == "chat"
    assert set(operation) >= {"summary", "requestBody", "responses"}
