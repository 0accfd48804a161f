"""Legal, privacy, security: edit sentences in YAML, see them bite, and read why."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.acceptance import bank
from tests.acceptance.calls import Answer, Caller, request
from tests.acceptance.commands import borderpost
from tests.acceptance.running import Running, eventually
from tests.fakes.vendor import FakeVendor

Places = dict[str, FakeVendor]
STARTER = Path(__file__).parents[2] / "policies"
CA_1 = "must: {processed_in: Canada, stored_in: Canada, vendor_logs_in: Canada}"


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    """A copy of the starter policies, to be edited."""
    return Path(shutil.copytree(STARTER, tmp_path / "policies"))


def edit(folder: Path, old: str, new: str) -> int:
    """Replace one text of policy.yaml, and return its line."""
    file = folder / "policy.yaml"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


# ------------------------------------------------------------------------ at the desk


def test_the_starter_policies_pass_their_own_tests(starter: Path) -> None:
    """What a newcomer gets is usable, tested and proved."""
    for command in ("check", "test", "prove"):
        done = borderpost("policy", command, "--folder", starter)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (CA_1, "must: {processed_in: [Canada, US], stored_in: [Canada, US], vendor_logs_in: [Canada, US]}"),
        ("for: {data: client}\n    " + CA_1, "for: {data: quebec_client}\n    " + CA_1),
    ],
    ids=["let the US in", "for Quebec only"],
)
def test_weakening_ca_1_fails_in_words(starter: Path, old: str, new: str) -> None:
    """The tests beside the rules say which sentence no longer holds, and where it was written."""
    edit(starter, old, new)
    done = borderpost("policy", "test", "--folder", starter)
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if line.startswith("FAILED"))
    assert "a teller whose model runs in the US" in line
    assert "expected refused by CA-1, was refused by V-1 only" in line
    assert "policy.yaml:" in done.stdout
    assert "Traceback" not in done.stderr


def test_weakening_the_whole_wall_breaks_the_proof(starter: Path) -> None:
    """With CA-1 and V-1 softened, the proof names the paths that lead abroad."""
    edit(starter, CA_1, "must: {trains_on_data: never}")
    edit(
        starter,
        "must: {vendor: [demo-north, microsoft, cohere, self], has: [dpa]}",
        "must: {vendor: [demo-south, demo-north]}",
    )
    done = borderpost("policy", "prove", "--folder", starter)
    assert done.returncode == 1
    broken = done.stdout.partition("BROKEN  Client data never reaches a deployment outside Canada.")[2]
    assert "demo-us" in broken.partition("PROVED")[0]


def test_check_points_at_the_word(starter: Path) -> None:
    """A misspelt place: file, line, column and the nearest right word."""
    line = edit(starter, CA_1, CA_1.replace("processed_in: Canada", "processed_in: Canda"))
    done = borderpost("policy", "check", "--folder", starter)
    assert done.returncode == 2
    column = "    must: {".index("{") + 2
    assert f"policy.yaml:{line}:{column} " in done.stderr
    assert "unknown place `Canda`; did you mean `Canada`?" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("strength: hard                     # hard", "strenght: hard  # hard", "did you mean `strength`?"),
        ("for: {data: sin}", "for: {data: sim}", "did you mean `sin`?"),
        ("{mask: [sin]}", "{mask: [sinn]}", "did you mean `sin`?"),
        ("  - id: QC-1", "  - id: CA-2", "CA-2"),
        ("owner: vendor-risk", "owner: [vendor-risk", "policy.yaml:"),
    ],
    ids=["key", "kind of data", "kind of finding", "same id twice", "no YAML"],
)
def test_check_names_what_is_wrong(starter: Path, old: str, new: str, said: str) -> None:
    """Whatever is wrong, the answer is a place in a file and a word, never a traceback."""
    edit(starter, old, new)
    done = borderpost("policy", "check", "--folder", starter)
    assert done.returncode == 2
    assert "error: policy.yaml:" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_explain_reads_like_a_reason(starter: Path) -> None:
    """Verdict, labels and who set them, every failing rule with its fact, its source and a way out."""
    done = borderpost(
        "policy", "explain", "--folder", starter, "--app", "teller", "--data", "client", "--model", "chat-pro"
    )
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("REFUSED   policy maple-bank v1 (")
    assert lines[1].startswith("Labels: client (set by app teller, teams.yaml:")
    assert lines[2] == "demo-us   refused"
    text = done.stdout
    assert "  CA-1 hard       processed_in must be inside Canada; is US\n" in text
    fact = next(
        n
        for n, line in enumerate((starter / "deployments.yaml").read_text().splitlines(), 1)
        if "[US]" in line
    )
    assert f"deployments.yaml:{fact}, source demo: made up" in text
    assert ", seen 2026-11-20, recheck by 2036-11-17" in text
    assert "  V-1  exception  vendor must be" in text
    assert "no exception can help: CA-1 is hard" in text
    assert "Use instead: chat → demo-ca-qc\n  CA-1, CA-2, V-1 pass; allowed by OK-1" in text
    assert "Not established: staff_access_from" in text
    assert "Facts are declared, not proven by us." in text


def test_explain_suggests_the_nearest_name(starter: Path) -> None:
    """An app that is not there: the nearest one, and status 2."""
    done = borderpost("policy", "explain", "--folder", starter, "--app", "telller", "--model", "chat")
    assert done.returncode == 2
    assert "unknown app `telller`; did you mean `teller`?" in done.stderr


# ------------------------------------------------------------------ while it runs


@pytest.fixture(scope="module")
def files(places: Places) -> bank.Bundle:
    """The bank's bundle with more than one policy worth having: a route that also lists the US."""
    return bank.bundle(places)


@pytest.fixture(scope="module")
def live(files: bank.Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway whose policy folder is edited while it serves."""
    folder = tmp_path_factory.mktemp("live")
    bank.write(folder / "policies", files)
    running = Running(folder=folder, policies=folder / "policies")
    try:
        yield running.start()
    finally:
        running.kill()


@pytest.fixture(scope="module")
def teller_calls(live: Running) -> Iterator[Caller]:
    """The app that handles clients' data."""
    with Caller(live.url, live.key("teller")) as caller:
        yield caller


@pytest.fixture
def edited(
    live: Running, files: bank.Bundle, teller_calls: Caller
) -> Iterator[Callable[[bank.Bundle], None]]:
    """Write a changed bundle; afterwards the good one is in force again."""
    yield lambda changed: bank.write(live.policies, changed)
    bank.write(live.policies, files)
    eventually(lambda: status(live)["worker"]["policy_problems"] == [], 5)
    eventually(lambda: teller_calls.post("chat", request("chat", model="chat-pro")).status == 403, 5)


def status(live: Running) -> dict[str, dict[str, object]]:
    """Return what ``/status`` says."""
    return httpx.get(f"{live.url}/status", trust_env=False).json()  # type: ignore[no-any-return]


def test_a_reload_changes_the_verdict(
    live: Running,
    files: bank.Bundle,
    edited: Callable[[bank.Bundle], None],
    teller_calls: Caller,
    places: Places,
) -> None:
    """CA-1 taken out of the running gateway's policy lets a call go to the US, and back in it does not."""

    def abroad() -> Answer:
        return teller_calls.post("chat", request("chat", model="chat-pro"))

    before = status(live)["policy"]["snapshot"]
    assert abroad().status == 403
    assert places["us"].raw == b""
    weaker = copy.deepcopy(files)
    weaker["policy.yaml"]["rules"] = [r for r in weaker["policy.yaml"]["rules"] if r["id"] != "CA-1"]
    edited(weaker)
    eventually(lambda: abroad().status == 200, 3)
    assert status(live)["policy"]["snapshot"] != before
    bank.write(live.policies, files)
    eventually(lambda: abroad().status == 403, 3)
    assert status(live)["policy"]["snapshot"] == before
    hashes = {str(row["snapshot"]) for row in live.records(4)}
    assert {before, *hashes} == hashes
    assert len(hashes) > 1


@pytest.mark.parametrize("harm", ["no YAML", "unknown place", "file gone"])
def test_a_broken_file_keeps_the_last_good_policy(
    live: Running,
    files: bank.Bundle,
    edited: Callable[[bank.Bundle], None],
    teller_calls: Caller,
    places: Places,
    harm: str,
) -> None:
    """The last good policy goes on, ``/status`` says what is wrong with which file, calls are served."""
    before = status(live)["policy"]["snapshot"]
    if harm == "no YAML":
        (live.policies / "policy.yaml").write_text("rules: [")
    elif harm == "file gone":
        (live.policies / "policy.yaml").unlink()
    else:
        broken = copy.deepcopy(files)
        broken["policy.yaml"]["rules"][0]["must"]["processed_in"] = "Canda"
        edited(broken)
    eventually(lambda: status(live)["worker"]["policy_problems"] != [], 3)
    problems = status(live)["worker"]["policy_problems"]
    assert isinstance(problems, list)
    assert "policy.yaml" in problems[0]
    if harm == "unknown place":
        assert "did you mean `Canada`?" in problems[0]
    assert status(live)["policy"]["snapshot"] == before
    assert teller_calls.post("chat", request("chat")).status == 200
    assert teller_calls.post("chat", request("chat", model="chat-pro")).status == 403
    assert places["us"].raw == b""


def test_a_label_by_header_only_narrows(live: Running, teller_calls: Caller, places: Places) -> None:
    """A header adds a label and so a rule; it takes none away, and an unknown one refuses."""

    def call(model: str, labels: str) -> Answer:
        return teller_calls.post("chat", request("chat", model=model), headers={"x-borderpost-data": labels})

    assert teller_calls.post("chat", request("chat", model="only-ca-on")).status == 200
    narrowed = call("only-ca-on", "quebec_client")
    assert narrowed.status == 403
    assert narrowed.error is not None
    assert "QC-1" in narrowed.error["borderpost"]["rules"]
    assert {"name": "quebec_client", "set_by": "header"} in narrowed.error["borderpost"]["labels"]
    assert "chat" in narrowed.error["borderpost"]["use_instead"]
    assert call("only-ca", "quebec_client").status == 200
    # In a route with both, the label leaves only Quebec.
    assert call("chat", "quebec_client").headers["x-borderpost-place"] == "CA-QC"
    assert call("chat-pro", "public").status == 403
    assert call("chat", "no_such_label").status == 403
    assert places["us"].raw == b""


def test_a_public_app_is_narrowed_too(live: Running, places: Places) -> None:
    """The hackathon may go abroad with public text; a client's label by header keeps it in Canada."""
    key = live.key("hackathon")
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key=key) as client:
        ask = client.chat.completions.with_raw_response
        free = ask.create(model="everywhere", messages=[{"role": "user", "content": "hello"}])
        kept = ask.create(
            model="everywhere",
            messages=[{"role": "user", "content": "hello"}],
            extra_headers={"x-borderpost-data": "client"},
        )
    assert free.headers["x-borderpost-place"] in {"US", "DE"}
    assert kept.headers["x-borderpost-place"].startswith("CA")
    assert len(places["us"].seen) + len(places["eu"].seen) == 1
