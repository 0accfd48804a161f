"""Bad input from both sides: callers who send nonsense, and vendors who answer with it.

A caller gets the right 4xx in the shape of the surface that it called; a vendor's nonsense becomes
a well-formed error or a well-formed end. Never a traceback, a hang, an upstream key or address;
never content in the log; one record per call that was let in, and no hold left behind.
"""

from __future__ import annotations

import gzip
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from tests.acceptance import bank
from tests.acceptance.calls import (
    ANTHROPIC,
    PATHS,
    STREAMING,
    Answer,
    Caller,
    assert_nothing_inside_out,
    request,
    said,
    well_ended,
    well_formed_error,
)
from tests.acceptance.running import Running, gateway
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
MARK = "Zanzibar"  # stands in every prompt here; the log must never show it
MOST = 64 << 10


@pytest.fixture(scope="module")
def small(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The bank with small limits and short times, so that reaching them takes no time."""
    folder = tmp_path_factory.mktemp("small")
    files = bank.bundle(places)
    for name, vendor in places.items():
        surfaces = {} if name == "ca_on" else {"surfaces": ["chat", "embeddings", "responses"]}
        files["connections.yaml"]["connections"][name] = bank.connection(
            vendor, bank.api_of(vendor), first_byte_timeout_ms=1000, idle_timeout_ms=700, **surfaces
        )
    files["routes.yaml"]["routes"] |= {
        "only-ca": {"try": ["ca"], "timeout_ms": 2500},
        "only-ca-on": {"try": ["ca_on"], "timeout_ms": 2500},
        "short": {"try": ["ca"], "timeout_ms": 1200},
    }
    for team in files["teams.yaml"]["teams"].values():
        for app in team["apps"].values():
            app["models"].append("short")
    bank.write(folder / "policies", files)
    limits = {
        "limits_max_body_bytes": str(MOST),
        "limits_header_timeout_s": "1",
        "limits_body_timeout_s": "1",
        "log_level": "debug",
    }
    with gateway(folder, folder / "policies", **limits) as running:
        yield running


@pytest.fixture(scope="module")
def key(small: Running) -> str:
    """A key of the teller."""
    return small.key("teller")


@pytest.fixture(scope="module")
def caller(small: Running, key: str) -> Iterator[Caller]:
    """The teller."""
    with Caller(small.url, key) as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_in_the_log(small: Running, key: str) -> Iterator[None]:
    """After each test: no traceback, no content, no key and no upstream key in the log."""
    start = len(small.log)
    yield
    fresh = small.log[start:]
    assert "Traceback" not in fresh, fresh[-3000:]
    for secret in (MARK, key, key.rpartition("_")[2], "vendor-key", "046 454"):
        assert secret not in fresh, fresh[-3000:]
    assert '"call failed"' not in fresh, fresh[-3000:]
    assert "stopped by a fault" not in fresh


# ------------------------------------------------------------------------- bodies that are none


def nested(depth: int) -> bytes:
    """Return a JSON object that nests so deep."""
    return b'{"model":"chat","x":' + b"[" * depth + b"]" * depth + b"}"


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "space": b"   ",
    "no json": b"{",
    "a word": b"hello",
    "half a string": b'{"model":"chat","messages":[{"role":"user","content":"Zanzib',
    "null": b"null",
    "an array": b"[]",
    "a string": b'"chat"',
    "a number": b"42",
    "NaN": b'{"model":"chat","temperature":NaN}',
    "infinity": b'{"model":"chat","temperature":Infinity}',
    "lone surrogate": b'{"model":"chat","user":"\\ud800 Zanzibar"}',
    "half surrogates": b'{"model":"chat","user":"\\udc00\\ud83d"}',
    "bad utf-8": b'{"model":"chat","user":"\xff\xfe"}',
    "overlong utf-8": b'{"model":"chat","user":"\xc0\xaf"}',
    "nul": b'{"model":"chat"}\x00',
    "two documents": b'{"model":"chat"}{"model":"chat"}',
    "trailing comma": b'{"model":"chat",}',
    "comment": b'{"model":"chat"/* Zanzibar */}',
    "single quotes": b"{'model':'chat'}",
    "deep": nested(30_000),
    "deeper than allowed": nested(600),
    "deep objects": b'{"model":"chat","x":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}",
    "utf-16": '{"model":"chat"}'.encode("utf-16"),
}


@pytest.mark.parametrize("surface", PATHS)
def test_a_body_that_is_no_request(caller: Caller, places: Places, surface: str) -> None:
    """Not JSON, not an object, not text, too deep: 400 in the surface's shape, and nothing sent."""
    for name, body in BROKEN.items():
        answer = caller.post(surface, body)
        assert answer.status == 400, (name, answer.raw)
        well_formed_error(surface, answer)
        assert MARK.encode() not in answer.raw, name
        assert answer.headers["x-request-id"].startswith("req_")
    assert all(vendor.raw == b"" for vendor in places.values())


WRONG: dict[str, tuple[dict[str, object], ...]] = {
    "*": (
        {"model": None},
        {"model": 7},
        {"model": ""},
        {"model": ["chat"]},
        {"tools": 3},
        {"tools": ["x"]},
        {"tools": [{"type": 9}]},
        {"tool_choice": 4},
        {"temperature": "hot"},
    ),
    "chat": (
        {"messages": None},
        {"messages": []},
        {"messages": "hello"},
        {"messages": {}},
        {"messages": [None]},
        {"messages": ["hi"]},
        {"messages": [{"content": "hi"}]},
        {"messages": [{"role": 4, "content": "hi"}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": 4}]},
        {"messages": [{"role": "user", "content": [3]}]},
        {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 3}]}]},
        {"messages": [{"role": "assistant", "tool_calls": "x"}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": 3}]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": {}}}]}]},
        {"stream": "yes"},
        {"stream": 1},
        {"n": 0},
        {"n": 10_000},
        {"n": "2"},
        {"max_tokens": 0},
        {"max_tokens": -5},
        {"max_tokens": 1.5},
        {"max_tokens": True},
        {"max_completion_tokens": "10"},
        {"stream_options": 3},
        {"stop": {"a": 1}},
        {"metadata": []},
        {"response_format": "json"},
    ),
    "responses": (
        {"input": None},
        {"input": 3},
        {"input": [3]},
        {"input": [{"content": "x"}]},
        {"input": [{"role": "user", "content": 5}]},
        {"stream": "yes"},
        {"max_output_tokens": 0},
        {"max_output_tokens": "9"},
        {"text": []},
        {"instructions": 4},
    ),
    "messages": (
        {"messages": None},
        {"messages": []},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": 4}]},
        {"system": 4},
        {"max_tokens": None},
        {"max_tokens": 0},
        {"max_tokens": "many"},
        {"stream": "yes"},
        {"thinking": "on"},
        {"stop_sequences": "x"},
        {"tool_choice": "auto"},
    ),
    "count_tokens": ({"messages": None}, {"messages": []}, {"system": 4}),
    "embeddings": (
        {"input": None},
        {"input": []},
        {"input": {}},
        {"input": [None]},
        {"input": [[1.5]]},
        {"dimensions": 0},
        {"encoding_format": 3},
        {"user": 3},
    ),
}


@pytest.mark.parametrize("surface", PATHS)
def test_fields_of_the_wrong_type(caller: Caller, places: Places, surface: str) -> None:
    """Each wrong field is a 400 that names it, before anything is sent."""
    everywhere = WRONG["*"] if surface != "embeddings" else WRONG["*"][:4]
    for fields in (*everywhere, *WRONG[surface]):
        if surface == "count_tokens" and "temperature" in fields:
            continue  # no field of that surface
        answer = caller.post(surface, {**request(surface, MARK), **fields})
        assert answer.status == 400, (fields, answer.raw)
        error = well_formed_error(surface, answer)
        (name,) = fields
        assert name in error["message"], (fields, error)
        if surface not in ANTHROPIC:
            assert str(error["param"]).startswith(name), (fields, error)
    assert all(vendor.raw == b"" for vendor in places.values())


@pytest.mark.parametrize("surface", PATHS)
def test_limits_and_media_types_of_a_body(caller: Caller, places: Places, surface: str) -> None:
    """Too large (declared or chunked), compressed, of another type: 413 and 415, nothing sent."""
    large = orjson.dumps(request(surface, MARK + "x" * MOST))
    answer = caller.post(surface, large)
    assert answer.status == 413
    well_formed_error(surface, answer)

    def parts() -> Iterator[bytes]:
        for start in range(0, len(large), 8192):
            yield large[start : start + 8192]

    reply = caller.http.post(PATHS[surface], content=parts(), headers={"content-type": "application/json"})
    chunked = Answer(status=reply.status_code, headers=reply.headers, raw=reply.content)
    assert chunked.status == 413
    well_formed_error(surface, chunked)

    fine = orjson.dumps(request(surface, MARK))
    for headers in (
        {"content-encoding": "gzip"},
        {"content-encoding": "br"},
        {"content-encoding": "identity, gzip"},
        {"content-type": "text/plain"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": ""},
    ):
        body = gzip.compress(fine) if headers.get("content-encoding") == "gzip" else fine
        answer = caller.post(surface, body, headers=headers)
        assert answer.status == 415, (headers, answer.raw)
        well_formed_error(surface, answer)
    assert all(vendor.raw == b"" for vendor in places.values())


@pytest.mark.parametrize("surface", PATHS)
def test_who_calls_and_for_what(
    small: Running, caller: Caller, places: Places, surface: str, key: str
) -> None:
    """No key, a foreign or a cut key, two keys: 401. A model that is none, or another app's: 404."""
    keys: tuple[dict[str, str], ...] = (
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer sk-" + "x" * 40},
        {"authorization": f"Bearer {key[:-1]}"},
        {"authorization": f"Bearer {key}x"},
        {"authorization": f"Basic {key}"},
        {"authorization": f"Bearer {key.upper()}"},
        {"authorization": "Bearer " + "é".encode().decode("latin-1") * 20},
        {"authorization": f"Bearer {key}", "x-api-key": key[:-2] + "aa"},
        {"x-api-key": "bp_live_" + "a" * 300},
    )
    with Caller(small.url, None) as stranger:
        for headers in keys:
            sent = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = stranger.post(surface, request(surface, MARK), headers=sent)  # type: ignore[arg-type]
            assert answer.status == 401, (headers, answer.raw)
            error = well_formed_error(surface, answer)
            assert error["type"] == "authentication_error"
            assert key not in error["message"]
    for model in ("gpt-99", "chat-lab", "ca", "fake-1", "chat\r\nx-evil: 1", "é" * 50, "x" * 5000, "../chat"):
        answer = caller.post(surface, request(surface, MARK, model=model))
        assert answer.status == 404, (model, answer.raw)
        error = well_formed_error(surface, answer)
        assert "x-evil" not in answer.headers
        assert "chat" in error["message"]
    assert all(vendor.raw == b"" for vendor in places.values())


def test_strange_but_valid_bodies_are_served(caller: Caller, places: Places) -> None:
    """A name twice, unknown fields, unicode, numbers beyond int64, an empty text: the vendor's business."""
    for extra in (
        b'"x_future": {"a": [1, 2, {"b": null}]}',
        b'"seed": 12345678901234567890',
        b'"x_big": 1e308, "x_neg": -0.0',
        '"user": "😀 é \u2028"'.encode(),
        b'"user": "a", "user": "b"',
        b'"metadata": {"": ""}',
    ):
        body = b'{"model":"chat","messages":[{"role":"user","content":""}],' + extra + b"}"
        answer = caller.post("chat", body)
        assert answer.status == 200, (extra, answer.raw)
    assert len(places["ca"].seen) == 6


# --------------------------------------------------------------------------- broken HTTP


def raw_exchange(running: Running, data: bytes, *, seconds: float = 5.0, half_close: bool = False) -> bytes:
    """Send bytes on a socket of one's own and return all that comes until the gateway closes."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=seconds) as wire:
        wire.sendall(data)
        if half_close:
            wire.shutdown(socket.SHUT_WR)
        got = b""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                part = wire.recv(65536)
            except ConnectionResetError:
                break
            if not part:
                return got
            got += part
        return got + b"<still open>" if time.monotonic() >= until else got


def head(path: str, key: str, *lines: str, host: str = "Host: gateway") -> bytes:
    """Return a request head; ``lines`` follow the host."""
    said = [f"POST {path} HTTP/1.1", host, f"Authorization: Bearer {key}", "Content-Type: application/json"]
    return ("\r\n".join([*(line for line in said if line), *lines]) + "\r\n\r\n").encode("latin-1")


BODY = orjson.dumps(request("chat", MARK))
SMUGGLED = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


def smuggling(path: str, key: str) -> dict[str, bytes]:
    """Return requests whose end two readers would see differently, or that are no HTTP at all."""
    length = f"Content-Length: {len(BODY)}"
    chunked = "Transfer-Encoding: chunked"
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    return {
        "both lengths": head(path, key, length, chunked) + chunk + SMUGGLED,
        "both lengths turned": head(path, key, chunked, length) + chunk,
        "two lengths": head(path, key, length, "Content-Length: 5") + BODY,
        "two lengths in one": head(path, key, f"{length}, 5") + BODY,
        "negative length": head(path, key, "Content-Length: -1") + BODY,
        "hex length": head(path, key, "Content-Length: 0x10") + BODY,
        "plus length": head(path, key, "Content-Length: +10") + BODY,
        "endless length": head(path, key, f"Content-Length: {'9' * 30}") + BODY,
        "other coding": head(path, key, "Transfer-Encoding: gzip, chunked") + chunk,
        "hidden coding": head(path, key, "Transfer-Encoding: xchunked", length) + BODY,
        "spaced coding": head(path, key, "Transfer-Encoding : chunked", length) + BODY,
        "two codings": head(path, key, chunked, "Transfer-Encoding: identity") + chunk,
        "bad chunk size": head(path, key, chunked) + b"zz\r\nhello\r\n0\r\n\r\n",
        "chunk too short": head(path, key, chunked) + b"3\r\nhello\r\n0\r\n\r\n",
        "huge chunk size": head(path, key, chunked) + b"f" * 20 + b"\r\nhello\r\n0\r\n\r\n",
        "negative chunk": head(path, key, chunked) + b"-5\r\nhello\r\n0\r\n\r\n",
        "folded header": head(path, key, length, "X-Long: a\r\n b") + BODY,
        "bare cr in header": head(path, key, length, "X-A: a\rX-B: b") + BODY,
        "nul in header": head(path, key, length, "X-A: a\0b") + BODY,
        "no colon": head(path, key, length, "X-A") + BODY,
        "space before colon": head(path, key, length, "X-A : b") + BODY,
        "two hosts": head(path, key, length, "Host: other") + BODY,
        "no host": head(path, key, length, host="") + BODY,
        "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
        "http/0.9": b"GET /\r\n\r\n",
        "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "bad version": b"POST " + path.encode() + b" HTTP/9.9\r\nHost: x\r\n\r\n",
        "upgrade": head(path, key, length, "Connection: Upgrade", "Upgrade: websocket") + BODY,
        "large head": head(path, key, length, "X-A: " + "a" * 70_000) + BODY,
        "many headers": head(path, key, length, *(f"X-{i}: {'b' * 40}" for i in range(2000))) + BODY,
        "space in target": b"POST " + path.encode() + b" x HTTP/1.1\r\nHost: x\r\n\r\n",
    }


@pytest.mark.parametrize("surface", ["chat", "messages"])
def test_ambiguous_and_malformed_http_is_refused(
    small: Running, places: Places, surface: str, key: str
) -> None:
    """One 4xx, the connection ends, and nothing behind it is taken for a request."""
    path = PATHS[surface]
    for name, data in smuggling(path, key).items():
        got = raw_exchange(small, data)
        assert re.match(rb"HTTP/1\.1 4\d\d ", got), (name, got)
        assert len(re.findall(rb"HTTP/1\.1 \d{3} ", got)) == 1, (name, got)
        assert not got.endswith(b"<still open>"), name
        assert_nothing_inside_out(got.partition(b"\r\n\r\n")[2])
        body = orjson.loads(got.partition(b"\r\n\r\n")[2])
        assert body["error"]["message"], name
    assert all(vendor.raw == b"" for vendor in places.values())


def test_a_trailer_is_no_header(small: Running, places: Places, key: str) -> None:
    """A key that comes as a trailer authenticates nobody, and a label that does sets nothing."""
    without = (
        f"POST {PATHS['chat']} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    ).encode()
    trailer = f"0\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    got = raw_exchange(small, without + b"%x\r\n%b\r\n" % (len(BODY), BODY) + trailer)
    assert got.startswith(b"HTTP/1.1 401 "), got
    assert all(vendor.raw == b"" for vendor in places.values())


def test_a_header_of_a_reply_cannot_be_injected(small: Running, caller: Caller, places: Places) -> None:
    """What a caller or a vendor sends never becomes a second header line."""
    places["ca"].script(Script(model="x\r\nset-cookie: a=b", headers=(("x-request-id", "v1"),)))
    answer = caller.post(
        "chat",
        request("chat", MARK, model="chat"),
        headers={"x-borderpost-conversation": "a" * 300, "traceparent": "nonsense", "x-request-id": "mine"},
    )
    assert answer.status == 200
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-request-id"].startswith("req_")


def test_slow_clients_are_answered_and_let_go(small: Running, places: Places, key: str) -> None:
    """A head or a body that does not arrive in time: 408 and the end; others are served meanwhile."""
    started = time.monotonic()
    halves = {
        "no head": b"POST /v1/chat/completions HT",
        "half a head": head(PATHS["chat"], key)[:-10],
        "no body": head(PATHS["chat"], key, f"Content-Length: {len(BODY)}"),
        "half a body": head(PATHS["messages"], key, f"Content-Length: {len(BODY)}") + BODY[:20],
        "half a chunk": head(PATHS["chat"], key, "Transfer-Encoding: chunked") + b"40\r\n{",
    }
    wires = {}
    for name, data in halves.items():
        wires[name] = socket.create_connection(("127.0.0.1", small.port), timeout=8)
        wires[name].sendall(data)
    with Caller(small.url, key) as other:
        assert other.post("chat", request("chat", MARK)).status == 200
    for name, wire in wires.items():
        with wire:
            got = wire.recv(65536)
        assert got.startswith(b"HTTP/1.1 408 "), (name, got)
        assert got.count(b"HTTP/1.1") == 1
        body = orjson.loads(got.partition(b"\r\n\r\n")[2])
        assert ("request_id" in body) == (name == "half a body"), (name, body)
    assert time.monotonic() - started < 6
    assert len(places["ca"].seen) == 1


def test_bodies_cut_off_by_the_client_are_nobodys_call(small: Running, places: Places, key: str) -> None:
    """A client that leaves in the middle of its body: nothing is sent, nothing recorded, nothing logged."""
    data = head(PATHS["chat"], key, f"Content-Length: {len(BODY)}") + BODY[:30]
    for half_close in (True, False):
        with socket.create_connection(("127.0.0.1", small.port), timeout=5) as wire:
            wire.sendall(data)
            if half_close:
                wire.shutdown(socket.SHUT_WR)
                wire.settimeout(5)
                wire.recv(65536)
    assert all(vendor.raw == b"" for vendor in places.values())


# --------------------------------------------------------------------- vendors' nonsense


def sse(*events: bytes) -> bytes:
    """Return a stream of these data lines."""
    return b"".join(b"data: " + event + b"\n\n" for event in events)


TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens")
NONSENSE: dict[str, Script] = {
    "empty": Script(body=b""),
    "no json": Script(body=b"{Zanzibar"),
    "null": Script(body=b"null"),
    "array": Script(body=b"[]"),
    "a string": Script(body=b'"fine"'),
    "another object": Script(body=b'{"ok": true}'),
    "null where an array stands": Script(
        body=b'{"choices": null, "content": null, "output": null, "data": null}'
    ),
    "choices of nonsense": Script(
        body=b'{"choices": [3, null, "x"], "content": [3, null], "output": [7, null], "data": [2]}'
    ),
    "choices of empty objects": Script(
        body=b'{"choices": [{}], "content": [{}], "output": [{}], "data": [{}]}'
    ),
    "html": Script(body=b"<html>Zanzibar</html>", content_type="text/html"),
    "html that says json": Script(body=b"<html>Zanzibar</html>"),
    "bad utf-8": Script(body=b'{"choices": [{"message": {"content": "\xff"}}]}'),
    "gzip": Script(body=gzip.compress(b"{}"), headers=(("content-encoding", "gzip"),)),
    "cut body": Script(length_off_by=50),
    "reset before": Script(reset="before_headers"),
    "reset after": Script(reset="after_headers"),
    "stalls": Script(delay_ms=1500),
    "dies at 0": Script(die_at=0),
    "dies at 1": Script(die_at=1),
    "dies at 4": Script(die_at=4),
    "closes at 0": Script(close_at=0),
    "closes at 1": Script(close_at=1),
    "closes at 4": Script(close_at=4),
    "errs at 0": Script(error_at=0),
    "errs at 1": Script(error_at=1),
    "errs at 4": Script(error_at=4),
    "stalls at 2": Script(stall_at=2),
    "split everywhere": Script(text="é 😀 Zanzibar — fin", split=1),
    "split, crlf": Script(text="é 😀 Zanzibar — fin", split=3, crlf=True),
    "closed, not chunked": Script(text="one two three", chunked=False),
    "closed, not chunked, early": Script(text="one two three", chunked=False, close_at=3),
    "no usage": Script(usage="omitted"),
    "zero usage": Script(usage="zero"),
    "garbage usage": Script(usage="garbage"),
    "huge usage": Script(usage=dict.fromkeys(TOKENS, 2**62)),
    "usage beyond int64": Script(
        body=b'{"choices": [], "content": [], "output": [], "data": [], "usage": {'
        + b",".join(b'"%b": 1%b' % (name.encode(), b"0" * 40) for name in TOKENS)
        + b"}}"
    ),
    "usage of a list": Script(usage={"prompt_tokens": [1], "input_tokens": {}}),
    "status 200 with an error": Script(body=b'{"error": {"message": "Zanzibar at 127.0.0.1"}}'),
    "error with addresses": Script(
        status=400,
        error={"error": {"message": "no such host https://internal.vendor.example:8443/x key sk-abcdefghij"}},
    ),
    "error of html": Script(status=502, body=b"<html>nginx at 127.0.0.1</html>", content_type="text/html"),
    "error of nothing": Script(status=500, body=b""),
    "error of nonsense": Script(status=418, body=b"[[["),
    "status 204": Script(status=204, body=b""),
    "status 301": Script(status=301, body=b"", headers=(("location", "http://127.0.0.1:1/"),)),
    "status 429": Script(status=429, retry_after="soon"),
    "status 401": Script(status=401),
    "long header": Script(headers=(("x-long", "a" * 20_000),)),
    "header injection": Script(headers=(("x-evil", "a\r\nset-cookie: b=c"),)),
    "wrong event type": Script(body=sse(b'{"x":1}', b"[DONE]"), content_type="text/event-stream"),
    "events of nonsense": Script(body=sse(b"Zanzibar", b"[DONE]"), content_type="text/event-stream"),
    "events of arrays": Script(body=sse(b"[]", b"[DONE]"), content_type="text/event-stream"),
    "done at once": Script(body=sse(b"[DONE]"), content_type="text/event-stream"),
    "comments only": Script(body=b": hi\n\n: hi\n\n", content_type="text/event-stream"),
    "choices of numbers": Script(
        body=sse(b'{"choices": [1, null]}', b"[DONE]"), content_type="text/event-stream"
    ),
    "delta of a list": Script(
        body=sse(b'{"choices": [{"index": "x", "delta": []}]}', b"[DONE]"), content_type="text/event-stream"
    ),
    "half an event": Script(body=b'data: {"choices": [', content_type="text/event-stream"),
    "nul bytes": Script(body=b"\0" * 3000, content_type="text/event-stream"),
}


@pytest.mark.parametrize("surface", ["chat", "responses", "messages", "embeddings", "messages-native"])
def test_whatever_a_vendor_answers_the_app_gets_its_own_shape(
    small: Running, caller: Caller, places: Places, surface: str
) -> None:
    """Every kind of nonsense, plain and streamed: well-formed, in bounded time, booked and let go."""
    model, vendor = ("only-ca-on", "ca_on") if surface == "messages-native" else ("only-ca", "ca")
    surface = surface.partition("-")[0]
    small.wait_projected()
    calls = small.rows("SELECT COUNT(*) AS n FROM records")[0]["n"]
    asked = 0
    for stream in (False, True) if surface in STREAMING else (False,):
        for name, script in NONSENSE.items():
            if script.body == b"" and script.status == 200 and stream:
                continue
            places[vendor].forget()
            places[vendor].script(script, script)
            more = {"stream": True} if stream else {}
            started = time.monotonic()
            answer = caller.post(surface, request(surface, "hello there", model=model, **more))
            asked += 1
            took = time.monotonic() - started
            assert took < 6, (name, stream, took)
            assert answer.whole, (name, stream, answer)
            assert_nothing_inside_out(answer.raw)
            if answer.status >= 400:
                well_formed_error(surface, answer)
            elif stream:
                well_ended(surface, answer)
            assert b'"internal"' not in answer.raw, (name, stream, answer.raw)
            assert "set-cookie" not in answer.headers
    small.wait_projected()
    assert len(small.records(0)) == int(str(calls)) + asked
    small.wait_no_open_hold()


@pytest.mark.parametrize("surface", ["chat", "responses", "messages", "messages-native"])
def test_a_stream_may_be_split_anywhere(caller: Caller, places: Places, surface: str) -> None:
    """In a character, in a line's end, in a field's name: the app reads the very same text."""
    model, vendor = ("only-ca-on", "ca_on") if surface == "messages-native" else ("only-ca", "ca")
    surface = surface.partition("-")[0]
    text = 'é 😀 n\u0303 \u2028 \\u0041 "quoted" \r\n\r\n data: no event\n\n fin'
    for crlf in (False, True):
        for size in (None, 1, 2, 3, 7, 50):
            places[vendor].script(Script(text=text, split=size, crlf=crlf))
            answer = caller.post(surface, request(surface, "say it", model=model, stream=True))
            well_ended(surface, answer)
            assert answer.error is None
            assert said(answer) == text, (size, crlf)


@pytest.mark.parametrize("surface", ["chat", "responses", "messages"])
def test_a_vendor_that_never_ends_is_ended(small: Running, key: str, places: Places, surface: str) -> None:
    """Endless text, endless comments, a body that drips: the route's own time ends each, well-formed."""
    first = sse(b'{"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"hi"}}]}')
    if surface == "responses":
        first = sse(b'{"type":"response.created","sequence_number":0,"response":{"id":"x","output":[]}}')
    scripts = (
        Script(endless=True, pause_ms=20),
        Script(body=first + b": ping\n\n" * 50_000, content_type="text/event-stream", pause_ms=5),
        Script(body=b": ping\n\n" * 50_000, content_type="text/event-stream", pause_ms=5),
    )

    def one(*, stream: bool) -> tuple[float, Answer]:
        started = time.monotonic()
        with Caller(small.url, key) as other:
            answer = other.post(surface, request(surface, "hello", model="short", stream=stream))
        return time.monotonic() - started, answer

    vendor = places["ca"]
    vendor.script(Script(body=b" " * 100_000, pause_ms=20), *scripts)
    with ThreadPoolExecutor(len(scripts) + 1) as pool:
        plain = pool.submit(one, stream=False)
        vendor.wait_for(1)
        streaming = [pool.submit(one, stream=True) for _ in scripts]
        took, answer = plain.result(20)
        assert 1 < took < 5
        assert answer.status == 504
        well_formed_error(surface, answer)
        for future in streaming:
            took, answer = future.result(20)
            assert 1 < took < 5, (took, answer.raw[-300:])
            if answer.status == 200:
                well_ended(surface, answer)
                assert answer.error is not None
            else:
                well_formed_error(surface, answer)
    assert len(vendor.seen) == len(scripts) + 1
    assert all(seen.gone.wait(2) for seen in vendor.seen)
    small.wait_no_open_hold()
