"""Alerts and suspensions over a gateway of two workers: told once, suspended on both, cleared by hand."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import orjson
import pytest

from tests.acceptance import bank
from tests.acceptance.commands import admin_tokens, on
from tests.acceptance.running import Running, eventually
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
ASKED: Any = [{"role": "user", "content": "hello"}]


class Hook:
    """A real webhook on loopback that keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], Any]] = []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.got.append(({k.lower(): v for k, v in self.headers.items()}, orjson.loads(body)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def kinds(self) -> list[str]:
        """The kinds told, in order."""
        return [body["type"].removeprefix("borderpost.") for _, body in self.got]

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    """One webhook for the module."""
    made = Hook()
    yield made
    made.close()


@pytest.fixture(scope="module")
def told(
    places: Places, hook: Hook, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, dict[str, str]]]:
    """Two workers; the branch has a hard budget with thresholds, the lab's is soft."""
    folder = tmp_path_factory.mktemp("told")
    files = bank.bundle(places)
    teams = files["teams.yaml"]
    del teams["budget"]
    teams["teams"]["branch"]["budget"] = {"per": "month", "limit": "2.00", "alert_at": [50]}
    teams["teams"]["lab"]["budget"] = {"per": "month", "limit": "5.00", "soft": True}
    # Input is free, an output token is a thousandth: the sums are easy.
    files["prices/all.yaml"] = [bank.price(name, inputs="0.00", outputs="1000.00") for name in places]
    files["alerts.yaml"] = {
        "destinations": {
            "ops": {
                "webhook": {"url": hook.url, "secret": "env:VENDOR_KEY", "private": True},
                "place": "CA-QC",
            }
        }
    }
    bank.write(folder / "policies", files)
    file, tokens = admin_tokens(folder, "admin", "auditor", "finance")
    running = Running(
        folder=folder,
        policies=folder / "policies",
        settings={"BORDERPOST_ADMIN_TOKEN_FILE": str(file), "BORDERPOST_WORKERS": "2"},
    )
    try:
        running.start()
        yield running, tokens
    finally:
        running.kill()


def ask(running: Running, key: str, **more: Any) -> Any:
    """Make one call, without retries."""
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0) as gpt:
        return gpt.chat.completions.create(model="only-ca", messages=ASKED, max_tokens=100, **more)


def test_a_threshold_is_told_once_by_two_workers(
    told: tuple[Running, dict[str, str]], hook: Hook, places: Places
) -> None:
    """Half of the budget is spent: both workers see it, the webhook is told once, signed."""
    running, _ = told
    key = running.key("teller")
    usage = {"prompt_tokens": 5, "completion_tokens": 90, "total_tokens": 95}
    for _ in range(9):
        places["ca"].script(Script(text="ok", usage=usage))
        ask(running, key)
    eventually(lambda: "budget_threshold" in hook.kinds(), 40, lambda: f"told: {hook.kinds()}")
    headers, body = next(each for each in hook.got if each[1]["type"].endswith("budget_threshold"))
    assert headers["webhook-signature"].startswith("v1,")
    assert (body["data"]["budget"], body["data"]["percent"]) == ("team:branch:CAD", 50)
    assert body["data"]["limit"] == "2.00"
    listed = on(running, "alerts", "list")
    assert listed.returncode == 0, listed.stderr
    assert "has passed 50 % of its budget" in listed.stdout
    assert "[sent → ops]" in listed.stdout


def test_a_bill_beyond_the_bound_suspends_for_hard_budgets_everywhere(
    told: tuple[Running, dict[str, str]], hook: Hook, places: Places
) -> None:
    """The lab overruns: the teller may not use that deployment on any worker, until finance clears it."""
    running, tokens = told
    teller, lab = running.keys_of(["teller", "hackathon"])
    beyond = {"prompt_tokens": 5, "completion_tokens": 400, "total_tokens": 405}
    places["ca"].script(Script(text="too much", usage=beyond))
    ask(running, lab)  # 100 were held, 400 are billed: booked all the same
    booked = "SELECT overrun FROM ledger WHERE app = 'hackathon'"
    eventually(lambda: running.rows(booked), 20)
    assert [bool(row["overrun"]) for row in running.rows(booked)] == [True]
    headers = {"authorization": f"Bearer {tokens['finance']}"}
    url = f"{running.url}/v1/admin/suspensions"

    def out() -> bool:
        """Whether every connection, so every worker, refuses the teller now."""
        answers = []
        for _ in range(8):
            try:
                ask(running, teller)
                answers.append(False)
            except openai.InternalServerError as refused:
                answers.append("suspended" in str(refused.body))
        return all(answers)

    eventually(out, 30)
    before = len(places["ca"].seen)
    with pytest.raises(openai.InternalServerError) as refused:
        ask(running, teller)
    told_so: Any = refused.value.body
    assert told_so["code"] == "permitted_models_unavailable"
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert len(places["ca"].seen) == before
    ask(running, lab)  # no hard budget: it may go on
    shown = httpx.get(url, headers=headers, trust_env=False).json()["data"]
    assert [(each["deployment"], each["suspended"]) for each in shown] == [("ca", True)]
    assert httpx.get(f"{running.url}/status", trust_env=False).json()["money"]["suspended"]["ca"]
    eventually(lambda: {"overrun", "deployment_suspended"} <= set(hook.kinds()), 30)
    assert hook.kinds().count("overrun") == 1

    cleared = httpx.delete(f"{url}/ca", headers=headers, trust_env=False)
    assert cleared.status_code == 200

    def back() -> bool:
        try:
            return all(ask(running, teller) for _ in range(6))
        except openai.InternalServerError:
            return False

    eventually(back, 30)


def test_a_sample_is_sent_on_request(told: tuple[Running, dict[str, str]], hook: Hook) -> None:
    """`borderpost alerts test` reaches the destination through the same guard."""
    running, _ = told
    done = on(running, "alerts", "test", "--to", "ops")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "ops: taken"
    assert hook.kinds()[-1] == "test"
    wrong = on(running, "alerts", "test", "--to", "nobody")
    assert wrong.returncode == 2
    assert "there are: ops" in wrong.stderr


def test_where_alerts_go_is_listed_as_egress(told: tuple[Running, dict[str, str]], hook: Hook) -> None:
    """The list of origins has it, with its place."""
    running, _ = told
    done = on(running, "egress")
    (line,) = [line for line in done.stdout.splitlines() if " alert " in line]
    assert hook.url.removesuffix("/hook") in line
    assert line.split()[-2:] == ["ops", "CA-QC"]


def test_a_vendor_that_ran_elsewhere_is_told(
    told: tuple[Running, dict[str, str]], hook: Hook, places: Places
) -> None:
    """The last test of this module: the deployment is out after it."""
    running, _ = told
    places["ca"].script(Script(headers=(("x-ms-region", "East US"),)))
    ask(running, running.key("hackathon"))
    eventually(lambda: "place_mismatch" in hook.kinds(), 40, lambda: f"told: {hook.kinds()}")
    body = next(body for _, body in hook.got if body["type"].endswith("place_mismatch"))
    assert (body["data"]["deployment"], body["data"]["reported"]) == ("ca", "US")
