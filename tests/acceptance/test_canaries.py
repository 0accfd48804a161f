"""Canaries: a SIN, a card number and an e-mail address at every position that a request has.

Policy masks the SIN and tokenises the others, so not one raw byte of them may reach the vendor, from
any position of any surface, plain or streamed: they are masked, or the call is refused. And none may
stand in anything that the gateway writes: journal, database, log, metrics, status, error bodies.

The restored reply is the one place where the tokenised come back, to the caller alone.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any

import httpx
import orjson
import pytest

from tests.acceptance import bank
from tests.acceptance.calls import (
    STREAMING,
    Caller,
    request,
    said,
    well_ended,
    well_formed_error,
)
from tests.acceptance.running import Running, gateway
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
Planted = tuple[str, str, str]
Build = Callable[[str], dict[str, object]]

_made: list[str] = []  # every canary that was planted in this module, as digits or letters


def luhn(digits: str) -> str:
    """Return digits with the check digit that SINs and cards carry."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if at % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return f"{digits}{-total % 10}"


def dice(seed: str) -> Random:
    """Return dice that fall the same way in every run."""
    return Random(seed)  # noqa: S311 (canaries are no secrets)


def planted(rng: Random) -> Planted:
    """Return a fresh SIN, card number and e-mail address, all valid and nobody's."""
    sin = luhn("1" + "".join(str(rng.randrange(10)) for _ in range(7)))
    card = luhn("4" + "".join(str(rng.randrange(10)) for _ in range(14)))
    mail = "canary" + "".join(rng.choice("abcdefghjk") for _ in range(10)) + "@maple.example"
    _made.extend((sin, card, mail))
    return f"{sin[:3]} {sin[3:6]} {sin[6:]}", card, mail


def sentence(canaries: Planted) -> str:
    """Return a sentence that holds them as people write them."""
    sin, card, mail = canaries
    return f"my SIN is {sin}, my card {card} and my e-mail {mail}."


_NUMBERS = re.compile(rb"(?<!\d)(?:\d{16}|\d{3}([ .\-]?)\d{3}\1\d{3})(?!\d)")
_NAMES = re.compile(rb"canary[a-k]{10}")
_CODED = tuple(base64.b64encode(b"\0" * shift + b"canary")[2 * shift : 8] for shift in range(3))


def leaks(data: bytes, canaries: Iterable[str]) -> list[str]:
    """Return the canaries that stand in the data: as they are, spaced, escaped or in base64."""
    seen = {re.sub(rb"\D", b"", found.group()).decode() for found in _NUMBERS.finditer(data)}
    seen |= {found.decode() for found in _NAMES.findall(data)}
    wanted = {canary.partition("@")[0]: canary for canary in canaries}
    found = [canary for key, canary in wanted.items() if key in seen]
    if any(form in data for form in _CODED):
        found.append("an address in base64")
    return found


# ------------------------------------------------------------------------------- the positions


def chat(*messages: object, **more: object) -> dict[str, object]:
    """Return a chat request with these messages."""
    return {"model": "only-ca", "messages": list(messages) or [user("hi")], **more}


def user(content: object, **more: object) -> dict[str, object]:
    """Return a user's message."""
    return {"role": "user", "content": content, **more}


def tool_call(arguments: str, **more: object) -> dict[str, object]:
    """Return an assistant's message that calls a tool."""
    function = {"name": "look_up", "arguments": arguments, **more}
    call = {"id": "call_1", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def function(**more: object) -> dict[str, object]:
    """Return a tool."""
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    return {"name": "look_up", "description": "looks up", "parameters": schema, **more}


def in_json(text: str) -> str:
    """Return JSON that holds a text, and one that holds JSON that holds it."""
    return orjson.dumps({"a": {"b": [text, 1]}, "deep": orjson.dumps({"c": text}).decode()}).decode()


def schema(text: str) -> dict[str, object]:
    """Return a schema whose words hold a text."""
    return {
        "type": "object",
        "title": text,
        "description": text,
        "properties": {"q": {"type": "string", "description": text, "examples": [text], "default": text}},
    }


CHAT: dict[str, Build] = {
    "user": lambda t: chat(user(t)),
    "system": lambda t: chat({"role": "system", "content": t}, user("hi")),
    "developer": lambda t: chat({"role": "developer", "content": t}, user("hi")),
    "assistant history": lambda t: chat(user("hi"), {"role": "assistant", "content": t}, user("go on")),
    "refusal history": lambda t: chat(
        user("hi"), {"role": "assistant", "content": None, "refusal": t}, user("go on")
    ),
    "reasoning history": lambda t: chat(
        user("hi"), {"role": "assistant", "content": "x", "reasoning_content": t}, user("go on")
    ),
    "content part": lambda t: chat(user([{"type": "text", "text": "hello"}, {"type": "text", "text": t}])),
    "part of a kind to come": lambda t: chat(
        user([{"type": "text", "text": "x", "annotation": {"note": t}}])
    ),
    "tool arguments": lambda t: chat(
        user("hi"), tool_call(in_json(t)), {"role": "tool", "tool_call_id": "call_1", "content": "ok"}
    ),
    "tool arguments that are no json": lambda t: chat(
        user("hi"), tool_call(f"{{broken {t}"), {"role": "tool", "tool_call_id": "call_1", "content": "ok"}
    ),
    "tool result": lambda t: chat(
        user("hi"), tool_call("{}"), {"role": "tool", "tool_call_id": "call_1", "content": t}
    ),
    "tool result in json": lambda t: chat(
        user("hi"), tool_call("{}"), {"role": "tool", "tool_call_id": "call_1", "content": in_json(t)}
    ),
    "function history": lambda t: chat(user("hi"), {"role": "function", "name": "look_up", "content": t}),
    "old function call": lambda t: chat(
        user("hi"),
        {"role": "assistant", "content": None, "function_call": {"name": "look_up", "arguments": in_json(t)}},
        user("go on"),
    ),
    "tool description": lambda t: chat(tools=[{"type": "function", "function": function(description=t)}]),
    "tool schema": lambda t: chat(tools=[{"type": "function", "function": function(parameters=schema(t))}]),
    "tool enum": lambda t: chat(
        tools=[
            {
                "type": "function",
                "function": function(
                    parameters={"type": "object", "properties": {"q": {"type": "string", "enum": [t]}}}
                ),
            }
        ]
    ),
    "tool name": lambda t: chat(tools=[{"type": "function", "function": function(name=t)}]),
    "old functions": lambda t: chat(functions=[function(description=t)]),
    "participant": lambda t: chat(user("hi", name=t)),
    "user field": lambda t: chat(user=t),
    "safety identifier": lambda t: chat(safety_identifier=t),
    "cache key": lambda t: chat(prompt_cache_key=t),
    "metadata": lambda t: chat(metadata={"note": t}),
    "metadata key": lambda t: chat(metadata={t: "note"}),
    "stop": lambda t: chat(stop=[t]),
    "prediction": lambda t: chat(prediction={"type": "content", "content": t}),
    "response schema": lambda t: chat(
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema(t)}}
    ),
    "unknown field": lambda t: chat(x_future=t),
    "unknown nested field": lambda t: chat(x_future={"a": [{"b": {"c": t}}]}),
    "unknown key": lambda t: chat(x_future={t: 1}),
    "unknown field of a message": lambda t: chat(user("hi", x_future=[t])),
    "tool choice": lambda t: chat(
        tools=[{"type": "function", "function": function()}],
        tool_choice={"type": "function", "function": {"name": t}},
    ),
    "an id": lambda t: chat(
        user("hi"), tool_call("{}"), {"role": "tool", "tool_call_id": t, "content": "ok"}
    ),
    "a role": lambda t: chat({"role": t, "content": "hi"}),
    "a type": lambda t: chat(user([{"type": t, "text": "x"}])),
    "service tier": lambda t: chat(service_tier=t),
    "image bytes that are text": lambda t: chat(
        user([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{t}"}}])
    ),
    "image address": lambda t: chat(
        user([{"type": "image_url", "image_url": {"url": f"https://x.example/{t}"}}])
    ),
    "audio that is text": lambda t: chat(
        user([{"type": "input_audio", "input_audio": {"data": t, "format": "wav"}}])
    ),
    "custom tool": lambda t: chat(
        tools=[{"type": "custom", "custom": {"name": "x", "description": t, "format": {"type": "text"}}}]
    ),
    "the model": lambda t: chat() | {"model": t},
}


def responses(given: object = "hi", **more: object) -> dict[str, object]:
    """Return a responses request."""
    return {"model": "only-ca", "input": given, **more}


RESPONSES: dict[str, Build] = {
    "input": responses,
    "instructions": lambda t: responses(instructions=t),
    "message": lambda t: responses([user(t)]),
    "content part": lambda t: responses([user([{"type": "input_text", "text": t}])]),
    "assistant history": lambda t: responses(
        [
            user("hi"),
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": t}]},
            user("go on"),
        ]
    ),
    "reasoning history": lambda t: responses(
        [user("hi"), {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": t}]}]
    ),
    "tool arguments": lambda t: responses(
        [
            user("hi"),
            {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": in_json(t)},
            {"type": "function_call_output", "call_id": "call_1", "output": "ok"},
        ]
    ),
    "tool result": lambda t: responses(
        [
            user("hi"),
            {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": in_json(t)},
        ]
    ),
    "tool description": lambda t: responses(tools=[{"type": "function", **function(description=t)}]),
    "tool schema": lambda t: responses(tools=[{"type": "function", **function(parameters=schema(t))}]),
    "metadata": lambda t: responses(metadata={"note": t}),
    "metadata key": lambda t: responses(metadata={t: "note"}),
    "user field": lambda t: responses(user=t),
    "text format": lambda t: responses(
        text={"format": {"type": "json_schema", "name": "x", "schema": schema(t)}}
    ),
    "unknown field": lambda t: responses(x_future={"a": [t]}),
    "unknown item": lambda t: responses([user("hi"), {"type": "x_future", "payload": {"note": t}}]),
    "an id": lambda t: responses(
        [user("hi"), {"type": "function_call_output", "call_id": t, "output": "ok"}]
    ),
    "input file that is text": lambda t: responses(
        [user([{"type": "input_file", "filename": t, "file_data": f"data:text/plain;base64,{t}"}])]
    ),
}


def messages(*turns: object, **more: object) -> dict[str, object]:
    """Return a messages request."""
    return {"model": "only-ca", "max_tokens": 200, "messages": list(turns) or [user("hi")], **more}


def tool_use(given: object) -> dict[str, object]:
    """Return an assistant's turn that uses a tool."""
    return {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": given}],
    }


def tool_result(content: object) -> dict[str, object]:
    """Return a user's turn that brings a tool's result."""
    return user([{"type": "tool_result", "tool_use_id": "toolu_1", "content": content}])


def tool(**more: object) -> dict[str, object]:
    """Return a tool in Anthropic's shape."""
    plain = {"type": "object", "properties": {"q": {"type": "string"}}}
    return {"name": "look_up", "description": "looks up", "input_schema": plain, **more}


MESSAGES: dict[str, Build] = {
    "user": lambda t: messages(user(t)),
    "system": lambda t: messages(system=t),
    "system part": lambda t: messages(system=[{"type": "text", "text": t}]),
    "content part": lambda t: messages(user([{"type": "text", "text": t}])),
    "assistant history": lambda t: messages(
        user("hi"), {"role": "assistant", "content": [{"type": "text", "text": t}]}, user("go on")
    ),
    "tool input": lambda t: messages(
        user("hi"), tool_use({"a": {"b": [t]}, "deep": in_json(t)}), tool_result("ok")
    ),
    "tool result": lambda t: messages(user("hi"), tool_use({}), tool_result(t)),
    "tool result part": lambda t: messages(
        user("hi"), tool_use({}), tool_result([{"type": "text", "text": in_json(t)}])
    ),
    "tool description": lambda t: messages(tools=[tool(description=t)]),
    "tool schema": lambda t: messages(tools=[tool(input_schema=schema(t))]),
    "end user": lambda t: messages(metadata={"user_id": t}),
    "stop sequence": lambda t: messages(stop_sequences=[t]),
    "document": lambda t: messages(
        user([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": t}}])
    ),
    "document title": lambda t: messages(
        user(
            [
                {
                    "type": "document",
                    "title": t,
                    "context": t,
                    "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                }
            ]
        )
    ),
    "signed thinking": lambda t: messages(
        user("hi"),
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": t, "signature": "c2lnbmVk"},
                {"type": "text", "text": "x"},
            ],
        },
        user("go on"),
    ),
    "unknown field": lambda t: messages(x_future={"a": [t]}),
    "unknown block": lambda t: messages(user([{"type": "x_future", "payload": {"note": t}}])),
    "an id": lambda t: messages(
        user("hi"),
        {"role": "assistant", "content": [{"type": "tool_use", "id": t, "name": "look_up", "input": {}}]},
        user([{"type": "tool_result", "tool_use_id": t, "content": "ok"}]),
    ),
    "image that is text": lambda t: messages(
        user([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": t}}])
    ),
}

EMBEDDINGS: dict[str, Build] = {
    "input": lambda t: request("embeddings", t, model="only-ca"),
    "input of several": lambda t: request("embeddings", model="only-ca") | {"input": ["hi", t]},
    "user field": lambda t: request("embeddings", model="only-ca", user=t),
    "unknown field": lambda t: request("embeddings", model="only-ca", x_future={"a": [t]}),
}

POSITIONS: dict[str, tuple[str, dict[str, Build], str]] = {
    "chat": ("chat", CHAT, "only-ca"),
    "chat over messages": ("chat", CHAT, "only-ca-on"),
    "responses": ("responses", RESPONSES, "only-ca"),
    "responses over chat": ("responses", RESPONSES, "only-ca-chat"),
    "messages": ("messages", MESSAGES, "only-ca-on"),
    "messages over chat": ("messages", MESSAGES, "only-ca"),
    "count_tokens": ("count_tokens", MESSAGES, "only-ca-on"),
    "embeddings": ("embeddings", EMBEDDINGS, "only-ca"),
}


# ------------------------------------------------------------------------------------- the suite


@pytest.fixture(scope="module")
def cage(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The bank, logging as much as it can."""
    folder = tmp_path_factory.mktemp("cage")
    files = bank.bundle(places)
    connections = files["connections.yaml"]["connections"]
    connections["ca"]["surfaces"] = ["chat", "embeddings", "responses"]
    connections["ca_chat"] = bank.connection(places["ca"])
    files["deployments.yaml"]["deployments"]["ca_chat"] = bank.facts("CA-QC", media_caps={})
    files["deployments.yaml"]["deployments"]["ca"]["covers"] = ["unscannable"]
    files["routes.yaml"]["routes"]["only-ca-chat"] = {"try": ["ca_chat"]}
    files["teams.yaml"]["teams"]["branch"]["apps"]["teller"]["models"].append("only-ca-chat")
    files["prices/all.yaml"].append(bank.price("ca_chat"))
    bank.write(folder / "policies", files)
    with gateway(folder, folder / "policies", log_level="debug") as running:
        yield running


@pytest.fixture(scope="module")
def caller(cage: Running) -> Iterator[Caller]:
    """The teller."""
    with Caller(cage.url, cage.key("teller")) as made:
        yield made


def nothing_raw(places: Places, canaries: list[str], where: object) -> None:
    """Assert that no vendor received a canary."""
    for vendor in places.values():
        assert not leaks(vendor.raw, canaries), (where, vendor.raw[-3000:])


@pytest.mark.parametrize("kind", POSITIONS)
def test_no_position_lets_a_canary_through(caller: Caller, places: Places, kind: str) -> None:
    """Every position, plain and streamed, all three at once and each alone."""
    surface, positions, model = POSITIONS[kind]
    rng = dice(kind)
    served = 0
    for name, build in positions.items():
        for stream in (False, True) if surface in STREAMING else (False,):
            canaries = planted(rng)
            texts = (sentence(canaries), *canaries) if not stream else (sentence(canaries),)
            for text in texts:
                body = build(text)
                body |= {"model": model} if body["model"] == "only-ca" else {}
                body |= {"stream": True} if stream else {}
                answer = caller.post(surface, body)
                made = [re.sub(r"\s", "", canary) for canary in canaries]
                nothing_raw(places, made, (name, stream, text))
                served += answer.status == 200
                if answer.status >= 400:
                    well_formed_error(surface, answer)
                    assert answer.status in {400, 403, 404}, (name, answer.raw)
                    # An error body names fields and rules, never what stood there. The one that
                    # repeats a caller's own words is the model that does not exist.
                    if name != "the model":
                        assert not leaks(answer.raw, made), (name, answer.raw)
                elif answer.streamed:
                    well_ended(surface, answer)
                for vendor in places.values():
                    vendor.forget()
    assert served >= len(positions) // 2, "most positions are answered, not refused"


def test_masked_and_tokenised_come_out_as_they_should(caller: Caller, places: Places) -> None:
    """The control: the vendor saw masks and tokens, the caller its own address back, never its SIN."""
    canaries = planted(dice("control"))
    sin, card, mail = canaries
    for surface in ("chat", "messages", "responses"):
        for more in ({}, {"stream": True}):
            places["ca"].forget()
            named = {"idempotency-key": f"{surface}-{len(more)}"}  # kept for a retry, sealed
            body = request(surface, sentence(canaries), model="only-ca", **more)
            answer = caller.post(surface, body, headers=named)
            assert answer.status == 200
            assert caller.post(surface, body, headers=named).raw == answer.raw
            assert len(places["ca"].seen) == 1
            seen = places["ca"].seen[0].body
            assert b"[SIN]" in seen
            assert b"<CARD_1>" in seen
            assert b"<EMAIL_1>" in seen
            text = said(answer)
            assert mail in text, text
            assert card in text
            assert sin not in text
            assert answer.headers["x-borderpost-masked"] == "card=1,email=1,sin=1"


@pytest.mark.parametrize("surface", ["chat", "messages", "responses"])
def test_a_sin_that_a_vendor_makes_up_is_masked_in_its_reply(
    caller: Caller, places: Places, surface: str
) -> None:
    """Split at any place of a stream: what policy masks is masked in replies too."""
    canaries = planted(dice(surface))
    sin = canaries[0]
    text = f"your SIN is {sin} I think"
    for script, more in (
        (Script(text=text), {}),
        (Script(text=text), {"stream": True}),
        (Script(pieces=tuple(text)), {"stream": True}),
        (Script(text=text, split=1), {"stream": True}),
        (Script(tools=(("look_up", orjson.dumps({"sin": f"SIN {sin}"}).decode()),)), {}),
        (Script(tools=(("look_up", orjson.dumps({"sin": f"SIN {sin}"}).decode()),)), {"stream": True}),
    ):
        places["ca"].script(script)
        answer = caller.post(surface, request(surface, "which?", model="only-ca", **more))
        assert answer.status == 200
        digits = re.sub(rb"[^\d]", b"", said(answer).encode())
        assert sin.replace(" ", "").encode() not in digits
        assert sin.encode() not in answer.raw


def test_errors_of_every_kind_hold_no_canary(cage: Running, caller: Caller, places: Places) -> None:
    """Refusals, bad requests, vendors' errors that repeat the prompt: nothing of it comes back."""
    rng = dice("errors")
    for surface in ("chat", "messages", "responses", "embeddings"):
        canaries = planted(rng)
        made = [re.sub(r"\s", "", canary) for canary in canaries]
        text = sentence(canaries)
        echo: dict[str, Any] = {"error": {"message": f"bad prompt: {text}", "type": "invalid_request_error"}}
        places["ca"].script(
            Script(status=400, error=echo), Script(status=500, error=echo), Script(status=500)
        )
        bodies = [
            request(surface, text, model="only-ca"),
            request(surface, text, model="only-ca"),
            request(surface, text, model="chat-pro"),
            {**request(surface, text, model="only-ca"), "tools": text},
            {**request(surface, text, model="only-ca"), "tools": [{"type": text}]},
            {**request(surface, text, model="only-ca"), "temperature": text},
            {**request(surface, text, model="only-ca"), "user": {"a": text}},
        ]
        for body in bodies:
            answer = caller.post(surface, body)
            if answer.status < 400:
                continue
            well_formed_error(surface, answer)
            assert not leaks(answer.raw, made), answer.raw
        headers = {
            "x-borderpost-data": made[0],
            "traceparent": text.replace("@", "at"),
            "idempotency-key": made[0],
            "x-borderpost-conversation": text,
            "user-agent": text,
            "x-request-id": made[0],
        }
        answer = caller.post(surface, request(surface, "hello", model="only-ca"), headers=headers)
        assert not leaks(b"\n".join(f"{k}: {v}".encode() for k, v in answer.headers.items()), made)
        nothing_raw(places, made, surface)


def test_nothing_that_was_planted_was_written(cage: Running, caller: Caller) -> None:
    """Journal, database, log, metrics and status, after all of the above. Last in this file."""
    cage.wait_projected()
    public = [
        httpx.get(f"{cage.url}{path}", trust_env=False).content
        for path in ("/metrics", "/status", "/readyz", "/openapi.json")
    ]
    public.append(caller.http.get("/v1/models").content)
    written = cage.everything_written()
    assert len(_made) > 300
    assert len(written) > 100_000
    found = leaks(b"\n".join([written, *public]), _made)
    for canary in found:
        at = written.find(canary.encode())
        raise AssertionError((canary, written[max(0, at - 300) : at + 300]))
