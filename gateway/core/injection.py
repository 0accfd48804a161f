"""Prompt injection and unsafe use of tools, by what such texts say: a first, heuristic reading.

Two kinds: ``prompt_injection`` (text that tries to replace the instructions: overrides,
forged roles, demands for the system prompt, invisible characters) and ``tool_abuse`` (text
that asks for tools to be turned against their owner: exfiltration, destructive commands).
English and French. Every pattern is bounded, and cheap substring tests come first.

It reads words, so it is neither complete nor free of false alarms: whoever writes about
injection trips it. It is a signal for policy (report, mark, block), beside least privilege
for tools, never instead. What the app's own system prompt says is not looked at.
"""

from __future__ import annotations

import re

from gateway.core.shape import is_array, is_object
from gateway.core.values import Body, Path, Span

NAME = "injection/1"
KINDS = frozenset({"prompt_injection", "tool_abuse"})

_GAP = r"[^\n.!?]{0,40}?"
_OVERRIDE = (
    r"\b(?:ignore|disregard|forget|override|bypass|discard)\b" + _GAP
    + r"\b(?:previous|prior|above|earlier|preceding|existing|all|any|your|the system)\b" + _GAP
    + r"\b(?:instructions?|prompts?|rules|guidelines|directions|directives|restrictions|guardrails)\b"
)  # fmt: skip
_OVERRIDE_FR = (
    r"\b(?:ignore[zr]?|oublie[zr]?|contourne[zr]?|ne (?:tiens|tenez) (?:pas|plus) compte)\b" + _GAP
    + r"\b(?:instructions?|consignes?|r[èe]gles?|directives?|restrictions?)\b"
)  # fmt: skip
_REVEAL = (
    r"\b(?:reveal|show|print|repeat|output|display|leak|disclose|dump|r[ée]v[èe]le[zr]?|affiche[zr]?|montre[zr]?)\b"
    + _GAP
    + r"\b(?:system prompt|(?:hidden|initial|original|secret|system) (?:prompt|instructions?|message)"
    r"|(?:prompt|invite|instructions?) (?:syst[èe]me|cach[ée]e?s?|initiale?s?))\b"
)
_PERSONA = (
    r"\b(?:you are now|from now on,? you are|pretend (?:that )?you (?:are|have)|act as"
    r"|tu es maintenant|vous [êe]tes maintenant)\b"
    + _GAP
    + r"\b(?:DAN|do anything now|jailbroken|unrestricted|uncensored|no (?:restrictions|rules|limits|filters)"
    r"|sans (?:restrictions?|r[èe]gles|limites|filtres?))\b"
    r"|\b(?:developer|god|debug) mode (?:enabled|on|activated)\b"
)
_FORGED = (
    r"<\|(?:im_start|im_end|system|endoftext|start_header_id)\|>|\[/?INST\]|<</?SYS>>"
    r"|^\s{0,3}#{2,4}\s{0,2}(?:system|new instructions?|nouvelles instructions?)\s{0,2}:"
    r"|\b(?:BEGIN|END) (?:SYSTEM|ADMIN) (?:PROMPT|MESSAGE|OVERRIDE)\b"
    r"|^\s{0,3}\[(?:system|admin) (?:override|message|notice)\]"
    r"|^\s{0,3}(?:system|admin) (?:override|notice)\s{0,2}:"
)
_COVERT = (
    r"\b(?:do not|don't|never) (?:tell|inform|mention|reveal|show|alert|warn)\b" + _GAP
    + r"\b(?:the user|the human|anyone|this to)\b"
    r"|\bne (?:dis|dites|mentionne[zr]?|r[ée]v[èe]le[zr]?) (?:pas|rien)\b" + _GAP
    + r"\b(?:[àa] l[’']utilisateur|[àa] personne)\b"
)  # fmt: skip
# Letters that no reader sees: Unicode's tag characters, or a crowd of zero-width ones.
_UNSEEN = r"[\U000E0020-\U000E007F]{4,2000}|[\u200b-\u200d\u2060\ufeff]{8,2000}"

_EXFILTRATE = (
    r"\b(?:send|e-?mail|post|upload|forward|transmit|exfiltrate|envoie[zr]?|transmets|transmettez|t[ée]l[ée]verse[zr]?)\b"
    + _GAP
    + r"\b(?:conversation|chat history|system prompt|credentials?|passwords?|api[ _-]?keys?|secrets?|tokens?"
    r"|all (?:the )?(?:data|files|contacts|emails|messages)|mots? de passe|historique|identifiants)\b"
    + _GAP
    + r"(?:\bto\b|\bà\b|\bvers\b)\s{0,3}(?:https?://|\S{1,64}@|\bthe following\b|\bl[’']adresse\b)"
    r"|!\[[^\]\n]{0,80}\]\(https?://[^)\s]{1,200}[?&][\w-]{1,30}=[^)\s]{0,20}[{<\[]"
)
_DESTROY = (
    r"\brm\s{1,3}-(?:rf|fr)\s{1,3}[/~*]|\bmkfs\.\w{1,8}\b|:\(\)\s?\{\s?:\|:&\s?\};:"
    r"|\b(?:curl|wget)\b[^\n|]{1,200}\|\s{0,3}(?:sudo\s{1,3})?(?:ba|z)?sh\b"
    r"|\bpowershell(?:\.exe)?\b[^\n]{0,60}-e(?:nc|ncodedcommand)?\b"
    r"|;\s{0,3}drop\s{1,3}(?:table|database)\b|\bunion\s{1,3}(?:all\s{1,3})?select\b"
)
_COMMANDEER = (
    r"\b(?:call|invoke|use|run|execute|appelle[zr]?|utilise[zr]?|ex[ée]cute[zr]?)\b" + _GAP
    + r"\b(?:tool|function|outil|fonction)\b" + _GAP
    + r"\b(?:without (?:asking|confirmation|approval|telling)|sans (?:demander|confirmation|pr[ée]venir)"
    r"|(?:to )?(?:delete|wipe|transfer|wire|exfiltrate) (?:all|every|the (?:money|funds|data|account)))\b"
)  # fmt: skip


def _compiled(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE | re.MULTILINE)


# A family runs only where one of its cues stands (lower case): most text meets none.
_FAMILIES: tuple[tuple[str, int, tuple[str, ...], re.Pattern[str]], ...] = (
    ("prompt_injection", 85, ("ignor", "disregard", "forget", "overrid", "bypass", "discard", "oubli",
                              "contourn", "compte"), _compiled(_OVERRIDE, _OVERRIDE_FR)),
    ("prompt_injection", 75, ("prompt", "instruction", "message", "invite"), _compiled(_REVEAL)),
    ("prompt_injection", 75, ("you are", "pretend", "act as", "tu es", "vous ", " mode"),
     _compiled(_PERSONA)),
    ("prompt_injection", 90, ("<|", "inst]", "sys>>", "##", "prompt", "override", "message", "notice"),
     _compiled(_FORGED)),
    ("prompt_injection", 65, ("not ", "n't ", "never ", "ne "), _compiled(_COVERT)),
    ("tool_abuse", 80, (" to ", " à ", " vers ", "!["), _compiled(_EXFILTRATE)),
    ("tool_abuse", 75, ("rm ", "mkfs", ":(){", ":()", "curl", "wget", "powershell", "drop", "union"),
     _compiled(_DESTROY)),
    ("tool_abuse", 70, ("tool", "function", "outil", "fonction"), _compiled(_COMMANDEER)),
)  # fmt: skip
_HIDDEN = re.compile(_UNSEEN)

MOST = 64
"""Spans that one text can have; more say nothing more."""


def scan(text: str, kinds: frozenset[str] = KINDS) -> list[Span]:
    """Return the suspicious stretches of one text, in order, none overlapping. Linear in its length."""
    lower = text.lower()
    hits: list[Span] = []
    for kind, score, cues, pattern in _FAMILIES:
        if kind in kinds and any(cue in lower for cue in cues):
            hits += [_span(kind, match, score) for match in pattern.finditer(text)]
    if "prompt_injection" in kinds and not text.isascii():
        hits += [_span("prompt_injection", match, 90) for match in _HIDDEN.finditer(text)]
    hits.sort(key=lambda span: (-span.score, span.start))
    kept: list[Span] = []
    for hit in hits[: 4 * MOST]:
        if len(kept) < MOST and all(hit.end <= other.start or hit.start >= other.end for other in kept):
            kept.append(hit)
    kept.sort(key=lambda span: span.start)
    return kept


def _span(kind: str, match: re.Match[str], score: int) -> Span:
    return Span(kind=kind, start=match.start(), end=match.end(), score=score, detector=NAME)


def apps_own(body: Body, path: Path) -> bool:
    """Tell whether a leaf is the app's own instruction: its system prompt or its tools' descriptions.

    Who writes the app may say "ignore instructions in the documents"; who fills it may not.
    """
    if not path:
        return False
    first = path[0]
    if first in {"system", "instructions", "tools", "functions", "response_format"}:
        return True
    turns = body.get(first) if isinstance(first, str) else None
    if first not in {"messages", "input"} or len(path) < 2 or not is_array(turns):
        return False
    at = path[1]
    turn = turns[at] if isinstance(at, int) and 0 <= at < len(turns) else None
    return is_object(turn) and turn.get("role") in {"system", "developer"}
