"""Signatures of statements of closed months: Ed25519, by the same keys and keyring as bundles.

A statement may be signed by whoever closes; what is signed names its format, so that no signature of
a bundle can stand under a statement or the other way round.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.policy.sign import Keyring, Unusable, private_key, public_of, read_keyring
from gateway.settings import Settings

FINANCE = "finance"
"""The role that closes months and approves what things may cost."""


def signer(path: Path, keyring: Keyring | None, *, name: str) -> Callable[[bytes], tuple[str, bytes, bytes]]:
    """Return what signs with the private key in a file. Raises Unusable.

    The name is the keyring's where it knows the key as finance's; without a keyring it is ``name``.
    """
    key = private_key(path)
    public = public_of(key)
    if keyring is not None:
        known = [one for one in keyring.signers if one.public == public and one.role == FINANCE]
        if not known:
            raise Unusable(f"the keyring does not know this key as `{FINANCE}`; add its public half")
        name = known[0].name
    return lambda message: (name, public, key.sign(message))


def statement_signer(settings: Settings) -> Callable[[bytes], tuple[str, bytes, bytes]] | None:
    """Return what signs with this installation's own key, if it has one. Raises Unusable."""
    if settings.statement_key is None:
        return None
    keyring = read_keyring(settings.policy_keyring) if settings.policy_keyring is not None else None
    return signer(settings.statement_key, keyring, name="borderpost")


def genuine(keyring: Keyring | None) -> Callable[[str, bytes, bytes, bytes], str]:
    """Return the judge of signatures: (signer, public key, signature, message) → what is wrong, or ""."""

    def judge(name: str, public: bytes, signature: bytes, message: bytes) -> str:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return f"the signature of `{name}` is not over this statement"
        if keyring is not None and (name, FINANCE, public) not in {
            (one.name, one.role, one.public) for one in keyring.signers
        }:
            return f"the keyring does not know `{name}` by this key as `{FINANCE}`"
        return ""

    return judge
