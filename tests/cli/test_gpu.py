"""`borderpost gpu`: what a platform engineer and finance type, on a real installation's files and database."""

# ruff: noqa: E501 (files, rows and sentences stand whole, as people read them)

from __future__ import annotations

import http.server
import random
import sys
import threading
import time

import pytest
import yaml
from click.testing import CliRunner

from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.schema import migrate
from gateway.cli import main
from gateway.core.gpu import hour_of
from gateway.core.gpu_pools import HOUR_US
from tests.adapters.gpu_bank import MINUTE, served, write
from tests.policy.pools import FILES, POOLS


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder of policies and a database."""
    policies = tmp_path / "policies"
    (policies / "prices").mkdir(parents=True)
    for kind, text in FILES.items():
        folder = policies / "prices" if kind in {"fx", "prices"} else policies
        (folder / f"{kind}.yaml").write_text(text)
    monkeypatch.setenv("BORDERPOST_POLICIES", str(policies))
    monkeypatch.setenv("BORDERPOST_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BORDERPOST_DATABASE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    return tmp_path


def run(*words, code=0):
    """Run the command; its output."""
    result = CliRunner().invoke(main, ["gpu", *words])
    assert result.exit_code == code, result.output
    return result.output


def ledgered(home, hours_ago=3):
    """A call on the pool some hours ago; the start of its hour in µs."""
    start = hour_of(time.time_ns() // 1000) - hours_ago * HOUR_US
    store = Store(f"sqlite:///{home / 'state.db'}")
    migrate(store)
    write(
        store,
        served("a", start + MINUTE, 6 * MINUTE, input=900, output=800),
        served("b", start + 2 * MINUTE, 4 * MINUTE, team="lab", app="hackathon", input=90_000, output=8),
    )
    store.close()
    return start


def test_the_pools_are_listed_with_what_they_cost_and_how_far_they_are_booked(home):
    """Engine, place, replicas, rate, coefficients, and the last booked hour."""
    said = run("pools")
    assert "llama-ca  vllm in CA-QC, for own-llama" in said
    assert "2 replicas of 4 GPUs; 2.85 USD per GPU-hour, amortised" in said or "3.10 USD" in said
    assert "prefill 31.5, decode 42, step 9800.25, kv 0 (measured 2026-11-20, measured)" in said
    assert "no hour yet" in said
    ledgered(home)
    run("close")
    assert "through the hour of" in run("pools")


def test_closing_books_what_is_due_once(home):
    """Two hours are due; a second run finds nothing; an earlier day is booked when it is said."""
    start = ledgered(home)
    said = run("close")
    assert said.count("8.000000 GPU-hours") in {2, 3}
    assert "0.666667 used" in said
    assert run("close") == "nothing is due\n"
    earlier = time.strftime("%Y-%m-%d", time.gmtime(start // 1_000_000 - 86_400))
    assert run("close", "--since", earlier).count("GPU-hours") >= 24
    assert run("close", "--since", earlier) == "nothing is due\n"


def test_doing_it_again_needs_days_and_books_differences(home):
    """Without days it is refused with an example; with them the closed hours are split again, once."""
    start = ledgered(home)
    run("close")
    day = time.strftime("%Y-%m-%d", time.gmtime(start // 1_000_000))
    assert "--from 2026-11-01 --to 2026-11-30" in run("close", "--again", "llama-ca", code=2)
    assert "write it as 2026-11-30" in run("close", "--since", "yesterday", code=2)
    assert "no pool `lama`; known: llama-ca" in run(
        "close", "--again", "lama", "--from", day, "--to", day, code=2
    )
    pools = home / "policies" / "pools.yaml"
    pools.write_text(POOLS.replace('"9800.25"', '"4000"'))
    days = ("--again", "llama-ca", "--from", day, "--to", day)
    assert "(split again)" in run("close", *days)
    assert run("close", *days) == "nothing is due\n"


def test_what_cannot_be_closed_ends_with_why(home):
    """No exchange rate for that day: status 1 and the fix."""
    ledgered(home)
    (home / "policies" / "prices" / "fx.yaml").write_text(FILES["fx"].replace("2026-01-01", "2036-01-01"))
    assert "add the rate to prices/fx.yaml" in run("close", code=1)


class Engine(http.server.BaseHTTPRequestHandler):
    """A vLLM whose counters move as an engine with known costs would move them."""

    def do_GET(self):
        body = self.server.next().encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def engine():
    """Its port. Between two readings it made as many steps as its costs and the time allow."""
    chance = random.Random(4)  # noqa: S311 (made-up load)
    state = {"at": time.monotonic(), "steps": 0.0, "prompt": 0.0, "made": 0.0}

    def counters():
        now = time.monotonic()
        passed, state["at"] = now - state["at"], now
        running, per_step = chance.randrange(1, 50), chance.randrange(0, 150)
        steps = passed * 1e6 / (9_000 + 40 * running + 30 * per_step)
        state["steps"] += steps
        state["prompt"] += steps * per_step
        state["made"] += steps * running
        return (
            f"vllm:iteration_tokens_total_count {state['steps']}\nvllm:prompt_tokens_total {state['prompt']}\n"
            f"vllm:generation_tokens_total {state['made']}\nvllm:num_requests_running {running}\n"
        )

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    server.next = counters
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_calibrating_prints_what_to_paste(home, engine):
    """The costs of the engine, as YAML that pools.yaml takes, with how far to trust them."""
    pools = POOLS.replace("https://gpu-1.example.com:8000/metrics", f"http://127.0.0.1:{engine}/metrics")
    second = pools[pools.index("      - {name: r2") : pools.index("    rate:")]
    (home / "policies" / "pools.yaml").write_text(pools.replace(second, ""))
    said = run("calibrate", "llama-ca", "--seconds", "6", "--every", "0.1")
    found = yaml.safe_load(said[said.index("    calibration:") :])["calibration"]
    # How near it comes on exact counters is shown in test_gpu_fit; here the machine's own jitter counts too.
    assert 4_000 < float(found["step_us"]) < 20_000
    assert 5 < float(found["prefill_us"]) < 120
    assert "confidence" in said
    old = pools[pools.index("    calibration:") : pools.index("    idle:")]
    block = said[said.index("    calibration:") :].rstrip("\n") + "\n"
    (home / "policies" / "pools.yaml").write_text(pools.replace(second, "").replace(old, block))
    assert "borderpost gpu calibrate:" in run("pools")


def test_calibrating_says_why_it_cannot(home):
    """An engine that does not answer, an unknown pool."""
    pools = POOLS.replace("https://gpu-1.example.com:8000/metrics", "http://127.0.0.1:9/metrics")
    second = pools[pools.index("      - {name: r2") : pools.index("    rate:")]
    (home / "policies" / "pools.yaml").write_text(pools.replace(second, ""))
    assert "does not answer" in run("calibrate", "llama-ca", "--seconds", "0", code=1)
    assert "no pool `x`" in run("calibrate", "x", code=2)


def test_without_numpy_the_fix_is_said(home, monkeypatch):
    """A lean installation lacks the arithmetic: which extra brings it."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    monkeypatch.delitem(sys.modules, "gateway.adapters.gpu_fit", raising=False)
    monkeypatch.delitem(sys.modules, "gateway.adapters.engine_metrics", raising=False)
    assert "install borderpost[reports]" in run("calibrate", "llama-ca", code=2)


def test_without_pools_it_says_so(home):
    """An installation without GPUs of its own."""
    (home / "policies" / "pools.yaml").unlink()
    assert run("pools") == "no pools: pools.yaml declares none\n"
