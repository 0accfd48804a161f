"""Alerts by e-mail, to a real SMTP server on loopback: TLS, a login, and every failure is one word."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import warnings
from dataclasses import replace
from email import message_from_bytes, policy

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.adapters.alert_mail import letter, send
from gateway.adapters.alert_webhook import NotDelivered
from gateway.adapters.guard import EgressRefused, Permit, check_mail, permit_alert
from gateway.core.alert_plan import Mail, Receiver
from tests.adapters.alarm import telling
from tests.people import app, snapshot

PASSWORD = "a-made-up-" + "password"
NOW_S = 1_795_460_400


class Box:
    """Keeps what it takes; refuses addresses that it does not know."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 (aiosmtpd's name)
        """Take known addresses only."""
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 (as above)
        """Keep the message."""
        self.got.append(envelope.content)
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    """One user, one password."""
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"bp", PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that is its own authority: (server's context, its file)."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, str(folder / "cert.pem")


@pytest.fixture(params=["starttls", "tls"])
async def relay(request, certificate):
    """A relay that demands TLS and a login: its box, how it is reached, and its authority."""
    context, ca = certificate
    box = Box()
    loop = asyncio.get_running_loop()
    options = {"authenticator": login, "auth_required": True, "loop": loop, "hostname": "relay"}
    if request.param == "tls":
        options |= {"auth_require_tls": False}
    else:
        options |= {"tls_context": context, "require_starttls": True}
    served = []

    def serve():
        with warnings.catch_warnings():  # it knows of STARTTLS only, and warns that ours is none
            warnings.simplefilter("ignore")
            served.append(SMTP(box, **options))
        return served[-1]

    whole = context if request.param == "tls" else None
    server = await loop.create_server(serve, "127.0.0.1", 0, ssl=whole)
    port = server.sockets[0].getsockname()[1]
    mail = Mail(
        host="127.0.0.1", port=port, tls=request.param, user="bp", secret="env:SMTP",
        sender="borderpost@example.com", to=("finance@example.com", "ops@example.com"),
    )  # fmt: skip
    yield box, mail, ca
    server.close()
    for each in served:
        if each.transport is not None:
            each.transport.abort()
    await asyncio.sleep(0)


def permit(mail: Mail) -> Permit:
    found = telling(snapshot(app()), mail)
    return permit_alert(found.alerts.receivers["one"], found)


def message(mail: Mail, title: str = "Team `branch` has passed 80 % of its budget"):
    facts = {"spent": "80.00", "limit": "100.00"}
    return letter(mail, title=title, lines=facts, message_id="alert_1", seconds=NOW_S)


async def test_a_letter_arrives_over_tls_with_a_login(relay):
    """Subject, both receivers, the facts in the text, and no other content."""
    box, mail, ca = relay
    await send(permit(mail), mail, PASSWORD, message(mail), ca=ca)
    (raw,) = box.got
    got = message_from_bytes(raw, policy=policy.default)
    assert got["Subject"] == "[Borderpost] Team `branch` has passed 80 % of its budget"
    assert got["To"] == "finance@example.com, ops@example.com"
    assert got["Message-ID"] == "<alert_1@borderpost>"
    assert got["Auto-Submitted"] == "auto-generated"
    text = got.get_content()
    assert "spent  80.00" in text
    assert "limit  100.00" in text


async def test_a_relay_that_is_not_trusted_gets_no_password(relay):
    """Without its authority the certificate is refused, before anything is said."""
    box, mail, _ = relay
    with pytest.raises(NotDelivered, match="tls"):
        await send(permit(mail), mail, PASSWORD, message(mail), ca=None)
    assert box.got == []


async def test_a_wrong_password_an_unknown_receiver_and_another_port(relay):
    """Each is one word; nothing is in the box."""
    box, mail, ca = relay
    with pytest.raises(NotDelivered, match="login"):
        await send(permit(mail), mail, "wrong", message(mail), ca=ca)
    lost = replace(mail, to=("nobody@example.com",))
    with pytest.raises(NotDelivered, match="smtp"):
        await send(permit(lost), lost, PASSWORD, message(lost), ca=ca)
    with pytest.raises(NotDelivered, match="other_origin"):
        await send(permit(replace(mail, port=1)), mail, PASSWORD, message(mail), ca=ca)
    closed = replace(mail, port=1)
    with pytest.raises(NotDelivered, match="connect"):
        await send(permit(closed), closed, PASSWORD, message(closed), ca=ca)
    assert box.got == []


async def test_some_receivers_refused_is_said_and_not_repeated(relay):
    """One of two took it: a repeat would reach that one twice."""
    box, mail, ca = relay
    half = replace(mail, to=("finance@example.com", "nobody@example.com"))
    with pytest.raises(NotDelivered, match="some_refused"):
        await send(permit(half), half, PASSWORD, message(half), ca=ca)
    assert len(box.got) == 1


def test_a_title_cannot_add_a_header():
    """A line break in a name stays in the subject, or the letter is not made."""
    mail = Mail(host="127.0.0.1", port=25, tls="none", user=None, secret=None,
                sender="a@example.com", to=("b@example.com",))  # fmt: skip
    with pytest.raises(ValueError, match=r"linefeed|newline"):
        message(mail, "x\r\nBcc: evil@example.com")


def test_without_tls_only_this_machine_is_spoken_to():
    """The guard holds it at the socket too, whatever the policy let through."""
    mail = Mail(host="mail.example.com", port=25, tls="none", user=None, secret=None,
                sender="a@example.com", to=("b@example.com",))  # fmt: skip
    with pytest.raises(EgressRefused):
        check_mail(permit(mail), mail)
    stranger = Receiver(name="one", way=mail, place="CA")
    with pytest.raises(EgressRefused):
        permit_alert(stranger, snapshot(app()))
