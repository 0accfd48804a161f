"""Signatures of statements: by finance's key, over this very statement."""

from __future__ import annotations

import base64

import pytest

from gateway.policy.sign import Keyring, Signer, Unusable, new_key
from gateway.policy.sign_statement import genuine, signer, statement_signer
from gateway.settings import Settings


@pytest.fixture
def pair(tmp_path):
    """A private key in a file, and its public half."""
    pem, public = new_key()
    (tmp_path / "fina.pem").write_bytes(pem)
    return tmp_path / "fina.pem", public


def ring(public, role="finance", name="Fina"):
    return Keyring(signers=(Signer(name=name, role=role, public=public),))


def test_a_signature_holds_and_is_the_keyrings_person(pair):
    """The name is not what the command was told where the keyring knows better."""
    path, public = pair
    name, key, value = signer(path, ring(public), name="root")(b"statement")
    assert (name, key) == ("Fina", public)
    assert genuine(ring(public))(name, key, value, b"statement") == ""
    assert genuine(None)(name, key, value, b"statement") == ""
    assert signer(path, None, name="fina")(b"x")[0] == "fina"


def test_what_does_not_hold_is_said(pair):
    """Another text, another person, another role, another key."""
    path, public = pair
    name, key, value = signer(path, None, name="Fina")(b"statement")
    assert "is not over this statement" in genuine(None)(name, key, value, b"another")
    assert "is not over this statement" in genuine(None)(name, b"short", value, b"statement")
    for other in (ring(public, role="legal"), ring(public, name="Fred"), ring(new_key()[1])):
        assert "the keyring does not know `Fina`" in genuine(other)(name, key, value, b"statement")


def test_only_finance_signs_where_there_is_a_keyring(pair):
    """A key that it knows in another role is not finance's."""
    path, public = pair
    with pytest.raises(Unusable, match="does not know this key as `finance`"):
        signer(path, ring(public, role="legal"), name="x")


def test_an_installation_may_have_a_key_of_its_own(pair, tmp_path):
    """By its settings; with a keyring it must be finance's there."""
    path, public = pair
    settings = {"BORDERPOST_STATEMENT_KEY": str(path)}
    assert statement_signer(Settings.load(None, {})) is None
    made = statement_signer(Settings.load(None, settings))
    assert made is not None
    assert made(b"x")[:2] == ("borderpost", public)
    keyring = tmp_path / "keyring.yaml"
    encoded = base64.b64encode(public).decode()
    keyring.write_text(f'keys: [{{name: Fina, role: legal, public: "{encoded}"}}]')
    with pytest.raises(Unusable, match="as `finance`"):
        statement_signer(Settings.load(None, {**settings, "BORDERPOST_POLICY_KEYRING": str(keyring)}))
