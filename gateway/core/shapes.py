"""Shape checks of a parsed request, with the parameter named as its vendor would.

Only what the gateway itself relies on is checked: types it reads, limits that keep
it safe. Ranges and fields that are a vendor's own business are left to the vendor,
whose error passes through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.core.errors import Code, Refusal
from gateway.core.shape import is_array, is_object, is_whole
from gateway.core.values import Surface

DEEPEST = 100
LONGEST = 100_000
MOST_CHOICES = 128


class _BadShapeError(Exception):
    """Carries a refusal out of the checks of this module; it never leaves it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code.value)
        self.refusal = refusal


def _bad(param: str, message: str) -> _BadShapeError:
    """Return the error for one parameter."""
    return _BadShapeError(Refusal(code=Code.INVALID_REQUEST, param=param, message=message, retry=False))


def invalid(surface: Surface, body: Mapping[str, object]) -> Refusal | None:
    """Return why a request is malformed or asks for state we do not keep; None when it is sound."""
    try:
        _limits(body)
        if not isinstance(body.get("model"), str) or not body["model"]:
            raise _bad("model", "`model` must be a non-empty string; name one that `/v1/models` lists")
        match surface:
            case Surface.CHAT:
                _chat(body)
            case Surface.EMBEDDINGS:
                _embeddings(body)
            case Surface.RESPONSES:
                _responses(body)
            case Surface.MESSAGES:
                _messages(body, counting=False)
            case Surface.COUNT_TOKENS:
                _messages(body, counting=True)
    except _BadShapeError as bad:
        return bad.refusal
    return None


def _limits(body: Mapping[str, object]) -> None:
    """Check depth and array sizes without recursion."""
    level: list[object] = [body]
    depth = 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise _bad("", f"the body nests deeper than {DEEPEST} levels; flatten it")
        below: list[object] = []
        for node in level:
            children: Iterator[object]
            if is_object(node):
                children = iter(node.values())
            elif is_array(node):
                if len(node) > LONGEST:
                    raise _bad("", f"an array of the body has more than {LONGEST} elements; split the call")
                children = iter(node)
            else:
                continue
            below.extend([child for child in children if is_object(child) or is_array(child)])
        level = below


# ------------------------------------------------------------------- one field


def _flag(body: Mapping[str, object], *keys: str) -> None:
    """Check that fields are booleans where given."""
    for key in keys:
        if not isinstance(body.get(key), (bool, type(None))):
            raise _bad(key, f"`{key}` must be true or false")


def _number(body: Mapping[str, object], *keys: str) -> None:
    """Check that fields are numbers where given."""
    for key in keys:
        value = body.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise _bad(key, f"`{key}` must be a number")


def _count(body: Mapping[str, object], *keys: str, most: int | None = None) -> None:
    """Check that fields are positive integers where given."""
    for key in keys:
        value = body.get(key)
        if value is None:
            continue
        if not is_whole(value) or value < 1:
            raise _bad(key, f"`{key}` must be an integer of at least 1")
        if most is not None and value > most:
            raise _bad(key, f"`{key}` must be at most {most}")


def _string(body: Mapping[str, object], *keys: str) -> None:
    """Check that fields are strings where given."""
    for key in keys:
        if not isinstance(body.get(key), (str, type(None))):
            raise _bad(key, f"`{key}` must be a string")


def _object(body: Mapping[str, object], *keys: str) -> None:
    """Check that fields are objects where given."""
    for key in keys:
        if not isinstance(body.get(key), (dict, type(None))):
            raise _bad(key, f"`{key}` must be an object")


def _objects(body: Mapping[str, object], key: str, prefix: str = "") -> list[dict[str, object]]:
    """Check that a field is an array of objects where given, and return them."""
    value = body.get(key)
    if value is None:
        return []
    if not is_array(value):
        raise _bad(f"{prefix}{key}", f"`{prefix}{key}` must be an array")
    found: list[dict[str, object]] = []
    for i, item in enumerate(value):
        if not is_object(item):
            raise _bad(f"{prefix}{key}[{i}]", f"`{prefix}{key}[{i}]` must be an object")
        found.append(item)
    return found


def _tools(body: Mapping[str, object]) -> None:
    """Check the fields about tools, which all surfaces share."""
    for i, tool in enumerate(_objects(body, "tools")):
        if not isinstance(tool.get("type"), (str, type(None))):
            raise _bad(f"tools[{i}].type", f"`tools[{i}].type` must be a string")
    if not isinstance(body.get("tool_choice"), (str, dict, type(None))):
        raise _bad("tool_choice", "`tool_choice` must be a string or an object")


def _content(holder: Mapping[str, object], where: str, key: str = "content") -> None:
    """Check content: a string, null, or an array of parts that each have a type."""
    content = holder.get(key)
    if content is None or isinstance(content, str):
        return
    path = f"{where}.{key}" if where else key
    if not is_array(content):
        raise _bad(path, f"`{path}` must be a string or an array of content parts")
    for i, part in enumerate(content):
        at = f"{path}[{i}]"
        if not is_object(part):
            raise _bad(at, f"`{at}` must be an object with a `type`")
        if not isinstance(part.get("type"), str):
            raise _bad(f"{at}.type", f"`{at}.type` must be a string")
        if part["type"] in {"text", "input_text", "output_text"} and not isinstance(part.get("text"), str):
            raise _bad(f"{at}.text", f"`{at}.text` must be a string")
        if part["type"] == "tool_result":
            _content(part, at)


def _messages_array(body: Mapping[str, object]) -> list[dict[str, object]]:
    """Check that there are messages, each with a role."""
    if body.get("messages") is None:
        raise _bad("messages", "`messages` is missing; send an array of at least one message")
    messages = _objects(body, "messages")
    if not messages:
        raise _bad("messages", "`messages` is empty; send at least one message")
    for i, message in enumerate(messages):
        if not isinstance(message.get("role"), str):
            raise _bad(f"messages[{i}].role", f"`messages[{i}].role` must be a string")
        _content(message, f"messages[{i}]")
    return messages


# ------------------------------------------------------------------- a surface


def _chat(body: Mapping[str, object]) -> None:
    """Check a chat request."""
    for i, message in enumerate(_messages_array(body)):
        if "content" not in message and message["role"] != "assistant":
            raise _bad(f"messages[{i}].content", f"`messages[{i}].content` is missing")
        for j, call in enumerate(_objects(message, "tool_calls", f"messages[{i}].")):
            at = f"messages[{i}].tool_calls[{j}].function"
            function = call.get("function")
            if function is not None and not is_object(function):
                raise _bad(at, f"`{at}` must be an object")
            arguments = function.get("arguments") if function else None
            if not isinstance(arguments, (str, type(None))):
                raise _bad(f"{at}.arguments", f"`{at}.arguments` must be a string that holds JSON")
    _flag(body, "stream", "logprobs", "store", "parallel_tool_calls")
    _count(body, "max_tokens", "max_completion_tokens")
    _count(body, "n", most=MOST_CHOICES)
    _number(body, "temperature", "top_p", "frequency_penalty", "presence_penalty")
    _string(body, "user", "reasoning_effort", "service_tier")
    _object(body, "stream_options", "response_format", "metadata", "logit_bias", "web_search_options")
    options = body.get("stream_options")
    if is_object(options) and not isinstance(options.get("include_usage"), (bool, type(None))):
        raise _bad("stream_options.include_usage", "`stream_options.include_usage` must be true or false")
    seed = body.get("seed")
    if seed is not None and not is_whole(seed):
        raise _bad("seed", "`seed` must be an integer")
    _stop(body, "stop")
    _objects(body, "functions")
    _tools(body)


def _stop(body: Mapping[str, object], key: str) -> None:
    """Check stop sequences."""
    value = body.get(key)
    if value is None or isinstance(value, str):
        return
    if not is_array(value) or not all(isinstance(item, str) for item in value):
        raise _bad(key, f"`{key}` must be a string or an array of strings")


def _embeddings(body: Mapping[str, object]) -> None:
    """Check an embeddings request."""
    value = body.get("input")
    if value is None:
        raise _bad("input", "`input` is missing; send a string or an array of strings")
    if not isinstance(value, str):
        if not is_array(value) or not value:
            raise _bad("input", "`input` must be a string or a non-empty array")
        for i, item in enumerate(value):
            sound = isinstance(item, str) or is_whole(item)
            if not sound and not (is_array(item) and all(is_whole(token) for token in item)):
                raise _bad(
                    f"input[{i}]", f"`input[{i}]` must be a string, a token number or an array of them"
                )
    _count(body, "dimensions")
    _string(body, "encoding_format", "user")
    _flag(body, "stream")


def _messages(body: Mapping[str, object], *, counting: bool) -> None:
    """Check a messages or a count_tokens request."""
    for i, message in enumerate(_messages_array(body)):
        if message.get("content") is None:
            raise _bad(f"messages[{i}].content", f"`messages[{i}].content` is missing")
    if not counting and body.get("max_tokens") is None:
        raise _bad("max_tokens", "`max_tokens` is missing; this surface requires it")
    _count(body, "max_tokens")
    _flag(body, "stream")
    _number(body, "temperature", "top_p")
    _object(body, "metadata", "thinking", "output_config")
    _content(body, "", "system")
    stops = body.get("stop_sequences")
    if stops is not None and not is_array(stops):
        raise _bad("stop_sequences", "`stop_sequences` must be an array of strings")
    _stop(body, "stop_sequences")
    if isinstance(body.get("tool_choice"), str):
        raise _bad("tool_choice", '`tool_choice` must be an object, for example {"type": "auto"}')
    _tools(body)


def _responses(body: Mapping[str, object]) -> None:
    """Check a responses request; what needs stored state is unsupported, not malformed."""
    for key in ("previous_response_id", "conversation", "background"):
        if body.get(key):
            raise _BadShapeError(_stateless(key))
    value = body.get("input")
    if value is not None and not isinstance(value, str):
        for i, item in enumerate(_objects(body, "input")):
            if not isinstance(item.get("type"), (str, type(None))):
                raise _bad(f"input[{i}].type", f"`input[{i}].type` must be a string")
            if item.get("type") == "item_reference":
                raise _BadShapeError(_stateless(f"input[{i}]"))
            if item.get("type") in {None, "message"}:
                if not isinstance(item.get("role"), str):
                    raise _bad(f"input[{i}].role", f"`input[{i}].role` must be a string")
                _content(item, f"input[{i}]")
    elif value is None and body.get("prompt") is None:
        raise _bad("input", "`input` is missing; send a string or an array of items")
    _flag(body, "stream", "store", "parallel_tool_calls", "background")
    _count(body, "max_output_tokens", "max_tool_calls")
    _number(body, "temperature", "top_p")
    _string(body, "instructions", "user")
    _object(body, "text", "reasoning", "metadata", "stream_options")
    _tools(body)


def _stateless(param: str) -> Refusal:
    """Return the refusal of what would need responses stored at the vendor."""
    return Refusal(
        code=Code.UNSUPPORTED_FEATURE,
        param=param,
        message=f"`{param}` needs responses that a vendor keeps, and none are kept here; "
        "send the whole conversation in `input`",
        retry=False,
    )
