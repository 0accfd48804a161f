"""Why an answer ended, from one vendor's words to another's.

A reason is never invented and never lost: what has no word on the other side is
sent as the nearest word that is not a success, with the vendor's own word in the
``borderpost`` extension; a word that we do not know passes as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.errors import Code, Refusal

MESSAGES_TO_CHAT: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "length",
    "model_context_window_exceeded": "length",
}

TOLD_APART = frozenset({"stop_sequence", "refusal", "pause_turn", "model_context_window_exceeded"})
"""Anthropic's reasons that chat has no word of its own for."""

CHAT_TO_MESSAGES: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
    "model_length": "model_context_window_exceeded",  # Mistral
}


def to_chat(reason: str | None, sequence: str | None = None) -> tuple[str | None, dict[str, object] | None]:
    """Return chat's finish reason for Anthropic's, and an extension where they differ in meaning."""
    if reason is None:
        return None, None
    extension: dict[str, object] | None = None
    if reason in TOLD_APART:
        extension = {"stop_reason": reason}
        if sequence is not None:
            extension["stop_sequence"] = sequence
    return MESSAGES_TO_CHAT.get(reason, reason), extension


def to_messages(
    reason: str | None, *, tools: bool, refused: bool, sequence: object
) -> tuple[str | None, str | None]:
    """Return Anthropic's stop reason and stop sequence for chat's finish reason.

    ``tools``: the answer ends in tool calls (a forced call finishes with ``stop``);
    ``refused``: it holds a ``refusal``; ``sequence``: vLLM's word for a stop string.
    """
    if refused and reason in {"stop", "content_filter"}:
        return "refusal", None
    if reason == "stop":
        if tools:
            return "tool_use", None
        if isinstance(sequence, str):
            return "stop_sequence", sequence
    return (CHAT_TO_MESSAGES.get(reason, reason) if reason is not None else None), None


def unsupported(param: str, message: str) -> Refusal:
    """Return the refusal of what the permitted model's API cannot say."""
    return Refusal(code=Code.UNSUPPORTED_FEATURE, param=param, message=message, retry=False)


class UnsayableError(Exception):
    """Carries a refusal out of a translation; it never leaves this package."""

    def __init__(self, refusal: Refusal) -> None:
        """Keep the refusal."""
        super().__init__(refusal.code.value)
        self.refusal = refusal


def unsayable(param: str, message: str) -> UnsayableError:
    """Return the error for what the other dialect cannot say."""
    return UnsayableError(unsupported(param, message))
