"""Usage is asked of every vendor that has to be asked, and shown to an app only if it asked itself."""

from __future__ import annotations

import pytest

from gateway.core import translate
from gateway.core.meter import Meter
from gateway.core.values import Dialect, Event, Surface, Usage

BODIES = {
    Surface.CHAT: {"model": "a", "messages": [{"role": "user", "content": "hi"}], "stream": True},
    Surface.MESSAGES: {
        "model": "a", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": True,
    },
    Surface.RESPONSES: {"model": "a", "input": "hi", "stream": True},
}  # fmt: skip
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
BASE = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
STREAM = [
    {
        **BASE,
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}],
    },
    {**BASE, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {**BASE, "choices": [], "usage": USAGE},
    None,
]


@pytest.mark.parametrize("surface", BODIES)
@pytest.mark.parametrize("asked", [None, {"include_usage": False}, {"include_usage": True}])
def test_a_chat_stream_is_always_asked_for_its_usage(surface, asked):
    """Whatever the surface, and also where the app said that it wants none."""
    body = BODIES[surface] if surface is not Surface.CHAT else {**BODIES[surface], "stream_options": asked}
    sent = translate.request(body, surface, Dialect.CHAT, model="m", output_cap=9, stream=True)
    assert sent["stream_options"]["include_usage"] is True
    plain = translate.request(body, surface, Dialect.CHAT, model="m", output_cap=9, stream=False)
    assert not (plain.get("stream_options") or {}).get("include_usage") or plain["stream"] is False


@pytest.mark.parametrize("wants", [True, False])
def test_the_usage_chunk_reaches_the_meter_always_and_the_app_only_if_it_asked(wants):
    """No chunk without choices, no usage in any other one, for an app that asked for none."""
    meter = Meter(Dialect.CHAT)
    fold = translate.stream_fold(
        Dialect.CHAT, Surface.CHAT, asked_model="chat", app_wants_usage=wants, created=1
    )
    shown = []
    for data in STREAM:
        event = Event(name=None, data=data)
        meter.see(event)
        shown += fold.step(event)
    shown += fold.end()
    assert meter.usage == Usage(input=7, output=3)
    usages = [event.data["usage"] for event in shown if event.data and event.data.get("usage")]
    assert usages == ([USAGE] if wants else [])
    assert wants or all(event.data["choices"] for event in shown if event.data)
