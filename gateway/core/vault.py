"""The vault's rules: which tokens a conversation has given out, and how they are written down.

A token keeps its meaning for a conversation: the same value gets the same token in turn 1
and in turn 9, on any worker. What is kept is one entry per token, first come first served,
so that two workers can never give one token two meanings. Only values live here;
:mod:`gateway.vaulting` reads and writes them through the content store.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.core.values import Given

MOST = 10_000
"""Tokens that a conversation keeps; values beyond get tokens for one call."""

APART = 500_000
"""Where numbers start while the vault is away: never where a kept token's number is."""

KIND = "vault.token"
"""Under which the content store keeps tokens."""


@dataclass(frozen=True, slots=True)
class Known:
    """The tokens of one conversation. ``start`` is the number after which new ones begin."""

    by_token: Mapping[str, Given] = field(repr=False)
    by_value: Mapping[tuple[str, str], tuple[str, ...]] = field(repr=False)
    numbers: Mapping[str, int]
    start: int = 0

    def tokens_of(self, kind: str, value: str) -> tuple[str, ...]:
        """Return the tokens of a value, the oldest first."""
        return self.by_value.get((kind, value), ())

    def value_of(self, token: str) -> str | None:
        """Return what a token stands for."""
        given = self.by_token.get(token)
        return None if given is None else given.value

    def has(self, token: str) -> bool:
        """Tell whether a token has a meaning already."""
        return token in self.by_token

    def last(self, kind: str) -> int:
        """Return the number after which a new token of a kind may be looked for."""
        return max(self.start, self.numbers.get(kind, 0))


NOTHING_KNOWN = Known({}, {}, {})
AWAY = Known({}, {}, {}, APART)
"""What is known while the vault does not answer: nothing, and numbers that it never gave out."""


def known(given: Iterable[Given]) -> Known:
    """Return the tokens of a conversation, read in any order."""
    by_token: dict[str, Given] = {}
    by_value: dict[tuple[str, str], tuple[str, ...]] = {}
    numbers: dict[str, int] = {}
    for one in sorted(given, key=lambda g: (len(g.token), g.token)):
        by_token[one.token] = one
        by_value[one.kind, one.value] = (*by_value.get((one.kind, one.value), ()), one.token)
        numbers[one.kind] = numbers.get(one.kind, 0) + 1
    return Known(by_token, by_value, numbers)


def pack(given: Given) -> bytes:
    """Return what is kept, sealed, under a token's name."""
    return json.dumps([given.kind, given.value]).encode()


def unpack(token: str, content: bytes) -> Given:
    """Return what was kept under a token's name. Raises ValueError on anything else."""
    found: object = json.loads(content)
    match found:
        case [str(kind), str(value)]:
            return Given(token=token, kind=kind, value=value)
        case _:
            raise ValueError("what is kept under this token is no token")


def conversation_name(key: bytes, *, app: str, conversation: str) -> str:
    """Return the pseudonym of an app's conversation: no id of the app's is kept in clear.

    INVARIANT: the app is part of it, so that two apps that use one id never share a token.
    """
    text = f"conversation\0{app}\0{conversation}".encode("utf-8", "surrogatepass")
    return "conversation:" + hmac.new(key, text, hashlib.sha256).hexdigest()[:40]
