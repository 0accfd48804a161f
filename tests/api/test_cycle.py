"""One reply: framing, length and errors, on a transport that keeps what is written."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.api.cycle import Cycle, answer
from gateway.core.errors import Code, Refusal


class Written:
    """The end of a connection that keeps the bytes."""

    def __init__(self):
        self.writes = []
        self.closed = False

    def write(self, data):
        self.writes.append(data)

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed


class Open:
    """Flow control that never waits."""

    write_paused = False

    def resume_reading(self):
        pass


def cycle(method="GET", *, keep_alive=True):
    transport = Written()
    made = Cycle(
        scope={"type": "http", "method": method, "path": "/x", "http_version": "1.1"},
        transport=transport,
        flow=Open(),
        logger=logging.getLogger("test"),
        access_logger=logging.getLogger("test"),
        access_log=False,
        default_headers=[(b"date", b"now")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )
    return made, transport


def start(*headers, status=200):
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data, *, more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_a_plain_reply_leaves_in_one_write():
    """Head and body go out together, so that a small reply is one packet."""
    made, transport = cycle()
    await made.send(start((b"content-length", b"2")))
    await made.send(body(b"{}"))
    (data,) = transport.writes
    assert data == b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\n\r\n{}"
    assert not transport.closed


async def test_a_stream_is_chunked_and_its_head_goes_first():
    """The head does not wait for the first event; an empty part writes nothing, not an early end."""
    made, transport = cycle(keep_alive=False)
    await made.send(start())
    assert transport.writes[0].endswith(b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n")
    await made.send(body(b"abc", more=True))
    await made.send(body(b"", more=True))
    await made.send(body(b""))
    assert transport.writes[1:] == [b"3\r\nabc\r\n", b"0\r\n\r\n"]
    assert transport.closed


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b"])
async def test_a_header_with_a_line_break_is_refused(value):
    """Response splitting is impossible whatever the app puts into a header; nothing is written."""
    made, transport = cycle()
    with pytest.raises(RuntimeError, match="line break"):
        await made.send(start((b"x", value), (b"content-length", b"0")))
    assert transport.writes == []


@pytest.mark.parametrize("data", [b"a", b"abc"])
async def test_a_body_must_be_as_long_as_it_says(data):
    """A body that is shorter or longer than its length is an error of ours, never framing gone wrong."""
    made, _ = cycle()
    await made.send(start((b"content-length", b"2")))
    with pytest.raises(RuntimeError, match="content-length"):
        await made.send(body(data))


async def test_head_and_no_content_have_no_body():
    """HEAD and 204 are framed by uvicorn's own rules."""
    made, transport = cycle("HEAD")
    await made.send(start((b"content-length", b"2")))
    await made.send(body(b"{}"))
    assert b"{}" not in b"".join(transport.writes)
    made, transport = cycle()
    await made.send(start(status=204))
    await made.send(body(b""))
    assert b"chunked" not in b"".join(transport.writes)


async def test_leaving_is_told_once():
    """Whoever registered hears it once, also when the client was gone before."""
    made, _ = cycle()
    heard = []
    made.register_gone(lambda: heard.append(1))
    made.leave()
    made.leave()
    assert heard == [1]
    made.register_gone(lambda: heard.append(2))
    assert heard == [1, 2]


async def test_leaving_after_the_reply_is_nothing():
    """A client that closes after it has its reply did not abandon it."""
    made, _ = cycle()
    heard = []
    made.register_gone(lambda: heard.append(1))
    await made.send(start((b"content-length", b"0")))
    await made.send(body(b""))
    made.leave()
    assert heard == []


def test_an_answer_in_place_of_the_app_takes_the_surface_of_its_path():
    """On Anthropic's paths the error has Anthropic's shape."""
    late = Refusal(code=Code.REQUEST_TIMEOUT, message="Late.")
    assert b'{"type":"error","error":{' in answer(late, "/v1/messages")
    assert b'{"error":{"message":"Late."' in answer(late, "/v1/chat/completions")
