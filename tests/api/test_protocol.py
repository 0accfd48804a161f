"""HTTP/1.1 towards strangers, spoken in raw bytes to a real server."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import threading
import time

import orjson
import pytest

from gateway.settings import Limits
from tests.api.serving import SHORT, call, connect, read_reply, read_to_end, request, serving, until

HEAD = b"POST /echo HTTP/1.1\r\nhost: a\r\n"

MALFORMED = {
    "both lengths": HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, other order": HEAD + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "signed length": HEAD + b"content-length: +3\r\n\r\nabc",
    "length too long": HEAD + b"content-length: 99999999999999999999999\r\n\r\nabc",
    "other coding": HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": HEAD + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "nearly chunked": HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": HEAD + b"transfer-encoding: identity\r\n\r\nabc",
    "bad chunk size": HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "chunk size overflow": HEAD + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n",
    "chunk without end": HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nabcX0\r\n\r\n",
    "folded header": HEAD + b"x: a\r\n b\r\n\r\n",
    "space before colon": HEAD + b"x : a\r\n\r\n",
    "bare line feed": HEAD + b"x: a\ny: b\r\n\r\n",
    "bare carriage return": HEAD + b"x: a\ry: b\r\n\r\n",
    "NUL in header": HEAD + b"x: a\0b\r\n\r\n",
    "no header name": HEAD + b": a\r\n\r\n",
    "no host": b"GET /small HTTP/1.1\r\n\r\n",
    "two hosts": HEAD + b"host: b\r\n\r\n",
    "HTTP/0.9": b"GET /small\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.9": b"GET /small HTTP/1.9\r\nhost: a\r\n\r\n",
    "TLS on a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01",
    "upgrade": HEAD + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\nabc",
    "CONNECT": b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
    "bad path": b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n",
    "big head": HEAD + b"x: " + b"a" * 3000 + b"\r\n\r\n",
    "big head without end": HEAD + b"x: " + b"a" * 3000,
    "big path": b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("data")) as server:
        yield server


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_request_is_a_json_400_and_the_end_of_the_connection(server, raw):
    """Whatever is ambiguous is refused whole: one JSON 400 in OpenAI's shape, then the connection closes."""
    with connect(server.port) as sock:
        sock.sendall(raw)
        reply = read_to_end(sock)
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in head
    error = orjson.loads(body)["error"]
    assert error["code"] == "invalid_request"
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_malformed_request_is_found_however_it_is_split(server, size):
    """Smuggling cannot hide behind the way in which bytes arrive."""
    raw = MALFORMED["both lengths"]
    with connect(server.port) as sock:
        for start in range(0, len(raw), size):
            try:
                sock.sendall(raw[start : start + size])
            except OSError:
                break
        reply = b""
        with contextlib.suppress(ConnectionResetError):
            reply = read_to_end(sock)
    assert reply == b"" or reply.startswith(b"HTTP/1.1 400 ")


def test_a_smuggled_request_is_never_served(server):
    """What follows an ambiguous request on its connection is not looked at."""
    with connect(server.port) as sock:
        sock.sendall(MALFORMED["both lengths"] + request("/small"))
        reply = read_to_end(sock)
    assert reply.count(b"content-length:") == 1
    assert reply.startswith(b"HTTP/1.1 400 ")


def test_trailers_do_not_become_headers(server):
    """A key in a trailer is not a header that came after the checks."""
    raw = b"POST /who HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    with connect(server.port) as sock:
        sock.sendall(raw + b"3\r\nabc\r\n0\r\nx-api-key: zz\r\n\r\n")
        status, _, body = read_reply(sock)
    assert status == 200
    assert b"x-api-key" not in body


def test_pipelined_requests_are_answered_in_order(server):
    """Two requests in one packet get two replies, the first one first, though it is slower."""
    with connect(server.port) as sock:
        sock.sendall(request("/late?0.2") + request("/echo", method="POST", body=b"two"))
        data = b""
        while data.count(b"HTTP/1.1 200") < 2 or not data.endswith(b"two"):
            part = sock.recv(65536)
            assert part
            data += part
    assert data.index(b'"late"') < data.index(b"two")


def test_garbage_behind_a_running_request_does_not_break_into_its_reply(server):
    """The running reply is whole; the 400 comes after it; then the connection ends."""
    with connect(server.port) as sock:
        sock.sendall(request("/late?0.3") + b"NONSENSE\r\n\r\n")
        reply = read_to_end(sock)
    _, first, second = re.split(rb"HTTP/1.1 (?=\d{3} )", reply)
    assert first.startswith(b"200")
    assert first.endswith(b'"late"')
    assert second.startswith(b"400")


def test_a_connection_is_kept_for_further_requests(server):
    """Keep-alive works, and a body is not mixed with the next request."""
    with connect(server.port) as sock:
        for number in range(5):
            body = b"%d" % number * (number * 40_000 + 1)
            sock.sendall(request("/echo", method="POST", body=body))
            assert read_reply(sock)[2] == body


def test_a_chunked_body_is_read(server):
    """Bodies without a length are read whole."""
    with connect(server.port) as sock:
        sock.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert read_reply(sock)[2] == b"abcde"


def test_expect_100_is_answered(server):
    """A client that asks before it sends is told to go on."""
    with connect(server.port) as sock:
        sock.sendall(HEAD + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert sock.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert read_reply(sock)[2] == b"abc"


def test_a_slow_head_is_a_408(server):
    """A client that drips its head does not hold a connection for long."""
    with connect(server.port) as sock:
        sock.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\n")
        reply = read_to_end(sock)
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert orjson.loads(reply.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"


def test_a_slow_body_is_a_408_in_the_shape_of_the_surface(server):
    """A client that drips its body is told so, on Anthropic's path in Anthropic's shape."""
    with connect(server.port) as sock:
        sock.sendall(request("/echo", method="POST", headers=b"content-length: 100\r\n") + b"abc")
        reply = read_to_end(sock)
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert "message" in orjson.loads(reply.partition(b"\r\n\r\n")[2])["error"]


def test_a_silent_connection_is_closed(server):
    """A connection on which nothing is ever said is closed without a word."""
    with connect(server.port) as sock:
        assert read_to_end(sock) == b""


def test_an_idle_kept_connection_is_closed(server):
    """A kept connection that nobody uses does not stay for ever."""
    with connect(server.port) as sock:
        sock.sendall(request("/small"))
        assert read_reply(sock)[0] == 200
        assert read_to_end(sock) == b""


def test_early_answer_leaves_time_to_read_it(server):
    """An answer that came before the body was whole reaches a client that is still sending."""
    with connect(server.port) as sock:
        sock.sendall(request("/small", method="POST", headers=b"content-length: 2000000\r\n"))
        for _ in range(20):
            sock.sendall(b"x" * 100_000)
        assert read_reply(sock)[0] == 200
        sock.sendall(request("/small"))
        assert read_reply(sock)[0] == 200


def test_the_server_waits_for_a_slow_reader_and_cuts_a_stalled_one(server):
    """The app is held back while the client takes nothing; after the limit the client is cut off and
    the app is told, so that the upstream call ends too.
    """
    before = int(call(server.port, "/gone")[2])
    with connect(server.port, receive_buffer=4096) as sock:
        sock.sendall(request("/flood"))
        until(lambda: any(c.flow.write_paused for c in list(server.server_state.connections) if c.flow))
        waiting = [c.transport.get_write_buffer_size() for c in list(server.server_state.connections)]
        assert max(waiting) < 1 << 20
        until(lambda: int(call(server.port, "/gone")[2]) == before + 1)


def test_a_slow_reader_that_keeps_reading_is_not_cut(tmp_path):
    """Only a reader that takes nothing is cut off: one that takes a little each second is served."""
    with serving(tmp_path) as server, connect(server.port, receive_buffer=4096) as sock:
        sock.sendall(request("/flood"))
        end = time.monotonic() + 3.5
        taken = 0
        while time.monotonic() < end:
            taken += len(sock.recv(262_144))
            time.sleep(0.1)
        assert taken > 0
        assert call(server.port, "/gone")[2] == b"0"


def test_a_client_that_leaves_is_noticed(server):
    """The app hears at once that nobody waits for its reply."""
    before = int(call(server.port, "/gone")[2])
    sock = connect(server.port)
    sock.sendall(request("/late?3"))
    until(lambda: server.server_state.tasks)
    sock.close()
    until(lambda: int(call(server.port, "/gone")[2]) == before + 1)


def test_a_reply_header_cannot_hold_a_line_break(server):
    """An app that puts vendor text into a header cannot be made to split its reply."""
    status, headers, _ = call(server.port, "/inject")
    assert status == 500
    assert b"set-cookie" not in headers


@pytest.mark.parametrize("path", ["/fail", "/half"])
def test_an_app_that_fails_shows_nothing_of_it(server, path):
    """No traceback, no text of the exception, and a whole answer."""
    status, _, body = call(server.port, path)
    assert status == 500
    assert orjson.loads(body)["error"]["code"] == "internal"
    assert b"secret" not in body


def test_a_full_worker_says_so_and_stays_alive(server):
    """Past the limit of calls in flight: 503 with advice when to retry; health still answers."""
    until(lambda: not server.server_state.tasks)
    socks = [connect(server.port) for _ in range(SHORT.max_concurrent)]
    for sock in socks:
        sock.sendall(request("/late?1.5"))
    until(lambda: len(server.server_state.tasks) >= SHORT.max_concurrent)
    status, headers, body = call(server.port, "/small")
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert orjson.loads(body)["error"]["code"] == "shutting_down"
    assert call(server.port, "/readyz")[0] == 200
    for sock in socks:
        assert read_reply(sock)[0] == 200
        sock.close()


def test_too_many_connections_are_refused(tmp_path):
    """The limit of connections holds before a byte is read."""
    with serving(tmp_path, limits=Limits(max_connections=2)) as server:
        kept = [connect(server.port) for _ in range(2)]
        until(lambda: len(server.server_state.connections) == 2)
        with connect(server.port) as sock:
            assert read_to_end(sock).startswith(b"HTTP/1.1 503 ")
        for sock in kept:
            sock.sendall(request("/small"))
            assert read_reply(sock)[0] == 200
            sock.close()


FORWARDED = b"x-forwarded-for: 203.0.113.9, 10.0.0.7\r\nx-forwarded-proto: https\r\n"


def test_forwarded_headers_of_strangers_are_not_believed(server):
    """Anyone can send X-Forwarded-For; without a declared proxy it says nothing."""
    shown = call(server.port, "/who", headers=FORWARDED)[2].decode().split()
    assert shown[:2] == ["127.0.0.1", "http"]


def test_forwarded_headers_of_a_declared_proxy_are_believed(tmp_path):
    """From a declared proxy, the client is the last hop that is none of ours."""
    networks = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.0.0.0/8"))
    with serving(tmp_path, trusted_proxies=networks) as server:
        shown = call(server.port, "/who", headers=FORWARDED)[2].decode().split()
    assert shown[:2] == ["203.0.113.9", "https"]


def test_many_clients_at_once_each_get_their_own(server):
    """Replies are not mixed up between connections."""
    wrong = []

    def work(number):
        body = b"%d" % number * 999
        for _ in range(10):
            status, _, got = call(server.port, "/echo", method="POST", body=body)
            if status == 200 and got != body:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
