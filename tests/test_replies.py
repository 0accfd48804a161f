"""What the headers of an answer say, and that a streamed one is closed once whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters.memory_upstream import Scripted
from gateway.api.hot import reply_headers
from gateway.pipeline import ReplyStream
from tests.spine import Spine, completion, snapshot, stream
from tests.test_reserving import DEAR, spine_of, teams


async def test_a_degraded_answer_says_so_in_its_headers(tmp_path: Path) -> None:
    """And an ordinary one has no such header."""
    spine = spine_of(tmp_path / "a", teams=teams([{"cheaper": True}], limit="0.20"), prices=DEAR)
    spine.upstream.script("ca_on", Scripted(reply=completion()))
    call = spine.call()
    headers = dict(reply_headers(await spine.pipeline.handle(call), call))
    assert headers[b"x-borderpost-degraded"] == b"cheaper=chat"
    assert headers[b"x-borderpost-model-asked"] == b"chat"
    plain = Spine(snapshot(tmp_path / "b"))
    plain.upstream.script("ca", Scripted(reply=completion()))
    call = plain.call()
    assert b"x-borderpost-degraded" not in dict(reply_headers(await plain.pipeline.handle(call), call))


@pytest.mark.parametrize("times", [1, 3])
async def test_a_stream_is_settled_and_recorded_once(tmp_path: Path, times: int) -> None:
    """However often it is closed; nothing is shown after that."""
    spine = Spine(snapshot(tmp_path))
    spine.upstream.script("ca", Scripted(events=stream("Hel", "lo")))
    reply = await spine.pipeline.handle(spine.call(stream=True))
    assert isinstance(reply.body, ReplyStream)
    for _ in range(times):
        await reply.body.aclose()
    assert reply.body.settle() == []
    assert not reply.body.ended_well
    assert len(spine.records()) == 1
    assert spine.budgets.held == 0
