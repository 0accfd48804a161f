"""What narrows a decision beside the policy: what vendors report, and what a conversation was about.

On the twins, through the whole pipeline; ``test_border_workers.py`` shows it over processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.memory_conversations import MemoryConversations
from gateway.adapters.memory_upstream import Scripted
from gateway.core.errors import Code, GatewayError, Refusal, UpstreamFailed
from gateway.core.observed import Mismatch, reason, without
from gateway.core.snapshot import Snapshot
from gateway.pipeline import Pipeline, Ports
from tests.spine import Spine, completion, content, read, snapshot, stream

SIN = "046 " + "454 " + "286"


class Watched(Spine):
    """A spine whose deployments drop out, and whose conversations are remembered."""

    def __init__(self, compiled: Snapshot) -> None:
        super().__init__(compiled)
        self.found: list[Mismatch] = []
        self.conversations = MemoryConversations()
        ports = self.pipeline._ports
        given: dict[str, Any] = {name: getattr(ports, name) for name in ports.__dataclass_fields__}
        given |= {"withdraw": self.withdraw, "conversations": self.conversations}
        self.pipeline = Pipeline(Ports(**given))

    def withdraw(self, found: Mismatch) -> None:
        """Drop the deployment, as the adapter does."""
        self.found.append(found)
        self.snapshot = without(self.snapshot, {found.deployment: reason(found.reported, found.declared)})

    def mismatches(self) -> list[dict[str, Any]]:
        """The journal's entries about contradicted facts."""
        return [dict(entry.data) for entry in self.journal.entries if entry.kind == "place.mismatch"]


@pytest.fixture
def spine(tmp_path: Path) -> Watched:
    return Watched(snapshot(tmp_path))


# ------------------------------------------------------------------ where vendors say that they ran


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_contradicted_fact_is_counted_recorded_and_drops_the_deployment(
    spine: Watched, streamed: bool
) -> None:
    """Declared in Quebec, ran in the US: the answer stands, the next call goes elsewhere."""
    spine.upstream.script(
        "ca", Scripted(reply=completion(), events=stream("fine"), reported_place="East US 2")
    )
    reply = await spine.pipeline.handle(spine.call(stream=streamed))
    if streamed:
        assert spine.found, "known before the stream ends"
        await read(reply)
    else:
        assert content(reply) == "fine"
    (told,) = spine.mismatches()
    assert told["deployment"] == "ca"
    assert (told["declared"], told["reported"]) == (["CA-QC"], ["US"])
    (record,) = spine.records()
    assert record["attempt"]["place_mismatch"] is True
    assert record["attempt"]["reported_place"] == "East US 2"
    assert spine.telemetry.counted("place_mismatch") == 1
    spine.upstream.script("ca_on", Scripted(reply=completion()))
    again = await spine.pipeline.handle(spine.call())
    assert again.served.place == "CA-ON"


async def test_a_report_that_agrees_changes_nothing(spine: Watched) -> None:
    """Two entries as for every served call; the report stands in the record."""
    spine.upstream.script("ca", Scripted(reply=completion(), reported_place="canadaeast"))
    await spine.pipeline.handle(spine.call())
    assert spine.kinds() == ["writer.open", "attempt.intent", "call.record"]
    (record,) = spine.records()
    assert record["attempt"]["place_mismatch"] is False
    assert record["attempt"]["reported_place"] == "canadaeast"


async def test_a_report_that_is_no_place_is_counted_and_not_recorded(spine: Watched) -> None:
    """A vendor's words are not ours to keep, and they prove nothing either way."""
    spine.upstream.script("ca", Scripted(reply=completion(), reported_place="ask Marie at +1 514"))
    await spine.pipeline.handle(spine.call())
    (record,) = spine.records()
    assert record["attempt"]["reported_place"] is None
    assert spine.telemetry.counted("place_unread") == 1
    assert not spine.found


async def test_when_all_that_is_permitted_dropped_out_the_call_is_refused(spine: Watched) -> None:
    """Nothing is widened to make up for it: 403 with the rule about facts, and nothing sent."""
    for name in ("ca", "ca_on"):
        spine.upstream.script(name, Scripted(reply=completion(), reported_place="us"))
    await spine.pipeline.handle(spine.call())
    await spine.pipeline.handle(spine.call())
    sent = len(spine.upstream.sent)
    with pytest.raises(GatewayError) as stop:
        await spine.pipeline.handle(spine.call())
    assert stop.value.refusal.code is Code.POLICY_REFUSED
    assert stop.value.refusal.extension["rules"] == ["facts"]
    assert len(spine.upstream.sent) == sent


async def test_a_call_in_its_fallback_is_decided_anew_when_a_deployment_drops_out(spine: Watched) -> None:
    """The second try is not made at a deployment that another call found out meanwhile."""
    down = UpstreamFailed(Refusal(code=Code.UPSTREAM_UNAVAILABLE, message="down"), retryable=True, sent=False)
    spine.upstream.script("ca", Scripted(failure=down))
    opened = spine.upstream.open

    def gone(attempt: Any) -> Any:
        spine.snapshot = without(spine.snapshot, {"ca_on": "found out meanwhile"})
        return opened(attempt)

    spine.upstream.open = gone  # type: ignore[method-assign]  # the world moves at the first try
    with pytest.raises(GatewayError):
        await spine.pipeline.handle(spine.call())
    assert {attempt.deployment.id for attempt in spine.upstream.sent} <= {"ca"}


# --------------------------------------------------------------------- what a conversation was about


def turn(spine: Watched, text: str, conversation: str | None = "c1", **more: Any) -> Any:
    """One turn of a public app's conversation, on the route that would go abroad first."""
    return spine.call(
        text, app="hackathon", model="everywhere", body={"model": "everywhere"},
        conversation=conversation, **more,
    )  # fmt: skip


async def place(spine: Watched, call: Any) -> str:
    """Answer a call and return where it ran."""
    for name in ("ca", "ca_on", "us"):
        spine.upstream.script(name, Scripted(reply=completion()))
    return (await spine.pipeline.handle(call)).served.place


async def test_a_label_learned_in_turn_1_pins_turn_9(spine: Watched) -> None:
    """A SIN in turn 1 makes the conversation a client's; turns without one stay in Canada."""
    assert await place(spine, turn(spine, "hello")) == "US"
    assert (await place(spine, turn(spine, f"my SIN is {SIN}"))).startswith("CA")
    for _ in range(7):
        assert (await place(spine, turn(spine, "and what did I just say?"))).startswith("CA")
    labels = {label["name"]: label["set_by"] for label in spine.records()[-1]["labels"]}
    assert labels["client"] == "conversation"
    assert await place(spine, turn(spine, "hello", "c2")) == "US"


async def test_without_a_name_the_resent_history_is_detected_again(spine: Watched) -> None:
    """No conversation id: turn 9 carries turn 1 in its messages, and is labelled by it."""
    history = [
        {"role": "user", "content": f"my SIN is {SIN}"},
        {"role": "assistant", "content": "noted"},
        *({"role": "user", "content": f"turn {n}"} for n in range(7)),
    ]
    call = spine.call(
        "x", app="hackathon", model="everywhere", body={"model": "everywhere", "messages": history}
    )
    assert (await place(spine, call)).startswith("CA")
    assert any(label["set_by"] == "detector:sin" for label in spine.records()[-1]["labels"])


async def test_a_header_label_stays_although_later_turns_omit_it(spine: Watched) -> None:
    """The app said once that the conversation is about a client."""
    assert (await place(spine, turn(spine, "hi", header_labels=("client",)))).startswith("CA")
    assert (await place(spine, turn(spine, "hi"))).startswith("CA")


async def test_a_label_that_refused_a_call_stays_too(spine: Watched) -> None:
    """Sending the same words again without the label is no way round the refusal."""
    call = turn(spine, "hi", header_labels=("client",))
    with pytest.raises(GatewayError):
        await spine.pipeline.handle(
            spine.call("hi", app="hackathon", model="only-us", conversation="c1", header_labels=("client",))
        )
    assert (await place(spine, turn(spine, "hi"))).startswith("CA")
    assert call.conversation == "c1"


async def test_while_the_store_is_away_a_named_conversation_is_treated_as_unlabelled(
    spine: Watched,
) -> None:
    """What it was about cannot be asked, so the strictest is assumed; afterwards it is as before."""
    assert await place(spine, turn(spine, "hello")) == "US"
    spine.conversations.away = True
    assert (await place(spine, turn(spine, "hello"))).startswith("CA")
    assert await place(spine, turn(spine, "hello", None)) == "US"  # no name, no doubt
    spine.conversations.away = False
    assert await place(spine, turn(spine, "hello")) == "US"
    assert spine.telemetry.counted("conversation_unknown") == 1
