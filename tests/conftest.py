"""What holds for the whole suite: no way out of this machine, and a database of one's own.

The socket block is the suite's half of the promise "no clearance, no egress": a test that reaches for an
address outside this machine fails, even where the code under test swallows the error. ``.ci/run`` adds a
network namespace, which also holds child processes and libraries that bypass Python's sockets.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A shared machine is slow now and then; what a property costs is not what it proves.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

POSTGRES = "BORDERPOST_TEST_POSTGRES"
REQUIRE_POSTGRES = "BORDERPOST_REQUIRE_POSTGRES"
REQUIRE_BROWSER = "BORDERPOST_REQUIRE_BROWSER"


# -------------------------------------------------------------------------------- no way out


class WayOutError(RuntimeError):
    """A test tried to reach something outside this machine."""


_tried: list[str] = []


def _inside(host: object) -> bool:
    """Whether a host is this machine: loopback, unspecified (as a server binds), or no name at all."""
    if host is None or host in {"", "localhost", b"localhost"}:
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if text.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback or address.is_unspecified


def _hold(what: str, host: object) -> None:
    if not _inside(host):
        _tried.append(f"{what} {host!r}")
        msg = f"{what} {host!r}: tests stay on this machine"
        raise WayOutError(msg)


def _block() -> None:
    """Wrap what Python offers for reaching another host, once and for all of the process."""

    def guard(name: str, address_of: Callable[[tuple[Any, ...]], Any]) -> None:
        plain = getattr(socket.socket, name)

        def guarded(self: socket.socket, *arguments: Any) -> Any:
            if self.family in {socket.AF_INET, socket.AF_INET6}:
                address = address_of(arguments)
                if isinstance(address, tuple):
                    _hold(name, address[0])
            return plain(self, *arguments)

        setattr(socket.socket, name, guarded)

    guard("connect", lambda arguments: arguments[0])
    guard("connect_ex", lambda arguments: arguments[0])
    guard("sendto", lambda arguments: arguments[-1])
    guard("sendmsg", lambda arguments: arguments[3] if len(arguments) > 3 else None)

    def resolve(name: str) -> None:
        plain = getattr(socket, name)

        def guarded(host: Any, *arguments: Any, **options: Any) -> Any:
            _hold(name, host)
            return plain(host, *arguments, **options)

        setattr(socket, name, guarded)

    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
        resolve(name)


_block()


@pytest.fixture(autouse=True)
def _stays_here() -> Iterator[None]:
    """Fail a test that tried to leave, whatever became of the error."""
    _tried.clear()
    yield
    tried, _tried[:] = _tried[:], []
    if tried:
        pytest.fail(f"reached for something outside this machine: {'; '.join(tried)}", pytrace=False)


# --------------------------------------------------------------------------- PostgreSQL


def _required(switch: str, reason: str) -> None:
    if os.environ.get(switch) == "1":
        pytest.fail(f"{reason}, and {switch}=1", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """A fresh, empty database of this test module, as a SQLAlchemy URL; dropped afterwards."""
    import psycopg
    from sqlalchemy.engine import make_url

    given = os.environ.get(POSTGRES)
    if not given:
        _required(REQUIRE_POSTGRES, f"{POSTGRES} names no PostgreSQL")
        return
    server = make_url(given)
    admin = server.set(drivername="postgresql").render_as_string(hide_password=False)
    name = f"bp_{uuid.uuid4().hex}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


# ------------------------------------------------------------------------------ collection


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs PostgreSQL by what it asks for; let browser tests wait for a browser."""
    import shutil

    browser = shutil.which("chromium") and shutil.which("chromedriver")
    for item in items:
        if "postgres_url" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")
        if item.get_closest_marker("browser") and not browser and os.environ.get(REQUIRE_BROWSER) != "1":
            item.add_marker(pytest.mark.skip(reason="no chromium and chromedriver here"))
