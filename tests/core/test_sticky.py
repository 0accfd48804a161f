"""Labels that stay with a conversation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.classify import classify
from gateway.core.decide import decide
from gateway.core.sticky import conversation_of, name_of, with_doubt, with_remembered
from gateway.core.values import Call, Caller, Label, LabelledCall, Surface
from tests import spine
from tests.core.maple import call

KEY = b"k" * 32


def labelled(*names: str) -> LabelledCall:
    """A call with these labels."""
    return LabelledCall(
        call=call(), labels=tuple(Label(name=name, set_by="app x") for name in names), findings=()
    )


@pytest.mark.parametrize(
    ("surface", "body", "found"),
    [
        (Surface.CHAT, {"metadata": {"conversation_id": "c1", "session_id": "s"}}, "c1"),
        (Surface.CHAT, {"metadata": {"session_id": "s1"}}, "s1"),
        (Surface.RESPONSES, {"metadata": {"thread_id": "t1"}}, "t1"),
        (Surface.MESSAGES, {"metadata": {"user_id": "somebody"}}, None),  # a person is no conversation
        (Surface.EMBEDDINGS, {"metadata": {"conversation_id": "c1"}}, None),
        (Surface.CHAT, {"metadata": {"conversation_id": 7}}, None),
        (Surface.CHAT, {"metadata": "c1"}, None),
        (Surface.CHAT, {}, None),
        (Surface.CHAT, {"metadata": {"conversation_id": "c" * 999}}, "c" * 256),
    ],
)
def test_a_body_may_name_its_conversation(surface, body, found):
    """In the metadata of the surface, under the usual keys, bounded."""
    assert conversation_of(surface, body) == found


def test_the_stored_name_tells_nothing_and_is_nobody_elses():
    """Same name, other app, tenant or key: another conversation. The name itself is not in it."""
    names = {
        name_of(KEY, tenant="maple", app="teller", conversation="c"),
        name_of(KEY, tenant="maple", app="hackathon", conversation="c"),
        name_of(KEY, tenant="other", app="teller", conversation="c"),
        name_of(KEY, tenant="maple", app="teller", conversation="d"),
        name_of(b"l" * 32, tenant="maple", app="teller", conversation="c"),
    }
    assert len(names) == 5
    assert all(len(name) == 64 and "teller" not in name for name in names)


@given(st.frozensets(st.sampled_from(["a", "b", "c", "d"])), st.frozensets(st.sampled_from(["c", "d", "e"])))
def test_remembering_only_adds(own, learned):
    """Whatever was learned, no label of the call goes and none changes who set it."""
    before = labelled(*sorted(own))
    after = with_remembered(before, learned)
    assert after.labels[: len(before.labels)] == before.labels
    assert after.label_names == own | learned
    assert {each.set_by for each in after.labels if each.name not in own} <= {"conversation"}


def test_doubt_is_the_strictest_that_the_policy_knows(tmp_path):
    """What a conversation was about cannot be asked: a public app's call is treated as client data."""
    snapshot = spine.snapshot(tmp_path)
    asked = Call(
        id="req_1", surface=Surface.CHAT, model="everywhere", stream=False, body={}, size=10,
        received=spine.NOW,
        caller=Caller(tenant="maple-bank", team="lab", app="hackathon", key_id="k"),
    )  # fmt: skip
    before = classify(asked, (), snapshot, detectors_failed=False)
    assert "us" in decide(before, snapshot, now=spine.NOW, decision_id="d").permitted
    after = with_doubt(before, snapshot)
    assert after.label_names == before.label_names | {"client"}
    assert decide(after, snapshot, now=spine.NOW, decision_id="d").permitted == ("ca", "ca_on")
    assert with_doubt(after, snapshot) is after
