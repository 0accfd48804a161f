"""The ``vendors`` fixture: starts fake vendors "in places" and stops them after the test.

A test module that wants it says ``from tests.fakes.plugin import vendors  # noqa: F401`` or a
conftest names this module in ``pytest_plugins``.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

from tests.fakes.vendor import FakeVendor


class Vendors:
    """Every vendor that one test started."""

    def __init__(self) -> None:
        self.all: list[FakeVendor] = []

    def start(
        self, speaks: str = "openai", *, place: str = "", tls: ssl.SSLContext | None = None
    ) -> FakeVendor:
        """Start one more vendor; see :class:`FakeVendor`."""
        vendor = FakeVendor(speaks, place=place, tls=tls).start()
        self.all.append(vendor)
        return vendor

    def in_place(self, place: str) -> list[FakeVendor]:
        """The vendors of a place."""
        return [vendor for vendor in self.all if vendor.place == place]

    def stop(self) -> None:
        """Stop them all."""
        for vendor in self.all:
            vendor.stop()


@pytest.fixture
def vendors() -> Iterator[Vendors]:
    """Start fake vendors with ``vendors.start(speaks, place=…)``; they stop after the test."""
    started = Vendors()
    yield started
    started.stop()
