"""Two gateways over one database: what one sees of a vendor's place or of a conversation, the other knows."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance import bank
from tests.acceptance.calls import Caller, request
from tests.acceptance.running import Running, eventually
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
SIN = "046 " + "454 " + "286"


@pytest.fixture(scope="module")
def pair(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    """Two processes, each with its own journal, over one database and one root secret."""
    folder = tmp_path_factory.mktemp("pair")
    bank.write(folder / "policies", bank.bundle(places))
    database = f"sqlite:///{folder / 'shared.db'}"
    made: list[Running] = []
    try:
        for name in ("a", "b"):
            running = Running(
                folder=folder / name,
                policies=folder / "policies",
                settings={"BORDERPOST_DATABASE_URL": database},
            )
            if made:  # replicas share what ids and conversations are named under
                (running.data / "vault").mkdir(parents=True, mode=0o700)
                key = (made[0].data / "vault" / "root.key").read_bytes()
                target = running.data / "vault" / "root.key"
                target.write_bytes(key)
                target.chmod(0o600)
            made.append(running.start())
        yield made[0], made[1]
    finally:
        for running in made:
            running.kill()


def border(running: Running) -> dict[str, object]:
    """What ``/status`` says of the border."""
    status = httpx.get(f"{running.url}/status", trust_env=False).json()
    return dict(status["border"])


def test_status_says_by_what_means_children_are_kept_from_the_network(pair: tuple[Running, Running]) -> None:
    """An operator sees which of the two it is on this host."""
    assert border(pair[0])["children_kept_off_the_network_by"] in {"namespace", "audit_hook"}
    controls = httpx.get(f"{pair[0].url}/status", trust_env=False).json()["controls"]
    named = {control["name"]: control for control in controls}
    assert {"children", "conversations", "place_checks"} <= set(named)
    eventually(lambda: border(pair[0])["withdrawn"] == {}, 5)


def test_a_conversation_that_one_learned_is_known_to_the_other(
    pair: tuple[Running, Running], places: Places
) -> None:
    """Turn 1 on one process holds a SIN; turn 2 on the other stays in Canada."""
    first, second = pair
    key = first.key("hackathon")
    second.wait_known(key)
    named = {"x-borderpost-conversation": "c-42"}
    with Caller(first.url, key) as one, Caller(second.url, key) as other:
        body = request("chat", "hello", model="everywhere")
        assert other.post("chat", body, headers=named).headers["x-borderpost-place"] in {"US", "DE"}
        told = one.post("chat", request("chat", f"my SIN is {SIN}", model="everywhere"), headers=named)
        assert told.headers["x-borderpost-place"].startswith("CA")
        assert other.post("chat", body, headers=named).headers["x-borderpost-place"].startswith("CA")
        in_body = {**body, "metadata": {"conversation_id": "c-42"}}
        assert other.post("chat", in_body).headers["x-borderpost-place"].startswith("CA")
        assert other.post("chat", body).headers["x-borderpost-place"] in {"US", "DE"}


def test_a_vendor_that_ran_elsewhere_drops_out_of_both_until_its_facts_change(
    pair: tuple[Running, Running], places: Places
) -> None:
    """One process hears it from the vendor, the other from the table, within five seconds."""
    first, second = pair
    key = first.key("teller")
    second.wait_known(key)
    places["ca"].script(Script(headers=(("x-ms-region", "East US"),)))
    with Caller(first.url, key) as one, Caller(second.url, key) as other:
        assert one.post("chat", request("chat")).headers["x-borderpost-place"] == "CA-QC"
        places["ca"].forget()
        assert one.post("chat", request("chat")).headers["x-borderpost-place"] == "CA-ON"
        eventually(lambda: "ca" in border(second)["withdrawn"], 5)  # type: ignore[operator]  # a dict
        assert other.post("chat", request("chat")).headers["x-borderpost-place"] == "CA-ON"
        refused = other.post("chat", request("chat", model="only-ca"))
        assert refused.status == 403
        assert places["ca"].raw == b""
        files = bank.bundle(places)
        files["deployments.yaml"]["deployments"]["ca"]["seen"] = "2026-11-20"
        bank.write(first.policies, {"deployments.yaml": files["deployments.yaml"]})
        eventually(lambda: not border(first)["withdrawn"] and not border(second)["withdrawn"], 8)
        for caller in (one, other):
            assert caller.post("chat", request("chat")).headers["x-borderpost-place"] == "CA-QC"
