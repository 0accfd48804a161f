"""An app made at its first request: once, for all who wait, and again if it failed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import MutableMapping

import pytest

from gateway.api.later import Handler, Later, Receive, Scope, Send


class Making:
    """Makes an app that counts its requests, when it is let."""

    def __init__(self) -> None:
        self.made = 0
        self.served = 0
        self.fails = 0
        self.go = threading.Event()
        self.go.set()

    def __call__(self) -> Handler:
        self.go.wait(5)
        self.made += 1
        if self.fails:
            self.fails -= 1
            raise ImportError("not installed")
        return self._serve

    async def _serve(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
        self.served += 1


async def nothing() -> MutableMapping[str, object]:
    """Receive nothing."""
    return {}


async def ignore(_message: MutableMapping[str, object]) -> None:
    """Send nowhere."""


async def test_it_is_made_once_and_not_before_it_is_needed() -> None:
    """Requests that come at once wait for the same app, and all are answered."""
    making = Making()
    later = Later(making)
    await asyncio.sleep(0)
    assert making.made == 0
    await asyncio.gather(*(later({}, nothing, ignore) for _ in range(5)))
    await later({}, nothing, ignore)
    assert (making.made, making.served) == (1, 6)


async def test_a_client_that_leaves_takes_nothing_from_the_others() -> None:
    """The first request's end is not the app's."""
    making = Making()
    making.go.clear()
    later = Later(making)
    first = asyncio.ensure_future(later({}, nothing, ignore))
    second = asyncio.ensure_future(later({}, nothing, ignore))
    await asyncio.sleep(0.01)
    first.cancel()
    making.go.set()
    await second
    assert (making.made, making.served) == (1, 1)
    assert first.cancelled()


async def test_what_failed_is_tried_again() -> None:
    """A failure is the request's, not for ever."""
    making = Making()
    making.fails = 1
    later = Later(making)
    with pytest.raises(ImportError):
        await later({}, nothing, ignore)
    await later({}, nothing, ignore)
    assert (making.made, making.served) == (2, 1)
