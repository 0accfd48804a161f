"""The suite's own guard: a test cannot reach outside this machine."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests import conftest

# From the ranges set aside for documentation: nobody is there, and the guard must not even try.
OUTSIDE = ["192.0.2.1", "2001:db8::1", "example.invalid", "10.0.0.1"]


@pytest.fixture
def forgiven():
    """Lets a test try to leave on purpose."""
    yield
    assert conftest._tried, "the guard noted nothing"
    conftest._tried.clear()


@pytest.mark.parametrize("host", OUTSIDE)
def test_connecting_outside_is_refused(host: str, forgiven: None) -> None:
    """By name or by number."""
    with pytest.raises(RuntimeError, match="tests stay on this machine"):
        socket.create_connection((host, 443), timeout=1)


def test_a_datagram_outside_is_refused(forgiven: None) -> None:
    """No name server either."""
    refused = pytest.raises(RuntimeError, match="tests stay on this machine")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours, refused:
        ours.sendto(b"?", ("192.0.2.53", 53))


async def test_asyncio_is_held_too(forgiven: None) -> None:
    """The event loop connects through the same sockets."""
    with pytest.raises(RuntimeError, match="tests stay on this machine"):
        await asyncio.open_connection("192.0.2.1", 443)


def test_loopback_is_open() -> None:
    """Real sockets on this machine are what acceptance tests are made of."""
    # The kernel completes the connection from the backlog: nobody need accept it.
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()


@pytest.mark.parametrize(("host", "inside"), [
    ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("localhost", True),
    ("a.localhost", True), (None, True), ("", True), ("0.0.0.0", True), ("::", True),
    ("8.8.8.8", False), ("::ffff:8.8.8.8", False), ("localhost.example", False), ("169.254.169.254", False),
])  # fmt: skip
def test_what_counts_as_this_machine(host: str | None, inside: bool) -> None:
    """Private and link-local addresses are other machines."""
    assert conftest._inside(host) is inside


@pytest.mark.parametrize("turn", [1, 2])
def test_a_module_has_a_database_of_its_own(postgres_url: str, turn: int) -> None:
    """Fresh and empty for the module, the same one for all of its tests."""
    from sqlalchemy import create_engine, inspect, text

    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == ([] if turn == 1 else ["left_behind"])
        if turn == 1:
            connection.execute(text("CREATE TABLE left_behind (id bigint PRIMARY KEY)"))
    engine.dispose()
