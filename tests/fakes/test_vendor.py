"""The fake vendors themselves: they record every byte, and bill what they said."""

from __future__ import annotations

import httpx
import pytest

from tests.fakes.plugin import vendors  # noqa: F401 (a fixture)
from tests.fakes.vendor import Script

BODY = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}


@pytest.fixture
def client():
    with httpx.Client(trust_env=False) as made:
        yield made


def test_every_byte_is_recorded(vendors, client):  # noqa: F811
    """Heads and bodies, over all connections."""
    vendor = vendors.start(place="CA-QC")
    client.post(vendor.url + "/chat/completions", json=BODY, headers={"x-odd": "seen"})
    assert b"x-odd: seen" in vendor.raw
    assert b"one two three" in vendor.raw
    assert vendor.seen[0].text == "one two three"
    assert vendors.in_place("CA-QC") == [vendor]


def test_scripts_are_used_in_order(vendors, client):  # noqa: F811
    """One per call, then the default."""
    vendor = vendors.start()
    vendor.script(Script(status=503), Script(text="two"))
    answers = [client.post(vendor.url + "/chat/completions", json=BODY) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 200, 200]
    assert "two" in answers[1].text
    assert "You said: one two three" in answers[2].text


def test_the_wrong_dialect_shows(vendors, client):  # noqa: F811
    """A vendor answers 404 outside what it speaks."""
    vendor = vendors.start("messages")
    assert client.post(vendor.origin + "/v1/chat/completions", json=BODY).status_code == 404
    assert vendor.billed.calls == 0


def test_it_bills_what_it_said(vendors, client):  # noqa: F811
    """All of a whole reply, the part of an aborted one, nothing for an error."""
    vendor = vendors.start()
    whole = client.post(vendor.url + "/chat/completions", json=BODY).json()["usage"]
    assert (vendor.billed.input, vendor.billed.output) == (whole["prompt_tokens"], whole["completion_tokens"])
    vendor.forget()
    vendor.script(Script(status=429), Script(endless=True))
    client.post(vendor.url + "/chat/completions", json=BODY)
    assert vendor.billed.calls == 0
    with client.stream("POST", vendor.url + "/chat/completions", json={**BODY, "stream": True}) as reply:
        for _, _ in zip(range(12), reply.iter_lines(), strict=False):
            pass
    assert vendor.seen[1].gone.wait(5)
    billed = vendor.billed.output
    assert billed >= 5
    assert not vendor.seen[1].finished
    assert vendor.billed.output == billed, "an aborted stream costs no more"


def test_it_obeys_the_limit(vendors, client):  # noqa: F811
    """And says so."""
    vendor = vendors.start()
    reply = client.post(vendor.url + "/chat/completions", json={**BODY, "max_tokens": 2}).json()
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 2


def test_the_port_survives_a_restart(vendors, client):  # noqa: F811
    """For "the vendor comes back"."""
    vendor = vendors.start()
    url = vendor.url
    vendor.stop()
    with pytest.raises(httpx.ConnectError):
        client.post(url + "/chat/completions", json=BODY)
    vendor.start()
    assert vendor.url == url
    assert client.post(url + "/chat/completions", json=BODY).status_code == 200
