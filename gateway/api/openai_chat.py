"""OpenAI chat completions: ``POST /v1/chat/completions``."""

from gateway.api.endpoints import Endpoint
from gateway.core.values import Surface

ENDPOINT = Endpoint(
    path="/v1/chat/completions",
    surface=Surface.CHAT,
    summary="Create a chat completion (OpenAI shape), plain or streamed.",
    streams=True,
)
