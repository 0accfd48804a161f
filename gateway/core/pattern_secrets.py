"""Secrets: keys, tokens and passwords that must reach no vendor.

Known issuers mark their tokens with a prefix; those need no context. Anything else needs
a word such as ``password`` before it, and must look random. Literal prefixes are tested
first, so that a text without them costs a few substring searches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.core.pattern_checks import Hit

# Prefix → the rest of the token. A prefix is a literal, so that `in` finds it.
_ISSUED: tuple[tuple[str, str], ...] = (
    ("sk-", r"sk-(?:proj-|ant-(?:api\d\d-)?|or-(?:v1-)?|svcacct-)?[A-Za-z0-9_-]{20,200}"),
    ("sk_", r"sk_(?:live|test)_[A-Za-z0-9]{16,120}"),
    ("rk_", r"rk_(?:live|test)_[A-Za-z0-9]{16,120}"),
    ("gh", r"gh[pousr]_[A-Za-z0-9]{30,255}"),
    ("github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}"),
    ("glpat-", r"glpat-[A-Za-z0-9_-]{20,64}"),
    ("AKIA", r"AKIA[0-9A-Z]{16}"),
    ("ASIA", r"ASIA[0-9A-Z]{16}"),
    ("AIza", r"AIza[0-9A-Za-z_-]{35}"),
    ("ya29.", r"ya29\.[0-9A-Za-z_-]{20,300}"),
    ("xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,250}"),
    ("hooks.slack.com/", r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,100}"),
    ("SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    ("npm_", r"npm_[A-Za-z0-9]{36}"),
    ("pypi-", r"pypi-[A-Za-z0-9_-]{40,250}"),
    ("hf_", r"hf_[A-Za-z0-9]{30,60}"),
    ("dop_v1_", r"dop_v1_[a-f0-9]{64}"),
    ("shpat_", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    ("hvs.", r"hvs\.[A-Za-z0-9_-]{24,200}"),
    ("bp_", r"bp_(?:live|demo)_[A-Za-z0-9_-]{16,120}"),
    ("AccountKey=", r"AccountKey=[A-Za-z0-9+/]{40,100}={0,2}"),
    ("eyJ", r"eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{8,2000}"),
)
_Prefixed = tuple[tuple[str, re.Pattern[str]], ...]


def _by_mark(mark: str | None) -> _Prefixed:
    """Return the issuers whose prefix holds a rarer character, so that one test rules out all."""
    return tuple(
        (prefix, re.compile(rf"(?<![A-Za-z0-9]){rest}"))
        for prefix, rest in _ISSUED
        if (mark in prefix if mark else "_" not in prefix and "-" not in prefix)
    )


_UNDERSCORED, _DASHED, _OTHERS = _by_mark("_"), _by_mark("-"), _by_mark(None)

_PEM_BEGIN = "-----BEGIN "
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
PEM_LIMIT = 16_384

_URL = re.compile(r"://[^\s/:@\"'<>\\]{0,128}:([^\s/@\"'<>\\]{1,256})@")

_NAMED = re.compile(
    r"(?:password|passwd|pwd|passphrase|secret|api[_ -]?key|apikey|access[_ -]?key|auth[_ -]?token|"
    r"access[_ -]?token|client[_ -]?secret|private[_ -]?key|mot de passe|bearer|token)"
    r"[\"']?(?: is| est)?\s{0,3}[:=]{0,2}>?\s{0,3}[\"']?([^\s\"'<>,;\[\]{}()]{6,200})",
    re.IGNORECASE,
)
_NAMES = re.compile(
    r"pass(?:word|wd|phrase)|pwd|secret|api ?key|access ?key|token|mot de passe|bearer", re.IGNORECASE
)
_CUES = (
    "pass",
    "Pass",
    "PASS",
    "secret",
    "Secret",
    "SECRET",
    "key",
    "Key",
    "KEY",
    "oken",
    "OKEN",
    "pwd",
    "PWD",
    "earer",
)


def promising(text: str) -> bool:
    """Tell cheaply whether a text without digits may hold a secret at all."""
    return (
        _PEM_BEGIN in text
        or "://" in text
        or _cued(text)
        or any(prefix in text for prefix, _ in _candidates(text))
    )


def _candidates(text: str) -> _Prefixed:
    found = _OTHERS
    if "_" in text:
        found += _UNDERSCORED
    if "-" in text:
        found += _DASHED
    return found


def _cued(text: str) -> bool:
    if not ("=" in text or ":" in text or " is " in text or " est " in text or "earer" in text):
        return False
    return any(cue in text for cue in _CUES)


def named(context: str) -> bool:
    """Tell whether a key's words say that its value is a secret."""
    return bool(context) and _NAMES.search(context) is not None


def find(text: str, context: str) -> Iterator[Hit]:
    """Yield secrets and credentials in addresses, possibly overlapping."""
    for prefix, pattern in _candidates(text):
        if prefix in text:
            for match in pattern.finditer(text):
                yield Hit("secret", match.start(), match.end(), 98)
    if _PEM_BEGIN in text:
        yield from _pem(text)
    if "://" in text:
        for match in _URL.finditer(text):
            yield Hit("url_credential", match.start() + 3, match.end() - 1, 98)
    if _cued(text):
        for match in _NAMED.finditer(text):
            value = match.group(1)
            if _random(value):
                yield Hit("secret", match.start(1), match.end(1), 85)
    if named(context) and 6 <= len(text) <= 512 and not re.search(r"\s", text):
        yield Hit("secret", 0, len(text), 85)


def _pem(text: str) -> Iterator[Hit]:
    for match in _PEM.finditer(text):
        end = _PEM_END.search(text, match.end(), match.end() + PEM_LIMIT)
        # A key cut off before its end is as secret as a whole one.
        stop = end.end() if end else min(len(text), match.end() + PEM_LIMIT)
        yield Hit("secret", match.start(), stop, 99)


def _random(value: str) -> bool:
    """Tell whether a value after ``password:`` is one, not a word of the sentence."""
    value = value.rstrip(".!?")
    if len(value) < 6 or value.startswith(("$", "%", "*", "<", "{", "//")):
        return False
    digits = any(char.isdigit() for char in value)
    letters = any(char.isalpha() for char in value)
    marks = any(not char.isalnum() for char in value.strip("_-./"))
    mixed = value != value.lower() and not value.istitle() and value != value.upper()
    return letters and (
        (digits and len(set(value)) >= 5) or (marks and mixed) or (mixed and len(value) >= 16)
    )
