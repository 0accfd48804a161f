"""The whole gateway beside a bare pass-through and, where it is installed, nginx.

    python -m bench                     # about two minutes
    python -m bench --rounds 5 --seconds 5
    python -m bench --only stream --out result.json

Each target runs on one core, load and upstream on the other, in interleaved rounds, and
the median is shown. CPU per call is the figure to look at: it is the user and system time of
the target's whole family of processes, all threads, divided by calls, so that other work on the
machine moves it least. It is read a moment after the load, so that what a call leaves to be done
(the journal's way into the ledger) is counted too. The ratio to the pass-through of the same round
moves less still.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import orjson

HERE = Path(__file__).parent
ROOT = HERE.parent
PYTHON = sys.executable

UPSTREAM_PORT = 9100
SETTLE_S = 1.5  # what runs beside the calls catches up within a second
TARGET_CORE, LOAD_CORE = "0", "1"

# An address and a card that passes its checksum, put together here so that no scanner takes this
# file for a leak: they become tokens in the prompt, and the reply is looked through for them.
PERSONAL = "Write to anna.tremblay" + "@example.com about card " + "4111 1111" + " 1111 1111. "

TARGETS = {  # what issue 2 asks of the gateway, for the table
    "plain 200 B": "≤ 350 µs",
    "plain 8 KB": "",
    "stream metered": "≤ 80 ms",
    "stream restored": "≤ 120 ms",
}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One kind of load."""

    name: str
    args: tuple[str, ...]
    stream: bool = False


SCENARIOS = (
    Scenario(name="plain 200 B", args=("--bytes", "200", "--connections", "16")),
    Scenario(name="plain 8 KB", args=("--bytes", "8192", "--connections", "16")),
    Scenario(name="stream metered", args=("--bytes", "200", "--connections", "4", "--stream"), stream=True),
    Scenario(
        name="stream restored",
        args=("--bytes", "200", "--connections", "4", "--stream", "--text", PERSONAL),
        stream=True,
    ),
)


@dataclass(kw_only=True)
class Target:
    """One server under load."""

    name: str
    port: int
    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    key: str = "none"
    process: subprocess.Popen[bytes] | None = None
    ready_s: float = 0.0
    idle_mb: float = 0.0

    @property
    def pids(self) -> list[int]:
        """The process and all its descendants (workers, detectors; nginx serves from a child)."""
        assert self.process is not None
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parent = int(entry.read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.parent.name))
        found = [self.process.pid]
        for pid in found:  # grows while it is walked
            found += children.get(pid, [])
        return found

    def cpu_s(self) -> float:
        """User and system time so far of the whole family, all threads, ended children included."""
        ticks = 0
        for pid in self.pids:
            with contextlib.suppress(OSError):
                parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(int(part) for part in parts[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Resident memory."""
        total = 0
        for pid in self.pids:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    total += int(line.split()[1])
        return total / 1024


def pinned(core: str, command: list[str]) -> list[str]:
    """Run a command on one core, where the machine lets us."""
    return ["taskset", "-c", core, *command] if shutil.which("taskset") else command


def wait_ready(target: Target) -> None:
    """Wait until the target answers; notes how long that took and what it weighs then."""
    began = time.perf_counter()
    while True:
        assert target.process is not None
        if target.process.poll() is not None:
            raise SystemExit(f"{target.name} ended with {target.process.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{target.port}/readyz", timeout=1):
                break
        except urllib.error.HTTPError as error:
            if error.code == 404:
                break
        except OSError:
            pass
        if time.perf_counter() - began > 60:
            raise SystemExit(f"{target.name} is not ready after 60 s")
        time.sleep(0.01)
    target.ready_s = time.perf_counter() - began
    time.sleep(2)
    target.idle_mb = target.rss_mb()


def gateway(folder: Path) -> Target:
    """Prepare the gateway with every control on, but without language models."""
    env = {
        "BORDERPOST_LISTEN": "127.0.0.1:9101",
        "BORDERPOST_DATA_DIR": str(folder / "gateway"),
        "BORDERPOST_POLICIES": str(HERE / "policies"),
        "BORDERPOST_PLACE": "CA-QC",
        "BORDERPOST_LOG_LEVEL": "warning",
    }
    made = subprocess.run(
        [PYTHON, "-m", "gateway.cli", "keys", "create", "bench"],
        env=os.environ | env, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    key = made.stdout.split()[0]
    return Target(name="gateway", port=9101, command=[PYTHON, "-m", "gateway.cli", "serve"], env=env, key=key)


def passthrough(folder: Path) -> Target:
    """Prepare the bare pass-through."""
    command = [PYTHON, "-m", "bench.passthrough", "--port", "9102", "--data", str(folder / "pass")]
    return Target(name="pass-through", port=9102, command=command)


def nginx(folder: Path) -> Target:
    """Prepare nginx with one worker."""
    config = folder / "nginx.conf"
    config.write_text(
        f"worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n"
        "events { worker_connections 1024; }\n"
        "http { access_log off; keepalive_requests 1000000000;\n"
        f"  upstream model {{ server 127.0.0.1:{UPSTREAM_PORT}; keepalive 64;\n"
        "    keepalive_requests 1000000000; }\n"
        "  server { listen 127.0.0.1:9103; client_max_body_size 8m; location /readyz { return 200; }\n"
        "    location / { proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection '';\n"
        "      proxy_buffering off; } } }\n"
    )
    return Target(name="nginx", port=9103, command=["nginx", "-c", str(config)])


def one_load(target: Target, scenario: Scenario, seconds: float) -> dict[str, float]:
    """Load a target once; returns CPU per call and what the load saw."""
    url = f"http://127.0.0.1:{target.port}/v1/chat/completions"
    command = [PYTHON, str(HERE / "load.py"), "--url", url, "--key", target.key, "--seconds", str(seconds)]
    before = target.cpu_s()
    done = subprocess.run(
        pinned(LOAD_CORE, [*command, *scenario.args]), check=True, stdout=subprocess.PIPE, cwd=ROOT
    )
    time.sleep(SETTLE_S)
    spent = target.cpu_s() - before
    seen = orjson.loads(done.stdout)
    if seen["failed"] or not seen["calls"]:
        raise SystemExit(f"{target.name}, {scenario.name}: {seen}")
    seen["cpu_us_per_call"] = spent / seen["calls"] * 1e6
    if scenario.stream:
        seen["cpu_ms_per_1000_chunks"] = spent / seen["events"] * 1e6
    return seen


def stop(process: subprocess.Popen[bytes] | None) -> None:
    """End a process that this script started."""
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def table(results: dict[str, dict[str, list[dict[str, float]]]], targets: list[Target]) -> None:
    """Print the medians."""
    print(
        f"\n{'':18}{'':14}{'CPU':>12}{'ratio':>8}{'calls/s':>10}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'first ms':>10}  asked"
    )
    for scenario, by_target in results.items():
        for target in targets:
            runs = by_target[target.name]

            def median(name: str, runs: list[dict[str, float]] = runs) -> float:
                return statistics.median(run[name] for run in runs)

            if "cpu_ms_per_1000_chunks" in runs[0]:
                cost = f"{median('cpu_ms_per_1000_chunks'):.1f} ms/1k"
            else:
                cost = f"{median('cpu_us_per_call'):.0f} µs"
            bare = by_target.get("pass-through", runs)
            ratio = statistics.median(
                run["cpu_us_per_call"] / other["cpu_us_per_call"]
                for run, other in zip(runs, bare, strict=True)
            )
            asked = TARGETS[scenario] if target.name == "gateway" else ""
            print(
                f"{scenario:18}{target.name:14}{cost:>12}{ratio:>8.2f}{median('per_second'):>10.0f}"
                f"{median('p50_ms'):>9.2f}{median('p99_ms'):>9.2f}{median('first_p50_ms'):>10.2f}  {asked}"
            )
    print()
    for target in targets:
        asked = "asked: ≤ 1.5 s, ≤ 120 MB" if target.name == "gateway" else ""
        print(f"{target.name:14} ready in {target.ready_s:.2f} s, idle {target.idle_mb:.0f} MB  {asked}")


def main() -> None:
    """Run all rounds and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--targets", default="gateway,pass-through,nginx")
    parser.add_argument("--out", type=Path, help="write every run as JSON")
    parser.add_argument("--no-stages", action="store_true")
    args = parser.parse_args()
    scenarios = [scenario for scenario in SCENARIOS if args.only in scenario.name]
    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    targets: list[Target] = []
    upstream = None
    before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        try:
            upstream = subprocess.Popen(
                pinned(LOAD_CORE, [PYTHON, str(HERE / "upstream.py"), "--port", str(UPSTREAM_PORT)]), cwd=ROOT
            )
            makers = {"gateway": gateway, "pass-through": passthrough, "nginx": nginx}
            for wanted in args.targets.split(","):
                if wanted == "nginx" and shutil.which("nginx") is None:
                    print("nginx is not installed: left out")
                    continue
                target = makers[wanted](folder)
                target.process = subprocess.Popen(
                    pinned(TARGET_CORE, target.command), cwd=ROOT, env=os.environ | target.env
                )
                targets.append(target)
                wait_ready(target)
            for target in targets:
                for scenario in scenarios:
                    one_load(target, scenario, 0.5)  # warm up
            for number in range(args.rounds):
                for scenario in scenarios:
                    for target in targets:
                        print(f"round {number + 1}: {scenario.name}, {target.name}", file=sys.stderr)
                        seen = one_load(target, scenario, args.seconds)
                        results.setdefault(scenario.name, {}).setdefault(target.name, []).append(seen)
        finally:
            for target in targets:
                stop(target.process)
            stop(upstream)
    table(results, targets)
    now = " ".join(f"{load:.1f}" for load in os.getloadavg())
    then = " ".join(f"{load:.1f}" for load in before)
    print(f"load average {then} before, {now} after, on {os.cpu_count()} cores (ratio: to the pass-through)")
    if args.out:
        args.out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    if not args.no_stages:
        print()
        subprocess.run(pinned(TARGET_CORE, [PYTHON, "-m", "bench.stages"]), cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
