"""Who is asking: an app by its key, or a person by an admin token.

Apps present their key as ``Authorization: Bearer``, ``x-api-key`` (Anthropic's SDK) or
``api-key`` (Azure's). People with a role present an admin token as a bearer. Both
are looked up in memory, so that the hot path pays microseconds and no I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hmac import compare_digest
from typing import Final

from gateway.core.errors import Code, Refusal
from gateway.core.values import Caller
from gateway.ports import Keys
from gateway.settings import AdminToken

_KEY_HEADERS = (b"authorization", b"x-api-key", b"api-key")
_LONGEST = 512

MISSING: Final = Refusal(
    code=Code.INVALID_API_KEY,
    message="No key was sent. Send your Borderpost key as `Authorization: Bearer bp_…` or `x-api-key: bp_…`.",
    retry=False,
)
AMBIGUOUS: Final = Refusal(
    code=Code.INVALID_API_KEY,
    message="Two different keys were sent. Send one: `Authorization: Bearer bp_…` or `x-api-key: bp_…`.",
    retry=False,
)


class Role(StrEnum):
    """What a person may do. An admin may do all; an auditor reads all and changes nothing."""

    ADMIN = "admin"
    FINANCE = "finance"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A person or a machine with a role, by the name of the token."""

    name: str
    role: Role


def presented_key(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the key that was sent, by lower-case header name; None if none, or if two differ."""
    return _presented(headers) if _same(headers) else None


def authenticate(headers: Mapping[bytes, bytes], keys: Keys, now: int) -> Caller | Refusal:
    """Return the caller that the request's key stands for, or INVALID_API_KEY. No I/O.

    ``headers`` by lower-case name; ``now`` in nanoseconds. Two different keys are refused:
    which of two apps pays is not ours to guess.
    """
    bearer = headers.get(b"authorization")
    if bearer is not None and b"x-api-key" not in headers and b"api-key" not in headers:
        # What nearly every call does, without a second look.
        key = bearer[7:_LONGEST].strip()
        if key and bearer[:7] == b"Bearer ":
            return keys.find(key.decode("latin-1"), now)
    presented = _presented(headers)
    if presented is None:
        return MISSING
    if not _same(headers):
        return AMBIGUOUS
    return keys.find(presented, now)


class AdminTokens:
    """The admin tokens of this installation, by their SHA-256."""

    def __init__(self, tokens: Iterable[AdminToken]) -> None:
        """Index the tokens that :func:`gateway.settings.read_admin_tokens` read."""
        self._by_hash = {token.sha256: Actor(name=token.name, role=Role(token.role)) for token in tokens}

    def authorise(self, headers: Mapping[bytes, bytes], *allowed: Role) -> Actor | Refusal:
        """Return who asks if the token's role is among ``allowed``; ADMIN always is."""
        presented = _presented(headers)
        if presented is None:
            return Refusal(
                code=Code.INVALID_API_KEY,
                message="No admin token was sent. Send it as `Authorization: Bearer …`.",
                retry=False,
            )
        # The tokens are long and random, so that the time of a look-up by hash tells nothing; the
        # comparison is still constant in time, to keep the habit.
        digest = hashlib.sha256(presented.encode("utf-8", "replace")).digest()
        found = None
        for known, actor in self._by_hash.items():
            if compare_digest(known, digest):
                found = actor
        if found is None or not _same(headers):
            return Refusal(
                code=Code.INVALID_API_KEY,
                message="This admin token is not known. Ask the platform team for one.",
                retry=False,
            )
        if found.role is not Role.ADMIN and found.role not in allowed:
            wanted = " or ".join(sorted({Role.ADMIN.value, *(role.value for role in allowed)}))
            return Refusal(
                code=Code.PERMISSION_DENIED,
                message=f"This needs the role {wanted}; this token has {found.role.value}.",
                retry=False,
            )
        return found


def _presented(headers: Mapping[bytes, bytes]) -> str | None:
    value = headers.get(b"authorization")
    if value is not None:
        scheme, _, rest = value.partition(b" ")
        if scheme.lower() == b"bearer" and (key := rest.strip()):
            return _text(key)
    for name in _KEY_HEADERS[1:]:
        key = headers.get(name, b"").strip()
        if key:
            return _text(key)
    return None


def _same(headers: Mapping[bytes, bytes]) -> bool:
    sent = [headers[name] for name in _KEY_HEADERS if name in headers]
    if len(sent) < 2:
        return True
    bare = {value.strip().rpartition(b" ")[2] for value in sent}
    return len(bare - {b""}) < 2


def _text(key: bytes) -> str:
    return key[:_LONGEST].decode("latin-1")
