"""Canonical bytes: the same as RFC 8785 for all that is let in, and nothing else is let in."""

from __future__ import annotations

import hashlib

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.canonical import GENESIS, NotCanonical, digest, encode
from gateway.core.errors import Code

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXT, VALUES, max_size=6))
def test_the_bytes_are_those_of_rfc_8785(value: dict[str, object]) -> None:
    """An auditor's tool in any language recomputes our bytes."""
    assert encode(value) == rfc8785.dumps(value)  # type: ignore[arg-type]  # its own JSON type


def test_keys_beyond_the_basic_plane_are_ordered_by_utf_16() -> None:
    """Where code points and UTF-16 units disagree about order, RFC 8785 takes the units."""
    value: dict[str, object] = {"\ufb33": 1, "\U0001f600": 2, "é": 3, "a": 4}
    assert encode(value) == rfc8785.dumps(value)  # type: ignore[arg-type]  # its own JSON type
    assert encode({"deep": [value]}) == rfc8785.dumps({"deep": [value]})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "value", [1.0, 2**53, -(2**53), float("nan"), b"x", {1: 2}, "\ud800", object(), {"\ud800": 1}]
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    """A float of money or a number that JavaScript would round never gets into the chain."""
    with pytest.raises(NotCanonical):
        encode({"data": [value]})


def test_an_enumeration_of_strings_is_its_value() -> None:
    """Codes and surfaces may be written as they are."""
    assert encode({"code": Code.INTERNAL}) == b'{"code":"internal"}'


def test_digest_is_sha_256_of_the_line() -> None:
    """The chain is plain SHA-256, so that any tool can follow it."""
    assert digest(b"{}") == hashlib.sha256(b"{}").hexdigest()
    assert len(GENESIS) == len(digest(b""))
