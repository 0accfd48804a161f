"""The egress guard: who may go where, checked at the socket.

Owns :class:`Permit`, without which the transport sends nothing, and the three
ways to get one: for an attempt that was decided, redacted and cleared
(:func:`permit_for`), for the endpoint where a connection says that its credentials are
fetched (:func:`permit_for_credentials`), for a destination that settings declare
(:func:`permit_declared`, telemetry), and never otherwise. Promise 1: no clearance, no egress.

``core.clear`` has decided again under the current snapshot; the guard does not
decide, it checks that what is about to be sent is what was decided: this
deployment, its own connection in the attempt's own snapshot, and that origin.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from yarl import URL

from gateway.core.alert_plan import Mail, Receiver
from gateway.core.destinations import CREDENTIALS_URL
from gateway.core.errors import Code, Refusal, UpstreamFailed
from gateway.core.snapshot import Connection, Snapshot
from gateway.core.values import Attempt

PLAIN_HTTP = "plain_http"
"""Option of a connection: ``allowed`` lets it use http to a host that is not loopback."""


class EgressRefused(UpstreamFailed):
    """The destination is not the one that was cleared. Nothing was sent.

    It fails the call, not the try: another deployment would hide what is broken here.
    ``reason`` is a stable word for the counter ``egress_refused``: it names no host.
    """

    def __init__(self, reason: str) -> None:
        """Keep the reason; the caller learns only that nothing was sent."""
        super().__init__(
            Refusal(
                code=Code.INTERNAL,
                message="The gateway stopped this call at its own egress guard. Nothing was sent. "
                "Ask the platform team, quoting the request id.",
                retry=False,
            ),
            retryable=False,
            sent=False,
        )
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """The leave to open one exchange with one origin, for one stated purpose.

    ``origin`` is as :func:`origin_of` writes it. ``plain`` allows http to a host that is
    not loopback: a declaration, never a default. INVARIANT: only this module makes one.
    """

    origin: str
    purpose: str  # "attempt", "credentials", "telemetry", "alert"
    plain: bool = False


@lru_cache(maxsize=1024)
def target_of(url: str) -> tuple[URL, str]:
    """Return the parsed URL that the socket will use, and its origin.

    One parse serves the check and the connection, so that they cannot differ.
    Raises ValueError on anything but an absolute http(s) URL without user part.
    """
    if any(c <= " " or c in '\\"<>^`{|}' or c > "~" for c in url):
        raise ValueError("a url holds printable ascii only; escape the rest")
    parsed = URL(url, encoded=True)
    host = parsed.host
    if parsed.scheme not in {"http", "https"} or not host:
        raise ValueError("a url starts with https:// or http:// and names a host")
    if parsed.user is not None or parsed.password is not None or parsed.fragment:
        raise ValueError("a url holds no user, password or fragment")
    shown = f"[{host}]" if ":" in host else host.lower()
    return parsed, f"{parsed.scheme}://{shown}:{parsed.port}"


def origin_of(url: str) -> str:
    """Return ``scheme://host:port`` of a URL, the port always written. Raises ValueError."""
    return target_of(url)[1]


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether a host is this machine: ``localhost`` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def permit_for(attempt: Attempt) -> Permit:
    """Return the permit of an attempt.

    Raises EgressRefused when the decision does not permit its deployment, when its
    connection is not that deployment's in the attempt's snapshot, or when the
    connection's URL is none.
    """
    deployment, connection = attempt.deployment.id, attempt.connection
    if deployment not in attempt.cleared.decision.permitted:
        raise EgressRefused("not_permitted")
    if connection.deployment != deployment or attempt.snapshot.connections.get(deployment) is not connection:
        raise EgressRefused("foreign_connection")
    return _permit(connection.url, plain=connection.options.get(PLAIN_HTTP) == "allowed")


@lru_cache(maxsize=1024)
def _permit(url: str, *, plain: bool) -> Permit:
    try:
        return Permit(origin=origin_of(url), purpose="attempt", plain=plain)
    except ValueError:
        raise EgressRefused("bad_url") from None


def permit_for_credentials(connection: Connection) -> Permit:
    """Return the permit to fetch a connection's credentials, from where it declares and nowhere else.

    Raises EgressRefused where it declares no such endpoint, or one that is not https.
    """
    url = connection.options.get(CREDENTIALS_URL)
    if url is None or not url.startswith("https://"):
        raise EgressRefused("no_credentials_endpoint")
    try:
        return Permit(origin=origin_of(url), purpose="credentials")
    except ValueError:
        raise EgressRefused("bad_url") from None


def permit_declared(url: str, *, purpose: str, plain: bool = False) -> Permit:
    """Return the permit of a destination that settings declare. Raises ValueError on a bad URL."""
    return Permit(origin=origin_of(url), purpose=purpose, plain=plain)


def permit_alert(receiver: Receiver, snapshot: Snapshot) -> Permit:
    """Return the permit to tell a destination of alerts, of the policy in force and no other.

    Raises EgressRefused where that policy does not name it, or its URL is none.
    """
    if snapshot.alerts.receivers.get(receiver.name) != receiver:
        raise EgressRefused("not_permitted")
    if isinstance(receiver.way, Mail):
        return Permit(origin=receiver.way.url, purpose="alert", plain=receiver.way.tls == "none")
    try:
        return Permit(origin=origin_of(receiver.way.url), purpose="alert")
    except ValueError:
        raise EgressRefused("bad_url") from None


def check_mail(permit: Permit, mail: Mail) -> None:
    """Raise EgressRefused unless the permit names this relay, with TLS or on this machine."""
    if permit.origin != mail.url:
        raise EgressRefused("other_origin")
    if mail.tls == "none" and not is_loopback(mail.host):
        raise EgressRefused("plain_smtp")


def check(permit: Permit, url: str) -> URL:
    """Return the URL to connect to. Raises EgressRefused unless the permit names its origin."""
    try:
        parsed, origin = target_of(url)
    except ValueError:
        raise EgressRefused("bad_url") from None
    if origin != permit.origin:
        raise EgressRefused("other_origin")
    if parsed.scheme != "https" and not permit.plain and not is_loopback(parsed.host or ""):
        raise EgressRefused("plain_http")
    return parsed
