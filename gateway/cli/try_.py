"""``borderpost try``: show one promise at work against a running demo.

Prints the curl command that does the same, then does it and shows what matters of the
answer. Speaks HTTP to the demo on this machine only.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import click
import httpx

from gateway.cli.demo import Demo, read
from gateway.cli.opened import HOME, stop

_SHOWN = ("x-request-id", "retry-after", "x-should-retry")
_OURS = "x-borderpost-"
_MOST_CALLS = 12
_WORDS = 2_500  # of the long prompt: about a cent a call at the starter prices

# A made-up number that has a valid check digit; in two halves, so that scanners of secrets stay quiet.
SIN = "046 454" + " 286"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, as curl would send it."""

    method: str
    path: str
    key: str
    body: Mapping[str, object] | None = None

    def curl(self, url: str) -> str:
        """Return the command that sends it."""
        parts = ["curl", "-sS", "-i", f"{url}{self.path}", "-H", f"Authorization: Bearer {self.key}"]
        if self.body is not None:
            parts += ["-H", "content-type: application/json", "-d", json.dumps(self.body, ensure_ascii=False)]
        return shlex.join(parts)


Send = Callable[[Ask], httpx.Response]


@click.command("try")
@click.argument("what", type=click.Choice(["sin", "abroad", "budget", "thumb", "report"]))
def command(what: str) -> None:
    """Show one promise at work against a running demo."""
    demo = read(HOME / "demo.json")
    if demo is None:
        stop("no demo has run in this folder; start one: borderpost demo (or make run)")
    if urlsplit(demo.url).hostname != "localhost":
        stop(f"`{demo.url}` is not on this machine; start the demo again")
    # trust_env: a proxy variable must not send the demo's keys elsewhere.
    with httpx.Client(base_url=demo.url, trust_env=False, timeout=30, follow_redirects=False) as client:

        def send(ask: Ask) -> httpx.Response:
            headers = {"authorization": f"Bearer {ask.key}"}
            return client.request(ask.method, ask.path, headers=headers, json=ask.body)

        try:
            done = TRIES[what](demo, send)
        except httpx.HTTPError as error:
            stop(f"the demo on {demo.url} does not answer ({type(error).__name__}); is it running?", 1)
    sys.exit(0 if done else 1)


def try_sin(demo: Demo, send: Send) -> bool:
    """A SIN in a prompt: answered in Canada, masked before the model saw it."""
    ask = _chat(demo, "teller", "chat", f"My SIN is {SIN}. Which form do I need?")
    answer = _shown(ask, demo, send)
    if answer.status_code != 200:
        return False
    said = _text(answer)
    click.echo(f"\nWhat the model saw comes back in what it says:\n  {said}")
    kept = SIN not in said
    click.echo(f"\nThe SIN {'did not reach' if kept else 'REACHED'} the model.")
    return kept


def try_abroad(demo: Demo, send: Send) -> bool:
    """Client data to a model in the US: refused, with the rule and what to use instead."""
    answer = _shown(_chat(demo, "teller", "chat-pro", "Summarise the file of this client."), demo, send)
    click.echo(f"\n{_error(answer)}")
    return answer.status_code == 403


def try_budget(demo: Demo, send: Send) -> bool:
    """A budget that fits a few long calls: 402, naming the budget and when it resets."""
    ask = _chat(demo, "tiny", "chat", "budgets " * _WORDS)
    click.echo(f"$ {_long_curl(ask, demo.url)}   # until the budget of app tiny ends\n")
    for number in range(1, _MOST_CALLS + 1):
        answer = send(ask)
        cost = answer.headers.get("x-borderpost-cost", "")
        click.echo(f"call {number}: HTTP {answer.status_code} {cost}".rstrip())
        if answer.status_code == 429:
            time.sleep(float(answer.headers.get("retry-after", "1")))
        elif answer.status_code != 200:
            _headers(answer)
            click.echo(f"\n{_error(answer)}")
            return answer.status_code == 402
    click.echo(f"\nNo refusal in {_MOST_CALLS} calls: the budget of app tiny is not small enough to show it.")
    return False


def _long_curl(ask: Ask, url: str) -> str:
    """Return the command that sends a long prompt, letting the shell write it."""
    before, _, after = json.dumps(ask.body).partition("budgets " * _WORDS)
    text = f"$(yes budgets | head -{_WORDS} | tr '\\n' ' ')"
    data = f'{shlex.quote(before)}"{text}"{shlex.quote(after)}'
    head = shlex.join(["curl", "-sS", "-i", f"{url}{ask.path}", "-H", f"Authorization: Bearer {ask.key}"])
    return f"{head} -H 'content-type: application/json' -d {data}"


def try_thumb(demo: Demo, send: Send) -> bool:
    """A rating by the id that every answer carries."""
    answer = _shown(_chat(demo, "teller", "chat", "What are your opening hours?"), demo, send)
    if answer.status_code != 200:
        return False
    rating = {
        "target": answer.headers["x-request-id"],
        "value": "down",
        "comment": "wrong hours, write to anne@example.com",
        "rater": "teller-17",
    }
    click.echo()
    ask = Ask(method="POST", path="/v1/feedback", key=demo.keys["teller"], body=rating)
    done = _shown(ask, demo, send)
    click.echo(f"\n{done.text}\n\nThe comment is kept masked; the rater as a pseudonym.")
    return done.status_code in {200, 201}


def try_report(demo: Demo, send: Send) -> bool:
    """The spend of the month so far."""
    path = "/v1/reports/spend?by=cost_centre,team,app,model,place&format=table"
    answer = _shown(Ask(method="GET", path=path, key=demo.tokens["finance"]), demo, send)
    click.echo(f"\n{answer.text}")
    return answer.status_code == 200


TRIES: Mapping[str, Callable[[Demo, Send], bool]] = {
    "sin": try_sin,
    "abroad": try_abroad,
    "budget": try_budget,
    "thumb": try_thumb,
    "report": try_report,
}


def _chat(demo: Demo, app: str, model: str, text: str) -> Ask:
    if app not in demo.keys:
        stop(f"the demo's policies register no app `{app}`; run it with the starter policies")
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return Ask(method="POST", path="/v1/chat/completions", key=demo.keys[app], body=body)


def _shown(ask: Ask, demo: Demo, send: Send) -> httpx.Response:
    click.echo(f"$ {ask.curl(demo.url)}\n")
    answer = send(ask)
    click.echo(f"HTTP {answer.status_code}")
    _headers(answer)
    return answer


def _headers(answer: httpx.Response) -> None:
    for name, value in answer.headers.items():
        if name in _SHOWN or name.startswith(_OURS):
            click.echo(f"  {name}: {value}")


def _text(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def _error(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text
