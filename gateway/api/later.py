"""An ASGI app that is made when it is first asked for.

FastAPI and what it builds take a third of a second and some memory that no model call
needs: a worker is ready without them, and the first request to the desk waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping

Scope = MutableMapping[str, object]
Receive = Callable[[], Awaitable[MutableMapping[str, object]]]
Send = Callable[[MutableMapping[str, object]], Awaitable[None]]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class Later:
    """Hands requests to an app that it makes off the event loop, once."""

    def __init__(self, make: Callable[[], Handler]) -> None:
        """``make`` may import and build for a while; it runs on a thread."""
        self._make = make
        self._app: Handler | None = None
        self._making: asyncio.Task[Handler] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; the first ones wait until the app is there. Raises what making it raises."""
        app = self._app or await self._made()
        await app(scope, receive, send)

    async def _made(self) -> Handler:
        if self._making is None:
            self._making = asyncio.ensure_future(asyncio.to_thread(self._make))
        making = self._making
        try:
            # Shielded: a client that goes away does not take the app from those who wait too.
            self._app = await asyncio.shield(making)
        except Exception:
            if self._making is making:
                self._making = None  # the next request tries again
            raise
        return self._app
