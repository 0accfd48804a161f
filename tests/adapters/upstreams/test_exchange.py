"""Exchanges over sockets with vendors that fail in every way they can."""

from __future__ import annotations

import pytest

from gateway.adapters.transport import Transport
from gateway.adapters.upstreams import Upstreams
from gateway.adapters.upstreams.secrets import Secrets
from gateway.core.errors import Code, UpstreamFailed
from gateway.core.values import Dialect, Event, Surface
from tests.fakes.attempts import attempt, connection
from tests.fakes.plugin import Vendors, vendors  # noqa: F401 (a fixture)
from tests.fakes.vendor import FakeVendor, Script

KEY = "not-" + "a-real-key"
TURNS = [{"role": "user", "content": "one two three four"}]
BODIES: dict[Surface, dict[str, object]] = {
    Surface.CHAT: {"model": "chat", "messages": TURNS},
    Surface.MESSAGES: {"model": "chat", "max_tokens": 50, "messages": TURNS},
    Surface.RESPONSES: {"model": "chat", "input": "one two three four"},
    Surface.EMBEDDINGS: {"model": "chat", "input": ["one", "two"]},
    Surface.COUNT_TOKENS: {"model": "chat", "messages": TURNS},
}
STREAMED = [Surface.CHAT, Surface.MESSAGES, Surface.RESPONSES]


class Line:
    """A way to one vendor, by surface."""

    def __init__(self, started: Vendors, transport: Transport) -> None:
        self.vendor: FakeVendor = started.start("any")
        self.upstream = Upstreams(transport, Secrets({"KEY": KEY}))

    def open(self, surface: Surface, *, stream: bool = False, **changes):
        claude = surface in {Surface.MESSAGES, Surface.COUNT_TOKENS}
        to = connection(
            self.vendor.origin + ("" if claude else "/v1"),
            api="anthropic" if claude else "openai",
            secret="env:KEY",
            **changes,
        )
        body = {**BODIES[surface], "stream": True} if stream else BODIES[surface]
        return self.upstream.open(attempt(to, body, surface=surface))

    async def events(self, surface: Surface, **changes) -> list[Event]:
        async with self.open(surface, stream=True, **changes) as exchange:
            return [event async for event in exchange.events()]

    async def body(self, surface: Surface, **changes) -> dict[str, object]:
        async with self.open(surface, **changes) as exchange:
            return await exchange.body()

    async def failure(self, surface: Surface, script: Script, *, stream: bool, **changes) -> UpstreamFailed:
        self.vendor.default = script
        with pytest.raises(UpstreamFailed) as failed:
            await (self.events(surface, **changes) if stream else self.body(surface, **changes))
        assert f"127.0.0.1:{self.vendor.port}" not in str(failed.value.refusal)
        return failed.value


@pytest.fixture
async def line(vendors):  # noqa: F811
    transport = Transport()
    yield Line(vendors, transport)
    await transport.close()


@pytest.mark.parametrize("surface", list(Surface))
async def test_every_surface_in_its_own_dialect(line, surface):
    """The plain reply as the vendor said it, its id beside it, our key in its header."""
    async with line.open(surface) as exchange:
        assert exchange.dialect == Dialect(surface.value)
        assert exchange.vendor_request_id == f"vendor-{line.vendor.port}-1"
        assert await exchange.body()
    assert KEY in str(line.vendor.seen[0].headers)


@pytest.mark.parametrize("surface", STREAMED)
@pytest.mark.parametrize(
    "script",
    [Script(), Script(split=1), Script(crlf=True), Script(chunked=False), Script(split=7, crlf=True)],
)
async def test_streams_however_they_are_cut(line, surface, script):
    """The same events, whatever the packets."""
    line.vendor.default = Script()
    plain = await line.events(surface)
    line.vendor.default = script
    cut = await line.events(surface)
    shown = [[(e.name, _without_ids(e.data)) for e in events] for events in (plain, cut)]
    assert shown[0] == shown[1]


def _without_ids(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_ids(v) for k, v in value.items() if k not in {"id", "item_id"}}
    if isinstance(value, list):
        return [_without_ids(v) for v in value]
    return value


@pytest.mark.parametrize("surface", STREAMED)
async def test_connections_are_reused_after_streams(line, surface):
    """A stream read to its end costs no new handshake."""
    for _ in range(3):
        await line.events(surface)
    assert line.vendor.connections == 1


@pytest.mark.parametrize("surface", [Surface.CHAT, Surface.MESSAGES, Surface.RESPONSES, Surface.EMBEDDINGS])
@pytest.mark.parametrize(
    "script",
    [
        Script(body=b"<html>oops</html>", content_type="text/html"),
        Script(body=b"{not json"),
        Script(body=b"[]"),
        Script(body=b"{}"),
        Script(body=b""),
        Script(body=b'{"choices":"x","content":3,"output":null,"data":{}}'),
        Script(body=b'{"choices":[], "x":"\xff\xfe"}'),
        Script(body=b'{"choices":[],"content":[],"output":[],"data":[]}', content_type="text/event-stream"),
        Script(body=b"x", headers=(("content-encoding", "gzip"),)),
        Script(redirect="http://127.0.0.1:9/elsewhere"),
        Script(length_off_by=-9),
    ],
)
async def test_plain_garbage(line, surface, script):
    """A 200 that is no answer is garbled, and another deployment may try."""
    failed = await line.failure(surface, script, stream=False)
    assert failed.refusal.code is Code.UPSTREAM_GARBLED
    assert (failed.retryable, failed.sent) == (True, True)


@pytest.mark.parametrize("surface", STREAMED)
@pytest.mark.parametrize(
    "script",
    [
        Script(body=b"<html>oops</html>", content_type="text/html"),
        Script(body=b"{}", content_type="application/json"),
        Script(body=b"", content_type="text/event-stream"),
        Script(body=b": only a comment\n\n", content_type="text/event-stream"),
        Script(body=b"data: <html>\n\n", content_type="text/event-stream"),
        Script(body=b'data: {"surprise":1}\n\n', content_type="text/event-stream"),
        Script(body=b"data: [1]\n\n", content_type="text/event-stream"),
        Script(body=b"data: \xff\n\n", content_type="text/event-stream"),
        Script(close_at=0),
    ],
)
async def test_streamed_garbage(line, surface, script):
    """Before the first event another deployment may still try."""
    failed = await line.failure(surface, script, stream=True)
    assert failed.refusal.code is Code.UPSTREAM_GARBLED
    assert (failed.retryable, failed.sent) == (True, True)


@pytest.mark.parametrize("surface", STREAMED)
@pytest.mark.parametrize(
    ("script", "code"),
    [
        (Script(close_at=3), Code.UPSTREAM_GARBLED),
        (Script(die_at=3), Code.UPSTREAM_UNAVAILABLE),
        (Script(stall_at=3), Code.UPSTREAM_TIMEOUT),
        (Script(error_at=3), Code.UPSTREAM_REJECTED),
    ],
)
async def test_death_in_the_middle(line, surface, script, code):
    """Once begun, nothing is tried elsewhere, and a truncation is not an end."""
    failed = await line.failure(surface, script, stream=True, idle_timeout_ms=200)
    assert failed.refusal.code is code
    assert (failed.retryable, failed.sent) == (False, True)


async def test_an_error_event_keeps_its_identity(line):
    """Anthropic's overloaded_error inside a 200 is still that."""
    failed = await line.failure(Surface.MESSAGES, Script(error_at=0), stream=True)
    assert failed.refusal.vendor == {"type": "overloaded_error", "message": "overloaded"}
    assert failed.refusal.status == 529
    assert failed.retryable, "no event was passed on yet"


async def test_nothing_after_the_end_is_part_of_the_answer(line):
    """Bytes behind ``[DONE]`` are not passed on."""
    body = b'data: {"choices":[]}\n\ndata: [DONE]\n\ndata: {"choices":[],"late":1}\n\n'
    line.vendor.default = Script(body=body, content_type="text/event-stream")
    events = await line.events(Surface.CHAT)
    assert [event.data for event in events] == [{"choices": []}, None]


async def test_a_finished_answer_survives_a_bad_goodbye(line):
    """A vendor that dies after its finish reason has said all: no error, usage aside."""
    line.vendor.default = Script(text="hi", die_at=3)
    events = await line.events(Surface.CHAT)
    assert events[-1].data["choices"][0]["finish_reason"] == "stop"


async def test_a_failed_response_tells_no_address(line):
    """``response.failed`` is passed on as the end that it is, scrubbed."""
    error = b'{"code":"server_error","message":"at https://internal.example.com/x"}'
    body = b'data: {"type":"response.failed","response":{"output":[],"error":' + error + b"}}\n\n"
    line.vendor.default = Script(body=body, content_type="text/event-stream")
    (event,) = await line.events(Surface.RESPONSES)
    assert event.raw is None
    assert event.data["response"]["error"] == {"code": "server_error", "message": "at [address]"}


async def test_no_secret_no_call(line):
    """A secret that cannot be read fails the try before a byte leaves."""
    with pytest.raises(UpstreamFailed) as failed:
        line.upstream.open(attempt(connection(line.vendor.url, secret="file:/no/such"), BODIES[Surface.CHAT]))
    assert (failed.value.retryable, failed.value.sent) == (True, False)
    assert line.vendor.connections == 0


async def test_never_ending_answers_do_not_fill_the_memory(line):
    """One event without end is refused."""
    line.vendor.default = Script(body=b"data: " + b"x" * 3_000_000, content_type="text/event-stream")
    failed = await line.failure(Surface.CHAT, line.vendor.default, stream=True)
    assert failed.refusal.code is Code.UPSTREAM_GARBLED
