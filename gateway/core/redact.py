"""Redaction: a labelled and decided call becomes a cleared call, or is refused.

The only place that makes a :class:`~gateway.core.values.ClearedCall`. What policy masks
is removed for good (``[SIN]``), what it hashes becomes a keyed hash; what it tokenises is
replaced by a reversible token (``<PERSON_1>``, or one that keeps the value's format) that
:mod:`gateway.core.restore` turns back in the reply; what it blocks refuses the call; what it
only reports is counted and left. Whatever cannot be changed honestly refuses the call too: a find in an
object key, an id or a signed block, and features whose answer refers to unaltered text.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.core import patterns, structure, surrogates, tokens
from gateway.core.errors import Code, Refusal
from gateway.core.shape import arr, is_array, is_object, obj, objs
from gateway.core.values import Body, ClearedCall, Finding, Given, LabelledCall, Path, Span, Surface
from gateway.core.vault import NOTHING_KNOWN, Known
from gateway.core.walk import Leaf, leaves, replace

if TYPE_CHECKING:
    from gateway.core.decide import Decision, Obligations

PROSE_KINDS = frozenset({"person", "location", "organisation", "prompt_injection", "tool_abuse"})
"""Kinds that are read in prose; a find of these in an id or a key is noise."""

# Fields that grow turn by turn come last when numbers are given out, so that a resent
# history gives the same numbers.
_CONVERSATION = frozenset({"messages", "input"})

_NOT_WORD = re.compile(r"[^A-Za-z0-9_-]+")

# Strictest last; of finds with the same length the stricter action wins.
_TOKENISE, _HASH, _MASK, _BLOCK = 1, 2, 3, 4


@dataclass(slots=True)
class _Ledger:
    """What has been given out so far in one call: tokens, originals and counts."""

    taken: frozenset[str]
    known: Known = NOTHING_KNOWN
    preserving: frozenset[str] = frozenset()
    spelt: str = field(default="", repr=False)  # letters and digits of all that the prompt spells
    originals: dict[str, str] = field(default_factory=dict)
    by_value: dict[tuple[str, str], str] = field(default_factory=dict)
    next_number: dict[str, int] = field(default_factory=dict)
    masked: Counter[str] = field(default_factory=Counter)
    given: list[Given] = field(default_factory=list)

    def token(self, kind: str, value: str) -> str:
        """Return the token of a value: the same for the same value and kind."""
        made = self.by_value.get((kind, value))
        if made is not None:
            return made
        preserving = kind in self.preserving and surrogates.surrogate(kind, 1, value) is not None
        for earlier in self.known.tokens_of(kind, value):
            if earlier.startswith("<") is not preserving and not self._is_spelt(earlier):
                made = earlier
                break
        if made is None:
            made = self._fresh(kind, value, preserving=preserving)
            self.given.append(Given(token=made, kind=kind, value=value))
        self.by_value[kind, value] = made
        self.originals[made] = value
        return made

    def _fresh(self, kind: str, value: str, *, preserving: bool) -> str:
        number = self.next_number.get(kind, self.known.last(kind))
        # INVARIANT: a token that the prompt already spells is never given a meaning, so
        # that planted token-like text cannot pull somebody's value into the reply.
        while True:
            number += 1
            made = surrogates.surrogate(kind, number, value) if preserving else None
            made = made or tokens.token(kind, number)
            if not self._is_spelt(made) and made not in self.originals and not self.known.has(made):
                break
        self.next_number[kind] = number
        return made

    def _is_spelt(self, made: str) -> bool:
        if made.startswith("<"):
            return made in self.taken
        return surrogates.key_of(made) in self.spelt


def redact(
    labelled: LabelledCall, decision: Decision, *, salt: bytes, known: Known = NOTHING_KNOWN
) -> ClearedCall | Refusal:
    """Return the call as it may leave, or why it may not.

    ``salt`` is the tenant's secret for keyed hashes; ``known`` are the tokens that this
    conversation has given out before, which are used again. Refuses with CONTENT_BLOCKED (a
    blocked kind, or a find where nothing may be changed) and UNSUPPORTED_FEATURE
    (log-probabilities or citations while reply text is altered).
    """
    obligations = decision.obligations
    call = labelled.call
    actions = _actions(obligations)
    acted = [finding for finding in labelled.findings if finding.kind in actions] if actions else []
    blocked = sorted({finding.kind for finding in acted if actions[finding.kind] == _BLOCK})
    if blocked:
        return _blocked(blocked)
    reply_altered = bool(reply_kinds(obligations))
    ledger = _Ledger(taken=frozenset())
    body = call.body
    if acted:
        outcome = _edit(labelled, acted, obligations, salt, known)
        if isinstance(outcome, Refusal):
            return outcome
        body, ledger = outcome
        reply_altered = reply_altered or bool(ledger.originals)
    if reply_altered and (param := needs_exact_reply(call.surface, call.body)) is not None:
        return Refusal(
            code=Code.UNSUPPORTED_FEATURE,
            message=f"`{param}` refers to exact reply text, which policy alters for this call; leave it out",
            param=param,
        )
    return ClearedCall(
        labelled=labelled, decision=decision, body=body,
        originals=ledger.originals, masked=dict(ledger.masked),
        given=tuple(ledger.given), reported=_reported(labelled, obligations),
    )  # fmt: skip


def _reported(labelled: LabelledCall, obligations: Obligations) -> Mapping[str, int]:
    """Count the finds that are reported and otherwise left alone."""
    if not obligations.report:
        return {}
    return Counter(finding.kind for finding in labelled.findings if finding.kind in obligations.report)


def tokenises(labelled: LabelledCall, decision: Decision) -> bool:
    """Tell whether redacting this call gives out tokens, so that a conversation's are needed."""
    wanted = decision.obligations.tokenise
    return bool(wanted) and any(finding.kind in wanted for finding in labelled.findings)


def reply_kinds(obligations: Obligations) -> frozenset[str]:
    """Return the kinds that are masked in replies: masked, hashed or blocked, and found by patterns.

    A tokenised kind may be shown to the app, so the reply keeps it.
    """
    if not obligations.mask and not obligations.block and not obligations.hash:
        return frozenset()
    return (obligations.mask | obligations.block | obligations.hash) & patterns.KINDS


def mask_text(text: str, kinds: frozenset[str] = patterns.KINDS) -> tuple[str, Counter[str]]:
    """Mask what patterns find in a text that is to be stored (a comment), and count by kind."""
    spans = patterns.scan(text, kinds)
    return mask_spans(text, spans), Counter(span.kind for span in spans)


def mask_spans(text: str, spans: Sequence[Span]) -> str:
    """Replace disjoint, ordered spans by their masks."""
    pieces: list[str] = []
    at = 0
    for span in spans:
        pieces += (text[at : span.start], tokens.mask(span.kind))
        at = span.end
    pieces.append(text[at:])
    return "".join(pieces)


def _actions(obligations: Obligations) -> Mapping[str, int]:
    """Return kind → action; the strictest wins when rules ask for several."""
    actions = dict.fromkeys(obligations.tokenise, _TOKENISE)
    actions.update(dict.fromkeys(obligations.hash, _HASH))
    actions.update(dict.fromkeys(obligations.mask, _MASK))
    actions.update(dict.fromkeys(obligations.block, _BLOCK))
    return actions


def _blocked(kinds: Iterable[str]) -> Refusal:
    named = ", ".join(f"`{kind}`" for kind in kinds)
    return Refusal(
        code=Code.CONTENT_BLOCKED,
        message=f"the request holds {named}, which policy does not let through; remove it and send again",
        extension={"kinds": list(kinds)},
    )


def _edit(
    labelled: LabelledCall, findings: Sequence[Finding], obligations: Obligations, salt: bytes, known: Known
) -> tuple[Body, _Ledger] | Refusal:
    """Replace every find; the walk is repeated because findings hold no text."""
    call = labelled.call
    actions = _actions(obligations)
    found = leaves(call.surface, call.body)
    salt = tenant_salt(salt, call.caller.tenant)
    by_path: dict[Path, list[Finding]] = {}
    for finding in findings:
        by_path.setdefault(finding.path, []).append(finding)
    ledger = _Ledger(
        taken=_token_like(found),
        known=known,
        preserving=obligations.preserving,
        spelt=_spelt(found) if obligations.preserving else "",
    )
    _recall(found, ledger)
    edits: dict[Path, str] = {}
    for leaf in sorted(found, key=_numbering_order):
        here = by_path.pop(leaf.path, None)
        if here is None:
            continue
        outcome = _edit_leaf(leaf, here, actions, ledger, salt)
        if isinstance(outcome, Refusal):
            return outcome
        if outcome is not None:
            edits[leaf.path] = outcome
    if by_path:
        # INVARIANT: every find is acted on. One that names no leaf means that detection
        # and redaction saw different bodies, and then nothing may leave.
        return Refusal(
            code=Code.CONTENT_BLOCKED, message="a find could not be located in the request; nothing was sent"
        )
    return replace(call.body, edits), ledger


def _recall(found: Sequence[Leaf], ledger: _Ledger) -> None:
    """Know again the conversation's tokens that stand in signed thinking: the model reads them there."""
    if ledger.known is NOTHING_KNOWN:
        return
    for leaf in found:
        if leaf.shape == "sealed" and tokens.may_hold(leaf.text):
            for match in tokens.TOKEN.finditer(leaf.text):
                for meant in tokens.meanings(match):
                    value = ledger.known.value_of(meant)
                    if value is not None and meant not in ledger.taken:
                        ledger.originals[meant] = value


def _edit_leaf(
    leaf: Leaf, findings: Sequence[Finding], actions: Mapping[str, int], ledger: _Ledger, salt: bytes
) -> str | Refusal | None:
    """Return a leaf's new text, None if nothing is to change, or a refusal."""
    if leaf.shape == "fixed":
        findings = [finding for finding in findings if finding.kind not in PROSE_KINDS]
    clusters = _clusters(_outside_tokens(leaf.text, findings), actions)
    if not clusters:
        return None
    if leaf.shape in {"fixed", "sealed"}:
        where = "a signed block" if leaf.shape == "sealed" else "a name, an id or an object key"
        kinds = sorted({kind for _, _, kind in clusters})
        named = ", ".join(f"`{kind}`" for kind in kinds)
        return Refusal(
            code=Code.CONTENT_BLOCKED,
            message=f"the request holds {named} in {where}, which cannot be changed; "
            "move it into a text value",
            param=_param(leaf.path),
            extension={"kinds": kinds},
        )
    for _, _, kind in clusters:
        ledger.masked[kind] += 1
    if leaf.shape == "pseudonym":
        return pseudonym(leaf.text, salt)
    pieces: list[str] = []
    at = 0
    # In XML and in bare numbers a token is written so that the whole still parses.
    inner = structure.segments(leaf.text) if leaf.shape == "any" else ()
    for start, end, kind in clusters:
        value = leaf.text[start:end]
        action = actions[kind]
        if action == _TOKENISE:
            made = ledger.token(kind, value)
        else:
            made = tokens.hashed(kind, value, salt) if action == _HASH else tokens.mask(kind)
        pieces += (leaf.text[at:start], structure.dressed(leaf.text, start, end, made, inner))
        at = end
    pieces.append(leaf.text[at:])
    changed = "".join(pieces)
    return _NOT_WORD.sub("_", changed).strip("_") if leaf.shape == "word" else changed


def tenant_salt(salt: bytes, tenant: str) -> bytes:
    """Return a tenant's own key: a hash tells nothing in another tenant."""
    label = b"borderpost/redact/" + tenant.encode("utf-8", "surrogatepass")
    return hmac.new(salt, label, hashlib.sha256).digest()


def pseudonym(value: str, salt: bytes) -> str:
    """Return a stable keyed hash of an end user's name, for fields that ask for one."""
    return "u_" + hmac.new(salt, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def _outside_tokens(text: str, findings: Sequence[Finding]) -> list[Finding]:
    """Drop finds that lie within token-like text: ``PERSON_1`` is nobody's name."""
    if not tokens.may_hold(text):
        return list(findings)
    spans = [match.span() for match in tokens.TOKEN.finditer(text)]
    return [
        finding
        for finding in findings
        if not any(start <= finding.start and finding.end <= end for start, end in spans)
    ]


def _clusters(findings: Sequence[Finding], actions: Mapping[str, int]) -> list[tuple[int, int, str]]:
    """Merge overlapping finds: each cluster covers them all, and has one kind.

    The longest find names the cluster; of equally long ones, the strictest action.
    INVARIANT: the cluster spans the union, so that no half of a find stays readable.
    """
    clusters: list[tuple[int, int, Finding]] = []
    for finding in sorted(findings, key=lambda f: (f.start, -f.end)):
        if clusters and finding.start < clusters[-1][1]:
            start, end, best = clusters[-1]
            winner = max(best, finding, key=lambda f: (f.end - f.start, actions[f.kind], f.score))
            clusters[-1] = (start, max(end, finding.end), winner)
        else:
            clusters.append((finding.start, finding.end, finding))
    return [(start, end, finding.kind) for start, end, finding in clusters]


def _token_like(found: Sequence[Leaf]) -> frozenset[str]:
    """Return every token that the prompt itself spells. Signed blocks hold our own tokens."""
    return frozenset(
        meant
        for leaf in found
        if leaf.shape != "sealed" and tokens.may_hold(leaf.text)
        for match in tokens.TOKEN.finditer(leaf.text)
        for meant in tokens.meanings(match)
    )


def _spelt(found: Sequence[Leaf]) -> str:
    """Return the letters and digits of a prompt, to see that no surrogate stands in it already."""
    return "\n".join(surrogates.key_of(leaf.text) for leaf in found)


def _numbering_order(leaf: Leaf) -> bool:
    return bool(leaf.path) and leaf.path[0] in _CONVERSATION


def _param(path: Path) -> str | None:
    """Name the field of a leaf: never a key that the app made up, since that may be the find."""
    first = path[0]
    if not isinstance(first, str) or not first.isidentifier() or any(char.isdigit() for char in first):
        return None
    second = path[1] if len(path) > 1 else None
    return f"{first}.{second}" if isinstance(second, int) and second >= 0 else first


def needs_exact_reply(surface: Surface, body: Body) -> str | None:
    """Return the parameter whose answer refers to the exact reply text, or None."""
    match surface:
        case Surface.CHAT:
            if body.get("logprobs") or body.get("top_logprobs"):
                return "logprobs"
            return "web_search_options" if body.get("web_search_options") is not None else None
        case Surface.RESPONSES:
            if body.get("top_logprobs") or "message.output_text.logprobs" in arr(body, "include"):
                return "top_logprobs"
            return "tools" if _has_tool(body, ("web_search", "file_search")) else None
        case Surface.MESSAGES:
            if _has_tool(body, ("web_search", "web_fetch")):
                return "tools"
            return "citations" if _asks_citations(body) else None
        case Surface.EMBEDDINGS | Surface.COUNT_TOKENS:
            return None


def _has_tool(body: Body, kinds: tuple[str, ...]) -> bool:
    return any(str(tool.get("type", "")).startswith(kinds) for tool in objs(body, "tools"))


def _asks_citations(body: Body) -> bool:
    """Tell whether any document of a Messages request asks for citations (offsets)."""
    stack: list[object] = [body.get("messages"), body.get("system")]
    while stack:
        node = stack.pop()
        if is_object(node):
            citations = obj(node, "citations")
            if citations is not None and citations.get("enabled"):
                return True
            stack += [value for value in node.values() if isinstance(value, dict | list)]
        elif is_array(node):
            stack += [value for value in node if isinstance(value, dict | list)]
    return False
