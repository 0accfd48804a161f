"""The one table from code to status, and the two shapes of an error."""

from __future__ import annotations

import orjson
import pytest

from gateway.api.errors import TABLE, render, status_of
from gateway.core.errors import Code, Refusal
from gateway.core.values import Surface


def test_every_code_has_a_row() -> None:
    """No code can be raised that nobody can answer."""
    assert set(TABLE) == set(Code)


@pytest.mark.parametrize("surface", [*Surface, None])
def test_every_surface_gets_its_shape(surface: Surface | None) -> None:
    """OpenAI's shape, or Anthropic's on its own surfaces; code, message and request id in both."""
    refusal = Refusal(code=Code.POLICY_REFUSED, message="no", extension={"rules": ["CA-1"]}, retry=False)
    status, headers, body = render(refusal, surface, "req_1")
    parsed = orjson.loads(body)
    assert status == 403
    assert dict(headers)[b"x-request-id"] == b"req_1"
    assert dict(headers)[b"x-should-retry"] == b"false"
    assert parsed["error"]["message"] == "no"
    assert parsed["error"]["borderpost"]["rules"] == ["CA-1"]
    if surface in (Surface.MESSAGES, Surface.COUNT_TOKENS):
        assert parsed["type"] == "error"
        assert parsed["request_id"] == "req_1"
        assert parsed["error"]["type"] == "permission_error"
    else:
        assert parsed["error"]["code"] == "policy_refused"


def test_a_vendors_error_keeps_status_and_fields() -> None:
    """The vendor's own status, type, code and param are shown; ours is beside them."""
    refusal = Refusal(
        code=Code.UPSTREAM_REJECTED,
        message="too long",
        status=400,
        retry_after=3,
        vendor={"type": "invalid_request_error", "code": "context_length_exceeded", "param": "messages"},
    )
    status, headers, body = render(refusal, Surface.CHAT, "req_1")
    error = orjson.loads(body)["error"]
    assert status == status_of(refusal) == 400
    assert dict(headers)[b"retry-after"] == b"3"
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
    assert error["borderpost"]["code"] == "upstream_rejected"


def test_retry_headers_only_where_they_were_decided() -> None:
    """Without a decision on retries neither header is sent."""
    _, headers, _ = render(Refusal(code=Code.INTERNAL, message="x"), None, "req_1")
    assert {name for name, _ in headers} == {b"content-type", b"x-request-id", b"request-id"}
