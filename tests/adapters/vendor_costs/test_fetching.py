"""Bills by API: every page, from the declared origin only, and never half."""

from __future__ import annotations

import json
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

import pytest

from gateway.adapters.transport import Transport
from gateway.adapters.vendor_costs import Options, reader_of
from gateway.adapters.vendor_costs.fetching import MOST_TRIES, FetchFailed, fetch, queries
from gateway.core.bill import Billing
from tests.adapters.vendor_costs.pages import cost_api

START, END = 1_793_491_200_000_000, 1_796_083_200_000_000  # November 2026, UTC
KEY = "admin-" + "key"


def page(*results, more=None):
    body = {"data": [{"start_time": 1793491200, "end_time": 1793577600, "results": list(results)}]}
    return json.dumps({**body, "has_more": more is not None, "next_page": more}, indent=1).encode()


def cost(value):
    return {"amount": {"value": value, "currency": "usd"}, "line_item": "gpt-4.1-mini, input"}


async def run(api, *, number=0, vendor="openai", slept=None):
    billing = Billing(vendor=vendor, api=vendor, url=api.url, secret="file:/run/secrets/admin")
    transport = Transport()
    waits = [] if slept is None else slept

    async def sleep(seconds):
        waits.append(seconds)

    try:
        query = queries(billing, KEY, start_us=START, end_us=END)[number]
        return await fetch(transport, billing, query, sleep=sleep)
    finally:
        await transport.close()


async def test_every_page_is_fetched_and_read_exactly(tmp_path):
    """Two pages, whose numbers come through as they were written."""
    first = page(cost(1), more="p 2&x=").replace(b'"value": 1', b'"value": 0.1234567890123456789')
    async with cost_api((200, {}, first), (200, {}, page(cost(2)))) as api:
        content = await run(api)
    file = tmp_path / "pages.jsonl"
    file.write_bytes(content)
    lines = list(reader_of("openai-costs")(file, Options()))
    assert [line.amount for line in lines] == [Decimal("0.1234567890123456789"), Decimal(2)]
    path, headers = api.asked[1]
    asked = parse_qsl(urlsplit(path).query)
    assert ("page", "p 2&x=") in asked
    assert ("group_by", "line_item") in asked
    assert ("start_time", "1793491200") in asked
    assert ("end_time", "1796083200") in asked
    assert headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("number", "path"), [(0, "/v1/organizations/cost_report"), (1, "/v1/organizations/usage_report/messages")]
)
async def test_anthropic_is_asked_as_it_documents(number, path):
    async with cost_api((200, {}, b'{"data": [], "has_more": false}')) as api:
        await run(api, number=number, vendor="anthropic")
    asked, headers = api.asked[0]
    assert urlsplit(asked).path == path
    pairs = parse_qsl(urlsplit(asked).query)
    assert ("starting_at", "2026-11-01T00:00:00Z") in pairs
    assert "group_by[]" in dict(pairs)
    assert (headers["x-api-key"], headers["anthropic-version"]) == (KEY, "2023-06-01")


async def test_too_many_requests_are_waited_out_as_asked():
    slept = []
    async with cost_api((429, {"retry-after": "7"}, b""), (503, {}, b""), (200, {}, page(cost(1)))) as api:
        await run(api, slept=slept)
    assert slept == [7.0, 14.0]


async def test_a_vendor_that_stays_away_is_given_up():
    slept = []
    async with cost_api((500, {}, b"")) as api:
        with pytest.raises(FetchFailed, match="status 500; given up"):
            await run(api, slept=slept)
    assert len(slept) == len(api.asked) == MOST_TRIES


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((401, {}, b""), "admin key"),
        ((403, {}, b""), "admin key"),
        ((302, {"location": "https://elsewhere.example/"}, b""), "never followed"),
        ((404, {}, b""), "status 404"),
        ((429, {"retry-after": "3600"}, b""), "asks to wait 3,600 s"),
        ((200, {}, b"<html>"), "no page of a report"),
        ((200, {}, b'{"data": [], "has_more": true}'), "names none"),
        ((200, {}, b'{"data": [], "has_more": true, "next_page": "same"}'), "names none"),
    ],
)
async def test_what_no_retry_mends_is_said_at_once(reply, words):
    async with cost_api(reply) as api:
        with pytest.raises(FetchFailed, match=words) as failed:
            await run(api)
    assert KEY not in str(failed.value)
    assert len(api.asked) <= 2


async def test_nobody_is_asked_without_a_declaration():
    with pytest.raises(FetchFailed, match=r"vendors\.yaml"):
        queries(Billing(vendor="cohere"), KEY, start_us=START, end_us=END)


async def test_plain_http_to_another_host_is_stopped_by_the_guard():
    billing = Billing(vendor="openai", api="openai", url="http://192.0.2.1:9", secret="env:X")
    transport = Transport()
    try:
        query = queries(billing, KEY, start_us=START, end_us=END)[0]
        with pytest.raises(FetchFailed, match="guard stopped it: plain_http"):
            await fetch(transport, billing, query, sleep=None)
    finally:
        await transport.close()
