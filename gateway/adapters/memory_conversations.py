"""The in-memory twin of conversations: labels that live as long as the process."""

from __future__ import annotations

from typing_extensions import override

from gateway.core.values import Caller
from gateway.ports import Conversations, ConversationsUnavailable


class MemoryConversations(Conversations):
    """Remembers in a dictionary. ``away`` plays a store that does not answer."""

    def __init__(self) -> None:
        """Start without a conversation."""
        self.away = False
        self.known: dict[tuple[str, str, str], frozenset[str]] = {}

    @override
    async def recall(self, caller: Caller, conversation: str) -> frozenset[str]:
        if self.away:
            raise ConversationsUnavailable
        return self.known.get((caller.tenant, caller.app, conversation), frozenset())

    @override
    async def learn(self, caller: Caller, conversation: str, labels: frozenset[str]) -> None:
        key = (caller.tenant, caller.app, conversation)
        self.known[key] = self.known.get(key, frozenset()) | labels
