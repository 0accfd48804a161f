"""Alerts by webhook: JSON over our own transport, signed as the Standard Webhooks specification says.

``webhook-signature: v1,<base64 of HMAC-SHA256>`` over ``<webhook-id>.<webhook-timestamp>.<body>``.
A secret that begins with ``whsec_`` is base64 after it, as that specification hands secrets out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

import orjson

from gateway.adapters.guard import EgressRefused, Permit
from gateway.adapters.transport import Outgoing, Transport, TransportFailed
from gateway.core.alert_plan import Webhook

_MS = 10_000
_PREFIX = "whsec_"


class NotDelivered(Exception):
    """An alert did not arrive. The text is one word for the table; it names no host and no secret."""


def signature(secret: str, message_id: str, seconds: int, body: bytes) -> str:
    """Return the signature of a message. Raises NotDelivered for a secret that is no base64."""
    try:
        key = (
            base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
            if secret.startswith(_PREFIX)
            else secret.encode()
        )
    except binascii.Error:
        raise NotDelivered("bad_secret") from None
    signed = b".".join((message_id.encode("ascii"), str(seconds).encode("ascii"), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")


async def post(
    transport: Transport,
    permit: Permit,
    hook: Webhook,
    secret: str | None,
    payload: Mapping[str, object],
    *,
    message_id: str,
    seconds: int,
) -> None:
    """Send one alert. Raises NotDelivered."""
    body = orjson.dumps(payload)
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
    }
    if secret is not None:
        headers["webhook-signature"] = signature(secret, message_id, seconds, body)
    outgoing = Outgoing(
        method="POST",
        url=hook.url,
        headers=headers,
        body=body,
        connect_timeout_ms=_MS,
        first_byte_timeout_ms=_MS,
        idle_timeout_ms=_MS,
        max_bytes=64 * 1024,
    )
    try:
        async with transport.request(outgoing, permit) as incoming:
            if not 200 <= incoming.status < 300:
                raise NotDelivered(f"status_{incoming.status}")
    except EgressRefused as refused:
        raise NotDelivered(refused.reason) from None
    except TransportFailed as failed:
        raise NotDelivered(failed.failure.value) from None
