"""Anthropic messages: ``POST /v1/messages`` and its ``count_tokens``.

Anthropic's SDK appends ``/v1/messages`` itself, so its base URL is given without ``/v1``.
"""

from gateway.api.endpoints import Endpoint
from gateway.core.values import Surface

ENDPOINT = Endpoint(
    path="/v1/messages",
    surface=Surface.MESSAGES,
    summary="Create a message (Anthropic shape), plain or streamed.",
    streams=True,
)

COUNT_TOKENS = Endpoint(
    path="/v1/messages/count_tokens",
    surface=Surface.COUNT_TOKENS,
    summary="Count the tokens of a message (Anthropic shape).",
    streams=False,
)
