"""Material of the privacy tests: calls, decisions and streams, made from values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from gateway.core import patterns
from gateway.core.decide import Decision, Obligations
from gateway.core.redact import redact
from gateway.core.values import Call, Caller, ClearedCall, Event, Finding, LabelledCall, Surface
from gateway.core.vault import NOTHING_KNOWN
from gateway.core.walk import FIXED_CONTEXT, leaves

# Assembled, so that no scanner of this repository takes them for real.
SIN = "130 692" + " 544"
BARE_SIN = SIN.replace(" ", "")
CARD = " ".join(["4242"] * 4)
EMAIL = "jane.doe" + "@" + "example.com"
PHONE = "514-555-" + "0199"
NAME = "Jane Doe"


def kinds(*names: str) -> frozenset[str]:
    return frozenset(names)


def decision(*, mask=(), tokenise=(), block=(), hash=(), report=(), preserving=()) -> Decision:  # noqa: A002
    duties = Obligations(
        mask=frozenset(mask),
        tokenise=frozenset(tokenise) | frozenset(preserving),
        block=frozenset(block),
        hash=frozenset(hash),
        report=frozenset(report),
        preserving=frozenset(preserving),
    )
    return Decision(id="dec_test", obligations=duties)


def call(body: Mapping[str, object], surface: Surface = Surface.CHAT) -> Call:
    caller = Caller(tenant="t", team="team", app="app", key_id="k")
    return Call(
        id="req_test", surface=surface, caller=caller, model="m", stream=False, body=body, size=1, received=0
    )


def labelled(
    body: Mapping[str, object], surface: Surface = Surface.CHAT, names: Iterable[str] = (NAME,)
) -> LabelledCall:
    """Find with the real patterns, and the given names as a language model would."""
    findings = []
    for leaf in leaves(surface, body):
        context = None if leaf.context == FIXED_CONTEXT else leaf.context
        findings += [
            Finding(kind=s.kind, path=leaf.path, start=s.start, end=s.end, score=s.score, detector=s.detector)
            for s in patterns.scan(leaf.text, context=context)
        ]
        for name in names:
            at = leaf.text.find(name)
            while at >= 0:
                findings.append(
                    Finding(
                        kind="person", path=leaf.path, start=at, end=at + len(name), score=85, detector="ner"
                    )
                )
                at = leaf.text.find(name, at + 1)
    return LabelledCall(call=call(body, surface), labels=(), findings=tuple(findings))


def cleared(
    body: Mapping[str, object], surface: Surface = Surface.CHAT, *, known=NOTHING_KNOWN, **duties
) -> ClearedCall:
    outcome = redact(labelled(body, surface), decision(**duties), salt=b"salt", known=known)
    assert isinstance(outcome, ClearedCall), outcome
    return outcome


def user(text: str) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


def cut(text: str, places: Iterable[int]) -> list[str]:
    """Cut a text at places (taken modulo its length); the pieces join to the text."""
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in pairwise(marks)]


def chat_events(pieces: Iterable[str], *, choice: int = 0, key: str = "content") -> list[Event]:
    deltas = [{key: piece} for piece in pieces]
    chunks: list[dict[str, object]] = [
        {"id": "c", "choices": [{"index": choice, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({"id": "c", "choices": [{"index": choice, "delta": {}, "finish_reason": "stop"}]})
    return [*(Event(name=None, data=chunk, raw=b"raw") for chunk in chunks), Event(name=None, data=None)]
