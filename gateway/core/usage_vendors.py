"""Usage in vendors' own shapes, which no surface of ours speaks: Gemini, Bedrock, Cohere, Ollama and others.

Beside the dialects of :mod:`gateway.core.usage` these are for what is read outside a call's
own reply: exports that are reconciled, batch results, audio and images. Each reader takes a
whole reply and answers None for what it does not trust.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Decimal

from gateway.core.shape import arr, is_object, obj, objs, text
from gateway.core.usage import (
    MOST,
    NotTrustedError,
    chat_usage,
    count,
    embeddings_usage,
    messages_usage,
    required,
    responses_usage,
    tier_of,
    timings_usage,
    units_of,
)
from gateway.core.values import Usage

Reader = Callable[[Mapping[str, object]], Usage | None]


def gemini(reply: Mapping[str, object]) -> Usage | None:
    """Read Gemini's ``usageMetadata``: the prompt includes the cache, the candidates exclude thoughts."""
    said = obj(reply, "usageMetadata") or {}
    try:
        prompt = required(said, "promptTokenCount") + count(said, "toolUsePromptTokenCount")
        cached = count(said, "cachedContentTokenCount")
        thoughts = count(said, "thoughtsTokenCount")
        shown = count(said, "candidatesTokenCount")
        inputs, kept = _modalities(said, "promptTokensDetails"), _modalities(said, "cacheTokensDetails")
        outputs = _modalities(said, "candidatesTokensDetails")
        units = {
            "cache_read_audio": kept.get("AUDIO", 0),
            "cache_read_image": kept.get("IMAGE", 0),
            "input_video": max(0, inputs.get("VIDEO", 0) - kept.get("VIDEO", 0)),
            "output_image": outputs.get("IMAGE", 0),
            "web_search": sum(_queries(candidate) for candidate in objs(reply, "candidates")),
        }
        audio = max(0, inputs.get("AUDIO", 0) - units["cache_read_audio"])
        image = max(0, inputs.get("IMAGE", 0) - units["cache_read_image"])
        fresh = prompt - cached - audio - image - units["input_video"]
        read = cached - units["cache_read_audio"] - units["cache_read_image"]
        spoken = outputs.get("AUDIO", 0)
        plain = shown + thoughts - spoken - units["output_image"]
        if min(fresh, read, plain) < 0:
            return None
        return Usage(
            input=fresh,
            cache_read=read,
            input_audio=audio,
            input_image=image,
            output=plain,
            reasoning=thoughts,
            output_audio=spoken,
            units=units_of(units),
            tier=tier_of(said.get("trafficType")),
        )
    except NotTrustedError:
        return None


def _modalities(said: Mapping[str, object], key: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in objs(said, key):
        name = text(part, "modality") or ""
        found[name] = found.get(name, 0) + count(part, "tokenCount")
    return found


def _queries(candidate: Mapping[str, object]) -> int:
    return len(arr(obj(candidate, "groundingMetadata") or {}, "webSearchQueries"))


def converse(reply: Mapping[str, object]) -> Usage | None:
    """Read Bedrock's Converse: the input excludes the cache; writes are told apart by their life."""
    said = obj(reply, "usage") or {}
    try:
        written = count(said, "cacheWriteInputTokens")
        long = sum(
            count(part, "inputTokens") for part in objs(said, "cacheDetails") if text(part, "ttl") == "1h"
        )
        if long > written:
            return None
        return Usage(
            input=required(said, "inputTokens"),
            cache_read=count(said, "cacheReadInputTokens"),
            cache_write_5m=written - long,
            cache_write_1h=long,
            output=required(said, "outputTokens"),
            tier=tier_of(reply.get("serviceTier")),
        )
    except NotTrustedError:
        return None


def titan_embeddings(reply: Mapping[str, object]) -> Usage | None:
    """Read an embedding of Amazon Titan, invoked as such."""
    try:
        return Usage(input=required(reply, "inputTextTokenCount"))
    except NotTrustedError:
        return None


def cohere(reply: Mapping[str, object]) -> Usage | None:
    """Read Cohere's chat, embed or rerank: ``billed_units`` is what is paid, ``tokens`` what was read."""
    meta = obj(reply, "usage") or obj(reply, "meta") or {}
    billed = obj(meta, "billed_units")
    if billed is None:
        return None
    try:
        return Usage(
            input=count(billed, "input_tokens"),
            output=count(billed, "output_tokens"),
            units=units_of({"search_unit": count(billed, "search_units"), "image": count(billed, "images")}),
        )
    except NotTrustedError:
        return None


def ollama(reply: Mapping[str, object]) -> Usage | None:
    """Read Ollama's own API; a prompt that was wholly cached has no count."""
    try:
        return Usage(input=count(reply, "prompt_eval_count"), output=required(reply, "eval_count"))
    except NotTrustedError:
        return None


def sglang(reply: Mapping[str, object]) -> Usage | None:
    """Read SGLang's own ``/generate``."""
    said = obj(reply, "meta_info") or {}
    try:
        cached = count(said, "cached_tokens")
        prompt = required(said, "prompt_tokens")
        if cached > prompt:
            return None
        return Usage(input=prompt - cached, cache_read=cached, output=required(said, "completion_tokens"))
    except NotTrustedError:
        return None


def tgi(reply: Mapping[str, object]) -> Usage | None:
    """Read text-generation-inference's own ``/generate`` with ``decoder_input_details``."""
    details = obj(reply, "details") or {}
    if "prefill" not in details:
        return None
    try:
        return Usage(input=len(arr(details, "prefill")), output=required(details, "generated_tokens"))
    except NotTrustedError:
        return None


def transcription(reply: Mapping[str, object]) -> Usage | None:
    """Read a transcription: by tokens, or by seconds, which are billed by the begun second."""
    said = obj(reply, "usage") or {}
    try:
        if text(said, "type") == "duration":
            return Usage(units=units_of({"audio_second": _seconds(said.get("seconds"))}))
        spoken = count(obj(said, "input_token_details"), "audio_tokens")
        heard = required(said, "input_tokens")
        if spoken > heard:
            return None
        return Usage(
            input=heard - spoken,
            input_audio=spoken,
            output=required(said, "output_tokens"),
        )
    except NotTrustedError:
        return None


def _seconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotTrustedError
    exact = Decimal(repr(value))
    if not exact.is_finite() or not 0 <= exact <= MOST:
        raise NotTrustedError
    return int(exact.to_integral_value(ROUND_CEILING))


def images(reply: Mapping[str, object]) -> Usage | None:
    """Read generated images: by tokens where the vendor says them, else by the picture."""
    said = obj(reply, "usage")
    if said is None:
        return Usage(units=units_of({"image": len(arr(reply, "data"))}))
    try:
        shown = count(obj(said, "input_tokens_details"), "image_tokens")
        out = obj(said, "output_tokens_details")
        made = required(said, "output_tokens")
        drawn = made if out is None else count(out, "image_tokens")
        fresh = required(said, "input_tokens") - shown
        if fresh < 0 or drawn > made:
            return None
        return Usage(
            input=fresh, input_image=shown, output=made - drawn, units=units_of({"output_image": drawn})
        )
    except NotTrustedError:
        return None


def pages(reply: Mapping[str, object]) -> Usage | None:
    """Read Mistral's OCR: by the page."""
    try:
        return Usage(units=units_of({"page": required(obj(reply, "usage_info") or {}, "pages_processed")}))
    except NotTrustedError:
        return None


def _of(read: Callable[..., Usage | None], key: str, *, whole: bool = True) -> Reader:
    """Return a reader of a whole reply from one of its ``usage`` object."""

    def reader(reply: Mapping[str, object]) -> Usage | None:
        said = reply.get(key)
        if not is_object(said):
            return None
        return read(said, reply) if whole else read(said)

    return reader


CONVENTIONS: Mapping[str, Reader] = {
    "openai_chat": _of(chat_usage, "usage"),
    "openai_responses": _of(responses_usage, "usage"),
    "openai_embeddings": _of(embeddings_usage, "usage"),
    "anthropic": _of(messages_usage, "usage", whole=False),
    "llama_cpp": _of(timings_usage, "timings", whole=False),
    "gemini": gemini,
    "bedrock_converse": converse,
    "bedrock_titan": titan_embeddings,
    "cohere": cohere,
    "ollama": ollama,
    "sglang": sglang,
    "tgi": tgi,
    "transcription": transcription,
    "images": images,
    "ocr": pages,
}
"""Every convention by its name: a whole reply → disjoint buckets, or None."""
