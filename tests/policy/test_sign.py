"""Signatures: whose count, for which content, and how many are needed."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.sign import (
    Keyring,
    Signed,
    Signer,
    Unusable,
    approval,
    beside,
    keyring_of,
    new_key,
    plain,
    private_key,
    public_of,
    put_beside,
    read_keyring,
    signatures_of,
    signer_of,
)
from tests.policy.signed import KEYRING, KEYS, PEOPLE, signature

HASH, OTHER = "a" * 64, "b" * 64


def _bundle(*signatures, author="joe", needs=("legal", "security"), hash_=HASH):
    return Signed(hash=hash_, author=author, changes_need=needs, signatures=signatures)


def test_every_role_signs():
    """Legal and security together approve; each alone says what is missing."""
    both = _bundle(signature("anna", HASH), signature("sami", HASH))
    assert approval(both, KEYRING).given
    one = approval(_bundle(signature("anna", HASH)), KEYRING)
    assert one.missing == ("a signature as security is missing",)
    assert "signed by anna as legal" in str(one)
    assert not approval(_bundle(), KEYRING).given


def test_an_authors_own_signature_does_not_count():
    """Not even with a good key and the right role."""
    own = _bundle(
        signature("anna", HASH, author="anna"), signature("sami", HASH, author="anna"), author="anna"
    )
    judged = approval(own, KEYRING)
    assert not judged.given
    assert "an author cannot approve" in str(judged)


def test_an_author_cannot_pass_as_another():
    """Who signed, signed who wrote it: naming another author afterwards makes signatures worthless."""
    honest = (signature("anna", HASH, author="anna"), signature("sami", HASH, author="anna"))
    judged = approval(_bundle(*honest, author="joe"), KEYRING)
    assert judged.signed == ()
    assert "it names another author" in str(judged)


def test_a_signature_is_of_one_content_role_and_base():
    """Another bundle's signature, another role's, an edited one or one with another base: none counts."""
    good = signature("sami", HASH)
    wrong = [
        replace(signature("anna", OTHER)),
        replace(signature("anna", HASH), replaces=OTHER),
        replace(signature("anna", HASH), role="security"),
        replace(signature("anna", HASH), value=bytes(64)),
        replace(signature("anna", HASH), value=b"short"),
        replace(signature("anna", HASH), signer="lea"),
    ]
    for one in wrong:
        assert not approval(_bundle(good, one), KEYRING).given


@given(st.binary(min_size=64, max_size=64))
def test_no_made_up_signature_counts(value):
    """Whatever 64 bytes somebody writes."""
    made = replace(signature("anna", HASH), value=value)
    assert not approval(_bundle(made, signature("sami", HASH)), KEYRING).given


def test_one_person_counts_once():
    """Who holds two roles fills one of them, and the one that is needed."""
    both = Signer(name="anna", role="security", public=public_of(KEYS["anna"]))
    ring = Keyring(signers=(*KEYRING.signers, both))
    twice = (signature("anna", HASH), signature("anna", HASH, role="security"))
    assert not approval(_bundle(*twice), ring).given
    assert approval(_bundle(*twice, signature("lea", HASH)), ring).given


def test_two_people_even_if_the_bundle_asks_for_none():
    """A bundle cannot lower the bar for itself, and the keyring can raise it."""
    assert not approval(_bundle(signature("anna", HASH), needs=()), KEYRING).given
    two = _bundle(signature("anna", HASH), signature("lea", HASH), needs=())
    assert approval(two, KEYRING).given
    assert not approval(two, replace(KEYRING, changes_need=("security",))).given


def test_narrowing_needs_one():
    """If they signed what it replaces, that is approved itself, and nothing is widened."""
    before = _bundle(signature("anna", OTHER), signature("sami", OTHER), hash_=OTHER)
    known = {OTHER: before}.get
    after = _bundle(signature("anna", HASH, replaces=OTHER))
    assert approval(after, KEYRING, replaced=known, widens=lambda _o, _n: False).given
    assert not approval(after, KEYRING, replaced=known, widens=lambda _o, _n: True).given
    assert not approval(after, KEYRING, widens=lambda _o, _n: False).given
    outsider = _bundle(signature("joe", HASH, author="x", replaces=OTHER), author="x")
    assert not approval(outsider, KEYRING, replaced=known, widens=lambda _o, _n: False).given
    unapproved = {OTHER: _bundle(hash_=OTHER)}.get
    assert not approval(after, KEYRING, replaced=unapproved, widens=lambda _o, _n: False).given


def test_a_chain_of_narrowings_ends():
    """A bundle that replaces itself, or a long chain, is not approved by going in circles."""
    me = _bundle(signature("anna", HASH, replaces=HASH))
    assert not approval(me, KEYRING, replaced=lambda _: me, widens=lambda _o, _n: False).given


def test_keys_and_keyrings_are_files(tmp_path):
    """A made key is known by the line that was printed for it."""
    pem, public = new_key()
    file = tmp_path / "anna.pem"
    file.write_bytes(pem)
    key = private_key(file)
    ring = tmp_path / "keyring.yaml"
    line = f'{{name: anna, role: legal, public: "{base64.b64encode(public).decode()}"}}'
    ring.write_text(f"changes_need: [legal]\nkeys:\n  - {line}\n")
    read = read_keyring(ring)
    assert signer_of(key, "legal", read) == "anna"
    assert read.changes_need == ("legal",)
    with pytest.raises(Unusable, match="knows this key as legal, not as `security`"):
        signer_of(key, "security", read)
    with pytest.raises(Unusable, match="does not know this key"):
        signer_of(KEYS["sami"], "legal", read)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("keys: []", "a list `keys` is missing"),
        ("keyz: [1]", "`keys` is missing"),
        ("keys: [{name: a}]", "name, role, public"),
        ('keys: [{name: a, role: b, public: "AAAA"}]', "no Ed25519 key"),
        ("keys: [{name: a, role: b, public: '~~'}]", "no Ed25519 key"),
        ("keys: [\t]", "a tab"),
        ("changes_need: [x]\nkeys: [{name: a, role: b, public: '" + "A" * 43 + "='}]", "nobody has the role"),
        ("more: 1\nkeys: [{name: a, role: b, public: '" + "A" * 43 + "='}]", "unknown key `more`"),
    ],
)
def test_a_keyring_that_cannot_be_used(text, why):
    """What is wrong in it is said; nothing is skipped."""
    with pytest.raises(Unusable, match=why):
        keyring_of(text.encode(), "keyring.yaml")


def test_one_key_is_one_person():
    """The same key under two names would make one person two."""
    same = base64.b64encode(public_of(KEYS["anna"])).decode()
    text = f'keys: [{{name: a, role: x, public: "{same}"}}, {{name: b, role: y, public: "{same}"}}]'
    with pytest.raises(Unusable, match="have the same key"):
        keyring_of(text.encode(), "keyring.yaml")


def test_private_keys_that_are_none(tmp_path):
    """A missing file, another kind of file: one sentence, with nothing of the file in it."""
    with pytest.raises(Unusable, match="no private key"):
        private_key(tmp_path / "none.pem")
    (tmp_path / "x.pem").write_text("hello")
    with pytest.raises(Unusable, match="keygen"):
        private_key(tmp_path / "x.pem")


def test_signatures_travel_beside_the_files(tmp_path):
    """As JSON, with the author; a file that is none is refused."""
    assert beside(tmp_path) == ("", ())
    signed = tuple(signature(name, HASH) for name in ("anna", "sami"))
    put_beside(tmp_path, "joe", signed)
    assert beside(tmp_path) == ("joe", signed)
    assert signatures_of(plain(signed)) == signed
    (tmp_path / "signatures.json").write_text("[]")
    with pytest.raises(Unusable, match="sign again"):
        beside(tmp_path)
    for wrong in ({}, [1], [{**plain(signed)[0], "value": "?"}], [{"role": "x"}]):
        with pytest.raises(Unusable):
            signatures_of(wrong)
    assert set(PEOPLE) == set(KEYS)
