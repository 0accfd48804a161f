"""OpenAI embeddings: ``POST /v1/embeddings``."""

from gateway.api.endpoints import Endpoint
from gateway.core.values import Surface

ENDPOINT = Endpoint(
    path="/v1/embeddings",
    surface=Surface.EMBEDDINGS,
    summary="Embed texts (OpenAI shape).",
    streams=False,
)
