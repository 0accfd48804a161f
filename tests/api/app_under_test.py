"""A small ASGI app for the tests of serving: it echoes, streams, stalls and fails on demand."""

from __future__ import annotations

import asyncio
import gc
import os

from gateway.api.protocol import GONE

HEADERS = [(b"content-type", b"application/json")]


def create_app(settings, lifecycle):
    """Return the app; `lifecycle` is the server's."""
    gone: list[str] = []
    reloads: list[int] = []
    lifecycle.on_reload(lambda: reloads.append(1))

    async def plain(send, body, status=200, headers=()):
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*HEADERS, *headers, length]})
        await send({"type": "http.response.body", "body": body})

    async def read(receive):
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message["body"]
            if not message["more_body"]:
                return body

    async def stream(send, pause_s, most):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for number in range(most):
                await send(
                    {"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True}
                )
                await asyncio.sleep(pause_s)
        except asyncio.CancelledError:
            if not lifecycle.cutting:
                raise
            asyncio.current_task().uncancel()
            await send({"type": "http.response.body", "body": b"data: cut\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        path = scope["path"]
        if path == "/echo":
            body = await read(receive)
            if body is not None:
                await plain(send, body)
        elif path == "/small":
            await plain(send, b"{}")
        elif path == "/who":
            names = b",".join(name for name, _ in scope["headers"])
            shown = f"{scope['client'][0]} {scope['scheme']} {names.decode()}"
            await plain(send, shown.encode())
        elif path == "/late":
            scope["extensions"][GONE](lambda: gone.append("late"))
            await asyncio.sleep(float(scope["query_string"] or b"0.5"))
            await plain(send, b'"late"')
        elif path == "/gone":
            await plain(send, str(len(gone)).encode())
        elif path == "/reloads":
            await plain(send, str(len(reloads)).encode())
        elif path == "/pid":
            await plain(send, str(os.getpid()).encode())
        elif path == "/frozen":
            await plain(send, str(gc.get_freeze_count()).encode())
        elif path == "/die":
            os._exit(9)
        elif path == "/stream":
            await stream(send, 0.01, int(scope["query_string"] or b"5"))
        elif path == "/flood":
            scope["extensions"][GONE](lambda: gone.append("flood"))
            await send({"type": "http.response.start", "status": 200, "headers": []})
            sent = 0
            while not gone:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                sent += 1
        elif path == "/inject":
            await plain(send, b"{}", headers=[(b"x-evil", b"a\r\nset-cookie: b")])
        elif path == "/fail":
            raise ValueError("a secret text")
        elif path == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        elif path == "/readyz":
            draining = lifecycle.draining
            await plain(send, b'"draining"' if draining else b'"ready"', 503 if draining else 200)
        else:
            await plain(send, b"{}", 404)

    return app
