"""The way back: the app gets its originals, whatever the model did with the tokens and the stream."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.restore import ReplyFold, asks_json
from gateway.core.values import Event, Surface
from tests.core.privacy import BARE_SIN, EMAIL, NAME, SIN, chat_events, cleared, cut, user

CUTS = st.lists(st.integers(0, 400), max_size=40)


def fold(events, made, surface=Surface.CHAT):
    """Fold a whole stream; the fold itself for its counts, and the events."""
    folding = ReplyFold(surface, made)
    out = [event for each in events for event in folding.step(each)]
    return folding, [*out, *folding.end()]


def said(events, *, choice=0, key="content"):
    """What an SDK accumulates of one choice."""
    return "".join(
        entry["delta"].get(key) or ""
        for event in events
        if event.data is not None
        for entry in event.data.get("choices", ())
        if entry["index"] == choice
    )


def plain_chat(text, made):
    folding = ReplyFold(Surface.CHAT, made)
    body = folding.plain({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})
    return folding, body["choices"][0]["message"]["content"]


TOKENS = cleared(user(f"{NAME} {EMAIL}"), tokenise=["person", "email"])
MASKS = cleared(
    user(f"{NAME} {EMAIL}"), tokenise=["person", "email"], mask=["sin", "phone", "address", "secret"]
)

PRESERVED = cleared(
    user(f"{NAME} {EMAIL} call 514-555-0111, SIN {SIN}"),
    preserving=["person", "email", "phone", "sin"],
    mask=["card", "secret"],
)
BARE_CARD = "4242" * 4
FAKE_PHONE, FAKE_SIN = (
    next(made for made, value in PRESERVED.originals.items() if value == wanted)
    for wanted in ("514-555-0111", SIN)
)

REPLIES = st.lists(
    st.sampled_from(
        [
            "<PERSON_1>",
            "<person_1>",
            "&lt;EMAIL_1&gt;",
            "<PERSON_9>",
            "p1@redacted.invalid",
            "P1@REDACTED.invalid's",
            FAKE_PHONE,
            FAKE_PHONE.replace("-", " "),
            FAKE_SIN,
            FAKE_SIN.replace(" ", ""),
            "PERSON_1",
            "<",
            "&",
            "\\",
            "\\u003cPERSON_1\\u003e",
            f"SIN {SIN}",
            SIN,
            BARE_SIN,
            "514-555-0199",
            "123 King Street West",
            "plain words follow here",
            "word",
            " ",
            "\n",
            "in May",
            "(well-known)",
            "a" * 30,
            "1" * 20,
            "x9" * 200,
            "é",
            "\u00a0",
            "sk-" + "a1B2" * 6,
            "the number is",
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
            "1 2 3 4 5 6 7 8 9 " * 12,
        ]
    ),
    max_size=14,
).flatmap(lambda pieces: st.sampled_from(["", " ", ", "]).map(lambda glue: glue.join(pieces)))


@given(REPLIES, CUTS, st.sampled_from([TOKENS, MASKS, PRESERVED]))
def test_the_text_is_the_same_however_it_was_cut(text, cuts, made):
    """Streamed in any pieces, a reply reads as the plain reply does, with the same counts."""
    folding, events = fold(chat_events(cut(text, cuts)), made)
    whole, expected = plain_chat(text, made)
    assert said(events) == expected
    assert folding.masked == whole.masked


@given(
    st.lists(
        st.sampled_from([NAME, EMAIL, "hello ", "< & \\ ", "PERSON_1 ", "<PERSON_3> ", "é"]), max_size=8
    ),
    CUTS,
)
def test_restore_after_redact_is_the_identity(pieces, cuts):
    """A model that echoes its prompt gives the app its own text back, streamed and plain."""
    text = " ".join(pieces)
    made = cleared(user(text), tokenise=["person", "email"])
    echoed = made.body["messages"][0]["content"]
    _, events = fold(chat_events(cut(echoed, cuts)), made)
    assert said(events) == text
    assert plain_chat(echoed, made)[1] == text


def test_nothing_to_do_keeps_the_bytes():
    """Without tokens and masks, and where a chunk holds neither, events stay as received."""
    identity = cleared(user("hello"))
    events = chat_events(["a <b", "> c"])
    _, out = fold(events, identity)
    assert all(made is given for made, given in zip(out, events, strict=True))
    _, out = fold(chat_events(["plain text"]), TOKENS)
    assert out[0].raw == b"raw"
    body = {"choices": [{"message": {"content": "hi"}}]}
    assert ReplyFold(Surface.CHAT, TOKENS).plain(body) is body


def test_vectors_and_counts_are_not_walked():
    """An embedding's base64 is no text, whatever is masked."""
    body = {"data": [{"embedding": "PDEyMyA0NTYgNzg5PiA=", "index": 0}]}
    assert ReplyFold(Surface.EMBEDDINGS, MASKS).plain(body) is body


def test_text_is_shown_as_soon_as_it_is_safe():
    """Only the part that could become a token waits; ordinary text passes in its own chunk."""
    folding = ReplyFold(Surface.CHAT, TOKENS)
    shown = [said(folding.step(event)) for event in chat_events(["Hello <PER", "SON_1", ">, ", "bye"])]
    assert shown[:4] == ["Hello ", "", f"{NAME}, ", "bye"]


def test_plain_words_flow_while_masking():
    """With masking on, prose lags by little more than a word."""
    folding = ReplyFold(Surface.CHAT, MASKS)
    words = [
        f"{word} "
        for word in [
            "the",
            "quick",
            "brown",
            "fox",
            "jumps",
            "over",
            "the",
            "lazy",
            "dog",
            "again",
            "and",
            "again",
        ]
    ]
    lag = 0
    sent = got = 0
    for event in chat_events(words)[: len(words)]:
        sent += len(event.data["choices"][0]["delta"]["content"])
        got += len(said(folding.step(event)))
        lag = max(lag, sent - got)
    assert lag <= 20


def test_held_text_comes_out_before_the_finish():
    """A reply that ends in half a token shows it, and shows it before its finish reason."""
    _, events = fold(chat_events(["ends with <PERSON"]), TOKENS)
    assert said(events) == "ends with <PERSON"
    finish = [event.data["choices"][0]["finish_reason"] for event in events if event.data]
    assert finish[-1] == "stop"
    assert events[-1].data is None


def test_held_text_comes_out_before_an_error():
    """An SDK stops reading at an error object: what was said is shown before it, and all of it."""
    failed = Event(name=None, data={"error": {"message": "the vendor failed", "type": "server_error"}})
    folding = ReplyFold(Surface.CHAT, MASKS)
    events = [*chat_events(["call 046 45"])[:1], failed]
    out = [event for each in events for event in folding.step(each)]
    assert said([event for event in out if "choices" in event.data]) == "call 046 45"
    assert out[-1] is failed


def test_a_last_piece_beside_the_finish_reason_joins_what_is_held():
    """Some vendors send the last text in the chunk that ends the choice."""
    events = [
        Event(
            name=None, data={"choices": [{"index": 0, "delta": {"content": "<PERS"}, "finish_reason": None}]}
        ),
        Event(
            name=None,
            data={"choices": [{"index": 0, "delta": {"content": "ON_1>"}, "finish_reason": "stop"}]},
        ),
    ]
    _, out = fold(events, TOKENS)
    assert said(out) == NAME
    assert out[-1].data["choices"][0]["finish_reason"] == "stop"


def test_a_stream_that_dies_gives_what_was_held():
    """`end` flushes what no terminal event asked for."""
    _, out = fold(chat_events(["half <PER"])[:1], TOKENS)
    assert said(out) == "half <PER"


@given(CUTS, CUTS)
def test_choices_and_fields_do_not_mix(first, second):
    """Several choices, reasoning and refusals are texts of their own."""
    text = "a <PERSON_1> b"
    streams = [
        chat_events(cut(text, first)),
        chat_events(cut(text, second), choice=1),
        chat_events(cut(text, second), key="reasoning_content"),
    ]
    mixed = [event for group in zip(*(s[:1] for s in streams), strict=True) for event in group]
    mixed += [event for s in streams for event in s[1:-2]]
    _, out = fold([*mixed, streams[0][-2], streams[1][-2], streams[0][-1]], TOKENS)
    assert said(out) == said(out, choice=1) == said(out, key="reasoning_content") == f"a {NAME} b"


def tool_events(pieces):
    head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    deltas = [
        {"tool_calls": [head]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": p}}]} for p in pieces),
    ]
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    chunks.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    return [*(Event(name=None, data=chunk) for chunk in chunks), Event(name=None, data=None)]


def arguments(events):
    return "".join(
        call["function"].get("arguments", "")
        for event in events
        if event.data is not None
        for call in event.data["choices"][0]["delta"].get("tool_calls", ())
    )


AWKWARD = 'Jane "JD"\nDoe \\ é'


@given(CUTS, st.booleans(), st.booleans())
def test_tool_arguments_come_back_with_originals_and_parse(cuts, masking, ascii_only):
    """Originals with quotes and newlines are escaped; masked numbers become strings."""
    names = {"names": (AWKWARD,)}
    made = _with_name(masking)
    text = json.dumps(
        {"who": "<PERSON_1>", "sin": int(BARE_SIN), "note": f"SIN {SIN}, é", "n": 4}, ensure_ascii=ascii_only
    )
    _, out = fold(tool_events(cut(text, cuts)), made)
    expected = {"who": AWKWARD, "sin": int(BARE_SIN), "note": f"SIN {SIN}, é", "n": 4}
    if masking:
        expected |= {"sin": "[SIN]", "note": "SIN [SIN], é"}
    assert json.loads(arguments(out)) == expected
    plain = ReplyFold(Surface.CHAT, made).plain(
        {
            "choices": [
                {"message": {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": text}}]}}
            ]
        }
    )
    assert plain["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == arguments(out)
    assert names


def _with_name(masking):
    from gateway.core.redact import redact
    from tests.core.privacy import decision, labelled

    duties = decision(tokenise=["person"], mask=["sin"] if masking else [])
    return redact(labelled(user(AWKWARD), names=(AWKWARD,)), duties, salt=b"s")


def test_json_mode_stays_json():
    """In structured outputs the answer's text is JSON, and an original is escaped in it."""
    from gateway.core.redact import redact
    from tests.core.privacy import decision, labelled

    body = {**user(AWKWARD), "response_format": {"type": "json_object"}}
    made = redact(labelled(body, names=(AWKWARD,)), decision(tokenise=["person"]), salt=b"s")
    _, out = fold(chat_events(['{"who": "<PER', 'SON_1>"}']), made)
    assert json.loads(said(out)) == {"who": AWKWARD}
    assert json.loads(plain_chat('{"who": "<PERSON_1>"}', made)[1]) == {"who": AWKWARD}


@pytest.mark.parametrize(
    ("surface", "body"),
    [
        (Surface.CHAT, {"response_format": {"type": "json_schema"}}),
        (Surface.RESPONSES, {"text": {"format": {"type": "json_object"}}}),
        (Surface.MESSAGES, {"output_config": {"format": {"type": "json_schema"}}}),
    ],
)
def test_asks_json(surface, body):
    """Each surface has its own way to ask for JSON."""
    assert asks_json(surface, body)
    assert not asks_json(surface, {"response_format": {"type": "text"}})


def messages_events(pieces, arg_pieces):
    events = [{"type": "message_start", "message": {"id": "m", "content": []}}]
    events += [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}
    ]
    events += [
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "thinking_delta", "thinking": "of <PERSON_1>"},
        }
    ]
    events += [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}}
    ]
    events += [{"type": "content_block_stop", "index": 0}]
    events += [{"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}]
    events += [
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": p}}
        for p in pieces
    ]
    events += [{"type": "content_block_stop", "index": 1}]
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    events += [{"type": "content_block_start", "index": 2, "content_block": block}]
    events += [
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": p}}
        for p in arg_pieces
    ]
    events += [
        {"type": "content_block_stop", "index": 2},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
    ]
    return [Event(name=e["type"], data=e) for e in [*events, {"type": "message_stop"}]]


@given(CUTS, CUTS)
def test_messages_stream(cuts, arg_cuts):
    """Text and tool input are restored inside their blocks; signed thinking is left byte-exact."""
    text, args = f"Dear <PERSON_1>, SIN {SIN}", json.dumps({"to": "<EMAIL_1>", "sin": BARE_SIN})
    folding, out = fold(messages_events(cut(text, cuts), cut(args, arg_cuts)), MASKS, Surface.MESSAGES)
    blocks: dict[int, str] = {}
    opened: set[int] = set()
    for event in out:
        data = event.data
        if data["type"] == "content_block_start":
            opened.add(data["index"])
        if data["type"] == "content_block_stop":
            opened.remove(data["index"])
        if data["type"] == "content_block_delta":
            assert data["index"] in opened
            delta = data["delta"]
            piece = delta.get("text", "") + delta.get("partial_json", "") + delta.get("thinking", "")
            blocks[data["index"]] = blocks.get(data["index"], "") + piece
    assert blocks[0] == "of <PERSON_1>"
    assert blocks[1] == f"Dear {NAME}, SIN [SIN]"
    assert json.loads(blocks[2]) == {"to": EMAIL, "sin": "[SIN]"}
    assert folding.masked == {"sin": 2}
    plain = {
        "content": [
            {"type": "text", "text": text},
            {"type": "tool_use", "id": "t", "name": "f", "input": json.loads(args)},
            {"type": "thinking", "thinking": "of <PERSON_1>", "signature": "c2ln"},
        ]
    }
    whole = ReplyFold(Surface.MESSAGES, MASKS)
    body = whole.plain(plain)
    assert body["content"][0]["text"] == blocks[1]
    assert body["content"][1]["input"] == json.loads(blocks[2])
    assert body["content"][2] == plain["content"][2]
    assert whole.masked == folding.masked


def responses_events(pieces, arg_pieces):
    text, args = "".join(pieces), "".join(arg_pieces)
    at = {"output_index": 0, "content_index": 0, "item_id": "msg"}
    call = {"output_index": 1, "item_id": "fc"}
    message = {"id": "msg", "type": "message", "content": [{"type": "output_text", "text": text}]}
    item = {"id": "fc", "type": "function_call", "name": "f", "call_id": "c", "arguments": args}
    events = [
        {"type": "response.created", "response": {"id": "r", "created_at": 1_700_000_000, "output": []}}
    ]
    events += [{"type": "response.output_text.delta", "delta": p, **at} for p in pieces]
    events += [{"type": "response.output_text.done", "text": text, **at}]
    events += [{"type": "response.output_item.done", "item": message, "output_index": 0}]
    events += [{"type": "response.function_call_arguments.delta", "delta": p, **call} for p in arg_pieces]
    events += [{"type": "response.function_call_arguments.done", "arguments": args, **call}]
    events += [{"type": "response.output_item.done", "item": item, "output_index": 1}]
    events += [
        {
            "type": "response.completed",
            "response": {"id": "r", "created_at": 1_700_000_000, "output": [message, item]},
        }
    ]
    return [Event(name=e["type"], data={**e, "sequence_number": n}) for n, e in enumerate(events)]


@given(CUTS, CUTS)
def test_responses_stream(cuts, arg_cuts):
    """Deltas, `done` events and the completed response agree, and sequence numbers have no gap."""
    text, args = f"Dear <PERSON_1>, SIN {SIN} <PER", json.dumps({"to": "<EMAIL_1>", "sin": BARE_SIN})
    folding, out = fold(responses_events(cut(text, cuts), cut(args, arg_cuts)), MASKS, Surface.RESPONSES)
    shown, call = f"Dear {NAME}, SIN [SIN] <PER", {"to": EMAIL, "sin": "[SIN]"}
    deltas: dict[str, str] = {}
    for event in out:
        if event.name.endswith(".delta"):
            deltas[event.name] = deltas.get(event.name, "") + event.data["delta"]
    assert deltas["response.output_text.delta"] == shown
    assert json.loads(deltas["response.function_call_arguments.delta"]) == call
    by_name = {event.name: event.data for event in out}
    assert by_name["response.output_text.done"]["text"] == shown
    assert json.loads(by_name["response.function_call_arguments.done"]["arguments"]) == call
    last = by_name["response.completed"]["response"]
    assert last["output"][0]["content"][0]["text"] == shown
    assert json.loads(last["output"][1]["arguments"]) == call
    assert last["created_at"] == 1_700_000_000
    assert [event.data["sequence_number"] for event in out] == list(range(len(out)))
    assert folding.masked == {"sin": 2}
    names = [event.name for event in out]
    assert names.index("response.output_text.done") > max(
        i for i, n in enumerate(names) if n == "response.output_text.delta"
    )


WORDS = st.sampled_from(
    [
        "type",
        "index",
        "delta",
        "choices",
        "content",
        "text",
        "content_block",
        "tool_calls",
        "function",
        "arguments",
        "partial_json",
        "finish_reason",
        "usage",
        "response",
        "output_index",
        "sequence_number",
        "id",
        "name",
        "role",
    ]
)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 3)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        [
            "<PERSON_1>",
            "<PER",
            f"SIN {SIN}",
            "content_block_delta",
            "content_block_start",
            "content_block_stop",
            "response.output_text.delta",
            "response.output_text.done",
            "response.completed",
            "thinking_delta",
            "stop",
        ]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=15,
)


@given(
    st.lists(st.dictionaries(WORDS, JUNK, max_size=6), max_size=6),
    st.sampled_from(list(Surface)),
    st.sampled_from([TOKENS, MASKS]),
)
def test_no_shape_of_event_breaks_the_fold(events, surface, made):
    """Whatever a vendor sends as JSON, folding neither raises nor shows what is masked in one piece."""
    _, out = fold([Event(name=None, data=event) for event in events], made, surface)
    whole = ReplyFold(surface, made)
    plain = [whole.plain(event) for event in events]
    assert all(isinstance(event, Event) for event in out)
    json.dumps([*plain, *(event.data for event in out)])


def test_a_token_of_another_call_is_not_restored():
    """Originals belong to one call: a reply that names others' tokens shows the token."""
    assert plain_chat("<PERSON_2> <EMAIL_7>", TOKENS)[1] == "<PERSON_2> <EMAIL_7>"


def test_a_restored_value_is_never_masked():
    """What the app itself sent may come back even if it looks like a masked kind."""
    made = cleared(user(f"{EMAIL}"), tokenise=["email"], mask=["sin", "secret"])
    assert plain_chat(f"password: <EMAIL_1> and SIN {SIN}", made)[1] == f"password: {EMAIL} and SIN [SIN]"


def test_surrogates_come_back_although_a_masked_kind_looks_like_them():
    """Inspection spares the call's own stand-ins: what policy masks beside them is masked."""
    text = f"call {FAKE_PHONE} about SIN {FAKE_SIN}, card 4242 4242 4242 4242, p1@redacted.invalid"
    expected = f"call 514-555-0111 about SIN {SIN}, card [CARD], {EMAIL}"
    assert plain_chat(text, PRESERVED)[1] == expected
    assert said(fold(chat_events(list(text)), PRESERVED)[1]) == expected


@given(CUTS)
def test_surrogates_in_tool_arguments_come_back_and_parse(cuts):
    """Quoted or not, split anywhere, beside masked values."""
    bare = re.sub(r"\D", "", FAKE_PHONE)
    args = f'{{"to": "p1@redacted.invalid", "n": {bare}, "s": "call {FAKE_PHONE}", "card": "{BARE_CARD}"}}'
    deltas = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in cut(args, cuts)]
    events = [
        Event(name=None, data={"id": "c", "choices": [{"index": 0, "delta": d, "finish_reason": None}]})
        for d in deltas
    ]
    _, out = fold([*events, Event(name=None, data=None)], PRESERVED)
    parts = [
        call["function"].get("arguments", "")
        for event in out
        if event.data is not None
        for choice in event.data["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]
    assert json.loads("".join(parts)) == {
        "to": EMAIL,
        "n": "514-555-0111",
        "s": "call 514-555-0111",
        "card": "[CARD]",
    }


@given(REPLIES, CUTS, st.sets(st.integers(0, 40)))
def test_settling_at_any_moment_changes_nothing(text, cuts, moments):
    """A timer may ask for what is safe whenever it likes: the text and the verdict stay the same."""
    for made in (TOKENS, MASKS, PRESERVED):
        folding = ReplyFold(Surface.CHAT, made)
        out = []
        for number, event in enumerate(chat_events(cut(text, cuts))):
            out += folding.step(event)
            if number in moments:
                out += folding.settle()
        out += folding.end()
        assert said(out) == plain_chat(text, made)[1]


def test_a_stalled_stream_shows_what_is_safe_and_no_half():
    """The plain word that waited comes out; the beginning of a token or of a number does not."""
    folding = ReplyFold(Surface.CHAT, MASKS)
    first = [e for event in chat_events(["hello there my "])[:1] for e in folding.step(event)]
    assert folding.holding
    assert said([*first, *folding.settle()]) == "hello there my "[:-3]
    for start in ("it is 130 69", "ask <PERS"):
        folding = ReplyFold(Surface.CHAT, MASKS)
        out = [e for event in chat_events([start])[:1] for e in folding.step(event)]
        shown = said([*out, *folding.settle(), *folding.settle()])
        assert "130" not in shown
        assert "<" not in shown
