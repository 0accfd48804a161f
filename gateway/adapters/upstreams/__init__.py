"""The upstreams: how an attempt is said to a vendor, by the ``api`` of its connection.

Owns the :class:`Upstreams` adapter of the ``Upstream`` port. Whatever the vendor, the
order is the same: permit, secret, dialect, body, send. The vendors' own files know
addresses and headers only:

* :mod:`.openai_compatible` ``openai``, ``azure_openai``
* :mod:`.anthropic` ``anthropic``
* :mod:`.litellm_translate` ``bedrock``, ``gemini`` (litellm translates in a child process)
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import orjson

from gateway.adapters.children import UNCONFINED, Confinement
from gateway.adapters.guard import permit_for
from gateway.adapters.transport import Transport
from gateway.adapters.upstreams import anthropic, openai_compatible
from gateway.adapters.upstreams.dialects import dialect_for
from gateway.adapters.upstreams.exchange import HttpExchange, outgoing
from gateway.adapters.upstreams.secrets import SecretMissing, Secrets
from gateway.core import translate
from gateway.core.errors import Code, Refusal, UpstreamFailed
from gateway.core.snapshot import Snapshot
from gateway.core.values import Attempt, Dialect
from gateway.ports import Exchange

if TYPE_CHECKING:
    from gateway.adapters.upstreams.litellm_translate import LitellmUpstream

TRANSLATED = frozenset({"bedrock", "gemini"})


class Upstreams:
    """Sends attempts to vendors over the one guarded transport."""

    def __init__(self, transport: Transport, secrets: Secrets, confinement: Confinement = UNCONFINED) -> None:
        """Send by ``transport``, authenticate from ``secrets``, start the translator so confined."""
        self._confinement = confinement
        self._transport = transport
        self._secrets = secrets
        self._litellm: LitellmUpstream | None = None

    def open(self, attempt: Attempt) -> AbstractAsyncContextManager[Exchange]:
        """Open the exchange; leaving the context ends it and the vendor's work.

        Raises UpstreamFailed and EgressRefused, here or on entering.
        """
        permit = permit_for(attempt)
        connection = attempt.connection
        secret = self._secret(attempt)
        if connection.api in TRANSLATED:
            return self._translator().open(attempt, permit, secret, secret_words(attempt, secret))
        dialect, body = request_body(attempt)
        if connection.api == "anthropic":
            url = anthropic.address(connection, dialect)
            forwarded = attempt.cleared.labelled.call.forward_headers
            headers = anthropic.headers(connection, secret, forwarded)
            body = anthropic.with_geography(connection, dialect, body)
        else:
            url = openai_compatible.address(connection, dialect)
            headers = openai_compatible.headers(connection, secret)
        return HttpExchange(
            self._transport,
            outgoing(attempt, url, headers, orjson.dumps(body)),
            permit,
            dialect=dialect,
            stream=attempt.cleared.labelled.call.stream,
            secret_words=secret_words(attempt, secret),
        )

    async def prepare(self, snapshot: Snapshot) -> None:
        """Start the translator if a connection of the snapshot needs it, ahead of the first call.

        A translator that does not start is not an error here: the calls that need it say so.
        """
        if any(connection.api in TRANSLATED for connection in snapshot.connections.values()):
            await self._translator().start()

    async def close(self) -> None:
        """End what was started: the translator's process. The transport is its owner's."""
        if self._litellm is not None:
            await self._litellm.close()

    def _secret(self, attempt: Attempt) -> str | None:
        try:
            return self._secrets.get(attempt.connection.secret)
        except SecretMissing:
            refusal = Refusal(
                code=Code.UPSTREAM_UNAVAILABLE,
                message="The gateway has no credentials for the model's vendor just now. "
                "Ask the platform team.",
            )
            raise UpstreamFailed(refusal, retryable=True, sent=False) from None

    def _translator(self) -> LitellmUpstream:
        if self._litellm is None:
            # Imported late: only deployments on Bedrock or Gemini pay for the translator.
            from gateway.adapters.upstreams.litellm_process import Process  # noqa: PLC0415
            from gateway.adapters.upstreams.litellm_translate import LitellmUpstream  # noqa: PLC0415

            self._litellm = LitellmUpstream(self._transport, Process(confinement=self._confinement))
        return self._litellm


def request_body(attempt: Attempt) -> tuple[Dialect, dict[str, object]]:
    """Return the dialect and the body that says the attempt in it.

    Raises UpstreamFailed (nothing sent, retryable) when the connection cannot serve the
    surface, or the dialect cannot say the request honestly.
    """
    call = attempt.cleared.labelled.call
    dialect = dialect_for(call.surface, attempt.connection)
    if dialect is None:
        refusal = Refusal(
            code=Code.UNSUPPORTED_FEATURE,
            message=f"The model '{call.model}' does not serve `{call.surface.value}`. Use another model.",
            param="model",
        )
        raise UpstreamFailed(refusal, retryable=True, sent=False)
    body = translate.request(
        attempt.cleared.body,
        call.surface,
        dialect,
        model=attempt.connection.model,
        output_cap=attempt.output_cap or None,
        stream=call.stream,
        max_field=attempt.connection.options.get("max_tokens_field"),
    )
    if isinstance(body, Refusal):
        raise UpstreamFailed(body, retryable=True, sent=False)
    return dialect, body


def secret_words(attempt: Attempt, secret: str | None) -> tuple[str, ...]:
    """Return the exact strings that no vendor's error may show to an app."""
    connection = attempt.connection
    model = connection.model if connection.model != attempt.cleared.labelled.call.model else ""
    return (
        secret or "",
        model,
        connection.deployment,
        *(v for v in connection.options.values() if len(v) > 6),
    )
