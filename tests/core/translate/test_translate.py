"""The dispatch, and what holds for every pair of surface and dialect."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import features, translate
from gateway.core.errors import Code, Refusal
from gateway.core.meter import Meter, asked_output
from gateway.core.translate import chat_to_messages, messages_to_chat, responses_to_chat
from gateway.core.values import Dialect, Event, Surface
from tests.golden import speech as lib

STREAMS = {
    Dialect.CHAT: lib.chat_stream,
    Dialect.MESSAGES: lib.messages_stream,
    Dialect.RESPONSES: lib.responses_stream,
}
JUDGES = {
    Surface.CHAT: lib.hear_chat,
    Surface.MESSAGES: lib.hear_messages,
    Surface.RESPONSES: lib.hear_responses,
}
PAIRS = [(s, d) for s in JUDGES for d in STREAMS if translate.supports(s, d)]
LIMIT = {Surface.CHAT: "length", Surface.MESSAGES: "max_tokens", Surface.RESPONSES: "max_output_tokens"}
REASON = {
    Surface.CHAT: {"stop": "stop", "length": "length", "tool_calls": "tool_calls"},
    Surface.MESSAGES: lib.REASONS,
    Surface.RESPONSES: {"stop": "completed", "length": "max_output_tokens", "tool_calls": "completed"},
}
DOWN = Refusal(code=Code.UPSTREAM_TIMEOUT, message="the model took too long", extension={"decision": "dec_1"})


def fold_of(surface, dialect, *, usage=True):
    return translate.stream_fold(dialect, surface, asked_model="chat", app_wants_usage=usage)


def test_seven_pairs_stream():
    """The hub serves three surfaces from their own dialects, and chat and messages across."""
    assert len(PAIRS) == 7


@pytest.mark.parametrize(("surface", "dialect"), PAIRS)
@settings(max_examples=40)
@given(speech=lib.speeches())
def test_a_whole_stream_says_the_same(surface, dialect, speech):
    """Text, thinking, calls, finish and counts arrive, in events that the official package accepts."""
    fold = fold_of(surface, dialect)
    events = [out for event in STREAMS[dialect](speech) for out in fold.step(event)]
    events += fold.end()
    heard = JUDGES[surface](events)
    wanted = lib.said(speech)
    assert (heard.text, heard.thinking) == (wanted.text, wanted.thinking)
    assert heard.calls == wanted.calls
    assert heard.finish == REASON[surface][speech.finish]
    assert fold.failed is None
    meter = Meter(dialect)
    for event in STREAMS[dialect](speech):
        meter.see(event)
    assert meter.usage == speech.usage
    if surface is Surface.MESSAGES:
        assert heard.usage["output_tokens"] == speech.usage.output
        assert heard.usage["input_tokens"] == speech.usage.input
    else:
        key = "prompt_tokens" if surface is Surface.CHAT else "input_tokens"
        assert heard.usage[key] == speech.usage.total_input


@pytest.mark.parametrize(("surface", "dialect"), PAIRS)
@settings(max_examples=40)
@given(speech=lib.speeches(), data=st.data())
def test_cut_anywhere_is_the_surfaces_own_end(surface, dialect, speech, data):
    """However much was shown, a cut ends as at the token limit and says that the budget did it."""
    fold = fold_of(surface, dialect)
    stream = STREAMS[dialect](speech)
    at = data.draw(st.integers(0, len(stream)))
    events = [out for event in stream[:at] for out in fold.step(event)]
    ending = fold.cut("budget", usage=speech.usage)
    heard = JUDGES[surface](events + ending)
    assert heard.error is None
    if ending and heard.ended_by:
        assert heard.finish == LIMIT[surface]
        assert heard.ended_by == "budget"
    else:  # everything had been said already
        assert heard.finish == REASON[surface][speech.finish]
    assert lib.said(speech).text.startswith(heard.text)
    assert fold.cut() == fold.fail(DOWN) == fold.end() == fold.step(stream[-1]) == []


@pytest.mark.parametrize(("surface", "dialect"), PAIRS)
@settings(max_examples=40)
@given(speech=lib.speeches(), data=st.data())
def test_fail_anywhere_is_the_surfaces_own_error(surface, dialect, speech, data):
    """A failure in the middle is one error event that the official package raises, and the last."""
    fold = fold_of(surface, dialect)
    stream = STREAMS[dialect](speech)
    at = data.draw(st.integers(0, len(stream)))
    events = [out for event in stream[:at] for out in fold.step(event)]
    ending = fold.fail(DOWN)
    heard = JUDGES[surface](events + ending)
    if ending:
        assert heard.error == "upstream_timeout"
        assert fold.failed is DOWN
    assert fold.cut() == fold.end() == []


@pytest.mark.parametrize(("surface", "dialect"), PAIRS)
@settings(max_examples=40)
@given(speech=lib.speeches(), data=st.data())
def test_a_vendor_that_dies_is_not_an_answer(surface, dialect, speech, data):
    """A stream that stops early never looks finished: the app gets an error, we know why."""
    fold = fold_of(surface, dialect)
    stream = STREAMS[dialect](speech)
    finish = (
        next(
            i for i, e in enumerate(stream) if e.name == "message_delta" or 'finish_reason": "' in str(e.raw)
        )
        if dialect is not Dialect.RESPONSES
        else len(stream) - 1
    )
    at = data.draw(st.integers(0, finish))
    events = [out for event in stream[:at] for out in fold.step(event)] + fold.end()
    assert JUDGES[surface](events).error == "upstream_garbled"
    assert fold.failed is not None
    assert fold.failed.code is Code.UPSTREAM_GARBLED


@pytest.mark.parametrize("surface", JUDGES)
@given(speech=lib.speeches())
def test_identity_passes_the_very_bytes(surface, speech):
    """Where shapes agree each event is the object that came, `raw` included."""
    stream = STREAMS[Dialect(surface.value)](speech)
    fold = fold_of(surface, Dialect(surface.value))
    out = [seen for event in stream for seen in fold.step(event)]
    assert all(a is b for a, b in zip(out, stream, strict=True))


@pytest.mark.parametrize("surface", Surface)
def test_identity_keeps_unknown_fields(surface):
    """A field that we do not know passes in both directions; the input is not touched."""
    body = {"model": "chat", "messages": [], "input": [], "x_new": {"deep": [1]}, "max_tokens": 9}
    before = copy.deepcopy(body)
    sent = translate.request(body, surface, Dialect(surface.value), model="gpt-x", output_cap=5, stream=True)
    assert body == before
    assert sent["x_new"] is body["x_new"]
    assert sent["model"] == "gpt-x"
    reply = {"choices": [], "content": [], "output": [], "data": [], "input_tokens": 1, "x_new": 1}
    assert translate.reply(reply, Dialect(surface.value), surface, asked_model="chat") == reply


def test_identity_chat_sets_only_what_the_gateway_must():
    """The app's own limit field is kept, usage is always asked, other stream options stay."""
    body = {"model": "a", "messages": [], "max_completion_tokens": 50, "stream": True,
            "stream_options": {"include_obfuscation": False}}  # fmt: skip
    sent = translate.request(body, Surface.CHAT, Dialect.CHAT, model="b", output_cap=40, stream=True)
    assert sent["max_completion_tokens"] == 40
    assert "max_tokens" not in sent
    assert sent["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    renamed = translate.request(
        body, Surface.CHAT, Dialect.CHAT, model="b", output_cap=40, stream=True, max_field="max_tokens"
    )
    assert renamed["max_tokens"] == 40
    assert "max_completion_tokens" not in renamed


def test_identity_responses_are_never_stored():
    """`store` is forced to false upstream, whatever the app asks or leaves to the default."""
    for asked in ({}, {"store": True}):
        body = {"model": "a", "input": "hi", **asked}
        sent = translate.request(
            body, Surface.RESPONSES, Dialect.RESPONSES, model="b", output_cap=9, stream=False
        )
        assert sent["store"] is False
        assert sent["max_output_tokens"] == 9


@pytest.mark.parametrize(
    ("surface", "dialect"),
    [(s, d) for s in Surface for d in Dialect if not translate.supports(s, d)],
)
def test_other_pairs_are_refused(surface, dialect):
    """A pair without a translation is refused, not guessed."""
    sent = translate.request({"model": "a"}, surface, dialect, model="b", output_cap=1, stream=False)
    assert isinstance(sent, Refusal)
    assert sent.code is Code.UNSUPPORTED_FEATURE
    with pytest.raises(ValueError, match="no stream"):
        fold_of(surface, dialect)


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(
    "body", [{}, {"error": {"message": "x"}}, {"choices": "x", "content": 1, "output": {}}]
)
def test_a_reply_of_another_shape_is_garbled(dialect, body):
    """JSON that is not an answer becomes a well-formed refusal, not an answer."""
    for surface in Surface:
        got = translate.reply(body, dialect, surface, asked_model="chat")
        assert isinstance(got, Refusal)
        assert got.code is Code.UPSTREAM_GARBLED


@pytest.mark.parametrize(("surface", "dialect"), PAIRS)
def test_a_vendors_error_in_a_stream_is_told_without_its_words(surface, dialect):
    """The type stays, the message (which may hold an address) does not."""
    secret = "https://internal.example:8443/v1"
    if dialect is Dialect.RESPONSES:
        error = lib.named("error", code="server_error", message=secret, param=None, sequence_number=3)
    elif dialect is Dialect.MESSAGES:
        error = lib.named("error", error={"type": "overloaded_error", "message": secret})
    else:
        error = lib.wire(None, {"error": {"message": secret, "type": "server_error", "code": 500}})
    fold = fold_of(surface, dialect)
    stream = STREAMS[dialect](lib.Speech((lib.Part("text", ("a", "b")),)))
    events = [out for event in [*stream[:3], error] for out in fold.step(event)]
    assert fold.failed is not None
    assert secret not in str([event.data for event in events])
    assert fold.failed.vendor


def test_usage_that_the_app_did_not_ask_for_stays_hidden():
    """The chunk that we asked for to meter is not shown; asked for, it is."""
    speech = lib.Speech((lib.Part("text", ("hi",)),))
    for dialect in (Dialect.CHAT, Dialect.MESSAGES):
        for wants in (True, False):
            fold = fold_of(Surface.CHAT, dialect, usage=wants)
            events = [out for event in STREAMS[dialect](speech) for out in fold.step(event)]
            assert (lib.hear_chat(events).usage is not None) is wants


GOLDEN = sorted((Path(__file__).parents[2] / "golden" / "streams").glob("*.json"))


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_a_golden_stream_is_told_word_for_word(file):
    """A vendor's stream becomes exactly these events: ids, indices, numbers, order, usage."""
    golden = json.loads(file.read_text(encoding="utf-8"))
    fold = translate.stream_fold(
        Dialect(golden["dialect"]),
        Surface(golden["surface"]),
        asked_model="chat",
        app_wants_usage=True,
        created=1_764_000_001,
    )
    vendor = [Event(name=each["event"], data=each["data"]) for each in golden["vendor"]]
    events = [out for event in vendor for out in fold.step(event)] + fold.end()
    assert [{"event": event.name, "data": event.data} for event in events] == golden["app"]
    JUDGES[Surface(golden["surface"])](events)


def test_the_reference_page_names_what_is_refused_and_left_out():
    """No field is refused or dropped without standing in `docs/reference/surfaces.md`."""
    page = (Path(__file__).parents[3] / "docs" / "reference" / "surfaces.md").read_text(encoding="utf-8")
    fields = {
        name
        for module in (chat_to_messages, messages_to_chat, responses_to_chat)
        for name in {*module._NO_WORD, *getattr(module, "_HINTS", ())}
    }
    assert len(fields) > 25
    missing = sorted(name for name in fields if f"`{name}`" not in page and f"`{name}: " not in page)
    assert not missing


def test_the_reference_page_names_every_feature():
    """A deployment can only cover what has a documented name."""
    page = (Path(__file__).parents[3] / "docs" / "reference" / "surfaces.md").read_text(encoding="utf-8")
    named = {name for names in (*features.TOOLS.values(), *features.FIELDS.values()) for name in names}
    named |= {name for _, names in features.TOOL_PREFIXES for name in names}
    named |= {"url_fetch", "extended_cache", "unscannable", "unknown_tool:<type>"}
    assert not [name for name in sorted(named) if f"`{name}`" not in page]


@pytest.mark.parametrize("surface", [Surface.MESSAGES, Surface.RESPONSES])
@pytest.mark.parametrize("field", ["n", "best_of", "max_completion_tokens"])
def test_a_field_of_the_other_api_cannot_get_round_the_hold(surface, field):
    """The hold is made from the app's surface; chat's multipliers smuggled into another are refused."""
    body = {"model": "a", "max_tokens": 9, "messages": [], "input": "x", field: 50}
    if surface is Surface.RESPONSES:
        del body["max_tokens"]
    sent = translate.request(body, surface, Dialect.CHAT, model="b", output_cap=9, stream=False)
    assert isinstance(sent, Refusal)
    assert sent.param == field


@given(
    surface=st.sampled_from(list(JUDGES)),
    extra=st.dictionaries(
        st.sampled_from(["n", "best_of", "max_tokens", "max_completion_tokens", "max_output_tokens"]),
        st.integers(1, 99),
    ),
    stream=st.booleans(),
)
def test_what_is_sent_is_within_the_cap(surface, extra, stream):
    """Whatever limits an app names, on any surface to any dialect, the one sent is ours and `n` is held."""
    for dialect in STREAMS:
        body = {"model": "a", "messages": [], "input": "x", **extra}
        sent = translate.request(body, surface, dialect, model="b", output_cap=5, stream=stream)
        if isinstance(sent, Refusal):
            continue
        known = {
            Dialect.CHAT: ["max_tokens", "max_completion_tokens"],
            Dialect.MESSAGES: ["max_tokens"],
            Dialect.RESPONSES: ["max_output_tokens"],
        }[dialect]
        limits = [sent[name] for name in known if name in sent]
        assert limits
        assert set(limits) == {5}
        held = asked_output(surface, body)[1]
        if dialect is Dialect.CHAT:
            assert max(sent.get("n", 1), sent.get("best_of", 1)) <= held


NUMBER = st.integers(-1, 2) | st.none()
DELTA = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("content", "tool_calls", "thinking_blocks"), lib.JSON)
)
CHOICE = {
    "index": NUMBER,
    "finish_reason": st.sampled_from(["stop", "", None, "odd"]),
    "delta": lib.JSON | DELTA,
}
CHOICES = lib.JSON | st.lists(st.fixed_dictionaries({}, optional=CHOICE), max_size=2)
MESSAGES_TYPES = [None, "ping", "error", "new", "message_start", "message_delta", "message_stop",
                  "content_block_start", "content_block_delta", "content_block_stop"]  # fmt: skip
RESPONSES_TYPES = [None, "error", "response.new", "response.created", "response.output_item.added",
                   "response.output_item.done", "response.output_text.delta",
                   "response.function_call_arguments.done"]  # fmt: skip
GARBAGE = {
    Dialect.CHAT: st.fixed_dictionaries(
        {}, optional={**dict.fromkeys(("id", "usage", "error"), lib.JSON), "choices": CHOICES}
    ),
    Dialect.MESSAGES: st.fixed_dictionaries(
        {"type": st.sampled_from(MESSAGES_TYPES)},
        optional={
            **dict.fromkeys(("message", "content_block", "delta", "usage", "error"), lib.JSON),
            "index": NUMBER,
        },
    ),
    Dialect.RESPONSES: st.fixed_dictionaries(
        {"type": st.sampled_from(RESPONSES_TYPES)},
        optional={
            **dict.fromkeys(("item", "delta", "response", "error"), lib.JSON),
            **dict.fromkeys(("output_index", "sequence_number", "content_index"), NUMBER),
        },
    ),
}


@pytest.mark.parametrize(("surface", "dialect"), PAIRS)
@settings(max_examples=40)
@given(data=st.data())
def test_garbage_from_a_vendor_never_raises_and_always_ends(surface, dialect, data):
    """Any sequence of JSON objects gives events, and an ending that is the last."""
    fold = fold_of(surface, dialect)
    meter = Meter(dialect)
    for each in data.draw(st.lists(GARBAGE[dialect], max_size=6)):
        event = Event(name=None, data=each)
        meter.see(event)
        fold.step(event)
    last = data.draw(st.sampled_from([fold.end, fold.cut, lambda: fold.fail(DOWN)]))
    last()
    assert fold.end() == fold.cut() == fold.fail(DOWN) == []
    assert meter.output_bytes >= 0
