"""Reasons for an end: total over the vendors' own lists, and unknown words pass."""

from __future__ import annotations

from typing import get_args

import pytest
from anthropic.types import StopReason
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.chat_completion import Choice

from gateway.core.errors import Code
from gateway.core.translate import reasons

CHAT_WORDS = get_args(Choice.model_fields["finish_reason"].annotation)


@pytest.mark.parametrize("reason", get_args(StopReason))
def test_every_word_of_anthropic_has_one_in_chat(reason):
    """The official list is covered; what is not plain success is never called `stop` without a word."""
    finish, extension = reasons.to_chat(reason)
    assert finish in CHAT_WORDS
    if reason not in {"end_turn", "max_tokens", "tool_use"}:
        assert extension == {"stop_reason": reason}


@pytest.mark.parametrize("finish", CHAT_WORDS)
def test_every_word_of_chat_has_one_in_anthropic(finish):
    """The official list is covered in the other direction."""
    reason, _ = reasons.to_messages(finish, tools=False, refused=False, sequence=None)
    assert reason in get_args(StopReason)


@given(st.text(min_size=1).filter(lambda word: word not in reasons.MESSAGES_TO_CHAT))
def test_a_new_word_is_not_invented_upon(word):
    """A word that we do not know passes as it is."""
    assert reasons.to_chat(word) == (word, None)


def test_an_unsayable_error_carries_its_refusal():
    """Translations stop with a refusal that names the parameter."""
    error = reasons.unsayable("n", "one only")
    assert (error.refusal.code, error.refusal.param) == (Code.UNSUPPORTED_FEATURE, "n")
    assert error.refusal.retry is False
