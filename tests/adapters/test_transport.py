"""The transport, over real sockets to a vendor that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
import time
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.adapters.guard import EgressRefused, Permit, permit_declared
from gateway.adapters.transport import Failure, Outgoing, Transport, TransportFailed
from tests.fakes.plugin import vendors  # noqa: F401 (a fixture)
from tests.fakes.vendor import FakeVendor, Script

PLAIN = b'{"model":"m","messages":[{"role":"user","content":"one two three"}]}'
STREAM = b'{"stream":true,' + PLAIN[1:]


@pytest.fixture
async def transport():
    made = Transport()
    yield made
    await made.close()


def to(vendor: FakeVendor, body: bytes = PLAIN, **changes) -> tuple[Outgoing, Permit]:
    url = vendor.url + "/chat/completions"
    outgoing = Outgoing(method="POST", url=url, headers={"content-type": "application/json"}, body=body)
    return replace(outgoing, **changes), permit_declared(url, purpose="test")


async def test_it_sends_what_it_is_given_and_nothing_else(vendors, transport, monkeypatch):  # noqa: F811
    """Proxy variables, cookies and a client's own headers play no part."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    vendor = vendors.start()
    vendor.default = Script(headers=(("set-cookie", "spy=1; Path=/"),))
    for _ in range(2):
        async with transport.request(*to(vendor)) as reply:
            assert reply.status == 200
            assert b"one two three" in await reply.read()
    seen = vendor.seen[1]
    assert seen.body == PLAIN
    assert seen.headers == {
        "host": f"127.0.0.1:{vendor.port}",
        "user-agent": "borderpost",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(PLAIN)),
    }
    assert vendor.connections == 1, "the connection is reused"


async def test_no_permit_no_byte(vendors, transport):  # noqa: F811
    """A permit for another origin opens no connection, and the refusal is counted."""
    vendor, other = vendors.start(), vendors.start()
    outgoing, _ = to(vendor)
    with pytest.raises(EgressRefused):
        async with transport.request(outgoing, permit_declared(other.url, purpose="test")):
            pass
    assert vendor.connections == other.connections == 0
    assert transport.refused == 1


async def test_headers_leave_by_allow_list(vendors, transport):  # noqa: F811
    """An unknown header stops the call before a byte leaves."""
    vendor = vendors.start()
    with pytest.raises(EgressRefused):
        async with transport.request(*to(vendor, headers={"x-forwarded-for": "10.0.0.1"})):
            pass
    assert vendor.connections == 0


async def test_header_injection_is_refused(vendors, transport):  # noqa: F811
    """A line break in a header's value does not reach the wire."""
    vendor = vendors.start()
    with pytest.raises(TransportFailed):
        async with transport.request(*to(vendor, headers={"authorization": "a\r\nx-evil: 1"})):
            pass
    assert b"x-evil" not in vendor.raw


async def test_redirects_are_not_followed(vendors, transport):  # noqa: F811
    """A vendor cannot send a prompt on to somewhere else."""
    vendor, elsewhere = vendors.start(), vendors.start()
    vendor.default = Script(redirect=elsewhere.url + "/chat/completions")
    async with transport.request(*to(vendor)) as reply:
        assert reply.status == 307
    assert elsewhere.connections == 0


async def test_nothing_listening_means_nothing_sent(vendors, transport):  # noqa: F811
    """The ledger may book zero."""
    vendor = vendors.start()
    vendor.stop()
    with pytest.raises(TransportFailed) as failed:
        async with transport.request(*to(vendor)):
            pass
    assert (failed.value.failure, failed.value.sent) == (Failure.CONNECT, False)


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (Script(reset="before_headers"), Failure.BROKEN),
        (Script(delay_ms=5_000), Failure.TIMEOUT),
    ],
)
async def test_failures_before_the_headers(vendors, transport, script, failure):  # noqa: F811
    """Bytes were sent, so the ledger must assume work."""
    vendor = vendors.start()
    vendor.default = script
    with pytest.raises(TransportFailed) as failed:
        async with transport.request(*to(vendor, first_byte_timeout_ms=150)):
            pass
    assert (failed.value.failure, failed.value.sent) == (failure, True)


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (Script(reset="after_headers"), Failure.BROKEN),
        (Script(die_at=2), Failure.BROKEN),
        (Script(stall_at=2), Failure.TIMEOUT),
    ],
)
async def test_failures_in_the_body(vendors, transport, script, failure):  # noqa: F811
    """The idle time runs between two parts of a reply, and starts at the headers."""
    vendor = vendors.start()
    vendor.default = script
    with pytest.raises(TransportFailed) as failed:
        async with transport.request(*to(vendor, STREAM, idle_timeout_ms=200)) as reply:
            await reply.read()
    assert (failed.value.failure, failed.value.sent) == (failure, True)


@pytest.mark.parametrize("off", [10, -10])
async def test_wrong_content_length(vendors, transport, off):  # noqa: F811
    """A reply that is not as long as it says is never whole, and no byte of it meets the next call."""
    vendor = vendors.start()
    vendor.script(Script(length_off_by=off))
    got = b""
    with contextlib.suppress(TransportFailed):  # one that says too little may also just be cut
        async with transport.request(*to(vendor, idle_timeout_ms=300)) as reply:
            got = await reply.read()
    assert not got.endswith(b"}")
    async with transport.request(*to(vendor)) as reply:
        assert (await reply.read()).endswith(b"}")


@pytest.mark.parametrize("pause", [0, 0.05])
async def test_a_second_reply_behind_the_first_is_nobodys(vendors, transport, pause):  # noqa: F811
    """Response smuggling: bytes after a reply are never taken for the next call's answer."""
    vendor = vendors.start()
    own, stolen = b'{"own":1}', b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nSTOLEN!"
    for _ in range(20):
        vendor.script(Script(body=own + stolen, length_off_by=-len(stolen)))
        async with transport.request(*to(vendor)) as reply:
            assert await reply.read() == own
        await asyncio.sleep(pause)
        async with transport.request(*to(vendor)) as reply:
            assert b"one two three" in await reply.read()


async def test_replies_have_a_limit(vendors, transport):  # noqa: F811
    """A vendor cannot fill the memory."""
    vendor = vendors.start()
    vendor.default = Script(endless=True)
    with pytest.raises(TransportFailed) as failed:
        async with transport.request(*to(vendor, STREAM, max_bytes=4_000)) as reply:
            await reply.read()
    assert failed.value.failure is Failure.TOO_LARGE


async def test_bodies_stay_compressed(vendors, transport):  # noqa: F811
    """No decompression bomb: what was not asked for is not unpacked."""
    vendor = vendors.start()
    vendor.default = Script(body=b"\x1f\x8bnot really", headers=(("content-encoding", "gzip"),))
    async with transport.request(*to(vendor)) as reply:
        assert await reply.read() == b"\x1f\x8bnot really"


@pytest.mark.parametrize("script", [Script(delay_ms=20_000), Script(endless=True), Script(stall_at=1)])
async def test_leaving_ends_the_vendors_work(vendors, transport, script):  # noqa: F811
    """Cancelling hangs up at once, also while the vendor has not answered yet."""
    vendor = vendors.start()
    vendor.default = script

    async def call() -> None:
        async with transport.request(*to(vendor, STREAM)) as reply:
            await reply.read()

    task = asyncio.ensure_future(call())
    await asyncio.to_thread(vendor.wait_for, 1)
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait({task})
    assert await asyncio.to_thread(vendor.seen[0].gone.wait, 5)


async def test_a_slow_reader_slows_the_vendor(vendors, transport):  # noqa: F811
    """Back-pressure: what nobody reads is not buffered without end."""
    vendor = vendors.start()
    vendor.default = Script(endless=True, text="x" * 50_000 + " ")
    async with transport.request(*to(vendor, STREAM)) as reply:
        await reply.chunk()
        before = -1
        until = time.monotonic() + 20
        while (now := vendor.billed.output) != before and time.monotonic() < until:
            before = now
            await asyncio.sleep(0.3)
        assert vendor.billed.output == before, "the vendor is stuck in its write"


async def test_drain_lets_the_connection_be_reused(vendors, transport):  # noqa: F811
    """A stream read to its terminal event gives its connection back."""
    vendor = vendors.start()
    for _ in range(3):
        async with transport.request(*to(vendor, STREAM)) as reply:
            data = b""
            while b"[DONE]" not in data:
                data += await reply.chunk()
            await reply.drain()
    assert vendor.connections == 1


async def test_private_authority(vendors, transport, tmp_path):  # noqa: F811
    """TLS is checked: an unknown authority sends nothing, a declared one works."""
    authority, server = _authority(tmp_path)
    vendor = vendors.start(tls=server)
    with pytest.raises(TransportFailed) as failed:
        async with transport.request(*to(vendor)):
            pass
    assert (failed.value.failure, failed.value.sent) == (Failure.CONNECT, False)
    assert b"one two three" not in vendor.raw
    async with transport.request(*to(vendor, ca_bundle=authority)) as reply:
        assert reply.status == 200
    whole = Transport(ca_bundle=authority)
    async with whole.request(*to(vendor)) as reply:
        assert reply.status == 200
    await whole.close()


async def test_an_authority_that_cannot_be_read(vendors, transport, tmp_path):  # noqa: F811
    """A missing or broken file opens no connection with less trust."""
    (tmp_path / "broken.pem").write_text("no certificate")
    vendor = vendors.start(tls=_authority(tmp_path)[1])
    for name in ("broken.pem", "missing.pem"):
        with pytest.raises(TransportFailed) as failed:
            async with transport.request(*to(vendor, ca_bundle=str(tmp_path / name))):
                pass
        assert (failed.value.failure, failed.value.sent) == (Failure.CONNECT, False)
    assert vendor.connections == 0


def _authority(folder) -> tuple[str, ssl.SSLContext]:
    """Make a certificate for 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return str(folder / "cert.pem"), context
