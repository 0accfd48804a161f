"""The vault's rules: one meaning per token, pseudonyms for conversations, and a form that is read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.values import Given
from gateway.core.vault import AWAY, NOTHING_KNOWN, conversation_name, known, pack, unpack

KEY = b"k" * 32


@given(st.text(max_size=30), st.text(max_size=60))
def test_what_is_packed_is_read_back(kind, value):
    """Whatever the value: quotes, line ends, lone surrogates of broken text."""
    given_ = Given(token="<X_1>", kind=kind, value=value)
    assert unpack("<X_1>", pack(given_)) == given_


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2]", b'["a"]', b"\xff"])
def test_anything_else_is_an_error(content):
    """A garbled piece is never a token."""
    with pytest.raises(ValueError):  # noqa: PT011 (the text is json's or ours)
        unpack("<X_1>", content)


def test_the_oldest_token_of_a_value_comes_first():
    """Whatever order the store returns: 2 before 10."""
    pieces = [
        Given(token=f"<EMAIL_{n}>", kind="email", value="a" if n in {2, 10} else "b") for n in (10, 2, 3)
    ]
    found = known(pieces)
    assert found.tokens_of("email", "a") == ("<EMAIL_2>", "<EMAIL_10>")
    assert found.tokens_of("phone", "a") == ()
    assert found.value_of("<EMAIL_3>") == "b"
    assert found.has("<EMAIL_10>")
    assert (found.last("email"), found.last("phone")) == (3, 0)


def test_while_the_vault_is_away_numbers_start_where_none_is_kept():
    """A token that was made without the vault can never meet a kept one."""
    assert NOTHING_KNOWN.last("email") == 0
    assert AWAY.last("email") >= 500_000


def test_conversations_are_pseudonyms_of_app_and_id():
    """Stable; another app, id or key is another; the id is not in it."""
    one = conversation_name(KEY, app="teller", conversation="chat-42")
    assert one == conversation_name(KEY, app="teller", conversation="chat-42")
    assert "chat-42" not in one
    others = {
        conversation_name(KEY, app="lab", conversation="chat-42"),
        conversation_name(KEY, app="teller", conversation="chat-43"),
        conversation_name(b"j" * 32, app="teller", conversation="chat-42"),
    }
    assert len(others | {one}) == 4
