"""Tokens that keep a value's format, so that schemas and patterns still match.

``p1@redacted.invalid`` for an e-mail address, a number reserved for fiction for a phone, a
number of the same length and punctuation whose check digit is wrong for a card or a SIN:
what a surrogate stands for can be looked up in this call only, and none is anybody's. A
kind without such a form, or a value that is too short to hold a number, gets a typed token.

:class:`Restorer` puts originals back for both sorts of token, and says how much of a text
must wait because it may still become one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from gateway.core import tokens
from gateway.core.checksums import luhn

_SEPARATORS = " .-–/()\u00a0\u2011"
_BETWEEN = rf"[{re.escape(_SEPARATORS)}]{{0,2}}"
_HELD = frozenset(_SEPARATORS + "@:_")
_LETTERS = "ABCEGHJKLMNPRSTVWXYZ"

KINDS = frozenset(
    {
        "email", "phone", "card", "sin", "us_ssn", "ip", "mac", "postal_code", "iban",
        "health_number", "business_number", "bank_account", "passport", "driver_licence",
    }
)  # fmt: skip
"""The kinds that have a form of their own; the others get typed tokens."""


def surrogate(kind: str, number: int, value: str) -> str | None:
    """Return the ``number``-th stand-in of a kind in a value's format, or None if there is none."""
    make = _MAKERS.get(kind)
    return None if make is None else make(number, value)


def key_of(text: str) -> str:
    """Return what two spellings of one surrogate have in common: its letters and digits."""
    return "".join(char for char in text.casefold() if char.isalnum())


def _email(number: int, _value: str) -> str:
    return f"p{number}@redacted.invalid"


def _phone(number: int, value: str) -> str | None:
    """555-01xx is reserved for fiction in every area code of North America."""
    area, line = divmod(number - 1, 100)
    if area >= 800:
        return None
    digits = f"{200 + area}55501{line:02d}"
    have = _digits_of(value)
    if len(have) == 10:
        return _filled(value, digits)
    if len(have) == 11 and have[0] == "1":
        return _filled(value, "1" + digits)
    return f"+1 {digits[:3]}-{digits[3:6]}-{digits[6:]}"


def _card(number: int, value: str) -> str | None:
    have = _digits_of(value)
    return _numbered(number, value, keep=have[:1])


def _sin(number: int, value: str) -> str | None:
    return _numbered(number, value, keep="0")  # no SIN starts with 0


def _us_ssn(number: int, value: str) -> str | None:
    # No SSN starts with 000; it has no check digit that could be wrong.
    return _filled(value, f"{number:09d}") if len(_digits_of(value)) == 9 else None


def _ip(number: int, value: str) -> str | None:
    if ":" in value:
        return f"2001:db8::{number:x}"
    high, low = divmod(number, 65_536)
    return f"198.{18 + high}.{low >> 8}.{low & 255}" if high < 2 else None


def _mac(number: int, value: str) -> str:
    made = iter(f"020000{number % (1 << 24):06x}")
    return "".join(next(made, "0") if char.isalnum() else char for char in value)


def _postal_code(number: int, value: str) -> str | None:
    if [char.isalpha() for char in value if char.isalnum()] != [True, False] * 3:
        return None
    digits: list[str] = []
    letters: list[str] = []
    for base in (10, 10, 10):
        number, rest = divmod(number, base)
        digits.append(str(rest))
    for _ in range(2):
        number, rest = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[rest])
    made = iter(f"W{digits[2]}{letters[1]}{digits[1]}{letters[0]}{digits[0]}")  # none starts with W
    shown = "".join(next(made) if char.isalnum() else char for char in value)
    return None if number else (shown.lower() if value.islower() else shown)


def _iban(number: int, value: str) -> str | None:
    size = sum(char.isalnum() for char in value)
    tail = f"{number:0{size - 4}d}" if size > 4 else ""
    if len(tail) != size - 4:
        return None
    made = iter(f"{value[:2].upper()}00{tail}")  # check digits are never 00
    return "".join(next(made) if char.isalnum() else char for char in value)


def _numbered(number: int, value: str, *, keep: str = "") -> str | None:
    """Return the value's shape with a number in its digits and a check digit that is wrong."""
    size = len(_digits_of(value))
    body = f"{number:0{max(0, size - len(keep) - 1)}d}"
    if len(keep) + len(body) + 1 != size:
        return None
    head = keep + body
    right = next(digit for digit in "0123456789" if luhn(head + digit))
    shown = _filled(value, head + str((int(right) + 5) % 10))
    return re.sub(r"[^\W\d_]", lambda letter: "X" if letter.group().isupper() else "x", shown)


def _digits_of(value: str) -> str:
    return "".join(str(int(char)) for char in value if char.isdecimal())


def _filled(value: str, digits: str) -> str:
    """Return a value with its digits replaced one by one."""
    left = iter(digits)
    return "".join(next(left) if char.isdecimal() else char for char in value)


_MAKERS: Mapping[str, Callable[[int, str], str | None]] = {
    "email": _email,
    "phone": _phone,
    "card": _card,
    "sin": _sin,
    "us_ssn": _us_ssn,
    "ip": _ip,
    "mac": _mac,
    "postal_code": _postal_code,
    "iban": _iban,
    "health_number": _numbered,
    "business_number": _numbered,
    "bank_account": _numbered,
    "passport": _numbered,
    "driver_licence": _numbered,
}


# ---------------------------------------------------------------------- the way back

_LEAD = "(+"


def spelling(text: str) -> str:
    """Return the pattern of every accepted spelling of a surrogate."""
    if "@" in text or ":" in text or text.count(".") == 3:
        return rf"(?<![\w.+%-]){re.escape(text)}(?![\w-]|\.\w)"
    chars = [re.escape(char) for char in text if char.isalnum()]
    first = rf"(?:1{_BETWEEN})?" if _has_country(text) else ""
    return rf"[(+]{{0,2}}(?<![^\W_]){first}{_BETWEEN.join(chars[1:] if first else chars)}(?![^\W_])"


def _has_country(text: str) -> bool:
    """Tell whether a surrogate is a phone number with the country's 1, which people leave out."""
    key = key_of(text)
    return len(key) == 11 and key.isdecimal() and key[0] == "1" and key[4:8] == "5550"


class Restorer:
    """Puts originals back in the reply to one call."""

    __slots__ = ("_escaped", "_longest", "_originals", "_pattern", "_prefixes", "_surrogates", "surrogates")

    def __init__(self, originals: Mapping[str, str]) -> None:
        """Prepare for ``originals``: token or surrogate → the text it stands for."""
        self._originals = originals
        # Inside JSON source text an original is written with JSON's escapes.
        self._escaped = {
            made: json.dumps(value, ensure_ascii=False)[1:-1] for made, value in originals.items()
        }
        self._surrogates = [made for made in originals if not made.startswith("<")]
        self._pattern: re.Pattern[str] | None = None
        self._prefixes: frozenset[str] = frozenset()
        self._longest = 0
        self.surrogates: re.Pattern[str] | None = None
        """The pattern of this call's surrogates, None without any: inspection spares them."""
        if self._surrogates:
            self._prepare()

    def _prepare(self) -> None:
        self._surrogates.sort(key=len, reverse=True)
        own = "|".join(f"({spelling(made)})" for made in self._surrogates)
        self.surrogates = re.compile(own, re.IGNORECASE)
        # One pass for both sorts, so that what was put back is never read again.
        self._pattern = re.compile(f"{tokens.TOKEN.pattern}|{own}", re.IGNORECASE)
        keys = [key_of(made) for made in self._surrogates]
        keys += [key_of(made)[1:] for made in self._surrogates if _has_country(made)]
        self._prefixes = frozenset(key[:end] for key in keys for end in range(1, len(key) + 1))
        self._longest = 3 * max(map(len, keys)) + 8

    def may_hold(self, text: str) -> bool:
        """Tell cheaply whether a text may hold a token or the start of one."""
        return self._pattern is not None or tokens.may_hold(text)

    def open_tail(self, text: str) -> int:
        """Return where a suffix starts that more text could make a token, or len(text)."""
        typed = tokens.open_tail(text)
        return typed if self._pattern is None else min(typed, self._open_surrogate(text))

    def _open_surrogate(self, text: str) -> int:
        """Walk back from the end while letters and digits could be a surrogate's first ones."""
        start, key = len(text), ""
        for at in range(len(text) - 1, max(-1, len(text) - 1 - self._longest), -1):
            char = text[at]
            if char.isalnum():
                key = char.casefold() + key
                if key in self._prefixes:
                    start = at
            elif char in _LEAD and (not key or start == at + 1):
                start = at
            elif char not in _HELD:
                break
        if start < len(text) and self.surrogates is not None:
            for match in self.surrogates.finditer(text, max(0, start - self._longest)):
                if match.start() < start < match.end():
                    return match.start()  # never a cut through a whole one
        return start

    def restore(
        self, text: str, *, escaped: bool = False, before: str = "", after: str = "", quoted: bool = True
    ) -> str:
        """Return a text with originals in place of tokens.

        ``escaped`` writes them as inside JSON; ``before`` is what came last and ``after`` what is
        held back, neither of which a match may continue into; ``quoted`` tells whether JSON text
        starts inside a string.
        """
        originals = self._escaped if escaped else self._originals
        if self._pattern is None:
            return tokens.restore(text, originals)
        whole = before + text + after
        pieces: list[str] = []
        at = begin = len(before)
        end = begin + len(text)
        for match in self._pattern.finditer(whole, at):
            if match.end() > end:
                break
            pieces.append(whole[at : match.start()])
            if (match.lastindex or 0) <= _TOKEN_GROUPS:
                pieces.append(tokens.restored(match, originals))
            else:
                made = self._surrogates[(match.lastindex or 0) - _TOKEN_GROUPS - 1]
                value = originals[made]
                if escaped and not ends_quoted(whole[begin : match.start()], quoted=quoted):
                    value = value if _NUMBER.fullmatch(value) else f'"{value}"'
                pieces.append(_lead(match.group(), made) + value)
            at = match.end()
        pieces.append(whole[at:end])
        return "".join(pieces)


_TOKEN_GROUPS = tokens.TOKEN.groups
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,15})")
_QUOTE = re.compile(r'\\.|"', re.DOTALL)


def _lead(found: str, made: str) -> str:
    """Return what a spelling has before its first digit and the original does not bring along."""
    lead = found[: len(found) - len(found.lstrip(_LEAD))]
    own = made[: len(made) - len(made.lstrip(_LEAD))]
    return "".join(char for char in lead if (")" not in found if char == "(" else char not in own))


def ends_quoted(text: str, *, quoted: bool) -> bool:
    """Tell whether JSON source text ends inside a string, given whether it starts in one."""
    for found in _QUOTE.finditer(text):
        if found.group() == '"':
            quoted = not quoted
    return quoted
