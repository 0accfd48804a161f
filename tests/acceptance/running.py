"""A real gateway process over a policy folder, for the acceptance suites.

``Running`` starts ``borderpost serve`` with its own data folder, waits until it is ready,
makes keys on its database, and stops or kills it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gateway.adapters.keys import mint
from gateway.adapters.store_sql import keys as key_rows
from gateway.adapters.store_sql.engine import Store


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(true: Callable[[], object], wait_s: float, why: Callable[[], str] = lambda: "") -> None:
    """Poll until something is true; raises AssertionError with ``why`` when time is up."""
    until = time.monotonic() + wait_s
    while not true():
        if time.monotonic() > until:
            raise AssertionError(why() or "it did not become true in time")
        time.sleep(0.05)


@dataclass
class Running:
    """One gateway process family."""

    folder: Path
    policies: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    tenant: str = "maple-bank"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    program: tuple[str, ...] = ("-m", "gateway.cli")  # what Python runs; clock.py moves its time
    beside: str | None = None  # the database's URL for the test itself, where the process has another

    @property
    def url(self) -> str:
        """The base URL without ``/v1``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def log(self) -> str:
        """What the process has written to its log so far."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    @property
    def database_url(self) -> str:
        """The database of the process."""
        if self.beside is not None:
            return self.beside
        return self.settings.get("BORDERPOST_DATABASE_URL", f"sqlite:///{self.data / 'borderpost.db'}")

    def start(self, wait_s: float = 40.0) -> Running:
        """Start, and wait until ready (0: do not wait)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "VENDOR_KEY": "vendor-" + "key-of-the-bank",
            "BORDERPOST_LISTEN": f"127.0.0.1:{self.port}",
            "BORDERPOST_DATA_DIR": str(self.data),
            "BORDERPOST_POLICIES": str(self.policies),
            "BORDERPOST_PLACE": "CA-QC",
            "BORDERPOST_DETECTORS_MODE": "inline",
            "BORDERPOST_DRAIN_S": "3",
            **self.settings,
        }
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "serve"],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait_s:
            self.wait_ready(wait_s)
        return self

    def wait_ready(self, wait_s: float = 40.0) -> None:
        """Wait until ``/readyz`` says 200; raises with the log when it does not."""
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            if self.process is not None and self.process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the gateway did not become ready:\n{self.log[-4000:]}")

    def key(self, app: str, **more: object) -> str:
        """Make a key of an app and wait until every worker knows it."""
        return self.keys(app, 1, **more)[0]

    def keys(self, app: str, count: int, **more: object) -> list[str]:
        """Make keys of an app and wait until every worker knows the last one."""
        return self.keys_of([app] * count, **more)

    def keys_of(self, apps: Sequence[str], **more: object) -> list[str]:
        """Make a key for each app named and wait until every worker knows the last one."""
        store = Store(self.database_url)
        made: list[str] = []
        try:
            with store.write() as connection:
                for app in apps:
                    presented, row = mint(
                        tenant=self.tenant,
                        app=app,
                        now=time.time_ns(),
                        by="tests",
                        **more,  # type: ignore[arg-type]
                    )
                    key_rows.add(connection, row)
                    made.append(presented)
        finally:
            store.close()
        self.wait_known(made[-1])
        return made

    def wait_known(self, presented: str) -> None:
        """Wait until every worker knows a key."""
        known = 0
        until = time.monotonic() + 10
        # Each request on a connection of its own: which worker takes it is the kernel's choice.
        while known < (1 if self.settings.get("BORDERPOST_WORKERS", "1") == "1" else 12):
            if time.monotonic() > until:
                raise RuntimeError("a new key did not become known")
            got = httpx.get(
                f"{self.url}/v1/models", headers={"authorization": f"Bearer {presented}"}, trust_env=False
            )
            known = known + 1 if got.status_code == 200 else 0
            if known == 0:
                time.sleep(0.1)

    def stop(self) -> int:
        """Stop it in good order and return the exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """Kill the whole family, as a power cut of the process would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    def rows(self, statement: str) -> list[dict[str, object]]:
        """Return the rows of a query over the database."""
        from sqlalchemy import text

        store = Store(self.database_url)
        try:
            with store.read() as connection:
                return [dict(row) for row in connection.execute(text(statement)).mappings()]
        finally:
            store.close()

    def ledger(self, count: int = 1, wait_s: float = 8.0) -> list[dict[str, object]]:
        """Return the ledger's rows once there are ``count`` of them, oldest first."""
        return self._eventually("SELECT * FROM ledger ORDER BY started_us, attempt_id", count, wait_s)

    def records(self, count: int = 1, wait_s: float = 8.0) -> list[dict[str, object]]:
        """Return the call records once there are ``count`` of them, oldest first."""
        return self._eventually("SELECT * FROM records ORDER BY received_us", count, wait_s)

    def _eventually(self, statement: str, count: int, wait_s: float) -> list[dict[str, object]]:
        until = time.monotonic() + wait_s
        rows = self.rows(statement)
        while len(rows) < count and time.monotonic() < until:
            time.sleep(0.1)
            rows = self.rows(statement)
        return rows

    def windows(self, like: str = "%") -> dict[str, tuple[int, int]]:
        """Return committed and spent per budget: what is committed beyond spend is held."""
        rows = self.rows(
            "SELECT w.budget, w.committed, COALESCE(SUM(s.spent), 0) AS spent FROM budget_windows w "
            'LEFT JOIN slices s ON s.budget = w.budget AND s."window" = w."window" '
            f"WHERE w.budget LIKE '{like}' GROUP BY w.budget, w.\"window\", w.committed"
        )
        return {str(r["budget"]): (int(str(r["committed"])), int(str(r["spent"]))) for r in rows}

    def held(self) -> dict[str, int]:
        """Return what is held or leased per budget, where that is not nothing."""
        return {name: c - spent for name, (c, spent) in self.windows().items() if c != spent}

    def wait_nothing_held(self, wait_s: float = 10.0) -> None:
        """Wait until no budget holds anything; raises with what is still held."""
        eventually(lambda: not self.held(), wait_s, lambda: f"still held: {self.held()}")

    def worker(self) -> dict[str, Any]:
        """Return what a lone worker says of itself."""
        status: dict[str, Any] = httpx.get(f"{self.url}/status", trust_env=False).json()
        return dict(status["worker"])

    def open_holds(self) -> int:
        """Return how many attempts of a lone worker hold something right now."""
        return int(self.worker()["held"])

    def wait_projected(self, wait_s: float = 8.0) -> None:
        """Wait until the tables hold all that a lone worker has journalled."""
        eventually(lambda: self.worker()["journal_lag"] == 0, wait_s)

    def wait_no_open_hold(self, wait_s: float = 5.0) -> None:
        """Wait until no attempt of a lone worker holds anything."""
        eventually(lambda: self.open_holds() == 0, wait_s, lambda: f"{self.open_holds()} holds are open")

    def everything_written(self) -> bytes:
        """Return every byte that the process wrote: journal, database, logs."""
        parts = [self.log.encode()]
        parts += [
            path.read_bytes()
            for path in sorted(self.data.rglob("*"))
            if path.is_file() and "vault" not in path.parts
        ]
        return b"\n".join(parts)


@contextmanager
def gateway(folder: Path, policies: Path, **settings: str) -> Iterator[Running]:
    """Run a gateway for a block; ``settings`` are BORDERPOST_ variables without the prefix."""
    named = {f"BORDERPOST_{name.upper()}": value for name, value in settings.items()}
    running = Running(folder=folder, policies=policies, settings=named)
    try:
        yield running.start()
    finally:
        running.kill()
