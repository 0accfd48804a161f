"""The auditor: a copy of the journal, one command, nothing else; every tampering shows, no content does."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest

from tests.acceptance import bank
from tests.acceptance.commands import borderpost, on
from tests.acceptance.running import Running
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
SIN = "046 454" + " 286"
SAID = "Zoltan Quenneville asks about his mortgage"


@pytest.fixture(scope="module")
def evidence(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """A gateway that served, refused and failed, was asked for feedback, and was stopped in good order."""
    folder = tmp_path_factory.mktemp("evidence")
    bank.write(folder / "policies", bank.bundle(places))
    running = Running(folder=folder, policies=folder / "policies")
    try:
        running.start()
        yield Evidence(running, places)
    finally:
        running.kill()


class Evidence:
    """The journal of a gateway after some calls."""

    def __init__(self, running: Running, places: Places) -> None:
        made = on(running, "keys", "create", "teller", "--label", "front desk")
        self.key = made.stdout.strip()
        running.wait_known(self.key)
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key=self.key, max_retries=0) as gpt:
            ask = gpt.chat.completions.with_raw_response
            said = f"{SAID}, SIN {SIN}, mail zoltan@maple.example"
            for model in ("chat", "only-ca-on"):
                raw = ask.create(model=model, messages=[{"role": "user", "content": said}], user="zoltan.q")
            for part in gpt.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": said}], stream=True
            ):
                assert part.id
            with pytest.raises(openai.PermissionDeniedError):
                ask.create(model="chat-pro", messages=[{"role": "user", "content": said}])
            places["ca"].script(Script(status=500))
            with pytest.raises(openai.InternalServerError):
                ask.create(model="only-ca", messages=[{"role": "user", "content": said}])
            rated = gpt.post(
                "/feedback",
                cast_to=object,
                body={
                    "target": raw.headers["x-request-id"],
                    "value": "down",
                    "comment": said,
                    "rater": "Zoltan",
                },
            )
        assert rated
        running.ledger(4)
        assert running.stop() == 0
        self.running = running
        self.journal = running.data / "journal"

    def copy(self, to: Path) -> Path:
        """Copy the journal, as an auditor gets it."""
        return Path(shutil.copytree(self.journal, to / "journal"))


def verify(folder: Path) -> tuple[int, str, str]:
    """Run ``audit verify`` with nothing but the copy."""
    done = borderpost("audit", "verify", "--data", folder)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def longest(folder: Path) -> Path:
    """Return the file of the chain with most entries: the gateway's own."""
    return max(folder.rglob("*.jsonl"), key=lambda file: len(file.read_bytes()))


def change(file: Path, how: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change the lines of a file."""
    file.write_bytes(b"".join(how(file.read_bytes().splitlines(keepends=True))))


def test_a_copy_verifies(evidence: Evidence, tmp_path: Path) -> None:
    """The untouched copy is whole; the command needs no settings, database or secret, and changes nothing."""
    folder = evidence.copy(tmp_path)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    status, out, err = verify(folder)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].endswith("entries: whole")
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_a_flipped_bit_shows(evidence: Evidence, tmp_path: Path) -> None:
    """One changed character anywhere in an entry breaks the chain at that line."""
    folder = evidence.copy(tmp_path)
    file = longest(folder)

    def flip(lines: list[bytes]) -> list[bytes]:
        at = lines[3].index(b'"app":"teller"') + len(b'"app":"')
        lines[3] = lines[3][:at] + b"T" + lines[3][at + 1 :]
        return lines

    change(file, flip)
    status, out, err = verify(folder)
    assert status == 1
    assert "NOT whole" in out
    assert file.name in err
    # Line 5 holds the hash of the true line 4.
    assert any(f":{line}" in err for line in (4, 5))


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("a dropped entry", lambda lines: [*lines[:4], *lines[5:]]),
        ("swapped entries", lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]]),
        ("a repeated entry", lambda lines: [*lines[:5], lines[4], *lines[5:]]),
        ("the first entry gone", lambda lines: lines[1:]),
        ("half an entry", lambda lines: [*lines[:6], lines[6][:40]]),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_dropping_and_reordering_show(
    evidence: Evidence, tmp_path: Path, what: str, how: Callable[[list[bytes]], list[bytes]]
) -> None:
    """Whatever is done to the order of entries is found, with the file and the line."""
    folder = evidence.copy(tmp_path)
    file = longest(folder)
    change(file, how)
    status, out, err = verify(folder)
    assert status == 1, what
    assert "NOT whole" in out
    assert f"{file.name}:" in err


def test_a_cut_end_is_no_longer_sealed(evidence: Evidence, tmp_path: Path) -> None:
    """Entries cut from the very end leave a chain without its seal, and the answer says what that means."""
    folder = evidence.copy(tmp_path)
    file = longest(folder)
    assert any(line.endswith("closed") for line in verify(folder)[1].splitlines() if file.parent.name in line)
    change(file, lambda lines: lines[:-2])
    status, out, _ = verify(folder)
    (mine,) = [line for line in out.splitlines() if line.startswith(file.parent.name)]
    assert not mine.endswith("closed")
    assert status == 1 or "entries cut from there would not show" in out


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    """Nothing to read is status 2, and not a whole journal."""
    status, out, err = verify(tmp_path)
    assert status == 2
    assert "whole" not in out
    assert "no journal" in err


def test_the_journal_holds_no_content_key_or_name(evidence: Evidence) -> None:
    """Not a word of prompts, replies or comments, no key, no user, no address of a vendor."""
    written = b"".join(file.read_bytes() for file in evidence.journal.rglob("*.jsonl"))
    assert written.count(b'"call.record"') >= 5
    secrets = [
        "Zoltan", "zoltan", "Quenneville", "mortgage", "You said", SIN, SIN.replace(" ", ""), "[SIN]",
        evidence.key, evidence.key.rpartition("_")[2], "vendor-" + "key-of-the-bank", "127.0.0.1", "http",
    ]  # fmt: skip
    assert [secret for secret in secrets if secret.encode() in written] == []
    # What an auditor does find: who decided what, under which rules, where it went.
    for told in (b'"CA-1"', b'"place":["CA-QC"]', b'"teller"', b'"4410"', b'"sin":1'):
        assert told in written
