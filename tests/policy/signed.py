"""People with keys, and bundles that they sign: for tests of publishing."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.policy.load import read_folder
from gateway.policy.publish import Package
from gateway.policy.sign import Keyring, Signer, public_of, sign
from tests.policy.written import HERE

BANK = read_folder(HERE / "bundles" / "bank")
PEOPLE = {"anna": "legal", "sami": "security", "lea": "legal", "joe": "platform"}
KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")) for name in PEOPLE}
KEYRING = Keyring(
    signers=tuple(Signer(name=name, role=role, public=public_of(KEYS[name])) for name, role in PEOPLE.items())
)


def edited(old: str, new: str, file: str = "policy.yaml") -> dict[str, bytes]:
    """The bank's files with one edit."""
    assert old.encode() in BANK[file]
    return {**BANK, file: BANK[file].replace(old.encode(), new.encode(), 1)}


def signature(name: str, hash_: str, *, author: str = "joe", replaces: str = "", role: str | None = None):
    """One person's signature in their role."""
    return sign(KEYS[name], hash_, signer=name, role=role or PEOPLE[name], author=author, replaces=replaces)


def package(files: dict[str, bytes], hash_: str, *names: str, author: str = "joe", replaces: str = ""):
    """A package that these people signed."""
    return Package(
        hash=hash_,
        files=files,
        author=author,
        signatures=tuple(signature(name, hash_, author=author, replaces=replaces) for name in names),
    )
