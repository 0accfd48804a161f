"""Identifiers that the gateway issues, and how it knows its own again.

A request id is ``req_<place>_<time><random><mac>``: it names the place that served
the call, sorts by time, and ends in a tag (HMAC-SHA256, truncated) under the
tenant's key. So an id that another tenant or nobody issued is recognised without
I/O, and feedback on a fresh id is accepted before its record is projected.

Chance is an argument: nothing here draws random bytes or reads a clock. Text is
lower-case Crockford base 32 (no ``i l o u``), ten bits per table look-up, since an id
is made on every call.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, Self

RANDOM_BYTES = 8
"""How many random bytes :meth:`IdIssuer.request` and :func:`decision_id` take (60 bits of them are used)."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_VALUES = frozenset(_ALPHABET)
_TIME = 10  # characters: milliseconds since the Unix epoch in 50 bits, good until the year 37,000
_RANDOM = 12  # characters: 60 bits
_TAG = 12  # characters: 60 bits; guessing is online only, against rate-limited endpoints
_BODY = _TIME + _RANDOM
_LONGEST = 128
_MASK = 1023
_MOST_CHOICES = 128
_BLOCK = 64  # bytes of a block of SHA-256
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class Hashing(Protocol):
    """A hash on its way, as hashlib makes it."""

    def copy(self) -> Self:
        """Return the same hash, to go on from here."""
        ...

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        ...

    def digest(self) -> bytes:
        """Return the hash of what was taken."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An id of ours, taken apart: the request, the place and perhaps one choice of the reply."""

    request: str
    place: str
    choice: int | None
    issued_ms: int


@dataclass(frozen=True, slots=True)
class IdIssuer:
    """Issues and recognises the request ids of one tenant.

    ``key`` is :func:`tenant_key`'s result; it never leaves the process.
    """

    key: bytes = field(repr=False)

    def request(self, place: str, *, now: int, random: bytes) -> str:
        """Return a new request id for a call that ``place`` (ISO code) serves.

        ``now`` in nanoseconds; ``random`` is RANDOM_BYTES of chance. Raises ValueError
        on less chance, since a guessable id could collide.
        """
        body = _stamp(now) + _chance(random, 6)
        name = place.lower()
        return f"req_{name}_{body}{self._tag(name, body)}"

    def recognise(self, text: str) -> Target | None:
        """Return what an id names if this tenant issued it, else None. No I/O.

        A choice is written behind a dot (``req_….1``). Foreign, forged and malformed
        ids all give None, so that callers answer them alike.
        """
        if len(text) > _LONGEST or not text.isascii():
            return None
        request, dot, suffix = text.partition(".")
        head, _, rest = request.rpartition("_")
        if not head.startswith("req_") or len(rest) != _BODY + _TAG or not _VALUES.issuperset(rest):
            return None
        choice = _choice(suffix) if dot else None
        if dot and choice is None:
            return None
        name, body = head[4:], rest[:_BODY]
        # INVARIANT: compared in constant time; the tag is all that stands between ours and made up.
        if not name or name != name.lower() or not hmac.compare_digest(self._tag(name, body), rest[_BODY:]):
            return None
        return Target(request=request, place=name.upper(), choice=choice, issued_ms=_number(body[:_TIME]))

    def _tag(self, place: str, body: str) -> str:
        inner, outer = (half.copy() for half in _keyed(self.key))
        inner.update(f"{place}\0{body}".encode())
        outer.update(inner.digest())
        return _chance(outer.digest(), 6)


def tenant_key(root: bytes, tenant: str) -> bytes:
    """Return the tenant's key for ids, derived from the installation's root secret (32 bytes or more).

    Raises ValueError on a shorter root.
    """
    return _derive(root, "ids", tenant)


def rater_key(root: bytes, tenant: str) -> bytes:
    """Return the tenant's key under which raters are pseudonymised; raises ValueError on a short root."""
    return _derive(root, "raters", tenant)


def conversation_key(root: bytes, tenant: str) -> bytes:
    """Return the tenant's key under which conversations are named; raises ValueError on a short root."""
    return _derive(root, "conversations", tenant)


def choice_id(request: str, choice: int) -> str:
    """Return the id of one choice of a reply: ``req_….1``, counted from 0."""
    return f"{request}.{choice}"


def decision_id(*, now: int, random: bytes) -> str:
    """Return a new decision id, short enough to be quoted to an office: ``dec_`` and 20 characters."""
    return f"dec_{_stamp(now)}{_chance(random, 5)}"


def _derive(root: bytes, purpose: str, tenant: str) -> bytes:
    if len(root) < 32:
        raise ValueError("root secret is shorter than 32 bytes; make a new one")
    return hmac.digest(root, f"borderpost/{purpose}/v1\0{tenant}".encode(), "sha256")


@lru_cache(maxsize=8)
def _keyed(key: bytes) -> tuple[Hashing, Hashing]:
    """Return the two halves of HMAC-SHA256 (RFC 2104) with the key taken in: an id is made per call."""
    block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))


def _stamp(now: int) -> str:
    ms = now // 1_000_000
    return (
        _PAIRS[ms >> 40 & _MASK]
        + _PAIRS[ms >> 30 & _MASK]
        + _PAIRS[ms >> 20 & _MASK]
        + _PAIRS[ms >> 10 & _MASK]
        + _PAIRS[ms & _MASK]
    )


def _chance(random: bytes, pairs: int) -> str:
    if len(random) < RANDOM_BYTES:
        raise ValueError(f"an id takes {RANDOM_BYTES} random bytes, got {len(random)}")
    bits = int.from_bytes(random[:RANDOM_BYTES], "big")
    text = (
        _PAIRS[bits & _MASK]
        + _PAIRS[bits >> 10 & _MASK]
        + _PAIRS[bits >> 20 & _MASK]
        + _PAIRS[bits >> 30 & _MASK]
        + _PAIRS[bits >> 40 & _MASK]
    )
    return text if pairs == 5 else text + _PAIRS[bits >> 50 & _MASK]


def _number(text: str) -> int:
    value = 0
    for letter in text:
        value = value << 5 | _ALPHABET.index(letter)
    return value


def _choice(text: str) -> int | None:
    # The written form is unique ("1", never "01"), so that two texts cannot name one target.
    if not text.isdigit() or len(text) > 3 or (len(text) > 1 and text[0] == "0"):
        return None
    number = int(text)
    return number if number < _MOST_CHOICES else None
