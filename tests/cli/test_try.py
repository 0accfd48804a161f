"""``borderpost try``: what it says it does is what it does, judged by the answers it gets."""

from __future__ import annotations

import json
import shlex
import subprocess

import httpx
import pytest
import respx
from click.testing import CliRunner

from gateway.cli import main
from gateway.cli.demo import Demo
from gateway.cli.try_ import SIN, TRIES, Ask, _long_curl

DEMO = Demo(
    url="http://localhost:18080",
    keys={"teller": "bp_demo_t_x", "tiny": "bp_demo_y_x"},
    tokens={"finance": "bpa_f"},
)


def said(text, **headers):
    body = {"choices": [{"message": {"content": text}}]}
    return httpx.Response(200, json=body, headers={"x-request-id": "req_1", **headers})


def refused(status, message):
    return httpx.Response(status, json={"error": {"message": message}}, headers={"retry-after": "0"})


def tried(what, *answers):
    """The verdict, and what was asked; the last answer is given again and again."""
    asked = []

    def send(ask):
        asked.append(ask)
        return answers[min(len(asked), len(answers)) - 1]

    return TRIES[what](DEMO, send), asked


def test_sin_is_proved_by_what_the_model_says_it_saw(capsys):
    """If the number comes back, the promise is broken, and that is said."""
    good, [ask] = tried("sin", said("I saw: My SIN is [SIN]", **{"x-borderpost-masked": "sin=1"}))
    assert good
    assert SIN in json.dumps(ask.body)
    shown = capsys.readouterr().out
    assert "did not reach" in shown
    assert "x-borderpost-masked: sin=1" in shown
    assert not tried("sin", said(f"I saw: {SIN}"))[0]
    assert "REACHED" in capsys.readouterr().out
    assert not tried("sin", refused(503, "down"))[0]


def test_abroad_must_be_refused(capsys):
    """The rule and what to use instead are in the message."""
    assert tried("abroad", refused(403, "Refused by CA-1. Use model 'chat'."))[0]
    assert "Use model 'chat'" in capsys.readouterr().out
    assert not tried("abroad", said("sure"))[0]


def test_budget_calls_until_402(capsys):
    """A contention is waited for; no refusal at all is a failure."""
    good, asked = tried("budget", said("a"), refused(429, "busy"), said("b"), refused(402, "used up"))
    assert good
    assert len(asked) == 4
    assert {ask.key for ask in asked} == {DEMO.keys["tiny"]}
    assert "used up" in capsys.readouterr().out
    assert not tried("budget", said("a"))[0]
    assert not tried("budget", refused(503, "down"))[0]


def test_thumb_rates_the_reply_it_got():
    """By the id in the header."""
    good, [chat, rating] = tried("thumb", said("9 to 5"), httpx.Response(201, json={"id": "fb"}))
    assert good
    assert (chat.path, rating.path) == ("/v1/chat/completions", "/v1/feedback")
    assert rating.body["target"] == "req_1"


def test_report_is_asked_as_finance(capsys):
    """With the finance token, as text."""
    good, [ask] = tried("report", httpx.Response(200, text="Spend · maple-bank"))
    assert good
    assert ask.key == DEMO.tokens["finance"]
    assert "Spend · maple-bank" in capsys.readouterr().out


def test_curl_can_be_pasted_into_a_shell():
    """The shell makes of it what is sent, quotes and accents included."""
    body = {"say": 'it\'s 5 $HOME `x` "é"'}
    ask = Ask(method="POST", path="/v1/feedback", key="k", body=body)
    words = shlex.split(ask.curl("http://localhost:1"))
    assert words[0] == "curl"
    assert json.loads(words[words.index("-d") + 1]) == body


def test_the_long_prompt_is_written_by_the_shell():
    """What the shell makes of the short command is what is sent."""
    _, asked = tried("budget", refused(402, "used up"))
    command = _long_curl(asked[0], "http://localhost:1")
    assert len(command) < 400
    done = subprocess.run(
        ["sh", "-c", command.replace("curl ", "printf '%s\\n' ", 1)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == asked[0].body


@pytest.mark.parametrize("what", list(TRIES))
def test_without_a_demo_it_says_how_to_start_one(what, tmp_path, monkeypatch):
    """Status 2 and the command."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["try", what])
    assert done.exit_code == 2
    assert "borderpost demo" in done.stderr


def test_it_speaks_to_this_machine_only(tmp_path, monkeypatch):
    """A file that names another host sends no key there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".borderpost").mkdir()
    text = json.dumps({"url": "http://example.com:8080", "keys": {"teller": "k"}, "tokens": {}})
    (tmp_path / ".borderpost" / "demo.json").write_text(text)
    done = CliRunner().invoke(main, ["try", "sin"])
    assert done.exit_code == 2
    assert "not on this machine" in done.stderr


@pytest.fixture
def left(tmp_path, monkeypatch):
    """A folder in which a demo has run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".borderpost").mkdir()
    text = json.dumps({"url": DEMO.url, "keys": DEMO.keys, "tokens": DEMO.tokens})
    (tmp_path / ".borderpost" / "demo.json").write_text(text)


@pytest.mark.usefixtures("left")
@respx.mock(base_url=DEMO.url)
def test_the_command_asks_the_demo_with_the_right_key(respx_mock):
    """One request, as finance; status 0 when the promise was kept."""
    route = respx_mock.get("/v1/reports/spend").mock(return_value=httpx.Response(200, text="Spend · bank"))
    done = CliRunner().invoke(main, ["try", "report"])
    assert (done.exit_code, route.call_count) == (0, 1)
    assert "Spend · bank" in done.stdout
    assert route.calls.last.request.headers["authorization"] == f"Bearer {DEMO.tokens['finance']}"


@pytest.mark.usefixtures("left")
@respx.mock(base_url=DEMO.url, assert_all_called=False)
def test_a_redirect_takes_no_key_along(respx_mock):
    """Whoever answers on that port cannot send the demo's key elsewhere."""
    elsewhere = respx_mock.route(host="elsewhere.test")
    respx_mock.get("/v1/reports/spend").mock(
        return_value=httpx.Response(302, headers={"location": "http://elsewhere.test/"})
    )
    done = CliRunner().invoke(main, ["try", "report"])
    assert done.exit_code == 1
    assert not elsewhere.called


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
def test_a_demo_that_does_not_answer_is_said_so(failure):
    """In a sentence, without a traceback."""
    with respx.mock(base_url=DEMO.url) as mocked:
        mocked.get("/v1/reports/spend").mock(side_effect=failure)
        done = CliRunner().invoke(main, ["try", "report"])
    assert done.exit_code == 1
    assert f"{DEMO.url} does not answer ({failure.__name__}); is it running?" in done.stderr
    assert "Traceback" not in done.output
