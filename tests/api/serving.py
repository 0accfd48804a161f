"""A real server in a thread, and a client that speaks raw bytes, for the tests of serving."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import replace

from gateway.api.server import Server, ServerConfig, bind
from gateway.settings import Limits, Settings

FACTORY = "tests.api.app_under_test:create_app"

# Deadlines of one second, so that a test of one does not take long.
SHORT = Limits(
    header_timeout_s=1, body_timeout_s=1, idle_timeout_s=2, write_timeout_s=1, max_header_bytes=2048,
    max_connections=20, max_concurrent=4,
)  # fmt: skip


@contextlib.contextmanager
def serving(tmp_path, **changes):
    """Serve the app under test on a free port; yields the server, whose `port` is set."""
    settings = replace(Settings(listen="127.0.0.1:0", data_dir=tmp_path, limits=SHORT, drain_s=2), **changes)
    config = ServerConfig(settings, FACTORY)
    sock = bind(settings)
    server = Server(config)
    server.port = sock.getsockname()[1]
    thread = threading.Thread(target=server.run, args=([sock],))
    thread.start()
    try:
        until(lambda: server.started)
        yield server
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def until(condition, most_s=10.0):
    """Wait until it is so; fails after `most_s`, which is only there to end a broken test."""
    end = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


def connect(port, *, receive_buffer=None):
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(15)
    try:
        sock.connect(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


def read_to_end(sock):
    """Read until the server closes."""
    data = b""
    while part := sock.recv(65536):
        data += part
    return data


def read_reply(sock):
    """Read one reply with a content-length; returns (status, headers, body)."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        assert part, f"the server closed after {data!r}"
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
    length = int(headers[b"content-length"])
    while len(body) < length:
        part = sock.recv(65536)
        assert part, "the server closed within a body"
        body += part
    assert len(body) == length, "more than one reply was read"
    return int(lines[0].split()[1]), headers, body


def call(port, path, *, method="GET", body=b"", headers=b""):
    """Make one request on a connection of its own; returns (status, headers, body)."""
    with connect(port) as sock:
        sock.sendall(request(path, method=method, body=body, headers=headers))
        return read_reply(sock)


def request(path, *, method="GET", body=b"", headers=b""):
    head = f"{method} {path} HTTP/1.1\r\nhost: test\r\n".encode()
    if body:
        head += b"content-length: %d\r\n" % len(body)
    return head + headers + b"\r\n" + body
