"""The newcomer: ``borderpost demo`` and every ``borderpost try``, with a vendor's key lying around."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from tests.acceptance.running import eventually, free_port

STARTER = Path(__file__).parents[2] / "policies"
LYING_AROUND = "sk-" + "not-for-the-demo-0123456789"
SIN = "046 454" + " 286"


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A person in an empty folder, with a demo that runs and a second terminal."""

    folder: Path
    environment: dict[str, str]
    greeting: str
    process: subprocess.Popen[bytes]

    def types(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the second terminal."""
        return subprocess.run(
            [sys.executable, "-m", "gateway.cli", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def pasted(self) -> dict[str, str]:
        """The variables that the greeting asks to paste."""
        return dict(re.findall(r"((?:OPENAI|ANTHROPIC)_(?:BASE_URL|API_KEY))=(\S+?)(?=[\s)])", self.greeting))


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """The starter policies on free ports; vendors' keys in the environment."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(STARTER, folder / "policies")
    connections = folder / "policies" / "connections.yaml"
    moved = connections.read_text()
    for port in range(8090, 8094):
        moved = moved.replace(f":{port}", f":{free_port()}")
    connections.write_text(moved)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(STARTER.parent),
        "OPENAI_API_KEY": LYING_AROUND,
        "ANTHROPIC_API_KEY": LYING_AROUND,
    }
    port = free_port()
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "demo", "--port", str(port)],
            cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        eventually(lambda: ready(port), 60, log.read_text)
        yield Newcomer(folder, environment, log.read_text(), process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def ready(port: int) -> bool:
    """Whether the demo serves."""
    try:
        return httpx.get(f"http://localhost:{port}/readyz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_greeting_can_be_pasted(newcomer: Newcomer) -> None:
    """The printed variables work as they are, in both SDKs, with the model names that apps send."""
    pasted = newcomer.pasted
    with openai.OpenAI(base_url=pasted["OPENAI_BASE_URL"], api_key=pasted["OPENAI_API_KEY"]) as gpt:
        answer = gpt.chat.completions.create(
            model="gpt-4.1-mini", messages=[{"role": "user", "content": "Where do you run?"}]
        )
        assert "demo-ca-qc" in (answer.choices[0].message.content or "")
        assert gpt.embeddings.create(model="text-embedding-3-small", input="a letter").data
        assert gpt.responses.create(model="chat", input="bonjour").output_text
    with anthropic.Anthropic(
        base_url=pasted["ANTHROPIC_BASE_URL"], api_key=pasted["ANTHROPIC_API_KEY"]
    ) as claude:
        message = claude.messages.create(
            model="claude", max_tokens=60, messages=[{"role": "user", "content": "Where do you run?"}]
        )
    assert message.content[0].type == "text"
    assert "demo-ca-on" in message.content[0].text


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            "sin",
            [
                "HTTP 200",
                "x-borderpost-place: CA-QC",
                "x-borderpost-masked: sin=1",
                "did not reach the model",
            ],
        ),
        ("abroad", ["HTTP 403", "Refused by CA-1", "'chat-pro' may run in the US", "Use model 'chat'"]),
        ("budget", ["call 3: HTTP 200", "HTTP 402", "It resets at", "retry-after:"]),
        ("thumb", ["HTTP 201", '"comment":"masked"']),
        ("report", ["Spend · maple-bank", "TOTAL", "4410"]),
    ],
)
def test_each_try_shows_its_promise(newcomer: Newcomer, what: str, said: list[str]) -> None:
    """It prints a curl, does it, ends with 0, and shows what it promises."""
    done = newcomer.types("try", what)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\$ curl -sS -i '?http://localhost:", done.stdout, re.MULTILINE)
    for words in said:
        assert words in done.stdout


def test_the_printed_curl_runs(newcomer: Newcomer) -> None:
    """What is printed is a command, quoted for a shell."""
    curl = next(line for line in newcomer.types("try", "sin").stdout.splitlines() if line.startswith("$ "))
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    done = subprocess.run(
        ["bash", "-c", curl[2:]], capture_output=True, text=True, timeout=30, check=False, cwd=newcomer.folder
    )
    assert "HTTP/1.1 200" in done.stdout
    assert "[SIN]" in done.stdout
    assert "My SIN is [SIN]" in done.stdout


def test_a_vendors_key_that_lies_around_is_not_used(newcomer: Newcomer) -> None:
    """The greeting says so by name; the key is in no file that the demo wrote, and not in the greeting."""
    assert "Not used: OPENAI_API_KEY, ANTHROPIC_API_KEY in your environment" in newcomer.greeting
    assert LYING_AROUND not in newcomer.greeting
    written = b"".join(
        path.read_bytes() for path in (newcomer.folder / ".borderpost").rglob("*") if path.is_file()
    )
    assert LYING_AROUND.encode() not in written


def test_a_connection_cannot_read_the_key_that_lies_around(newcomer: Newcomer) -> None:
    """Even a connection that names the variable does not get it: the call is refused, nothing is sent."""
    connections = newcomer.folder / "policies" / "connections.yaml"
    before = connections.read_text()
    connections.write_text(
        before.replace("model: demo-maple\n", "model: demo-maple\n    secret: env:OPENAI_API_KEY\n")
    )
    pasted = newcomer.pasted
    try:
        with openai.OpenAI(
            base_url=pasted["OPENAI_BASE_URL"], api_key=pasted["OPENAI_API_KEY"], max_retries=0
        ) as gpt:

            def without_a_secret() -> bool:
                try:
                    gpt.embeddings.create(model="embed", input="x")
                except openai.APIStatusError as refused:
                    return LYING_AROUND not in refused.response.text
                return False

            eventually(without_a_secret, 5)
    finally:
        connections.write_text(before)
        eventually(lambda: newcomer.types("try", "sin").returncode == 0, 10)


def test_files_are_the_owners_alone(newcomer: Newcomer) -> None:
    """Keys and tokens of the demo can be read by nobody else."""
    for name in ("demo.json", "admin.tokens"):
        assert (newcomer.folder / ".borderpost" / name).stat().st_mode & 0o077 == 0


def test_a_second_demo_says_what_is_in_its_way(newcomer: Newcomer) -> None:
    """The port is taken: one sentence, no greeting that would send a newcomer to the wrong place."""
    port = re.search(r"localhost:(\d+)/v1", newcomer.greeting)
    assert port is not None
    done = newcomer.types("demo", "--port", port[1])
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "export OPENAI_BASE_URL" not in done.stdout
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_it(newcomer: Newcomer, as_typed: Callable[[], None]) -> None:
    """Ctrl-C drains and ends with no traceback. The last test of the module."""
    as_typed()
    assert newcomer.process.wait(20) in {0, -signal.SIGINT, 130}
    assert "Traceback" not in (newcomer.folder / "log").read_text()


@pytest.fixture
def as_typed(newcomer: Newcomer) -> Callable[[], None]:
    """Press Ctrl-C: the whole foreground group gets the signal, as from a terminal."""
    return lambda: os.killpg(newcomer.process.pid, signal.SIGINT)
