"""The root keys of sealed content: a file per place, readable by its owner alone.

``data_dir/vault/content-<place>.key`` holds 32 random bytes and is made at the first use.
Nodes of one place that share a database share this file (a mounted secret); a node of
another place never has it. To rotate, rename the file to ``content-<place>.<anything>.key``
and restart: the old one still opens what it wrapped, new keys are wrapped under a new one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typing_extensions import override

from gateway.adapters.vault import secret_file
from gateway.ports import ContentUnavailable, KeyRing

_NONCE = 12
_ID = 8
_PLACE = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")


class FileKeyRing(KeyRing):
    """Root keys in files of one folder."""

    def __init__(self, data_dir: Path) -> None:
        """Read nothing yet: a root key is made when something is first sealed."""
        self._folder = data_dir / "vault"
        self._current: dict[str, bytes] = {}
        self._known: dict[str, dict[bytes, bytes]] = {}

    @override
    def wrap(self, place: str, key: bytes, bound: bytes) -> bytes:
        root = self._root(place)
        nonce = secrets.token_bytes(_NONCE)
        return _id(root) + nonce + AESGCM(root).encrypt(nonce, key, bound)

    @override
    def unwrap(self, place: str, wrapped: bytes, bound: bytes) -> bytes:
        self._root(place)
        root = self._known[place].get(wrapped[:_ID])
        if root is None:
            raise ContentUnavailable(
                f"no root key of `{place}` opens this: restore its file from your backup"
            )
        nonce, sealed = wrapped[_ID : _ID + _NONCE], wrapped[_ID + _NONCE :]
        try:
            return AESGCM(root).decrypt(nonce, sealed, bound)
        except (InvalidTag, ValueError):
            raise ContentUnavailable("a key of a subject was altered") from None

    def _root(self, place: str) -> bytes:
        """Return the place's current root key; read all of its keys at the first use."""
        found = self._current.get(place)
        if found is not None:
            return found
        if not _PLACE.fullmatch(place):
            raise ContentUnavailable("this node's place is not known: set `place`")
        try:
            found = secret_file(self._folder / f"content-{place}.key")
            older = sorted(self._folder.glob(f"content-{place}.*.key"))
            roots = [found, *(secret_file(path) for path in older)]
        except (OSError, ValueError) as why:
            raise ContentUnavailable(str(why)) from None
        self._known[place] = {_id(root): root for root in roots}
        self._current[place] = found
        return found


def _id(root: bytes) -> bytes:
    return hashlib.sha256(b"borderpost/keyring\0" + root).digest()[:_ID]
