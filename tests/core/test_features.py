"""Features: whatever makes a vendor fetch, keep, forward or run something has a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.features import features, media
from gateway.core.values import Surface
from tests.golden.speech import JSON

DATA = "data:image/png;base64,AAAA"
CHAT, MESSAGES, RESPONSES = Surface.CHAT, Surface.MESSAGES, Surface.RESPONSES


def chat(*parts, **fields):
    return {"model": "m", "messages": [{"role": "user", "content": list(parts)}], **fields}


def tools(*kinds):
    return {"model": "m", "tools": [{"type": kind} if isinstance(kind, str) else kind for kind in kinds]}


def items(*given):
    return {"model": "m", "input": list(given)}


PLAIN = [
    (CHAT, {"model": "m", "messages": [{"role": "user", "content": "see https://a.example/x.png"}]}),
    (CHAT, chat({"type": "text", "text": "https://a.example"}, store=False, prediction={"type": "content"})),
    (CHAT, tools("function", "custom")),
    (MESSAGES, {"model": "m", "tools": [{"name": "f", "input_schema": {}}]}),
    (
        MESSAGES,
        tools("bash_20250124", "text_editor_20250728", "memory_20250818", "tool_search_tool_bm25_20251119"),
    ),
    (
        MESSAGES,
        chat({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}),
    ),
    (MESSAGES, chat({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}]})),
    (
        MESSAGES,
        {"messages": [{"role": "assistant", "content": [{"type": "thinking"}, {"type": "tool_use"}]}]},
    ),
    (RESPONSES, {"model": "m", "input": "hi", "store": False, "background": False}),
    (RESPONSES, tools("function", "custom", "apply_patch", "local_shell")),
    (RESPONSES, tools({"type": "shell", "environment": {"type": "local"}})),
    (RESPONSES, tools({"type": "namespace", "tools": [{"type": "function"}]})),
    (Surface.EMBEDDINGS, {"model": "m", "input": ["a", "b"]}),
]

NAMED = [
    # the vendor searches, fetches, runs
    (CHAT, chat(web_search_options={"search_context_size": "low"}), {"web_search"}),
    (CHAT, chat(search_parameters={"mode": "auto"}), {"web_search"}),
    (CHAT, chat(data_sources=[{"type": "azure_search"}]), {"data_sources"}),
    (RESPONSES, tools("web_search"), {"web_search"}),
    (RESPONSES, tools("web_search_2025_08_26"), {"web_search"}),
    (RESPONSES, tools("web_search_preview_2025_03_11"), {"web_search"}),
    (RESPONSES, tools("file_search"), {"file_search", "file_id"}),
    (RESPONSES, tools("computer"), {"computer_use"}),
    (RESPONSES, tools("code_interpreter"), {"code_interpreter"}),
    (
        RESPONSES,
        tools({"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f"]}}),
        {"code_interpreter", "file_id"},
    ),
    (RESPONSES, tools("shell"), {"code_interpreter"}),
    (RESPONSES, tools("image_generation"), {"image_generation", "unscannable"}),
    (RESPONSES, tools({"type": "mcp", "server_url": "https://a.example"}), {"mcp"}),
    (RESPONSES, tools({"type": "mcp", "connector_id": "connector_gmail"}), {"mcp", "connector"}),
    (RESPONSES, tools({"type": "namespace", "tools": [{"type": "web_search"}]}), {"web_search"}),
    (
        RESPONSES,
        items({"type": "additional_tools", "role": "developer", "tools": [{"type": "mcp"}]}),
        {"mcp"},
    ),
    (MESSAGES, tools("web_search_20260318"), {"web_search"}),
    (MESSAGES, tools("web_fetch_20250910"), {"url_fetch"}),
    (MESSAGES, tools("code_execution_20260120"), {"code_interpreter"}),
    (MESSAGES, {"mcp_servers": [{"type": "url"}]}, {"mcp"}),
    (MESSAGES, {"container": "c_1"}, {"code_interpreter"}),
    # the vendor keeps
    (CHAT, chat(store=True), {"store"}),
    (RESPONSES, {"input": "x", "store": True}, {"store"}),
    (RESPONSES, {"input": "x", "background": True}, {"background"}),
    (RESPONSES, {"input": "x", "previous_response_id": "r"}, {"store"}),
    (RESPONSES, {"prompt": {"id": "p"}}, {"stored_prompt"}),
    (RESPONSES, items({"type": "item_reference", "id": "i"}), {"store"}),
    (CHAT, chat(prompt_cache_retention="24h"), {"extended_cache"}),
    # elsewhere
    (MESSAGES, {"inference_geo": "global"}, {"other_geography"}),
    (CHAT, chat(provider={"order": ["x"]}), {"other_geography"}),
    # what no detector reads
    (CHAT, chat({"type": "image_url", "image_url": {"url": DATA}}), {"unscannable"}),
    (
        CHAT,
        chat({"type": "image_url", "image_url": {"url": "https://a.example/i.png"}}),
        {"unscannable", "url_fetch"},
    ),
    (
        CHAT,
        chat({"type": "image_url", "image_url": {"url": "gs://bucket/i.png"}}),
        {"unscannable", "url_fetch"},
    ),
    (CHAT, chat({"type": "image_url", "image_url": "https://a.example/i.png"}), {"unscannable", "url_fetch"}),
    (CHAT, chat({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}), {"unscannable"}),
    (
        CHAT,
        chat({"type": "video_url", "video_url": {"url": "https://a.example/v"}}),
        {"unscannable", "url_fetch"},
    ),
    (CHAT, chat({"type": "file", "file": {"file_id": "file-1"}}), {"unscannable", "file_id"}),
    (CHAT, chat({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA"}}), {"unscannable"}),
    (CHAT, chat({"type": "hologram"}), {"unscannable"}),
    (CHAT, {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}, {"unscannable", "file_id"}),
    (CHAT, chat(modalities=["text", "audio"]), {"unscannable"}),
    (RESPONSES, {"input": "x", "audio": {"voice": "a"}}, {"unscannable"}),
    (
        MESSAGES,
        chat({"type": "image", "source": {"type": "url", "url": "https://a.example"}}),
        {"unscannable", "url_fetch"},
    ),
    (
        MESSAGES,
        chat({"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
        {"unscannable", "file_id"},
    ),
    (MESSAGES, chat({"type": "container_upload", "file_id": "file_1"}), {"unscannable", "file_id"}),
    (
        MESSAGES,
        chat(
            {
                "type": "tool_result",
                "content": [{"type": "image", "source": {"type": "base64", "data": "AA"}}],
            }
        ),
        {"unscannable"},
    ),
    (
        MESSAGES,
        chat(
            {
                "type": "document",
                "source": {
                    "type": "content",
                    "content": [{"type": "image", "source": {"type": "url", "url": "https://a.example"}}],
                },
            }
        ),
        {"unscannable", "url_fetch"},
    ),
    (
        RESPONSES,
        items({"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}),
        {"unscannable", "file_id"},
    ),
    (
        RESPONSES,
        items({"role": "user", "content": [{"type": "input_file", "file_url": "https://a.example/x.pdf"}]}),
        {"unscannable", "url_fetch"},
    ),
    (
        RESPONSES,
        items({"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": DATA}}),
        {"unscannable"},
    ),
    (RESPONSES, items({"type": "image_generation_call", "result": "AAAA"}), {"unscannable"}),
    (Surface.EMBEDDINGS, {"input": [1, 2, 3]}, {"unscannable"}),
    (Surface.EMBEDDINGS, {"input": [[1, 2], [3]]}, {"unscannable"}),
    # what we do not know
    (RESPONSES, tools("teleport"), {"unknown_tool:teleport"}),
    (MESSAGES, tools("browser_toolset_20260801"), {"unknown_tool:browser_toolset_20260801"}),
    (CHAT, tools({"type": 7}), {"unknown_tool:7"}),
    (CHAT, tools("Ann Smith, SIN 046454286"), {"unknown_tool"}),  # content, which no record may hold
    (CHAT, tools("ann@maple.example"), {"unknown_tool"}),
]


@pytest.mark.parametrize(("surface", "body"), PLAIN)
def test_a_plain_call_asks_for_nothing_more(surface, body):
    """Text, the app's own tools and fields at rest carry no feature."""
    assert features(surface, body) == frozenset()


@pytest.mark.parametrize(("surface", "body", "wanted"), NAMED)
def test_each_feature_has_its_name(surface, body, wanted):
    """Each built-in of each vendor is named, so that a deployment must cover it."""
    assert features(surface, body) == wanted


@pytest.mark.parametrize("surface", Surface)
@pytest.mark.parametrize(
    "body",
    [{}, {"messages": "x", "input": 4, "tools": {}}, {"messages": [4, {"content": [3, {"type": None}]}]},
     {"tools": [3, {"type": None}], "input": [None, {"output": {"type": 1}}]}],
)  # fmt: skip
def test_malformed_bodies_do_not_raise(surface, body):
    """Features are read before and beside the shape checks."""
    assert isinstance(features(surface, body), frozenset)


def test_media_say_where_they_stand_and_how_long_they_are():
    """The bound needs the parameter for its refusal and the length to leave base64 out."""
    body = chat({"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": DATA}})
    (part,) = media(CHAT, body)
    assert (part.kind, part.param, part.size, part.source) == (
        "image",
        "messages[0].content[1]",
        len(DATA),
        "inline",
    )


@given(st.sampled_from(list(Surface)), JSON)
def test_no_json_breaks_the_features(surface, value):
    """Any JSON in any place is named or passed, never a crash."""
    items = [{"role": "user", "content": value, "output": value, "type": value, "tools": value}]
    body = {"messages": items, "input": items, "tools": value, "system": value, "modalities": value}
    assert isinstance(features(surface, body), frozenset)
    assert isinstance(features(surface, {"input": value, "messages": value}), frozenset)
