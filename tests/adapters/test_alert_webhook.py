"""Alerts by webhook: signed as receivers' libraries check it, and every failure is one word."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from gateway.adapters.alert_webhook import NotDelivered, post, signature
from gateway.adapters.guard import permit_declared
from gateway.adapters.memory_telemetry import MemoryTelemetry
from gateway.adapters.transport import Transport
from gateway.core.alert_plan import Webhook
from tests.adapters.alarm import hook

PAYLOAD = {"type": "borderpost.test", "data": {"title": "hello"}}


@pytest.fixture
async def transport():
    made = Transport(telemetry=MemoryTelemetry())
    yield made
    await made.close()


async def send(transport, url, secret=None, permitted=None):
    permit = permit_declared(permitted or url, purpose="alert")
    await post(
        transport,
        permit,
        Webhook(url=url, secret=None),
        secret,
        PAYLOAD,
        message_id="alert_1",
        seconds=1_795_460_400,
    )


def test_the_signature_of_the_specifications_own_example():
    """The vector that Standard Webhooks publishes: what its libraries accept, we make."""
    secret = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    made = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_receiver_can_check_what_it_got(transport):
    """Id, time and the very bytes are signed with the secret as it is written."""
    async with hook() as there:
        await send(transport, there.url, "plain-secret")
        ((headers, body),) = there.got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(b"plain-secret", signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert headers["content-type"] == "application/json"
    assert there.bodies() == [PAYLOAD]


async def test_without_a_secret_nothing_claims_to_be_signed(transport):
    """No header rather than one that anybody could make."""
    async with hook() as there:
        await send(transport, there.url)
        assert "webhook-signature" not in there.got[0][0]


@pytest.mark.parametrize("status", [301, 307, 400, 404, 410, 429, 500])
async def test_anything_but_a_yes_is_a_failure(transport, status):
    """And a redirect is not followed."""
    async with hook() as there:
        there.answers = [status]
        with pytest.raises(NotDelivered, match=f"status_{status}"):
            await send(transport, there.url)
        assert len(there.got) == 1


async def test_nobody_there_another_origin_and_a_bad_secret(transport):
    """One word each, with no host and no secret in it."""
    with pytest.raises(NotDelivered, match="connect"):
        await send(transport, "http://127.0.0.1:1/hook")
    async with hook() as there:
        with pytest.raises(NotDelivered, match="other_origin"):
            await send(transport, there.url, permitted="http://127.0.0.1:1/hook")
        with pytest.raises(NotDelivered, match="bad_secret"):
            await send(transport, there.url, "whsec_" + "not base64!")
        assert there.got == []
