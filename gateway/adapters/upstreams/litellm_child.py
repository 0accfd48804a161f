"""litellm as a translator, alone in a process without a network.

The only file that imports litellm (decision 0007). The parent starts it with
``python -m gateway.adapters.upstreams.litellm_child`` when the first connection on Bedrock
or Gemini is used, and talks to it in frames: four bytes of length, then JSON. It says chat
requests in the vendor's words, signs them, and says the vendor's replies in chat's words.
It never sends: an audit hook refuses every connection, name look-up and child process, and
was put up before litellm was imported.

What litellm would blur is held by :mod:`.litellm_words`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import struct
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from types import SimpleNamespace
from typing import Any, BinaryIO  # Any: litellm's own types are not ours to name

from gateway.adapters.upstreams import litellm_words as words

BAD_VERSIONS = re.compile(r"1\.82\.[78]|1\.107\..*")
"""1.82.7 and 1.82.8 stole credentials; no 1.107 is trusted."""

FORBIDDEN_EVENTS = frozenset({
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn",
    "socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyaddr",
    "socket.gethostbyname", "socket.sendmsg", "socket.sendto", "subprocess.Popen",
})  # fmt: skip


class VendorError(Exception):
    """The vendor said an error inside its stream."""

    def __init__(self, kind: str, message: str) -> None:
        """Keep the vendor's own words; the parent scrubs them."""
        super().__init__(kind)
        self.kind = kind
        self.message = message


def no_network(event: str, _: object) -> None:
    """Refuse what could carry a byte out of this process (an audit hook)."""
    if event in FORBIDDEN_EVENTS:
        raise PermissionError(f"`{event}` is forbidden in the translator")


def check_version(version: str) -> None:
    """Raise RuntimeError for a release of litellm that is known to be malicious or distrusted."""
    if BAD_VERSIONS.fullmatch(version):
        raise RuntimeError(f"litellm `{version}` is not trusted; install the pinned one")


class Translator:
    """litellm's provider configurations, and the streams that are open."""

    def __init__(self) -> None:
        """Import litellm: seconds of work, once."""
        check_version(metadata.version("litellm"))
        import litellm  # noqa: PLC0415 (late: after the audit hook and the version check)
        from litellm.llms.bedrock.chat.converse_transformation import (  # noqa: PLC0415
            AmazonConverseConfig,
        )
        from litellm.llms.bedrock.chat.invoke_handler import AWSEventStreamDecoder  # noqa: PLC0415
        from litellm.llms.gemini.chat.transformation import GoogleAIStudioGeminiConfig  # noqa: PLC0415
        from litellm.llms.vertex_ai.gemini.transformation import transform_request_body  # noqa: PLC0415
        from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import (  # noqa: PLC0415
            ModelResponseIterator,
        )

        litellm.suppress_debug_info = True
        litellm.drop_params = False
        self._reply = litellm.ModelResponse
        self._bedrock: Any = AmazonConverseConfig()
        self._bedrock_decoder: Any = AWSEventStreamDecoder
        self._gemini: Any = GoogleAIStudioGeminiConfig()
        self._gemini_body: Any = transform_request_body
        self._gemini_decoder: Any = ModelResponseIterator
        self._streams: dict[int, BedrockStream | GeminiStream] = {}

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Do one operation. Raises UnsayableError and VendorError; anything else is garbage."""
        match asked["op"]:
            case "request":
                return self._request(asked)
            case "reply":
                return {"body": self._plain(asked)}
            case "open":
                self._streams[asked["stream"]] = self._open(asked)
                return {}
            case "feed":
                stream = self._streams[asked["stream"]]
                return {"chunks": list(stream.feed(asked["data"]))}
            case "close":
                self._streams.pop(asked["stream"], None)
                return {}
            case other:
                raise ValueError(f"no such operation: `{other}`")

    # -------------------------------------------------------------- requests

    def _request(self, asked: dict[str, Any]) -> dict[str, Any]:
        body, model, stream = asked["body"], asked["model"], asked["stream"]
        bedrock = asked["api"] == "bedrock"
        config = self._bedrock if bedrock else self._gemini
        params = words.params_of(body, set(config.get_supported_openai_params(model=model)))
        messages = body["messages"]
        words.no_remote_media(messages)
        optional = config.map_openai_params(
            non_default_params=params, optional_params={}, model=model, drop_params=False
        )
        optional.pop("stream", None)
        json_mode = optional.get("json_mode") is True
        cap = params.get("max_completion_tokens", params.get("max_tokens"))
        if bedrock:
            said = config.transform_request(
                model=model, messages=messages, optional_params=optional, litellm_params={}, headers={}
            )
            words.hold_cap(said, "inferenceConfig", ("maxTokens",), cap)
        else:
            said = self._gemini_body(
                messages=messages,
                model=model,
                optional_params=optional,
                custom_llm_provider="gemini",
                litellm_params={},
                cached_content=None,
            )
            words.hold_cap(said, "generationConfig", ("max_output_tokens", "maxOutputTokens"), cap)
        data = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        url = words.address(asked, stream=stream)
        headers = _signed(asked, url, data) if bedrock else _keyed(asked)
        return {
            "url": url,
            "headers": headers,
            "body": base64.b64encode(data).decode(),
            "memo": {"json_mode": json_mode},
        }

    # --------------------------------------------------------------- replies

    def _plain(self, asked: dict[str, Any]) -> dict[str, Any]:
        said = json.loads(base64.b64decode(asked["data"]))
        # litellm needs the object; whether the vendor sent one decides what is said on.
        parsed = {"usage": {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}, **said}
        model = asked["model"]
        raw = SimpleNamespace(json=lambda: parsed, text="", headers={}, status_code=200)
        if asked["api"] == "bedrock":
            reply = self._bedrock.transform_response(
                model=model,
                raw_response=raw,
                model_response=self._reply(),
                logging_obj=None,
                request_data={},
                messages=[],
                optional_params={"json_mode": asked["memo"].get("json_mode")},
                litellm_params={},
                encoding=None,
            )
            finishes = [words.known(words.BEDROCK_FINISH, parsed["stopReason"])]
            usage = "usage" in said
        else:
            if "promptFeedback" not in parsed and not parsed.get("candidates"):
                raise ValueError("no candidates")
            log = SimpleNamespace(optional_params={})
            reply = self._gemini.transform_google_generate_content_to_openai_model_response(
                parsed, self._reply(), model, log, raw
            )
            finishes = words.gemini_finishes(parsed)
            usage = "usageMetadata" in said
        return words.chat(reply, finishes, usage=usage)

    def _open(self, asked: dict[str, Any]) -> BedrockStream | GeminiStream:
        model = asked["model"]
        if asked["api"] == "bedrock":
            decoder = self._bedrock_decoder(model=model, json_mode=asked["memo"].get("json_mode"))
            return BedrockStream(decoder)
        log = SimpleNamespace(optional_params={})
        decoder = self._gemini_decoder(streaming_response=None, sync_stream=True, logging_obj=log)
        return GeminiStream(decoder)


class BedrockStream:
    """Frames of AWS's event stream → chunks of chat."""

    def __init__(self, decoder: Any) -> None:
        """Decode with litellm's parser of converse events."""
        from botocore.eventstream import EventStreamBuffer  # noqa: PLC0415 (with litellm)

        self._decoder = decoder
        self._buffer = EventStreamBuffer()
        self._tools = False

    def feed(self, data: str) -> Iterator[dict[str, Any]]:
        """Yield the chunks that some bytes (base64) complete."""
        self._buffer.add_data(base64.b64decode(data))
        for event in self._buffer:
            payload = json.loads(event.payload or b"{}")
            kind = event.headers.get(":message-type")
            if kind in {"exception", "error"}:
                name = event.headers.get(":exception-type", event.headers.get(":error-code", "error"))
                raise VendorError(str(name), str(payload.get("message", "")))
            if event.headers.get(":event-type") == "messageStart":
                yield {"choices": [words.choice_of({"role": "assistant", "content": ""})]}
                continue
            said = words.chunk_of(self._decoder.converse_chunk_parser(payload))
            self._tools = self._tools or words.carries_calls(said)
            if "stopReason" in payload:
                reason = words.known(words.BEDROCK_FINISH, payload["stopReason"])
                said = {"choices": [words.choice_of({}, words.with_tools(reason, called=self._tools))]}
            if said:
                yield said


class GeminiStream:
    """Gemini's events → chunks of chat."""

    def __init__(self, decoder: Any) -> None:
        """Decode with litellm's parser of events."""
        self._decoder = decoder
        self._tools = False
        self._begun = False

    def feed(self, data: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the chunks that some parsed events become."""
        for event in data:
            if "error" in event:
                error = event["error"]
                raise VendorError(str(error.get("status")), str(error.get("message", "")))
            said = words.chunk_of(self._decoder.chunk_parser(event))
            self._tools = self._tools or words.carries_calls(said)
            ended = {
                candidate.get("index", 0): words.known(words.GEMINI_FINISH, candidate["finishReason"])
                for candidate in event.get("candidates") or []
                if candidate.get("finishReason")
            }
            if (event.get("promptFeedback") or {}).get("blockReason"):
                ended = {0: "content_filter"}
            choices = said.setdefault("choices", [])
            for index, reason in ended.items():
                choice = next((c for c in choices if c["index"] == index), None)
                if choice is None:
                    choice = {**words.choice_of({}), "index": index}
                    choices.append(choice)
                choice["finish_reason"] = words.with_tools(reason, called=self._tools)
            if not choices and "usage" not in said:
                continue
            if choices and not self._begun:
                self._begun = True
                choices[0]["delta"] = {"role": "assistant", **choices[0]["delta"]}
            yield said


def _keyed(asked: Mapping[str, Any]) -> dict[str, str]:
    headers = {"content-type": "application/json"}
    if asked.get("secret"):
        headers["x-goog-api-key"] = asked["secret"]
    return headers


def _signed(asked: Mapping[str, Any], url: str, data: bytes) -> dict[str, str]:
    """Sign with static credentials: the secret is JSON of access_key, secret_key, session_token.

    ``{"api_key": …}`` is a Bedrock key, which needs no signature. No other source of
    credentials is looked at: no profile, no metadata endpoint.
    """
    headers = {"content-type": "application/json"}
    if not asked.get("secret"):
        return headers
    secret = json.loads(asked["secret"])
    if "api_key" in secret:
        return {**headers, "authorization": f"Bearer {secret['api_key']}"}
    from botocore.auth import SigV4Auth  # noqa: PLC0415 (with litellm)
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    credentials = Credentials(secret["access_key"], secret["secret_key"], secret.get("session_token"))
    request = AWSRequest(method="POST", url=url, data=data, headers=headers)
    SigV4Auth(credentials, "bedrock", asked["options"]["aws_region"]).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


# --------------------------------------------------------------------- process


def serve(read: BinaryIO, write: BinaryIO) -> None:
    """Answer frames until the parent closes its end."""
    translator = Translator()
    _write(write, {"ready": True})
    while len(head := read.read(4)) == 4:
        asked = json.loads(read.read(struct.unpack(">I", head)[0]))
        said: dict[str, object]
        try:
            said = {"ok": translator.answer(asked)}
        except words.UnsayableError as unsayable:
            said = {"unsayable": unsayable.param}
        except VendorError as error:
            said = {"vendor": {"type": error.kind, "message": error.message}}
        except Exception as error:  # noqa: BLE001 # boundary: litellm raises anything; content stays here
            said = {"garbled": type(error).__name__}
        _write(write, {"id": asked.get("id"), **said})


def _write(to: BinaryIO, frame: Mapping[str, object]) -> None:
    data = json.dumps(frame).encode()
    to.write(struct.pack(">I", len(data)) + data)
    to.flush()


def main() -> None:
    """Run the translator on standard input and output, which nothing else may use."""
    sys.addaudithook(no_network)
    with os.fdopen(os.dup(0), "rb") as read, os.fdopen(os.dup(1), "wb") as write:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for used in (0, 1, 2):  # whatever litellm prints may hold content
            os.dup2(nowhere, used)
        serve(read, write)


if __name__ == "__main__":
    main()
