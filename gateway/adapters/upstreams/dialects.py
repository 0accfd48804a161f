"""Which dialect a connection is spoken to in. Pure.

Owns the choice that the spine and the adapters must make alike: the surface's own
dialect if the connection serves it, else the nearest one that the chat hub can be
translated to (decision 0004).
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.snapshot import Connection
from gateway.core.values import Dialect, Surface

_HUB: Mapping[Surface, tuple[Dialect, ...]] = {
    Surface.CHAT: (Dialect.CHAT, Dialect.MESSAGES),
    Surface.MESSAGES: (Dialect.MESSAGES, Dialect.CHAT),
    Surface.RESPONSES: (Dialect.RESPONSES, Dialect.CHAT, Dialect.MESSAGES),
    Surface.EMBEDDINGS: (Dialect.EMBEDDINGS,),
    Surface.COUNT_TOKENS: (Dialect.COUNT_TOKENS,),
}
_OPENAI = frozenset({Dialect.CHAT, Dialect.EMBEDDINGS, Dialect.RESPONSES})
_ANTHROPIC = frozenset({Dialect.MESSAGES, Dialect.COUNT_TOKENS})
_SPEAKS: Mapping[str, frozenset[Dialect]] = {
    "openai": _OPENAI,
    "azure_openai": _OPENAI,
    "anthropic": _ANTHROPIC,
    "bedrock": frozenset({Dialect.CHAT}),  # as litellm translates it
    "gemini": frozenset({Dialect.CHAT}),
}


def dialect_for(surface: Surface, connection: Connection) -> Dialect | None:
    """Return the dialect for a surface on a connection, or None when it cannot serve it.

    A connection that declares no ``surfaces`` serves all of its ``api``. Counting tokens
    belongs to ``messages``.
    """
    speaks = _SPEAKS.get(connection.api, frozenset())
    declared = connection.surfaces
    for dialect in _HUB[surface]:
        name = "messages" if dialect is Dialect.COUNT_TOKENS else dialect.value
        if dialect in speaks and (not declared or name in declared or dialect.value in declared):
            return dialect
    return None
