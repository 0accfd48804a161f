"""The choice of dialect: a surface's own first, then the nearest that can be translated."""

from __future__ import annotations

import pytest

from gateway.adapters.upstreams.dialects import dialect_for
from gateway.core import translate
from gateway.core.values import Dialect, Surface
from tests.fakes.attempts import connection

URL = "http://127.0.0.1:1/v1"


@pytest.mark.parametrize(
    ("api", "surfaces", "surface", "dialect"),
    [
        ("openai", "", Surface.CHAT, Dialect.CHAT),
        ("openai", "", Surface.RESPONSES, Dialect.RESPONSES),
        ("openai", "chat", Surface.RESPONSES, Dialect.CHAT),
        ("openai", "chat", Surface.MESSAGES, Dialect.CHAT),
        ("openai", "chat", Surface.EMBEDDINGS, None),
        ("openai", "chat embeddings", Surface.EMBEDDINGS, Dialect.EMBEDDINGS),
        ("openai", "", Surface.COUNT_TOKENS, None),
        ("azure_openai", "chat responses", Surface.RESPONSES, Dialect.RESPONSES),
        ("anthropic", "", Surface.MESSAGES, Dialect.MESSAGES),
        ("anthropic", "messages", Surface.COUNT_TOKENS, Dialect.COUNT_TOKENS),
        ("anthropic", "messages", Surface.CHAT, Dialect.MESSAGES),
        ("anthropic", "messages", Surface.RESPONSES, Dialect.MESSAGES),
        ("anthropic", "messages", Surface.EMBEDDINGS, None),
        ("bedrock", "chat", Surface.MESSAGES, Dialect.CHAT),
        ("gemini", "", Surface.CHAT, Dialect.CHAT),
        ("gemini", "", Surface.EMBEDDINGS, None),
        ("unheard_of", "", Surface.CHAT, None),
    ],
)
def test_dialect_for(api, surfaces, surface, dialect):
    """By api, by what the connection declares, by surface."""
    to = connection(URL, api=api, surfaces=frozenset(surfaces.split()))
    assert dialect_for(surface, to) is dialect


def test_every_choice_can_be_translated():
    """No connection is chosen whose dialect the hub cannot say."""
    for api in ("openai", "azure_openai", "anthropic", "bedrock", "gemini"):
        for surface in Surface:
            dialect = dialect_for(surface, connection(URL, api=api))
            assert dialect is None or translate.supports(surface, dialect)
