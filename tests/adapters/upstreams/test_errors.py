"""Vendors' errors: identity kept, secrets and addresses dropped, billing told apart."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.adapters.transport import Failure, TransportFailed
from gateway.adapters.upstreams import errors
from gateway.core.errors import Code

KEY = "sk-" + "proj-" + "a1B2" * 8
MODEL = "vendor-model-7"


def rejected(status: int, body: object = None, **headers: str):
    sent = body if isinstance(body, bytes) else orjson.dumps(body)
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return errors.rejected(status, named, sent, secret_words=(KEY, MODEL))


def openai(**error: object) -> dict[str, object]:
    return {
        "error": {"message": "bad", "type": "invalid_request_error", "param": None, "code": None, **error}
    }


def test_context_length_keeps_its_identity():
    """An SDK's own handling of a known code goes on working."""
    failed = rejected(400, openai(code="context_length_exceeded", param="messages", message="too long"))
    refusal = failed.refusal
    assert (refusal.code, refusal.status) == (Code.UPSTREAM_REJECTED, 400)
    assert refusal.vendor == {
        "type": "invalid_request_error",
        "code": "context_length_exceeded",
        "param": "messages",
        "message": "too long",
    }
    assert (refusal.message, refusal.param) == ("too long", "messages")
    assert (failed.retryable, failed.sent) == (False, False)


@pytest.mark.parametrize(
    ("status", "retryable", "sent"),
    [
        (400, False, False),
        (408, True, False),
        (413, False, False),
        (422, False, False),
        (429, True, False),
        (500, True, True),
        (502, True, True),
        (503, True, False),
        (504, True, True),
        (529, True, False),
    ],
)
def test_who_may_try_again_and_what_may_be_billed(status, retryable, sent):
    """The retry policy and the ledger read these two, status by status."""
    failed = rejected(status, openai())
    assert (failed.retryable, failed.sent) == (retryable, sent)
    assert failed.refusal.status == status


@pytest.mark.parametrize("status", [401, 402, 403, 404, 407])
def test_our_own_trouble_does_not_look_like_the_apps(status):
    """A vendor that refuses our key, bill or model id says nothing about the caller's."""
    failed = rejected(status, openai(message=f"Incorrect API key provided: {KEY}", code="invalid_api_key"))
    refusal = failed.refusal
    assert refusal.status == 502
    assert "invalid_api_key" not in str(refusal)
    assert KEY[:12] not in str(refusal)
    assert (failed.retryable, failed.sent) == (True, False)


@pytest.mark.parametrize(
    "body",
    [
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        [{"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}}],
        {"message": "Overloaded"},
        {"detail": "Overloaded"},
        {"error": "Overloaded"},
        {"object": "error", "message": "Overloaded", "type": "x", "code": 3},
    ],
)
def test_every_vendors_shape(body):
    """Anthropic, Gemini, AWS, FastAPI servers, Ollama, Mistral."""
    assert rejected(503, body).refusal.message == "Overloaded"


@pytest.mark.parametrize("body", [b"", b"<html>at 10.1.2.3</html>", b"\xff\xfe", b"[]", b"null", b'"x"'])
def test_bodies_without_an_error_object(body):
    """The status alone is told, and nothing of the body."""
    refusal = rejected(500, body).refusal
    assert refusal.message == "The model's vendor answered 500."
    assert refusal.vendor == {}


def test_aws_names_its_error_in_a_header():
    """Bedrock's type is kept, its namespace is not."""
    failed = rejected(
        400, {"message": "no"}, x_amzn_errortype="ValidationException:http://internal.amazon.com/x"
    )
    assert failed.refusal.vendor == {"type": "ValidationException", "message": "no"}


@pytest.mark.parametrize(
    "leak",
    [
        KEY,
        MODEL,
        "https://maple-cae.openai.azure.com/openai/v1/chat?x=1",
        "maple-cae.openai.azure.com",
        "vllm.prod.svc.cluster.local:8000",
        "10.20.30.40:8080",
        "[2001:db8:0:1:1:1:1:1]:443",
        "localhost:9000",
        "org-" + "AbCdEf123456",
        "proj_" + "AbCdEf123456",
        "Bearer " + "abcdefgh12345678",
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
        "arn:aws:bedrock:ca-central-1:123456789012:inference-profile/x",
        "ops@maple.example.com",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "sk-1***************wxyz",
    ],
)
def test_nothing_of_ours_is_told(leak):
    """Keys, hosts, urls, deployments, organisations and ids are scrubbed from any field."""
    body = openai(message=f"failed at {leak}, sorry", code=leak, param=leak, type=leak)
    shown = str(rejected(400, body).refusal)
    assert leak not in shown
    assert "sorry" in shown


@given(st.text(max_size=2_000))
def test_scrub_is_bounded_and_calm(text):
    """Any text gives a short line; scrubbing it again changes nothing that matters."""
    once = errors.scrub(text, (KEY,))
    assert len(once) <= errors.MESSAGE_LIMIT
    assert "\n" not in once


def test_what_patterns_know_is_masked_in_a_vendors_words():
    """A vendor that repeats a prompt, or makes a number up, shows no SIN and no card in its error."""
    sin, card = "046 " + "454 " + "286", "4111" + "1111" * 3
    said = errors.scrub(f"bad prompt: SIN {sin}, card {card}")
    assert said == "bad prompt: SIN [SIN], card [CARD]"


def test_a_short_name_is_dropped_as_a_word_only():
    """A deployment called `ca` does not stand in every card; a key is dropped wherever it stands."""
    said = errors.scrub(f"deployment ca cannot scale: x{KEY}x", ("ca", KEY))
    assert said.startswith("deployment [upstream] cannot scale: ")
    assert KEY not in said


def test_ordinary_words_stay():
    """Scrubbing does not eat the message itself."""
    said = "Invalid value for 'temperature': expected at most 2.0, e.g. use 1.5 (see messages[0].content)."
    assert errors.scrub(said) == said


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.2"}, 2),
        ({"retry-after-ms": "1500"}, 2),
        ({"retry-after": "999999"}, 3600),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "٧"}, None),
        ({}, None),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:30 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 30),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:30 GMT"}, None),
    ],
)
def test_retry_after(headers, seconds):
    """Seconds, parts of seconds, milliseconds, and a date by the vendor's own clock."""
    assert errors.retry_after(CIMultiDict(headers)) == seconds


@pytest.mark.parametrize(
    ("failure", "sent", "code"),
    [
        (Failure.CONNECT, False, Code.UPSTREAM_UNAVAILABLE),
        (Failure.TIMEOUT, True, Code.UPSTREAM_TIMEOUT),
        (Failure.BROKEN, True, Code.UPSTREAM_UNAVAILABLE),
        (Failure.TOO_LARGE, True, Code.UPSTREAM_GARBLED),
        (Failure.PROTOCOL, True, Code.UPSTREAM_GARBLED),
    ],
)
def test_transport_failures(failure, sent, code):
    """What was sent is what the transport says; nothing is tried again once begun."""
    failed = errors.failed(TransportFailed(failure, sent=sent))
    assert (failed.refusal.code, failed.sent, failed.retryable) == (code, sent, True)
    assert not errors.failed(TransportFailed(failure, sent=sent), begun=True).retryable


def test_a_redirect_is_no_answer():
    """It is not followed, and its target is not told."""
    failed = errors.rejected(307, CIMultiDict({"location": "https://evil.example/"}), b"")
    assert failed.refusal.code is Code.UPSTREAM_GARBLED
    assert "evil" not in failed.refusal.message
