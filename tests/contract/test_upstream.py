"""The contract of the ``Upstream`` port, on the real adapter over sockets and on its twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from gateway.adapters.guard import EgressRefused
from gateway.adapters.memory_upstream import MemoryUpstream, Scripted
from gateway.adapters.transport import Transport
from gateway.adapters.upstreams import Upstreams
from gateway.adapters.upstreams.secrets import Secrets
from gateway.core.errors import Code, Refusal, UpstreamFailed
from gateway.core.values import Attempt, Dialect, Event, Surface
from gateway.demo import shapes
from gateway.ports import Upstream
from tests.fakes.attempts import attempt, connection
from tests.fakes.plugin import vendors  # noqa: F401 (a fixture)
from tests.fakes.vendor import FakeVendor, Script

CHAT: dict[str, object] = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}
STREAM: dict[str, object] = {**CHAT, "stream": True}
ANSWER = shapes.Answer(
    id="x1",
    model="vendor-model-7",
    created=1,
    pieces=("one ", "two"),
    tokens=shapes.Tokens(input=3, output=2),
)


@dataclass
class Stage:
    """One implementation, made to answer in a way that both understand."""

    upstream: Upstream
    url: str
    vendor: FakeVendor | None = None
    twin: MemoryUpstream | None = None

    def answers(self) -> None:
        if self.vendor:
            self.vendor.default = Script(text="one two")
        if self.twin:
            self.twin.script("here", Scripted(reply=shapes.chat_body(ANSWER), events=_events()))

    def fails(self, status: int) -> None:
        if self.vendor:
            self.vendor.default = Script(status=status, retry_after=3)
        if self.twin:
            refusal = Refusal(code=Code.UPSTREAM_REJECTED, message="no", status=status, retry_after=3)
            self.twin.script("here", Scripted(failure=UpstreamFailed(refusal, retryable=True, sent=False)))

    def stops_in_the_middle(self) -> None:
        if self.vendor:
            self.vendor.default = Script(text="one two", close_at=2)
        if self.twin:
            refusal = Refusal(code=Code.UPSTREAM_GARBLED, message="no end")
            torn = UpstreamFailed(refusal, retryable=False, sent=True)
            self.twin.script("here", Scripted(events=_events()[:2], breaks=torn))

    def never_ends(self) -> None:
        if self.vendor:
            self.vendor.default = Script(endless=True)
        if self.twin:
            self.twin.script("here", Scripted(events=_events()))

    async def running(self) -> int:
        if self.twin:
            return self.twin.open_now
        assert self.vendor is not None
        for seen in self.vendor.seen:
            await asyncio.to_thread(seen.gone.wait, 5)
        return sum(not seen.gone.is_set() for seen in self.vendor.seen)

    def attempt(self, body: dict[str, object], **how) -> Attempt:
        return attempt(connection(self.url), body, **how)


def _events() -> list[Event]:
    return [
        Event(name=name, data=None if data is None else dict(data), raw=shapes.encode((name, data)))
        for name, data in shapes.chat_events(ANSWER, include_usage=True)
    ]


@pytest.fixture(params=["sockets", "memory"])
async def stage(request) -> AsyncIterator[Stage]:
    if request.param == "memory":
        twin = MemoryUpstream()
        yield Stage(upstream=twin, url="http://127.0.0.1:1/v1", twin=twin)
        return
    transport = Transport()
    with FakeVendor("openai") as vendor:
        vendor.default = Script(text="one two")
        upstream = Upstreams(transport, Secrets({}))
        yield Stage(upstream=upstream, url=vendor.url, vendor=vendor)
        await upstream.close()
    await transport.close()


async def test_a_plain_reply(stage):
    """The body of the reply in the exchange's dialect, whole."""
    stage.answers()
    async with stage.upstream.open(stage.attempt(CHAT)) as exchange:
        assert exchange.dialect is Dialect.CHAT
        body = await exchange.body()
    assert body["choices"][0]["message"]["content"] == "one two"
    assert body["usage"]["completion_tokens"] == 2


async def test_a_streamed_reply(stage):
    """Every event whole, with the bytes it came in, up to the terminal one."""
    stage.answers()
    async with stage.upstream.open(stage.attempt(STREAM)) as exchange:
        events = [event async for event in exchange.events()]
    assert events[-1].data is None
    text = "".join(
        choice["delta"].get("content") or ""
        for event in events
        if event.data
        for choice in event.data["choices"]
    )
    assert text == "one two"
    assert all(event.raw and event.raw.endswith(b"\n\n") for event in events)


async def test_a_vendors_error_status(stage):
    """Raised on entering, with the vendor's identity."""
    stage.fails(429)
    with pytest.raises(UpstreamFailed) as failed:
        async with stage.upstream.open(stage.attempt(CHAT)):
            pass
    assert (failed.value.retryable, failed.value.sent) == (True, False)
    assert failed.value.refusal.status == 429
    assert failed.value.refusal.retry_after == 3


async def test_a_truncation_is_never_a_stop(stage):
    """A stream without its end fails, and no other deployment may be tried then."""
    stage.stops_in_the_middle()
    seen = []

    async def read() -> None:
        async with stage.upstream.open(stage.attempt(STREAM)) as exchange:
            async for event in exchange.events():
                seen.append(event)  # noqa: PERF401 (what came before the failure counts)

    with pytest.raises(UpstreamFailed) as failed:
        await read()
    assert len(seen) == 2
    assert failed.value.refusal.code is Code.UPSTREAM_GARBLED
    assert (failed.value.retryable, failed.value.sent) == (False, True)


async def test_leaving_ends_the_work(stage):
    """Whoever stops reading leaves no exchange behind."""
    stage.never_ends()
    async with stage.upstream.open(stage.attempt(STREAM)) as exchange:
        async for _ in exchange.events():
            break
    assert await stage.running() == 0


# What only sockets can show: the guard, and the bytes that leave.


@pytest.fixture
async def line(vendors):  # noqa: F811
    transport = Transport()
    vendor = vendors.start("openai")
    yield Upstreams(transport, Secrets({})), vendor
    await transport.close()


async def test_what_leaves_is_the_cleared_body(line):
    """The connection's model and the cleared limit, not the app's alias."""
    upstream, vendor = line
    async with upstream.open(attempt(connection(vendor.url), CHAT, output_cap=55)):
        pass
    (seen,) = vendor.seen
    assert seen.json["model"] == "vendor-model-7"
    assert seen.json["max_tokens"] == 55
    assert seen.json["messages"] == CHAT["messages"]


async def test_no_clearance_no_egress(line):
    """A deployment that the decision does not permit, or a connection that is not its own."""
    upstream, vendor = line
    cleared = attempt(connection(vendor.url), CHAT)
    for foreign in (
        attempt(connection(vendor.url), CHAT, permitted=("elsewhere",)),
        replace(cleared, connection=connection(vendor.url)),
    ):
        with pytest.raises(EgressRefused):
            upstream.open(foreign)
    assert vendor.connections == 0


async def test_a_surface_that_the_connection_does_not_serve(line):
    """Refused before a byte leaves, so that another deployment may serve it."""
    upstream, vendor = line
    with pytest.raises(UpstreamFailed) as failed:
        upstream.open(attempt(connection(vendor.url), CHAT, surface=Surface.COUNT_TOKENS))
    assert failed.value.refusal.code is Code.UNSUPPORTED_FEATURE
    assert (failed.value.retryable, failed.value.sent) == (True, False)
    assert vendor.connections == 0


async def test_prepare_starts_no_translator_that_nobody_needs(line):
    """A gateway without Bedrock and Gemini pays nothing for them."""
    upstream, vendor = line
    cleared = attempt(connection(vendor.url), CHAT)
    await upstream.prepare(cleared.snapshot)
    assert upstream._litellm is None
