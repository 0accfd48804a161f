"""The log says what happened and never what was said."""

from __future__ import annotations

import logging

import orjson
import pytest

from gateway.adapters import logs
from gateway.settings import Log


@pytest.fixture
def lines(capsys):
    """Configure the log; gives a function that returns the lines written since it was last called."""
    root = logging.getLogger()
    kept = root.handlers, root.level

    def configure(**settings):
        logs.configure(Log(**settings))

        def read():
            return capsys.readouterr().err.splitlines()

        return read

    yield configure
    root.handlers, root.level = kept
    logging.getLogger("gateway").setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)


def test_a_line_is_one_json_object(lines):
    """Time, level, logger, message and allowed fields, in JSON."""
    read = lines()
    logging.getLogger("gateway.x").info("call served", extra={"request_id": "req_1", "status": 200})
    (line,) = [text for text in read() if "gateway.x" in text]
    seen = orjson.loads(line)
    assert seen.pop("time").endswith("+00:00")
    assert seen == {
        "level": "info", "logger": "gateway.x", "message": "call served",
        "request_id": "req_1", "status": 200,
    }  # fmt: skip


def test_content_does_not_get_in(lines):
    """Unlisted fields, arguments, objects and exception texts are left out; long text is cut."""
    read = lines()
    log = logging.getLogger("gateway.x")
    log.info("failed", extra={"prompt": "my SIN", "request_id": {"body": "my SIN"}, "error": "e" * 999})
    log.warning("said %s", "my SIN")
    try:
        int("my SIN")
    except ValueError:
        log.exception("failed")
    written = read()
    text = "\n".join(written)
    assert "SIN" not in text
    assert "ValueError" in text
    assert "test_logs.py" in text
    assert max(map(len, written)) < 2500


def test_other_packages_are_tamed(lines):
    """Their chatter is dropped, their warnings stay without arguments, access lines never appear."""
    read = lines(level="debug")
    logging.getLogger("uvicorn.error").info("Started")
    logging.getLogger("uvicorn.access").warning('1.2.3.4 - "GET /?key=abc"')
    logging.getLogger("httpx").info("HTTP Request: POST https://vendor")
    logging.getLogger("sqlalchemy").warning("slow %s", "abc")
    (line,) = [text for text in read() if "sqlalchemy" in text]
    assert orjson.loads(line)["logger"] == "sqlalchemy"
    assert "abc" not in line


def test_text_for_people(lines):
    """The text format carries the same fields."""
    read = lines(format="text")
    logging.getLogger("gateway.x").warning("draining", extra={"in_flight": 3})
    assert read()[0].endswith("warning gateway.x  draining  in_flight=3")


def test_the_level_holds(lines):
    """Less severe lines of ours are dropped."""
    read = lines(level="error")
    logging.getLogger("gateway.x").warning("no")
    logging.getLogger("gateway.x").error("yes")
    assert len(read()) == 1


def test_the_text_of_a_lost_exception_is_not_logged(lines):
    """Asyncio shows a task's exception in its message; only its first line is kept."""
    read = lines()
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: ValueError('my SIN')")
    assert "SIN" not in "".join(read())


def test_why_a_start_failed_is_whole(lines):
    """Several lines of what must be fixed are not cut to one."""
    read = lines()
    why = "\n".join(f"policy.yaml:{number}:1 something to fix" for number in range(40))
    logging.getLogger("uvicorn.error").error(why)
    assert orjson.loads(read()[0])["message"] == why
