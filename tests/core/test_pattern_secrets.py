"""Secrets: issuers' tokens, private keys, credentials in addresses, and words before random values."""

from __future__ import annotations

import pytest

from gateway.core.pattern_secrets import promising
from gateway.core.patterns import scan

R = "a1B2c3D4e5F6g7H8i9J0"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-" + "proj-" + R,
        "sk-" + "ant-api03-" + R,
        "sk_" + "live_" + R,
        "gh" + "p_" + R * 2,
        "github_" + "pat_" + R * 2,
        "glpat-" + R,
        "AKIA" + "ABCDEFGHIJKLMN23",
        "AIza" + "a1B2c" * 7,
        "xox" + "b-" + R,
        "SG." + R + "." + R,
        "npm_" + "a1B2" * 9,
        "pypi-" + R * 3,
        "hf_" + R * 2,
        "hvs." + R * 2,
        "bp_" + "live_" + R,
        "eyJ" + R + ".eyJ" + R + "." + R,
    ],
)
def test_issued_tokens(secret):
    """A token with an issuer's prefix is found whole, without any context."""
    text = f"use {secret} here"
    assert [text[s.start : s.end] for s in scan(text) if s.kind == "secret"] == [secret]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("password: hunter2Zz", "hunter2Zz"),
        ("the password is Tr0ub4dor", "Tr0ub4dor"),
        ("mot de passe : aZ3!kkq9", "aZ3!kkq9"),
        ('{"api_key": "9f8e7d6c5b4a"}', "9f8e7d6c5b4a"),
        ("Authorization: Bearer abc123def456ghi", "abc123def456ghi"),
    ],
)
def test_named_values(text, value):
    """After a word for it, a value that looks random is a secret."""
    assert [text[s.start : s.end] for s in scan(text) if s.kind == "secret"] == [value]


@pytest.mark.parametrize(
    "text",
    [
        "password: required",
        "your token is invalid",
        "password: ${PASSWORD}",
        "the key: understanding",
        "sk-learn is fine",
        "reset your password here: https://example.com/reset",
        "secret ingredient: vanilla",
        "tokens: 12,000 used",
    ],
)
def test_words_are_no_secrets(text):
    """Sentences about secrets hold none."""
    assert [s for s in scan(text) if s.kind == "secret"] == []


def test_a_key_that_is_cut_off_is_a_secret_too():
    """The beginning of a private key without its end hides the rest."""
    text = "-----BEGIN " + "PRIVATE KEY-----\nMIIabc\ndef"
    (span,) = scan(text)
    assert (span.kind, span.start, span.end) == ("secret", 0, len(text))


def test_credentials_in_an_address():
    """User and password go, the host stays readable."""
    text = "postgres://app:s3cr3t" + "@db.internal/x"
    (span,) = scan(text, frozenset({"url_credential"}))
    assert text[span.start : span.end] == "app:s3cr3t"
    assert scan("https://example.com:8080/a@b", frozenset({"url_credential"})) == []


def test_a_telling_key_makes_its_value_a_secret():
    """Under `client_secret` any unbroken value is one."""
    assert not promising("correcthorse")  # the cheap test alone would let it pass
    assert [s.kind for s in scan("correcthorse", context="client_secret")] == ["secret"]
    assert [s.kind for s in scan("correcthorse", context="clientSecret")] == ["secret"]
    assert scan("correcthorse", context="animal") == []
    assert scan("see the notes of today", context="client_secret") == []
