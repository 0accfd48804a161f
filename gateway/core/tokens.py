"""Reversible tokens: how ``<PERSON_1>`` is written, and what is recognised as one.

A token is a kind in capitals and a number between angle brackets. A model may echo it in
another case, with the kind in the plural or in French, with a space or a hyphen for the
underscore, with an ending inside the brackets (``<PERSON_1's>``), HTML-, JSON-, URL- or
Markdown-escaped; those forms are recognised. Without its brackets a name such as
``PERSON_1`` is ordinary text (a variable, a column) and is never restored.

Tokens that keep a value's format stand in :mod:`gateway.core.surrogates`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import quote

_LETTER = r"[A-Za-zÀ-ÖØ-öø-ÿ]"
_OPEN = r"(?:<|&lt;|\\u003[cC]|%3[cC]|[＜‹〈])"
_CLOSE = r"(?:>|&gt;|\\u003[eE]|%3[eE]|[＞›〉])"
_JOIN = r"\\{0,2}[_ -]"
TOKEN = re.compile(
    rf"({_OPEN})({_LETTER}{{2,20}}(?:{_JOIN}{_LETTER}{{2,20}}){{0,3}})(?:{_JOIN})?([1-9]\d{{0,5}})"
    rf"(?!\d)((?:['’]?{_LETTER}{{1,3}})?)({_CLOSE})"
)
"""Any accepted spelling: the bracket, the kind (2), the number (3), an ending (4), the bracket."""

LONGEST = 128
"""No accepted spelling is longer; a fold never holds more than this back for a token."""

# Every beginning of a spelling, at the end of a text.
_WORD = rf"{_LETTER}{{1,20}}(?:{_JOIN}{_LETTER}{{1,20}}){{0,3}}"
_TAIL = re.compile(
    rf"{_OPEN}(?:{_WORD}(?:\\{{0,2}}[_ -]?|(?:{_JOIN})?[1-9]\d{{0,5}}(?:['’]?{_LETTER}{{0,3}})?"
    r"(?:&(?:g(?:t)?)?|%(?:3)?|\\(?:u(?:0(?:0(?:3)?)?)?)?)?))?\Z"
    r"|&(?:l(?:t)?)?\Z|%(?:3)?\Z|\\(?:u(?:0(?:0(?:3)?)?)?)?\Z"
)

# The kinds as a model that answers in French may write them; accents are dropped before.
_FRENCH = {
    "PERSONNE": "PERSON",
    "NOM": "PERSON",
    "LIEU": "LOCATION",
    "ORGANISATION": "ORGANISATION",
    "ORGANIZATION": "ORGANISATION",
    "COURRIEL": "EMAIL",
    "TELEPHONE": "PHONE",
    "ADRESSE": "ADDRESS",
    "CARTE": "CARD",
    "NAS": "SIN",
    "PASSEPORT": "PASSPORT",
    "CODE_POSTAL": "POSTAL_CODE",
    "DATE_DE_NAISSANCE": "DATE_OF_BIRTH",
}


def token(kind: str, number: int) -> str:
    """Return the token that stands for the ``number``-th value of a kind."""
    return f"<{kind.upper()}_{number}>"


def mask(kind: str) -> str:
    """Return what stands where a value was removed for good."""
    return f"[{kind.upper()}]"


def hashed(kind: str, value: str, salt: bytes) -> str:
    """Return a keyed hash of a value: the same wherever the value is, and of no use elsewhere.

    Spaces, punctuation and case do not count, so that one number spelt two ways is one.
    """
    plain = "".join(char for char in value.casefold() if char.isalnum() or char in "@+") or value
    made = hmac.new(salt, f"{kind}\0{plain}".encode("utf-8", "surrogatepass"), hashlib.sha256)
    return f"[{kind.upper()}:{made.hexdigest()[:16]}]"


def meanings(match: re.Match[str]) -> tuple[str, ...]:
    """Return the tokens that a spelling may mean, the likeliest first."""
    kind = re.sub(r"[ -]", "_", match.group(2).replace("\\", "")).upper()
    if not kind.isascii():
        kind = unicodedata.normalize("NFD", kind).encode("ascii", "ignore").decode()
    number = match.group(3)
    kinds = [kind]
    if kind.endswith("S"):
        kinds.append(kind[:-1])
    kinds += [_FRENCH[known] for known in tuple(kinds) if known in _FRENCH]
    return tuple(f"<{name}_{number}>" for name in dict.fromkeys(kinds))


def canonical(match: re.Match[str]) -> str:
    """Return the token that a spelling means where no call says which were given."""
    return meanings(match)[0]


def restored(match: re.Match[str], originals: Mapping[str, str]) -> str:
    """Return what stands for one spelling: its original with the ending, or itself."""
    for meant in meanings(match):
        value = originals.get(meant)
        if value is not None:
            inside_url = match.group(1).startswith("%")
            return (quote(value, safe="") if inside_url else value) + match.group(4)
    return match.group()


def restore(text: str, originals: Mapping[str, str]) -> str:
    """Replace every token of ``originals`` in a text; other token-like text stays."""
    return TOKEN.sub(lambda match: restored(match, originals), text)


def open_tail(text: str) -> int:
    """Return where a suffix starts that more text could make a token, or len(text)."""
    window = len(text) - LONGEST
    match = _TAIL.search(text, max(0, window))
    return match.start() if match else len(text)


def may_hold(text: str) -> bool:
    """Tell cheaply whether a text may hold a token or the start of one."""
    return (
        "<" in text or "&" in text or "\\" in text or "%" in text
        or (not text.isascii() and ("＜" in text or "‹" in text or "〈" in text))
    )  # fmt: skip
