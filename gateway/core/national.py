"""National identity numbers of EU countries, proved by python-stdnum: their form, dates and check digits.

A number alone proves little (one in ten or a hundred passes some country's check), so
:mod:`gateway.core.pattern_checks` asks for a word beside it too. Modules are imported when a
candidate is first seen. Those of France, Italy, the Netherlands, Poland and Spain are also
known by their form alone, in :mod:`gateway.core.checksums`. Left out are numbers of nine digits (the
Portuguese NIF, Czech ones of before 1954): one in eleven of any nine digits would pass.
"""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from typing import Final, Protocol, cast

FORMS: Final[tuple[tuple[str, str], ...]] = (
    ("at.vnr", r"\d{4} ?\d{6}"),
    ("be.nn", r"\d{2}\.?\d{2}\.?\d{2}[- ]?\d{3}[. -]?\d{2}"),
    ("bg.egn", r"\d{10}"),
    ("cz.rc", r"\d{6}/?\d{4}"),
    ("de.idnr", r"\d{2} ?\d{3} ?\d{3} ?\d{3}"),
    ("dk.cpr", r"\d{6}[- ]?\d{4}"),
    ("ee.ik", r"[1-8]\d{10}"),
    ("fi.hetu", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]"),
    ("fr.nif", r"[0-3]\d ?\d{2} ?\d{3} ?\d{3} ?\d{3}"),
    ("gr.amka", r"\d{11}"),
    ("hr.oib", r"\d{11}"),
    ("ie.pps", r"\d{7}[A-W][ABHW]?"),
    ("lt.asmens", r"[3-6]\d{10}"),
    ("lv.pvn", r"(?:[0-3]\d{5}|32\d{4})-?\d{5}"),
    ("pt.cc", r"\d{8} ?\d ?[A-Z0-9]{2}\d"),
    ("ro.cnp", r"[1-9]\d{12}"),
    ("se.personnummer", r"(?:\d{2})?\d{6}[-+]?\d{4}"),
    ("si.emso", r"\d{13}"),
    ("sk.rc", r"\d{6}/?\d{4}"),
)
"""Country and number, as python-stdnum names its modules; and how the number is written."""


class _Number(Protocol):
    """What is asked of one of python-stdnum's modules."""

    def is_valid(self, number: str) -> bool: ...


_BY_FORM: Final = tuple((name, re.compile(form)) for name, form in FORMS)


@lru_cache(maxsize=len(FORMS))
def _module(name: str) -> _Number:
    return cast("_Number", importlib.import_module(f"stdnum.{name}"))


def country_of(text: str) -> str | None:
    """Return the country (``be``) whose national number a text is, capitals as written; None for none."""
    for name, form in _BY_FORM:
        if form.fullmatch(text) and _module(name).is_valid(text):
            return name[:2]
    return None
