"""How children are started: confined where the host allows it, and never free when they have a network."""

from __future__ import annotations

import ast
import sys

import pytest

from gateway.adapters import children
from gateway.adapters.children import UNCONFINED, NotConfined, probe, start_routed
from gateway.adapters.egress_proxy import EgressProxy
from tests.confined import needs_namespaces, possible


async def test_the_probe_tells_the_truth():
    """It says namespace exactly where the launcher works, and wraps commands accordingly."""
    found = await probe()
    assert found.means == ("namespace" if possible() else "audit_hook")
    plain = ("/bin/child", "-x")
    assert UNCONFINED.command(plain) == plain
    assert (found.command(plain) == plain) == (found.means == "audit_hook")
    assert found.command(plain)[-2:] == plain


async def test_a_plug_in_that_cannot_be_confined_is_not_started(monkeypatch):
    """On a host without namespaces a child that has a network of its own does not run at all."""
    fails = (sys.executable, "-c", "import sys; sys.exit(97)")
    monkeypatch.setattr(children, "confined", lambda command, *, route: fails)
    proxy = EgressProxy(frozenset)
    with pytest.raises(NotConfined):
        await start_routed((sys.executable, "-c", "print('ran')"), proxy, environment={})
    await proxy.close()


@needs_namespaces
async def test_a_plug_in_inherits_nothing_of_ours(monkeypatch):
    """Its environment is what it was given and the way to the proxy."""
    monkeypatch.setenv("VENDOR_KEY", "not for children")
    proxy = EgressProxy(frozenset)
    show = "import os; print(sorted(os.environ), flush=True)"
    process = await start_routed((sys.executable, "-c", show), proxy, environment={"MINE": "1"})
    said, _ = await process.communicate()
    await proxy.close()
    assert b"VENDOR_KEY" not in said
    names = set(ast.literal_eval(said.decode())) - {"LC_CTYPE"}  # which Python sets itself
    assert names == {"HTTPS_PROXY", "MINE", "NO_PROXY", "https_proxy"}
