"""No clearance, no egress: whatever fails and whatever a caller says, client data stays in Canada.

Every test ends by looking at what the foreign vendors received on their sockets: no byte, and no
connection either. The teller's calls carry clients' data by the app's registration; the
hackathon's are public, so they show that the foreign deployments could have been reached.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import httpx
import orjson
import pytest

from tests.acceptance import bank, clock
from tests.acceptance.calls import (
    PATHS,
    STREAMING,
    Answer,
    Caller,
    assert_nothing_inside_out,
    request,
    well_ended,
    well_formed_error,
)
from tests.acceptance.running import Running, eventually
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
FOREIGN = ("us", "eu")
SIN = f"{46_454_286:011_}".replace("_", " ")  # no scanner takes it for somebody's

FAILURES: dict[str, Script] = {
    "429": Script(status=429),
    "500": Script(status=500),
    "503": Script(status=503),
    "timeout": Script(delay_ms=900),
    "reset": Script(reset="before_headers"),
    "reset after headers": Script(reset="after_headers"),
    "garbage": Script(body=b"\x00\xff{garbage"),
    "html": Script(body=b"<html>proxy error</html>", content_type="text/html"),
    "dies mid-stream": Script(die_at=3),
    "closes mid-stream": Script(close_at=3),
    "context length": Script(
        status=400,
        error={
            "error": {
                "message": "maximum context length is 8192 tokens",
                "type": "invalid_request_error",
                "param": "messages",
                "code": "context_length_exceeded",
            }
        },
    ),
    "unauthorised": Script(status=401),
}

SPOOFS: dict[str, dict[str, str]] = {
    "label public": {"x-borderpost-data": "public"},
    "label nonsense": {"x-borderpost-data": "none, ,*"},
    "forwarded": {
        "x-forwarded-for": "8.8.8.8",
        "x-forwarded-host": "api.openai.example",
        "x-forwarded-proto": "https",
        "forwarded": "for=8.8.8.8;host=api.openai.example",
        "x-real-ip": "8.8.8.8",
    },
    "organisation": {"openai-organization": "org-foreign", "openai-project": "proj-foreign"},
    "trace": {
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        "tracestate": "deployment=us",
        "baggage": "region=us",
    },
    "base url": {
        "x-borderpost-base-url": "http://127.0.0.1:{us}/v1",
        "x-base-url": "http://127.0.0.1:{us}/v1",
        "openai-base-url": "http://127.0.0.1:{us}/v1",
        "x-litellm-api-base": "http://127.0.0.1:{us}/v1",
        "x-portkey-custom-host": "http://127.0.0.1:{us}/v1",
        "helicone-target-url": "http://127.0.0.1:{us}/v1",
    },
    "choice": {
        "x-borderpost-deployment": "us",
        "x-borderpost-place": "US",
        "x-borderpost-fallback": "us,eu",
        "x-borderpost-exception": "CA-1",
        "x-portkey-config": '{"strategy": {"mode": "fallback"}}',
        "x-ms-region": "eastus",
        "anthropic-beta": "files-api-2025-04-14",
    },
}


@pytest.fixture(scope="module")
def proxy() -> Iterator[FakeVendor]:
    """A proxy that the environment names and nobody declared."""
    with FakeVendor("any") as listening:
        yield listening


@pytest.fixture(scope="module")
def border(places: Places, proxy: FakeVendor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The bank with routes that list foreign deployments first and last, behind proxy variables."""
    folder = tmp_path_factory.mktemp("border")
    files = bank.bundle(places)
    connections = files["connections.yaml"]["connections"]
    for name, vendor in places.items():
        surfaces = {} if name == "ca_on" else {"surfaces": ["chat", "embeddings", "responses"]}
        connections[name] = bank.connection(
            vendor, bank.api_of(vendor), first_byte_timeout_ms=400, **surfaces
        )
    files["routes.yaml"]["routes"] |= {
        "foreign-first": {"try": ["us", "eu", "ca", "ca_on"]},
        "foreign-last": {"try": ["ca", "us", "ca_on", "eu"]},
    }
    for team in files["teams.yaml"]["teams"].values():
        for app in team["apps"].values():
            app["models"] += ["foreign-first", "foreign-last"]
    bank.write(folder / "policies", files)
    proxies = dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), proxy.origin
    )
    running = Running(folder=folder, policies=folder / "policies", settings=proxies)
    try:
        yield running.start()
    finally:
        running.kill()


@pytest.fixture(scope="module")
def teller_calls(border: Running) -> Iterator[Caller]:
    """The app that handles clients' data."""
    with Caller(border.url, border.key("teller")) as caller:
        yield caller


@pytest.fixture(scope="module")
def public_calls(border: Running) -> Iterator[Caller]:
    """The app that handles public data."""
    with Caller(border.url, border.key("hackathon")) as caller:
        yield caller


def nothing_abroad(places: Places, connections: dict[str, int]) -> None:
    """Assert that the foreign vendors got no byte and no connection since ``connections`` was noted."""
    for name in FOREIGN:
        assert places[name].raw == b"", name
        assert places[name].connections == connections[name], name


def noted(places: Places) -> dict[str, int]:
    """Return how many connections the foreign vendors have had so far."""
    return {name: places[name].connections for name in FOREIGN}


def answered(surface: str, answer: Answer) -> None:
    """Assert that an answer, good or bad, has the form of its surface."""
    if answer.status >= 400:
        well_formed_error(surface, answer)
    elif answer.streamed:
        well_ended(surface, answer)
    else:
        assert answer.headers["x-borderpost-place"] in {"CA-QC", "CA-ON"}
        assert_nothing_inside_out(answer.raw)


def test_foreign_deployments_can_be_reached_by_public_data(public_calls: Caller, places: Places) -> None:
    """The control of this suite: on the same route, what is public does go abroad."""
    answer = public_calls.post("chat", request("chat", model="foreign-first"))
    assert answer.headers["x-borderpost-place"] == "US"
    assert len(places["us"].seen) == 1


@pytest.mark.parametrize("surface", ["chat", "responses", "messages", "embeddings"])
def test_no_failure_sends_clients_data_abroad(teller_calls: Caller, places: Places, surface: str) -> None:
    """Every failure of the first deployment, plain and streamed, foreign deployments first and last."""
    before = noted(places)
    for stream in (False, True) if surface in STREAMING else (False,):
        for route in ("foreign-first", "foreign-last"):
            for name, failure in FAILURES.items():
                places["ca"].forget()
                places["ca"].script(failure, failure)
                more = {"stream": True} if stream else {}
                answer = teller_calls.post(surface, request(surface, model=route, **more))
                assert places["ca"].seen, (name, answer)
                answered(surface, answer)
                nothing_abroad(places, before)


def test_both_canadian_deployments_down_is_an_error_and_no_way_abroad(
    teller_calls: Caller, places: Places
) -> None:
    """With nothing left in Canada the call fails, 503 with a Retry-After; nobody else is asked."""
    before = noted(places)
    for surface in ("chat", "messages", "responses"):
        places["ca"].script(Script(status=500), Script(status=500))
        places["ca_on"].script(Script(status=529), Script(status=529))
        answer = teller_calls.post(surface, request(surface, model="foreign-first"))
        error = well_formed_error(surface, answer)
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "permitted" in error["message"]
    nothing_abroad(places, before)


@pytest.mark.parametrize("spoof", SPOOFS)
def test_no_header_moves_a_call(teller_calls: Caller, places: Places, spoof: str) -> None:
    """Whatever a header claims or asks, no byte goes abroad, and no such header goes to the vendor."""
    before = noted(places)
    headers = {name: value.replace("{us}", str(places["us"].port)) for name, value in SPOOFS[spoof].items()}
    for surface in ("chat", "messages", "responses"):
        for script in (Script(), Script(status=500)):
            places["ca"].script(script)
            answer = teller_calls.post(surface, request(surface, model="foreign-first"), headers=headers)
            answered(surface, answer)
    nothing_abroad(places, before)
    for vendor in (places["ca"], places["ca_on"]):
        for seen in vendor.seen:
            # What a caller may pass on to a vendor of messages: the opt-in to a beta, nothing else.
            passed = set(seen.headers) & (set(headers) - {"anthropic-beta"})
            assert not passed, passed


def test_a_redirect_to_another_place_is_not_followed(teller_calls: Caller, places: Places) -> None:
    """A vendor in Canada that points to the US is a vendor that failed."""
    before = noted(places)
    for surface, path in (("chat", "/chat/completions"), ("embeddings", "/embeddings")):
        for stream in (False, True) if surface == "chat" else (False,):
            away = Script(redirect=f"{places['us'].url}{path}")
            places["ca"].forget()
            places["ca"].script(away, away)
            more = {"stream": True} if stream else {}
            answer = teller_calls.post(surface, request(surface, model="only-ca", **more))
            well_formed_error(surface, answer)
            assert answer.status == 502
            assert places["ca"].seen
            assert "location" not in answer.headers
    nothing_abroad(places, before)


def test_proxy_variables_of_the_environment_are_ignored(
    teller_calls: Caller, places: Places, proxy: FakeVendor
) -> None:
    """The process was started with six proxy variables; the vendor is asked directly all the same."""
    assert teller_calls.post("chat", request("chat")).status == 200
    assert len(places["ca"].seen) == 1
    assert proxy.connections == 0


def test_a_sin_in_a_public_apps_prompt_moves_the_call_to_canada(
    public_calls: Caller, places: Places, border: Running
) -> None:
    """A find adds a label and the label narrows: the same app, the same route, another country."""
    public_calls.post("chat", request("chat", "no number", model="everywhere"))
    assert any(places[name].seen for name in FOREIGN)
    for vendor in places.values():
        vendor.forget()
    before = noted(places)
    for surface in STREAMING:
        for failure in (Script(), Script(status=500), Script(delay_ms=900)):
            places["ca"].script(failure)
            text = f"my SIN is {SIN}, thanks"
            answer = public_calls.post(surface, request(surface, text, model="everywhere"))
            assert answer.status == 200, answer.raw
            assert answer.headers["x-borderpost-place"] in {"CA-QC", "CA-ON"}
            assert answer.headers["x-borderpost-masked"] == "sin=1"
    nothing_abroad(places, before)
    eventually(lambda: "detector:sin" in str(border.records(1)[-1]["labels"]), 8)


FORBIDDEN: dict[str, tuple[str, dict[str, object]]] = {
    "web search of chat": ("chat", {"web_search_options": {}, "tools": [{"type": "web_search"}]}),
    "image by address": (
        "chat",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}
                    ],
                }
            ]
        },
    ),
    "file by id": (
        "chat",
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
    ),
    "store": ("chat", {"store": True}),
    "data sources": ("chat", {"data_sources": [{"type": "azure_search"}]}),
    "other models": ("chat", {"models": ["us-model"]}),
    "other provider": ("chat", {"provider": {"order": ["us"]}}),
    "plugins": ("chat", {"plugins": [{"id": "web"}]}),
    "unknown tool": ("chat", {"tools": [{"type": "teleport"}]}),
    "web search of responses": ("responses", {"tools": [{"type": "web_search"}]}),
    "mcp of responses": (
        "responses",
        {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://mcp.example"}]},
    ),
    "code interpreter": (
        "responses",
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
    ),
    "file search": ("responses", {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}),
    "input file by id": (
        "responses",
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
    ),
    "background": ("responses", {"background": True}),
    "previous response": ("responses", {"previous_response_id": "resp_1"}),
    "conversation": ("responses", {"conversation": "conv_1"}),
    "stored prompt": ("responses", {"prompt": {"id": "pmpt_1"}}),
    "web search of messages": (
        "messages",
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ),
    "web fetch of messages": ("messages", {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}),
    "mcp of messages": (
        "messages",
        {"mcp_servers": [{"type": "url", "name": "x", "url": "https://mcp.example"}]},
    ),
    "container of messages": ("messages", {"container": "container_1"}),
    "geography of messages": ("messages", {"inference_geo": "us"}),
    "document by address": (
        "messages",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "document", "source": {"type": "url", "url": "https://papers.example/a.pdf"}}
                    ],
                }
            ]
        },
    ),
    "file of messages": (
        "messages",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image", "source": {"type": "file", "file_id": "file_1"}}],
                }
            ]
        },
    ),
    "token numbers": ("embeddings", {"input": [1, 2, 3]}),
}


@pytest.mark.parametrize("who", ["teller", "hackathon"])
def test_what_makes_a_vendor_fetch_store_or_forward_is_refused(
    request: pytest.FixtureRequest, places: Places, who: str
) -> None:
    """No deployment's facts cover these, so nothing at all is sent, plain or streamed, by any app."""
    from tests.acceptance import calls

    caller: Caller = request.getfixturevalue("teller_calls" if who == "teller" else "public_calls")
    for name, (surface, fields) in FORBIDDEN.items():
        for more in ({}, {"stream": True}) if surface in STREAMING else ({},):
            body = {**calls.request(surface, model="foreign-last"), **fields, **more}
            answer = caller.post(surface, body)
            error = well_formed_error(surface, answer)
            assert answer.status in {400, 403}, (name, answer.raw)
            assert error["message"], name
            assert all(vendor.raw == b"" for vendor in places.values()), name


UNCOVERED = (
    "/v1/files",
    "/v1/batches",
    "/v1/audio/transcriptions",
    "/v1/audio/speech",
    "/v1/images/generations",
    "/v1/moderations",
    "/v1/assistants",
    "/v1/threads",
    "/v1/threads/runs",
    "/v1/completions",
    "/v1/fine_tuning/jobs",
    "/v1/vector_stores",
    "/v1/conversations",
    "/v1/responses/resp_1",
    "/v1/responses/input_tokens",
    "/v1/chat/completions/cc_1",
    "/v1/chat/completions/",
    "/v1//chat/completions",
    "/V1/chat/completions",
    "/chat/completions",
    "/openai/v1/chat/completions",
    "/openai/deployments/x/chat/completions",
    "/v1/messages/batches",
    "/v1/messages/",
    "/v1/complete",
    "/v1/rerank",
    "/v1/realtime",
    "/v1/proxy",
    "/v1/embeddings/..%2fchat%2fcompletions",
    "/v1/models/../files",
    "/passthrough",
    "/anthropic/v1/messages",
    "/vertex_ai/v1/projects",
    "/",
)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_path_that_no_walker_covers_does_not_exist(
    teller_calls: Caller, places: Places, method: str
) -> None:
    """404 in the shape of the surface that the path looks like, and nothing is sent anywhere."""
    body = request("chat", f"SIN {SIN}")
    for path in UNCOVERED:
        reply = teller_calls.http.request(method, path, json=body, follow_redirects=False)
        answer = Answer(status=reply.status_code, headers=reply.headers, raw=reply.content)
        assert answer.status == 404, (path, answer.status, answer.raw)
        well_formed_error("messages" if path.startswith("/v1/messages") else "chat", answer)
    assert all(vendor.raw == b"" for vendor in places.values())


@pytest.mark.parametrize("path", PATHS.values())
def test_other_methods_on_a_surface_send_nothing(teller_calls: Caller, places: Places, path: str) -> None:
    """GET, PUT, DELETE and the like on a hot surface: 405, nothing sent."""
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS"):
        reply = teller_calls.http.request(method, path)
        assert reply.status_code == 405, (method, path)
    assert all(vendor.raw == b"" for vendor in places.values())


# ---------------------------------------------------------------- the world moves meanwhile


def test_a_reload_applies_to_the_next_attempt_of_a_call_in_its_fallback(
    border: Running, teller_calls: Caller, places: Places
) -> None:
    """Ontario's vendor loses its facts while Quebec's is still thinking: the fallback never goes there."""
    path = border.policies / "deployments.yaml"
    good = path.read_bytes()
    files = orjson.loads(good)
    files["deployments"]["ca_on"] |= {"processed_in": ["US"]}
    places["ca"].script(Script(status=500, delay_ms=350))
    found: list[Answer] = []
    call = Thread(target=lambda: found.append(teller_calls.post("chat", request("chat"))))
    before = snapshot_of(border)
    try:
        call.start()
        places["ca"].wait_for(1)
        bank.write(border.policies, {"deployments.yaml": files})
        assert border.process is not None
        border.process.send_signal(signal.SIGHUP)
        call.join(20)
    finally:
        bank.write(border.policies, {"deployments.yaml": orjson.loads(good)})
        border.process.send_signal(signal.SIGHUP)
        eventually(lambda: snapshot_of(border) == before, 10)
    well_formed_error("chat", found[0])
    assert places["ca_on"].raw == b""
    assert all(vendor.raw == b"" for name, vendor in places.items() if name != "ca")


def test_a_reload_that_permits_less_leaves_the_rest_of_the_fallback(
    border: Running, teller_calls: Caller, places: Places
) -> None:
    """The next permitted deployment serves the call: one that fell away is stepped over, not stopped at."""
    path = border.policies / "deployments.yaml"
    good = path.read_bytes()
    files = orjson.loads(good)
    files["deployments"]["us"] |= {
        "processed_in": ["CA-QC"],
        "stored_in": ["CA-QC"],
        "vendor_logs_in": ["CA-QC"],
    }
    before = snapshot_of(border)
    # In force: ca, then us (now in Canada), then ca_on. Then us goes abroad again.
    bank.write(border.policies, {"deployments.yaml": files})
    assert border.process is not None
    border.process.send_signal(signal.SIGHUP)
    eventually(lambda: snapshot_of(border) != before, 10)
    places["ca"].script(Script(status=500, delay_ms=350))
    found: list[Answer] = []
    body = request("chat", model="foreign-last")
    call = Thread(target=lambda: found.append(teller_calls.post("chat", body)))
    call.start()
    places["ca"].wait_for(1)
    bank.write(border.policies, {"deployments.yaml": orjson.loads(good)})
    border.process.send_signal(signal.SIGHUP)
    call.join(20)
    eventually(lambda: snapshot_of(border) == before, 10)
    assert found[0].status == 200, found[0].raw
    assert found[0].headers["x-borderpost-place"] == "CA-ON"
    assert all(places[name].raw == b"" for name in FOREIGN)


def test_reloads_under_load_drop_no_call(border: Running, teller_calls: Caller, places: Places) -> None:
    """The policy changes twenty times below six callers: every call is served, each under one snapshot."""
    path = border.policies / "deployments.yaml"
    good = path.read_bytes()
    before = snapshot_of(border)
    key = teller_calls.http.headers["authorization"].removeprefix("Bearer ")
    over = Event()

    def go_on() -> list[int]:
        with Caller(border.url, key) as caller:
            statuses = []
            while not over.is_set():
                statuses.append(caller.post("chat", request("chat", model="foreign-first")).status)
            return statuses

    assert border.process is not None
    hashes = set()
    noted_before = noted(places)
    with ThreadPoolExecutor(6) as pool:
        calling = [pool.submit(go_on) for _ in range(6)]
        try:
            for i in range(20):
                files = orjson.loads(good)
                files["deployments"]["eu"]["source"] = f"read for the {i}th time"
                bank.write(border.policies, {"deployments.yaml": files})
                border.process.send_signal(signal.SIGHUP)
                time.sleep(0.08)
                hashes.add(snapshot_of(border))
        finally:
            over.set()
            bank.write(border.policies, {"deployments.yaml": orjson.loads(good)})
            border.process.send_signal(signal.SIGHUP)
        statuses = [status for future in calling for status in future.result(20)]
    assert set(statuses) == {200}, {status: statuses.count(status) for status in set(statuses)}
    assert len(hashes) > 5
    nothing_abroad(places, noted_before)
    eventually(lambda: snapshot_of(border) == before, 10)


def snapshot_of(running: Running) -> str:
    """Return the hash of the snapshot in force."""
    status = httpx.get(f"{running.url}/status", trust_env=False).json()
    return str(status["policy"]["snapshot"])


def test_facts_that_expire_while_running_stop_a_deployment(places: Places, tmp_path: Path) -> None:
    """Facts rechecked a year ago to this very day serve today and refuse tomorrow, without a restart."""
    today = datetime.now(UTC).date()
    files = bank.bundle(places)
    for name in ("ca", "ca_on"):
        seen = {"seen": str(today - timedelta(days=365)), "recheck_days": 366}
        files["deployments.yaml"]["deployments"][name] |= seen if name == "ca" else {}
    offset = tmp_path / "offset"
    offset.write_text("0")
    bank.write(tmp_path / "policies", files)
    running = Running(
        folder=tmp_path,
        policies=tmp_path / "policies",
        program=("-P", clock.__file__),
        settings={"CLOCK_OFFSET_FILE": str(offset)},
    )
    try:
        running.start()
        with Caller(running.url, running.key("teller")) as caller:
            assert caller.post("chat", request("chat", model="only-ca")).status == 200
            assert caller.post("chat", request("chat", model="only-ca-on")).status == 200
            places["ca"].forget()
            offset.write_text(str(2 * 86_400))
            answers: list[Answer] = []

            def refused() -> bool:
                answers.append(caller.post("chat", request("chat", model="only-ca")))
                return answers[-1].status != 503  # keys are checked anew after such a jump

            eventually(refused, 8)
            error = well_formed_error("chat", answers[-1])
            assert answers[-1].status == 403
            assert error["code"] == "policy_refused"
            assert places["ca"].raw == b""
            # The others go on, and the route falls over to them.
            served = caller.post("chat", request("chat"))
            assert served.headers["x-borderpost-place"] == "CA-ON"
    finally:
        running.kill()
