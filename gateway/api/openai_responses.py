"""OpenAI responses, stateless: ``POST /v1/responses``. Upstream always gets ``store: false``."""

from gateway.api.endpoints import Endpoint
from gateway.core.values import Surface

ENDPOINT = Endpoint(
    path="/v1/responses",
    surface=Surface.RESPONSES,
    summary="Create a response (OpenAI shape), stateless, plain or streamed.",
    streams=True,
)
