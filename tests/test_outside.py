"""What the spine does where nobody watches: it is told of nothing, and goes on."""

from __future__ import annotations

from pathlib import Path

from gateway.adapters.memory_upstream import Scripted
from gateway.outside import Ports
from tests.spine import Spine, completion, snapshot


async def test_a_spine_without_watchers_serves(tmp_path: Path) -> None:
    """No stale policy, nothing suspended, bytes as the bound: the defaults of a port nobody gave."""
    spine = Spine(snapshot(tmp_path))
    ports = spine.pipeline._ports
    assert isinstance(ports, Ports)
    assert not ports.stale(2**62)
    assert ports.suspended() == {}
    assert ports.tokenizer is None
    spine.upstream.script("ca", Scripted(reply=completion()))
    assert (await spine.pipeline.handle(spine.call())).served.alias == "chat"


def test_a_salt_is_not_shown(tmp_path: Path) -> None:
    """It keys irreversible hashes."""
    assert "ssss" not in repr(Spine(snapshot(tmp_path)).pipeline._ports)
