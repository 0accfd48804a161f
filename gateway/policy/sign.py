"""Signatures of bundles: who approved which content, replacing what, written by whom.

Ed25519 over the bundle's content hash, which covers app labels, routes, connections and facts as
well as rules. Public keys stand in a keyring *outside* the bundle, so that no bundle can name its
own judges. INVARIANT: the author is part of what is signed, and an author's own signature does
not count; one person counts once, whatever roles they hold.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from typing_extensions import override

from gateway.core.canonical import encode
from gateway.policy.problems import did_you_mean

FORMAT = "borderpost-bundle-1"
"""Enters every signed message: a signature for this cannot be used for anything else."""

LEAST_PEOPLE = 2
"""How many people approve a change that may add egress, whatever the bundle asks."""

FEWEST = 1
"""How many people approve a change that only narrows."""

LONGEST_CHAIN = 8
"""How many narrowing changes in a row may stand on fewer signatures."""


class Unusable(Exception):
    """A key, a keyring or a file of signatures cannot be used; the text says why and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A person who may sign in a role. ``public`` is the raw Ed25519 key, 32 bytes."""

    name: str
    role: str
    public: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """Who may sign. ``changes_need`` are roles that every bundle needs, beside its own list."""

    signers: tuple[Signer, ...]
    changes_need: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature. ``replaces`` is the bundle that the signer compared with; empty for none."""

    role: str
    signer: str
    author: str
    replaces: str
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What the signatures of a bundle amount to."""

    signed: tuple[tuple[str, str], ...]  # (role, person) that count
    missing: tuple[str, ...]  # in words; empty when it is approved
    ignored: tuple[str, ...] = ()  # signatures that do not count, and why

    @property
    def given(self) -> bool:
        """Whether the bundle may be put in force."""
        return not self.missing

    @override
    def __str__(self) -> str:
        """Return the state in a sentence."""
        by = ", ".join(f"{person} as {role}" for role, person in self.signed) or "nobody"
        why = [*self.missing, *self.ignored]
        return f"signed by {by}" + (f"; {'; '.join(why)}" if why else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What approval looks at in a bundle, and what it replaced where a signature names that."""

    hash: str
    author: str
    changes_need: tuple[str, ...]
    signatures: tuple[Signature, ...]


# --------------------------------------------------------------------- signing


def message(hash_: str, *, role: str, author: str, replaces: str) -> bytes:
    """Return the bytes that are signed: canonical JSON."""
    return encode({"format": FORMAT, "bundle": hash_, "role": role, "author": author, "replaces": replaces})


def sign(
    key: Ed25519PrivateKey, hash_: str, *, signer: str, role: str, author: str, replaces: str = ""
) -> Signature:
    """Sign a bundle's hash in a role."""
    value = key.sign(message(hash_, role=role, author=author, replaces=replaces))
    return Signature(role=role, signer=signer, author=author, replaces=replaces, value=value)


def new_key() -> tuple[bytes, bytes]:
    """Return a new key: the private one as PEM, the public one raw."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, public_of(key)


def public_of(key: Ed25519PrivateKey) -> bytes:
    """Return the raw public key of a private one."""
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return key.public_key().public_bytes(*raw)


def private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key from a PEM file. Raises Unusable; its text holds nothing of the file."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        raise Unusable(
            f"`{path}` is no private key that can be read; make one with `borderpost policy keygen`"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Unusable(f"`{path}` is no Ed25519 key; make one with `borderpost policy keygen`")
    return key


def signer_of(key: Ed25519PrivateKey, role: str, keyring: Keyring) -> str:
    """Return whom the keyring knows by this key in this role. Raises Unusable."""
    public = public_of(key)
    mine = [signer for signer in keyring.signers if signer.public == public]
    for signer in mine:
        if signer.role == role:
            return signer.name
    if mine:
        held = ", ".join(sorted(signer.role for signer in mine))
        raise Unusable(f"the keyring knows this key as {held}, not as `{role}`")
    raise Unusable("the keyring does not know this key; add its public half")


# ------------------------------------------------------------------- verifying


def counted(bundle: Signed, keyring: Keyring) -> tuple[list[Signature], list[str]]:
    """Return the signatures that count, and why the others do not."""
    known = {(signer.name, signer.role): signer for signer in keyring.signers}
    good: list[Signature] = []
    ignored: list[str] = []
    for signature in bundle.signatures:
        who = f"the signature of {signature.signer[:60]} as {signature.role[:60]}"
        signer = known.get((signature.signer, signature.role))
        if signer is None:
            ignored.append(f"{who} does not count: the keyring does not know them so")
        elif not _holds(signature, bundle.hash, signer):
            ignored.append(f"{who} does not count: it is not over this content")
        elif signature.author != bundle.author:
            ignored.append(f"{who} does not count: it names another author")
        elif signature.signer == bundle.author:
            ignored.append(f"{who} does not count: an author cannot approve")
        else:
            good.append(signature)
    return good, ignored


def approval(
    bundle: Signed,
    keyring: Keyring,
    *,
    replaced: Callable[[str], Signed | None] = lambda _: None,
    widens: Callable[[str, str], bool] = lambda _old, _new: True,
    depth: int = LONGEST_CHAIN,
) -> Approval:
    """Say whether a bundle is approved.

    Fully: every role that the keyring and the bundle name, by as many people, two at least. Or by
    one, if that person signed that it replaces a bundle (``replaced`` finds it) which is approved
    itself, and nothing is widened (``widens(old, new)``, by hash). Deterministic: every worker
    comes to the same answer.
    """
    good, ignored = counted(bundle, keyring)
    needs = tuple(dict.fromkeys((*keyring.changes_need, *bundle.changes_need)))
    signed = tuple(dict.fromkeys((signature.role, signature.signer) for signature in good))
    missing = _missing(needs, signed)
    if missing and depth > 0:
        for signature in good:
            if not signature.replaces or (needs and signature.role not in needs):
                continue
            before = replaced(signature.replaces)
            if before is None or widens(before.hash, bundle.hash):
                continue
            under = approval(before, keyring, replaced=replaced, widens=widens, depth=depth - 1)
            if under.given:
                missing = []
                break
    return Approval(signed=signed, missing=tuple(missing), ignored=tuple(ignored))


def _holds(signature: Signature, hash_: str, signer: Signer) -> bool:
    signed = message(hash_, role=signature.role, author=signature.author, replaces=signature.replaces)
    try:
        Ed25519PublicKey.from_public_bytes(signer.public).verify(signature.value, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _missing(needs: Sequence[str], signed: Sequence[tuple[str, str]]) -> list[str]:
    """Return what full approval still lacks, in words."""
    seats = _seats(needs, signed)
    missing = [f"a signature as {role} is missing" for role in needs if role not in seats]
    people = {person for _, person in signed}
    if not missing and len(people) < LEAST_PEOPLE:
        missing = [f"{LEAST_PEOPLE} people approve a change that adds egress; {len(people)} did"]
    return missing


def _seats(needs: Iterable[str], signed: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Seat people at roles, nobody at two; as many roles as can be (augmenting paths)."""
    seats: dict[str, str] = {}

    def seat(role: str, tried: set[str]) -> bool:
        for named, person in signed:
            if named != role or person in tried:
                continue
            tried.add(person)
            held = next((taken for taken, who in seats.items() if who == person), None)
            if held is None or seat(held, tried):
                if held is not None and seats.get(held) == person:
                    del seats[held]
                seats[role] = person
                return True
        return False

    for role in needs:
        seat(role, set())
    return seats


# ----------------------------------------------------------------------- files


def keyring_of(raw: bytes, file: str) -> Keyring:
    """Read a keyring: JSON or YAML ``{changes_need: […], keys: [{name, role, public}]}``.

    Raises Unusable with file and line.
    """
    from gateway.policy.source import read  # noqa: PLC0415 (the YAML reader is only for this file)

    document = read(file, raw)
    if document.problems:
        raise Unusable("; ".join(str(problem) for problem in document.problems))
    data = document.data
    keys = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(keys, list) or not keys:
        raise Unusable(f"{file}: a list `keys` is missing; one item is {{name, role, public}}")
    for key in data:
        if key not in {"keys", "changes_need"}:
            near = did_you_mean(str(key), ("keys", "changes_need"))
            raise Unusable(f"{document.at((str(key),))}: unknown key `{str(key)[:40]}`; {near}")
    needs = data.get("changes_need") or []
    if not isinstance(needs, list) or not all(isinstance(role, str) for role in needs):
        raise Unusable(f"{document.at(('changes_need',))}: a list of roles is expected")
    signers = [_signer(item, document.at(("keys", i))) for i, item in enumerate(keys)]
    unknown = [role for role in needs if role not in {signer.role for signer in signers}]
    if unknown:
        raise Unusable(f"{document.at(('changes_need',))}: nobody has the role `{unknown[0]}`")
    people: dict[bytes, str] = {}
    for signer in signers:
        # INVARIANT: one key is one person, or one person could count as two.
        if people.setdefault(signer.public, signer.name) != signer.name:
            raise Unusable(f"{file}: `{signer.name}` and `{people[signer.public]}` have the same key")
    return Keyring(signers=tuple(signers), changes_need=tuple(needs))


def read_keyring(path: Path) -> Keyring:
    """Read a keyring from a file. Raises Unusable."""
    try:
        raw = path.read_bytes()
    except OSError:
        raise Unusable(f"the keyring `{path}` cannot be read") from None
    return keyring_of(raw, path.name)


def _signer(item: object, at: str) -> Signer:
    fields = ("name", "role", "public")
    if not isinstance(item, dict) or set(item) != set(fields):
        raise Unusable(f"{at}: a key has {', '.join(fields)}, and nothing else")
    name, role, public = (item[field_] for field_ in fields)
    if not (isinstance(name, str) and isinstance(role, str) and isinstance(public, str) and name and role):
        raise Unusable(f"{at}: name, role and public are text")
    try:
        raw = base64.b64decode(public, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise Unusable(f"{at}: `public` is no Ed25519 key; write its 32 bytes in base64")
    return Signer(name=name, role=role, public=raw)


def plain(signatures: Iterable[Signature]) -> list[dict[str, str]]:
    """Return signatures as JSON values."""
    return [
        {
            "role": one.role,
            "signer": one.signer,
            "author": one.author,
            "replaces": one.replaces,
            "value": base64.b64encode(one.value).decode("ascii"),
        }
        for one in signatures
    ]


def signatures_of(data: object) -> tuple[Signature, ...]:
    """Return signatures from JSON values. Raises Unusable."""
    if not isinstance(data, list):
        raise Unusable("signatures are a list")
    found: list[Signature] = []
    for item in data:
        fields = ("role", "signer", "author", "replaces", "value")
        if not isinstance(item, dict) or not all(isinstance(item.get(name), str) for name in fields):
            raise Unusable(f"a signature has {', '.join(fields)}, all text")
        try:
            value = base64.b64decode(item["value"], validate=True)
        except (binascii.Error, ValueError):
            raise Unusable("the value of a signature is base64") from None
        found.append(
            Signature(
                role=item["role"],
                signer=item["signer"],
                author=item["author"],
                replaces=item["replaces"],
                value=value,
            )
        )
    return tuple(found)


SIGNATURES = "signatures.json"
"""The file beside the policy files in which signatures and the author stand. It enters no hash."""


def beside(folder: Path) -> tuple[str, tuple[Signature, ...]]:
    """Return the author and the signatures that stand beside a folder's files. Raises Unusable."""
    path = folder / SIGNATURES
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return "", ()
    except OSError:
        raise Unusable(f"`{path}` cannot be read") from None
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError:
        data = None
    if not isinstance(data, dict) or not isinstance(data.get("author"), str):
        raise Unusable(f"`{SIGNATURES}` is no file of signatures; sign again")
    return data["author"], signatures_of(data.get("signatures"))


def put_beside(folder: Path, author: str, signatures: Iterable[Signature]) -> None:
    """Write the author and the signatures beside a folder's files."""
    data = {"author": author, "signatures": plain(signatures)}
    (folder / SIGNATURES).write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2) + b"\n")
