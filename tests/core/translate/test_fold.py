"""Error events: every code in each surface's words, a vendor's own sentences left out."""

from __future__ import annotations

import pytest
from anthropic.types import ErrorResponse
from openai.types.shared import ErrorObject

from gateway.core.errors import Code, Refusal
from gateway.core.translate.fold import DONE, error_body, vendor_error
from gateway.core.values import Dialect, Surface


@pytest.mark.parametrize("code", Code)
def test_every_code_has_both_vendors_types(code):
    """The official types accept the object; code, message and extension are in it."""
    refusal = Refusal(code=code, message="why", param="model", extension={"decision": "dec_1"})
    openai = error_body(Surface.CHAT, refusal)["error"]
    ErrorObject.model_validate(openai)
    anthropic = error_body(Surface.MESSAGES, refusal)
    ErrorResponse.model_validate({**anthropic, "request_id": None})
    for error in (openai, anthropic["error"]):
        assert error["code"] == code.value
        assert error["message"] == "why"
        assert error["borderpost"] == {"code": code.value, "decision": "dec_1"}
    assert openai["param"] == "model"


def test_a_vendors_identity_is_kept_in_a_stream():
    """What a vendor calls its error is what the app's SDK goes by, streamed or not; our code beside it."""
    vendor = {"type": "overloaded_error", "code": "overloaded", "param": "model", "message": "not shown"}
    refusal = Refusal(code=Code.UPSTREAM_REJECTED, message="why", vendor=vendor)
    openai = error_body(Surface.CHAT, refusal)["error"]
    assert (openai["type"], openai["code"], openai["param"]) == ("overloaded_error", "overloaded", "model")
    anthropic = error_body(Surface.MESSAGES, refusal)["error"]
    assert anthropic["type"] == "overloaded_error"
    for error in (openai, anthropic):
        assert error["message"] == "why"
        assert error["borderpost"] == {"code": "upstream_rejected"}


@pytest.mark.parametrize(
    ("dialect", "data", "vendor"),
    [
        (Dialect.CHAT, {"error": {"message": "m", "type": "server_error"}}, {"type": "server_error"}),
        (Dialect.CHAT, {"error": {"message": "m", "type": "at http://10.0.0.1", "code": None}}, None),
        (Dialect.CHAT, {"error": "boom"}, None),
        (
            Dialect.MESSAGES,
            {"type": "error", "error": {"type": "overloaded_error"}},
            {"type": "overloaded_error"},
        ),
        (
            Dialect.RESPONSES,
            {"type": "error", "code": "server_error", "message": "m"},
            {"type": "error", "code": "server_error"},
        ),
    ],
)
def test_a_vendors_error_keeps_its_type_only(dialect, data, vendor):
    """Words of a vendor may hold an address; a plain type or code cannot."""
    refusal = vendor_error(dialect, data)
    assert refusal is not None
    assert refusal.vendor == vendor
    assert "10.0.0.1" not in refusal.message


@pytest.mark.parametrize("data", [{}, {"error": None}, {"error": {}}, {"choices": []}])
@pytest.mark.parametrize("dialect", [Dialect.CHAT, Dialect.MESSAGES, Dialect.RESPONSES])
def test_no_error_is_none(dialect, data):
    """An empty or null error field is no error."""
    assert vendor_error(dialect, data) is None


def test_the_sentinel_is_ready_to_send():
    """`[DONE]` carries its own bytes."""
    assert DONE.data is None
    assert DONE.raw == b"data: [DONE]\n\n"
