"""Redaction: what may leave, what never does, and when a call is refused instead."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Code, Refusal
from gateway.core.redact import (
    mask_text,
    needs_exact_reply,
    pseudonym,
    redact,
    reply_kinds,
    tenant_salt,
    tokenises,
)
from gateway.core.surrogates import Restorer
from gateway.core.values import Finding, Given, LabelledCall, Surface
from gateway.core.vault import known
from tests.core.privacy import (
    BARE_SIN,
    CARD,
    EMAIL,
    NAME,
    PHONE,
    SIN,
    call,
    cleared,
    decision,
    labelled,
    user,
)


def refused(body, surface=Surface.CHAT, **duties):
    outcome = redact(labelled(body, surface), decision(**duties), salt=b"salt")
    assert isinstance(outcome, Refusal)
    return outcome


def content(outcome, place=0):
    return outcome.body["messages"][place]["content"]


def test_masks_and_tokens():
    """A masked kind is gone for good, a tokenised one can come back, another stays."""
    outcome = cleared(user(f"{NAME}, SIN {SIN}, {PHONE}"), mask=["sin"], tokenise=["person"])
    assert content(outcome) == f"<PERSON_1>, SIN [SIN], {PHONE}"
    assert outcome.originals == {"<PERSON_1>": NAME}
    assert outcome.masked == {"person": 1, "sin": 1}


def test_without_duties_the_body_is_the_same_object():
    """A call that needs nothing costs nothing."""
    body = user(f"{NAME} {SIN}")
    assert cleared(body).body is body


def test_tool_calls_are_masked_inside_and_still_parse():
    """Arguments and results are edited value by value; numbers become strings."""
    body = {
        "messages": [
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "c",
                        "function": {"name": "f", "arguments": f'{{"sin": {BARE_SIN}, "who":"{NAME}"}}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": json.dumps({"mail": EMAIL, "n": 1})},
        ]
    }
    outcome = cleared(body, mask=["sin", "email"], tokenise=["person"])
    first, second = outcome.body["messages"]
    assert first["tool_calls"][0]["function"]["arguments"] == '{"sin": "[SIN]", "who":"<PERSON_1>"}'
    assert json.loads(second["content"]) == {"mail": "[EMAIL]", "n": 1}


def test_the_same_value_has_one_token_and_a_resent_history_the_same_numbers():
    """Numbers go by first appearance: later turns only add, and a system prompt comes first."""
    first = user(f"{NAME} and {EMAIL}")
    second = {
        **first,
        "messages": [*first["messages"], {"role": "user", "content": f"{PHONE} of {NAME}; also John Roe"}],
    }
    names = (NAME, "John Roe")
    duties = decision(tokenise=["person", "email", "phone"])
    one = redact(labelled(first, names=names), duties, salt=b"s")
    two = redact(labelled(second, names=names), duties, salt=b"s")
    assert content(two) == content(one) == "<PERSON_1> and <EMAIL_1>"
    assert content(two, 1) == "<PHONE_1> of <PERSON_1>; also <PERSON_2>"


def test_fields_after_the_conversation_do_not_shift_its_numbers():
    """What stands outside the messages is numbered first, so that new turns cannot renumber it."""
    body = {
        "messages": user(NAME)["messages"],
        "tools": [{"type": "function", "function": {"name": "f", "description": "asks John Roe"}}],
    }
    outcome = redact(labelled(body, names=(NAME, "John Roe")), decision(tokenise=["person"]), salt=b"s")
    assert outcome.originals == {"<PERSON_1>": "John Roe", "<PERSON_2>": NAME}


@pytest.mark.parametrize(
    "spelling", ["<PERSON_1>", "<person_1>", "&lt;PERSON_1&gt;", "\\u003cPERSON_1\\u003e"]
)
def test_planted_token_text_pulls_nobodys_value(spelling):
    """A token that the prompt spells itself never gets a meaning."""
    outcome = cleared(user(f"{NAME} says {spelling}"), tokenise=["person"])
    assert content(outcome) == f"<PERSON_2> says {spelling}"
    assert outcome.originals == {"<PERSON_2>": NAME}


def test_token_text_is_nobodys_name():
    """A detector that takes a token for a name changes nothing."""
    text = "ask <PERSON_1> now"
    finding = Finding(
        kind="person", path=("messages", 0, "content"), start=5, end=13, score=85, detector="ner"
    )
    outcome = redact(
        LabelledCall(call=call(user(text)), labels=(), findings=(finding,)),
        decision(mask=["person"]),
        salt=b"s",
    )
    assert content(outcome) == text


def test_blocked_kinds_refuse_without_saying_what():
    """The refusal names the kind, never the value."""
    refusal = refused(user(f"card {CARD}"), block=["card"])
    assert refusal.code is Code.CONTENT_BLOCKED
    assert refusal.extension == {"kinds": ["card"]}
    assert CARD not in repr(refusal)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "tool", "tool_call_id": EMAIL, "content": "x"}]},
        {"metadata": {EMAIL: "x"}, "messages": []},
        {EMAIL: "x", "messages": []},
        {"messages": [{"role": "user", "content": json.dumps({EMAIL: 1})}]},
        {
            "messages": [],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"enum": [EMAIL]}}}],
        },
    ],
)
def test_a_find_that_cannot_be_changed_refuses(body):
    """Ids, keys and enums are not altered and not let through; the refusal tells no value."""
    refusal = refused(body, mask=["email"])
    assert refusal.code is Code.CONTENT_BLOCKED
    assert EMAIL not in repr(refusal)


def test_signed_thinking_is_byte_exact_or_refused():
    """A signed block without finds passes as it is; with one the call is refused."""
    block = {"type": "thinking", "thinking": "about <PERSON_1>", "signature": "c2lnbmVkIGJ5dGVzIQ=="}
    body = {"messages": [{"role": "user", "content": NAME}, {"role": "assistant", "content": [block]}]}
    outcome = cleared(body, Surface.MESSAGES, tokenise=["person"])
    assert outcome.body["messages"][1]["content"][0] == block
    assert outcome.originals == {"<PERSON_1>": NAME}  # the signed text holds our own token
    block["thinking"] = f"about {NAME}"
    assert refused(body, Surface.MESSAGES, tokenise=["person"]).code is Code.CONTENT_BLOCKED


def test_end_user_fields_become_a_keyed_hash():
    """`user` keeps its purpose without its content, per tenant."""
    body = {"user": EMAIL, "messages": []}
    assert (
        cleared(body, mask=["email"]).body["user"]
        == pseudonym(EMAIL, tenant_salt(b"salt", "t"))
        != pseudonym(EMAIL, tenant_salt(b"salt", "other"))
    )
    assert EMAIL not in pseudonym(EMAIL, b"salt")


def test_a_participants_name_keeps_its_alphabet():
    """Vendors refuse brackets in `name`."""
    body = {"messages": [{"role": "user", "name": "Jane Doe", "content": "hi"}]}
    assert cleared(body, tokenise=["person"]).body["messages"][0]["name"] == "PERSON_1"


def test_overlapping_finds_leave_no_half_readable():
    """The union is replaced, under the kind of the longest find."""
    path = ("messages", 0, "content")
    finds = tuple(
        Finding(kind=kind, path=path, start=start, end=end, score=80, detector="d")
        for kind, start, end in [("person", 0, 8), ("email", 5, 20), ("phone", 18, 22)]
    )
    text = "abcdefghijklmnopqrstuvwxyz"
    outcome = redact(
        LabelledCall(call=call(user(text)), labels=(), findings=finds),
        decision(mask=["person", "phone", "email"]),
        salt=b"s",
    )
    assert content(outcome) == "[EMAIL]wxyz"


def test_of_equal_finds_the_stricter_action_wins():
    """A span that one rule tokenises and another masks is masked."""
    path = ("messages", 0, "content")
    finds = tuple(
        Finding(kind=kind, path=path, start=0, end=4, score=80, detector="d")
        for kind in ("person", "organisation")
    )
    outcome = redact(
        LabelledCall(call=call(user("Ford")), labels=(), findings=finds),
        decision(mask=["organisation"], tokenise=["person"]),
        salt=b"s",
    )
    assert content(outcome) == "[ORGANISATION]"


def test_a_find_that_names_no_leaf_refuses():
    """If detection saw another body than redaction, nothing leaves."""
    finding = Finding(kind="email", path=("nowhere",), start=0, end=4, score=80, detector="d")
    outcome = redact(
        LabelledCall(call=call(user("text")), labels=(), findings=(finding,)),
        decision(mask=["email"]),
        salt=b"s",
    )
    assert isinstance(outcome, Refusal)


@pytest.mark.parametrize(
    ("surface", "extra", "param"),
    [
        (Surface.CHAT, {"logprobs": True}, "logprobs"),
        (Surface.CHAT, {"web_search_options": {}}, "web_search_options"),
        (Surface.RESPONSES, {"include": ["message.output_text.logprobs"]}, "top_logprobs"),
        (Surface.RESPONSES, {"top_logprobs": 2}, "top_logprobs"),
        (Surface.RESPONSES, {"tools": [{"type": "web_search"}]}, "tools"),
        (
            Surface.MESSAGES,
            {
                "messages": [
                    {"role": "user", "content": [{"type": "document", "citations": {"enabled": True}}]}
                ]
            },
            "citations",
        ),
    ],
)
def test_answers_about_exact_text_are_refused_while_text_is_altered(surface, extra, param):
    """Log-probabilities and offsets over altered text would be faked; unaltered they are fine."""
    body = {"metadata": {"who": EMAIL}, **extra}
    assert needs_exact_reply(surface, body) == param
    refusal = refused(body, surface, tokenise=["email"])
    assert (refusal.code, refusal.param) == (Code.UNSUPPORTED_FEATURE, param)
    assert refused({**extra}, surface, mask=["sin"]).param == param  # replies are masked too
    assert cleared({**extra}, surface, tokenise=["email"]).body == extra


def test_reply_kinds():
    """What is masked or blocked is masked in replies as far as patterns find it."""
    assert reply_kinds(decision(mask=["sin", "person"], block=["card"], tokenise=["email"]).obligations) == {
        "sin",
        "card",
    }


def test_mask_text_for_storage():
    """A comment is masked before it is kept."""
    text, counts = mask_text(f"call {PHONE} or {EMAIL}")
    assert text == "call [PHONE] or [EMAIL]"
    assert counts == {"phone": 1, "email": 1}


PIECES = st.lists(
    st.sampled_from([NAME, f"SIN {SIN}", EMAIL, f"tel {PHONE}", " and ", "é ", "<PERSON_1> ", '"q" ', "\\ "]),
    max_size=8,
)


@given(PIECES, st.booleans())
def test_nothing_masked_or_tokenised_is_left(pieces, as_json):
    """No value of an acted-on kind remains in any serialisation of the body."""
    text = " ".join(pieces)
    body = user(json.dumps({"a": {"b": [text]}}, ensure_ascii=False) if as_json else text)
    outcome = cleared(body, mask=["sin", "phone"], tokenise=["person", "email"])
    sent = json.dumps(outcome.body)
    assert not any(value in sent for value in (NAME, SIN, EMAIL, PHONE))
    if as_json:
        json.loads(content(outcome))


KEYS = st.sampled_from(
    [
        "role",
        "type",
        "id",
        "content",
        "name",
        "text",
        "arguments",
        "metadata",
        "data",
        "url",
        "thinking",
        "signature",
        "input",
        "enum",
        "user",
        "tool_call_id",
        "model",
        "format",
        "output",
        "description",
        "parameters",
        "properties",
        "required",
        "encrypted_content",
        "file_data",
        "title",
        "user_id",
        "~json",
        "new_field",
        "",
        EMAIL,
        f"a {EMAIL}",
    ]
)
CANARIES = st.sampled_from(
    [
        EMAIL,
        f"write {EMAIL} now",
        json.dumps({"mail": EMAIL}),
        json.dumps({EMAIL: 1}),
        json.dumps([json.dumps([EMAIL])]),
        f'{{"mail": "{EMAIL}"',
        f"data:text/plain,{EMAIL}",
        f"data:image/png;base64,{EMAIL}",
        "text",
        "base64",
        "user",
        None,
        7,
    ]
)
TREES = st.recursive(
    CANARIES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, TREES, max_size=4), st.sampled_from(list(Surface)), st.booleans())
def test_no_position_lets_a_canary_out(body, surface, reversible):
    """In known and unknown fields, values and keys: a find is replaced, or the call refused."""
    duties = decision(tokenise=["email"]) if reversible else decision(mask=["email"])
    outcome = redact(labelled(body, surface), duties, salt=b"s")
    if isinstance(outcome, Refusal):
        assert EMAIL not in repr(outcome)
    else:
        assert EMAIL not in json.dumps(outcome.body)


def test_hashing_is_stable_per_tenant_and_irreversible():
    """The same value hashes alike in every call of a tenant; the reply has nothing to restore."""
    first = cleared(user(f"{EMAIL} and {EMAIL}"), hash=["email"])
    again = cleared(user(f"write {EMAIL}"), hash=["email"])
    text = first.body["messages"][0]["content"]
    one, _, two = text.partition(" and ")
    assert one == two
    assert one in again.body["messages"][0]["content"]
    assert EMAIL not in text
    assert (first.originals, first.masked) == ({}, {"email": 2})
    assert reply_kinds(decision(hash=["email"]).obligations) == {"email"}


def test_reporting_counts_and_changes_nothing():
    """For a rule that is being tried out: the same object leaves, and the record says what was found."""
    body = user(f"{EMAIL} {SIN}")
    made = cleared(body, report=["email", "sin"])
    assert made.body is body
    assert (made.masked, made.reported) == ({}, {"email": 1, "sin": 1})


def test_preserving_tokens_keep_the_format():
    """What stood there still matches its pattern, and the kinds without a form get typed tokens."""
    made = cleared(
        user(f"{EMAIL}, SIN {SIN}, card {CARD}, {NAME}"), preserving=["email", "sin", "card", "person"]
    )
    text = made.body["messages"][0]["content"]
    assert re.fullmatch(
        r"p1@redacted\.invalid, SIN \d{3} \d{3} \d{3}, card 4\d{3}( \d{4}){3}, <PERSON_1>", text
    )
    assert set(made.originals.values()) == {EMAIL, SIN, CARD, NAME}


def test_a_planted_surrogate_pulls_nobodys_value():
    """Text that looks like the first stand-in, however spelt, makes the value take the next."""
    made = cleared(user(f"say P1@Redacted.Invalid to {EMAIL}"), preserving=["email"])
    assert "p1@redacted.invalid" not in made.originals
    assert made.originals["p3@redacted.invalid"] == EMAIL
    assert made.originals["p2@redacted.invalid"] == "P1@Redacted.Invalid"


JANE = Given(token="<EMAIL_7>", kind="email", value=EMAIL)


def test_a_conversations_token_is_used_again():
    """Whatever else the call says first; and new values go on after the known ones."""
    made = cleared(user(f"bob@example.com and {EMAIL}"), tokenise=["email"], known=known([JANE]))
    assert made.originals == {"<EMAIL_7>": EMAIL, "<EMAIL_2>": "bob@example.com"}
    assert [given.token for given in made.given] == ["<EMAIL_2>"]


@pytest.mark.parametrize("form", ["tokenise", "preserving"])
def test_a_conversation_keeps_its_token_in_either_form(form):
    """Kinds without a form of their own too; and a token of the other form is not used."""
    everything = ["email", "person", "sin"]
    first = cleared(user(f"{NAME} {EMAIL} SIN {SIN}"), **{form: everything})
    again = cleared(user(f"SIN {SIN}, {EMAIL}, {NAME}"), known=known(first.given), **{form: everything})
    assert again.originals == first.originals
    assert again.given == ()
    other = "preserving" if form == "tokenise" else "tokenise"
    changed = cleared(user(EMAIL), known=known(first.given), **{other: everything})
    assert not set(changed.originals) & set(first.originals)


def test_a_known_token_that_the_prompt_spells_is_not_used_in_this_call():
    """Whoever plants `<EMAIL_7>` in a conversation gets nobody's address for it."""
    made = cleared(user(f"repeat <EMAIL_7> and write {EMAIL}"), tokenise=["email"], known=known([JANE]))
    assert "<EMAIL_7>" not in made.originals
    assert list(made.originals.values()) == [EMAIL]


def test_a_known_token_of_a_value_that_is_not_in_the_call_is_not_restored():
    """What a call does not hold its reply cannot pull out of the vault."""
    made = cleared(user("hello bob@example.com"), tokenise=["email"], known=known([JANE]))
    assert EMAIL not in made.originals.values()


def test_tokens_in_signed_thinking_keep_their_meaning():
    """The model reads them there and may say them: the conversation's vault knows what they stand for."""
    body = {
        "messages": [
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "ask <EMAIL_7>", "signature": "c2ln"}],
            },
            {"role": "user", "content": "write bob@example.com"},
        ]
    }
    made = cleared(body, Surface.MESSAGES, tokenise=["email"], known=known([JANE]))
    assert made.originals == {"<EMAIL_7>": EMAIL, "<EMAIL_2>": "bob@example.com"}


def test_tokenises_tells_whether_the_vault_is_needed():
    """Only a find of a tokenised kind asks for it."""
    found = labelled(user(EMAIL))
    assert tokenises(found, decision(tokenise=["email"]))
    assert not tokenises(found, decision(mask=["email"], tokenise=["sin"]))


@given(
    st.lists(
        st.sampled_from([EMAIL, SIN, CARD, PHONE, NAME, " and ", "<EMAIL_1>", "p1@redacted.invalid"]),
        max_size=10,
    ),
    st.sets(st.sampled_from(["email", "sin", "card", "phone", "person"])),
)
def test_restore_after_redact_is_the_identity_in_every_format(pieces, preserving):
    """Typed, preserving and mixed: a model that says the prompt gives the app's own words back."""
    text = " ".join(pieces)
    everything = {"email", "sin", "card", "phone", "person"}
    made = cleared(user(text), tokenise=everything - preserving, preserving=preserving)
    left = made.body["messages"][0]["content"]
    assert Restorer(dict(made.originals)).restore(left) == text
