"""The bare pass-through that the gateway is compared with: its server, its transport, no controls.

What this costs is what serving and sending cost; the difference to the gateway is the
price of keys, policy, patterns, budgets, journal and metrics.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gateway.adapters.guard import permit_declared
from gateway.adapters.memory_telemetry import MemoryTelemetry
from gateway.adapters.transport import Outgoing, Transport
from gateway.api.server import run
from gateway.settings import Log, Settings

UPSTREAM = "http://127.0.0.1:9100/v1/chat/completions"


def create_app(_settings, _lifecycle):
    """Return an ASGI app that sends each body on and the reply back."""
    transport = Transport(telemetry=MemoryTelemetry())
    permit = permit_declared(UPSTREAM, purpose="bench", plain=True)
    headers = {"content-type": "application/json", "accept-encoding": "identity"}

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                if message["type"] == "lifespan.shutdown":
                    await transport.close()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        if scope["path"] == "/readyz":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        outgoing = Outgoing(method="POST", url=UPSTREAM, headers=headers, body=body)
        async with transport.request(outgoing, permit) as incoming:
            kind = incoming.headers.get("content-type", "")
            if kind.startswith("text/event-stream"):
                start = [(b"content-type", kind.encode())]
                await send({"type": "http.response.start", "status": incoming.status, "headers": start})
                while part := await incoming.chunk():
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            else:
                reply = await incoming.read()
                start = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(reply))]
                await send({"type": "http.response.start", "status": incoming.status, "headers": start})
                await send({"type": "http.response.body", "body": reply})

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    settings = Settings(listen=f"127.0.0.1:{args.port}", data_dir=args.data, log=Log(level="warning"))
    run(settings, "bench.passthrough:create_app")
