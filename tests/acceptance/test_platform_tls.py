"""The platform engineer's wires: TLS both ways by a private authority; telemetry without content."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import anthropic
import httpx
import openai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.acceptance import bank
from tests.acceptance.commands import on
from tests.acceptance.running import Running
from tests.fakes.vendor import FakeVendor, Script

ASKED: Any = [{"role": "user", "content": "Zoltan asks about his mortgage"}]


class Authority:
    """A private certificate authority, in a folder of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._folder = folder / name
        self._folder.mkdir()
        self.bundle = self._folder / "authority.pem"
        self.bundle.write_bytes(self._sign(self._name, self._key, authority=True))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> bytes:
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=60))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if authority:
            usage = x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                decipher_only=False,
            )  # fmt: skip
            made = made.add_extension(usage, critical=True)
        else:
            here = x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            )
            made = made.add_extension(here, critical=False).add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
            )
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def certificate(self) -> tuple[Path, Path]:
        """Return a server's certificate and key for this machine."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, private = self._folder / "server.pem", self._folder / "server.key"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        certificate.write_bytes(self._sign(subject, key, authority=False))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, private

    def server(self) -> ssl.SSLContext:
        """Return the context of a server of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate())
        return context


class Collector:
    """An OTLP collector on loopback that keeps every body."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        keep = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                keep.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Secure(Running):
    """A gateway that ends TLS itself."""

    authority: Path = field(default_factory=Path)

    @property
    def url(self) -> str:
        """The base URL without ``/v1``."""
        return f"https://localhost:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        """What its clients trust."""
        return ssl.create_default_context(cafile=self.authority)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Get a path over TLS."""
        return httpx.get(f"{self.url}{path}", headers=headers, verify=self.trust, trust_env=False)

    def wait_ready(self, wait_s: float = 40.0) -> None:
        """Wait until ``/readyz`` says 200."""
        self.eventually_200("/readyz", wait_s)

    def wait_known(self, presented: str) -> None:
        """Wait until the key is known."""
        self.eventually_200("/v1/models", 10, authorization=f"Bearer {presented}")

    def eventually_200(self, path: str, wait_s: float, **headers: str) -> None:
        """Ask until the answer is 200; raises with the log when it does not come."""
        from tests.acceptance.running import eventually

        def answers() -> bool:
            try:
                return self.get(path, **headers).status_code == 200
            except httpx.HTTPError:
                return False

        eventually(answers, wait_s, lambda: self.log[-3000:])


@dataclass(frozen=True, slots=True)
class Wires:
    """A gateway with TLS on both sides, its vendors and its collector."""

    running: Secure
    known: FakeVendor
    stranger: FakeVendor
    collector: Collector


@pytest.fixture(scope="module")
def wires(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wires]:
    """One authority signs the gateway and a vendor; another vendor comes with a stranger's certificate."""
    folder = tmp_path_factory.mktemp("wires")
    ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
    certificate, key = ours.certificate()
    with (
        Collector() as collector,
        FakeVendor("openai", tls=ours.server()) as known,
        FakeVendor("openai", tls=theirs.server()) as stranger,
    ):
        bank.write(folder / "policies", bank.bundle({"ca": known, "ca_on": stranger}))
        running = Secure(
            folder=folder,
            policies=folder / "policies",
            authority=ours.bundle,
            settings={
                "BORDERPOST_TLS_CERTIFICATE": str(certificate),
                "BORDERPOST_TLS_KEY": str(key),
                "BORDERPOST_CA_BUNDLE": str(ours.bundle),
                "BORDERPOST_TELEMETRY_OTLP_ENDPOINT": collector.url,
                "BORDERPOST_TELEMETRY_OTLP_PLACE": "CA-QC",
                "BORDERPOST_TELEMETRY_OTLP_METRICS": "true",
                "BORDERPOST_TELEMETRY_SAMPLING": "1",
            },
        )
        try:
            running.start()
            yield Wires(running, known, stranger, collector)
        finally:
            running.kill()


@pytest.fixture(scope="module")
def key(wires: Wires) -> str:
    """A key of the teller."""
    return wires.running.key("teller")


def test_both_sdks_over_tls(wires: Wires, key: str) -> None:
    """The SDKs trust the private authority and are answered; the vendor was reached over TLS as well."""
    running = wires.running
    with (
        openai.OpenAI(
            base_url=f"{running.url}/v1",
            api_key=key,
            http_client=openai.DefaultHttpxClient(verify=running.trust),
        ) as gpt,
        anthropic.Anthropic(
            base_url=running.url, api_key=key, http_client=anthropic.DefaultHttpxClient(verify=running.trust)
        ) as claude,
    ):
        parts = gpt.chat.completions.create(model="only-ca", messages=ASKED, stream=True)
        said = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        message = claude.messages.create(model="only-ca", max_tokens=50, messages=ASKED)
    assert said == "You said: Zoltan asks about his mortgage"
    assert message.content[0].type == "text"
    assert len(wires.known.seen) == 2
    assert wires.known.url.startswith("https://")


def test_who_does_not_trust_us_is_not_served_in_clear(wires: Wires) -> None:
    """Without the authority the handshake fails; plain HTTP on the port gets nothing."""
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{wires.running.url}/healthz", trust_env=False)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://localhost:{wires.running.port}/healthz", trust_env=False)


def test_a_vendor_with_a_strangers_certificate_gets_nothing(wires: Wires, key: str) -> None:
    """A certificate of another authority: not a byte of the call leaves, and the app learns 503."""
    before = len(wires.stranger.raw)
    with (
        openai.OpenAI(
            base_url=f"{wires.running.url}/v1",
            api_key=key,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(verify=wires.running.trust),
        ) as gpt,
        pytest.raises(openai.InternalServerError) as failed,
    ):
        gpt.chat.completions.create(model="only-ca-on", messages=ASKED)
    assert failed.value.status_code == 503
    assert failed.value.code == "upstream_unavailable"
    assert len(wires.stranger.raw) == before == 0
    assert "127.0.0.1" not in failed.value.response.text


def test_doctor_reads_the_certificate(wires: Wires) -> None:
    """Doctor says until when the certificate holds."""
    done = on(wires.running, "doctor")
    assert done.returncode == 0, done.stdout
    assert "ok    tls: the certificate ends " in done.stdout


def test_telemetry_has_no_content(wires: Wires, key: str) -> None:
    """Every call is a span with its outcome; no prompt, reply, key, user or address is in any body.

    The last test of the module: it stops the gateway, which sends what waits.
    """
    secret = "vendor-" + "key-of-the-bank"
    wires.known.script(Script(text="Zoltan owes much"))
    with openai.OpenAI(
        base_url=f"{wires.running.url}/v1",
        api_key=key,
        http_client=openai.DefaultHttpxClient(verify=wires.running.trust),
    ) as gpt:
        ask = gpt.chat.completions.with_raw_response
        raw = ask.create(model="only-ca", messages=ASKED, user="zoltan.q@maple.example")
    assert wires.running.stop() == 0
    paths = {path for path, _ in wires.collector.bodies}
    assert paths == {"/v1/traces", "/v1/metrics"}
    sent = b"".join(body for _, body in wires.collector.bodies)
    for told in ("gen_ai.usage.input_tokens", "borderpost.outcome", "served", raw.headers["x-request-id"]):
        assert told.encode() in sent
    ports = [str(vendor.port) for vendor in (wires.known, wires.stranger)]
    for hidden in ("Zoltan", "zoltan", "mortgage", "You said", "owes", key, key[-20:], secret, *ports):
        assert hidden.encode() not in sent, hidden
