"""The forms of identifiers: one row per form, with what proves it.

Patterns start with a plain character class, so that the regex engine skips fast, and
repeat only with small bounds, so that nothing backtracks far.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from gateway.core.pattern_checks import (
    Check,
    check_alone,
    check_base58,
    check_business,
    check_card,
    check_coordinates,
    check_email,
    check_european,
    check_health,
    check_iban,
    check_ipv4,
    check_ipv6,
    check_national,
    check_nhs,
    check_phone,
    check_postal,
    check_ramq,
    check_resident,
    check_sin,
    check_ssn,
    check_street,
    check_with,
    cued,
)


def _always(_text: str, _context: str) -> bool:
    return True


class Recognizer(NamedTuple):
    """One form of one kind.

    ``gate`` is a cheap necessary condition on the whole text and the key above it;
    ``digits`` is how many digits stand together in any match; ``needs`` names the context
    words without which the check always refuses. ``anchor`` says where a match starts as
    seen from a run of digits (0: with it, -1: one character before), which is far cheaper
    than trying every position; only runs of at most ``run`` digits are tried.
    """

    kind: str
    pattern: re.Pattern[str]
    check: Check
    gate: Callable[[str, str], bool] = _always
    digits: int = 5
    needs: str | None = None
    anchor: int | None = None
    run: int = 40


_MONTH = (
    r"(?:jan(?:uary|vier)?|feb(?:ruary)?|f[ée]v(?:rier)?|mar(?:ch|s)?|apr(?:il)?|avr(?:il)?|may|mai|june?|"
    r"juin|july?|juil(?:let)?|aug(?:ust)?|ao[ûu]t|sep(?:t(?:ember|embre)?)?|oct(?:ober|obre)?|"
    r"nov(?:ember|embre)?|d[ée]c(?:ember|embre)?)\.?"
)
_DAY = r"(?:[12]\d|3[01]|0?[1-9])"
_YEAR = r"(?:19|20)\d\d"
_DATE = (
    rf"(?:{_YEAR}[-/.](?:0?[1-9]|1[0-2])[-/.]{_DAY}"
    rf"|{_DAY}[-/.]{_DAY}[-/.](?:19|20)?\d\d"
    rf"|{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
)
# The unit after a street address.
_UNIT_AFTER = (
    r"(?:,? (?:(?i:suite|unit|apt\.?|apartment|bureau|app\.?|ste\.?|floor) ?#?|#)\d{1,5}[A-Za-z]?(?![^\W_]))?"
)
_SPELLED = rf"{_DAY}(?:er|st|nd|rd|th)?(?:(?: de| of)? |-){_MONTH}(?:,? |-){_YEAR}"
_SPELLED_US = rf"{_MONTH} {_DAY}(?:st|nd|rd|th)?,? {_YEAR}"

_birth = check_with("date_of_birth", "birth", 88, before=32)
_passport = check_with("passport", "passport", 88)


def _digit(text: str) -> bool:
    return any(digit in text for digit in "1203549867")


def _has_birth(text: str, context: str) -> bool:
    return _digit(text) and cued("birth", text.lower(), context)


def _has_plus(text: str, _context: str) -> bool:
    return "+" in text


def _has_dots(text: str, _context: str) -> bool:
    return text.count(".") >= 3


def _has_at(text: str, _context: str) -> bool:
    return "@" in text


def _has_joints(text: str, _context: str) -> bool:
    return text.count(":") >= 5 or text.count("-") >= 5


def _has_colons(text: str, _context: str) -> bool:
    return "::" in text or text.count(":") >= 7


def _has_0x(text: str, _context: str) -> bool:
    return "0x" in text


def _has_bc1(text: str, _context: str) -> bool:
    return "bc1" in text


NUMBERS: tuple[Recognizer, ...] = (
    Recognizer("card", re.compile(r"\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,7}(?!\d)"), check_card, digits=13),
    Recognizer("card", re.compile(r"\d{4}([ -])\d{6}\1\d{4,5}(?!\d)"), check_card, digits=14),
    Recognizer("card", re.compile(r"\d{12,19}(?!\d)"), check_card, digits=12),
    Recognizer("sin", re.compile(r"\d{3}([ .-]?)\d{3}\1\d{3}(?!\d)"), check_sin, digits=9),
    Recognizer("us_ssn", re.compile(r"\d{3}([ -]?)\d{2}\1\d{4}(?!\d)"), check_ssn, digits=9),
    Recognizer(
        "health_number",
        re.compile(r"\d{4}([ -]?)\d{3}\1\d{3}(?:[ -]?[A-Za-z]{2}(?![^\W_]))?(?!\d)"),
        check_health, digits=10,
    ),
    Recognizer(
        "health_number", re.compile(r"\d{3}([ -]?)\d{3}\1\d{3}(?:\1\d{3})?(?!\d)"), check_health,
        digits=9, needs="health",
    ),
    Recognizer(
        "health_number", re.compile(r"\d{5}([ -]?)\d{4}(?!\d)"), check_health, digits=9, needs="health"
    ),
    Recognizer(
        "health_number", re.compile(r"\d{3}([ -]?)\d{3}\1\d{4}(?!\d)"), check_nhs, digits=10, needs="health"
    ),
    Recognizer(
        "health_number", re.compile(r"[A-Za-z]{4}([ -]?)\d{4}\1\d{4}(?!\d)"), check_ramq, digits=8
    ),
    Recognizer(
        "phone",
        re.compile(r"(?:\+?1[ .-]?)?\(?[2-9]\d{2}\)?[ .-]{0,2}[2-9]\d{2}[ .-]?\d{4}(?!\d)"),
        check_phone, digits=10,
    ),
    Recognizer(
        "phone", re.compile(r"\+[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,6}(?!\d)"), check_phone,
        digits=8, gate=_has_plus,
    ),
    Recognizer("phone", re.compile(r"0[1-9](?:[ .-]\d{2}){4}(?!\d)"), check_phone, digits=10),
    Recognizer("iban", re.compile(r"[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9]{4})"), check_iban, digits=8),
    Recognizer(
        "ip", re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?!\d)"), check_ipv4, digits=4,
        gate=_has_dots,
    ),
    Recognizer("passport", re.compile(r"[A-Za-z]{2}\d{6}(?!\d)"), _passport, digits=6, needs="passport"),
    Recognizer("passport", re.compile(r"[A-Za-z]\d{6}[A-Za-z]{2}"), _passport, digits=6, needs="passport"),
    Recognizer(
        "driver_licence", re.compile(r"[A-Za-z]\d{4}[ -]\d{5}[ -]\d{5}(?!\d)"),
        check_alone("driver_licence", 90), digits=14,
    ),
    Recognizer(
        "driver_licence", re.compile(r"[A-Za-z]\d{4}[ -]\d{6}[ -]\d{2}(?!\d)"),
        check_alone("driver_licence", 85), digits=12,
    ),
    Recognizer(
        "driver_licence", re.compile(r"[A-Za-z]{0,5}-?\d{1,6}-?\d{2,5}-?\d{2,5}(?!\d)"),
        check_with("driver_licence", "licence", 84, before=36), needs="licence",
    ),
    Recognizer(
        "business_number", re.compile(r"\d{3} ?\d{3} ?\d{3}(?: ?R[CTPMRZctpmrz] ?\d{4})?(?!\d)"),
        check_business, digits=9,
    ),
    Recognizer(
        "bank_account", re.compile(r"\d{5}[ -]\d{3}[ -]\d{7,12}(?!\d)"),
        check_alone("bank_account", 86), digits=15,
    ),
    Recognizer(
        "bank_account", re.compile(r"\d{3,5}(?:[ -]?\d{2,5}){1,3}(?!\d)"),
        check_with("bank_account", "account", 72, before=32), digits=7, needs="account",
    ),
    Recognizer("date_of_birth", re.compile(_DATE), _birth, needs="birth"),
    Recognizer(
        "resident_card", re.compile(r"[A-Za-z]{2}\d{7}(?:\d{3})?(?!\d)"), check_resident, digits=7,
        needs="resident",
    ),
    Recognizer(
        "resident_card", re.compile(r"(?:\d{2}-?)?\d{4}-?\d{4}(?!\d)"), check_resident, digits=8,
        needs="resident",
    ),
    Recognizer(
        "national_id", re.compile(r"[A-Za-z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-Da-d]"), check_national,
        digits=6,
    ),
    Recognizer("national_id", re.compile(r"(?:\d{8}|[XYZxyz]-?\d{7})-?[A-Za-z]"), check_national, digits=7),
    Recognizer(
        "national_id",
        re.compile(r"[1-478] ?\d{2} ?\d{2} ?(?:\d{2}|2[ABab]) ?\d{3} ?\d{3} ?\d{2}(?!\d)"), check_national,
        digits=12,
    ),
    Recognizer(
        "national_id", re.compile(r"[A-Za-z]{6}\d{2}[A-Za-z]\d{2}[A-Za-z]\d{3}[A-Za-z]"),
        check_national, digits=3,
    ),
    Recognizer(
        "national_id", re.compile(r"(?:\d{9}|\d{6}(?:\d{2})?[-+.]?\d{3}[.-]?\d{1,2})(?!\d)"),
        check_national, digits=9,
        needs="national",
    ),
    Recognizer(
        "national_id",
        re.compile(
            r"(?:\d{6}[-+A-Fa-fU-Yu-y]\d{3}[0-9A-Ya-y]|\d{7}[A-Wa-w][A-Ia-iWw]?|\d{8} ?\d ?[A-Za-z0-9]{2}\d"
            r"|\d{2,4}[ ./-]?\d{2,4}[ ./-]?\d{2,6}(?:[ .-]\d{2,5}){0,2})(?![A-Za-z0-9])"
        ),
        check_european, digits=7, needs="national",
    ),
    Recognizer(
        "coordinates",
        re.compile(r"(-?\d{1,2}\.\d{4,12}) ?[,;/] ?(-?\d{1,3}\.\d{4,12})(?!\d)"),
        check_coordinates, digits=10,
    ),
)  # fmt: skip
"""Forms with several digits close together; they run around clusters of digits only."""

_STREET = (
    r"(?i:street|st|avenue|ave|road|rd|boulevard|blvd|drive|dr|lane|ln|way|crescent|cres|court|crt|"
    r"place|pl|terrace|terr|circle|trail|parkway|pkwy|highway|hwy|square|sq|close|gate|grove|heights|hill)"
)
_RUE = r"(?i:rue|avenue|av|boulevard|boul|chemin|ch|place|route|rang|mont[ée]e|c[ôo]te|all[ée]e|impasse)"
_POSTAL_FIRST = "ABCEGHJ-NPRSTVXYabceghj-nprstvxy"
_POSTAL_REST = "ABCEGHJ-NPRSTV-Zabceghj-nprstv-z"

WORDS: tuple[Recognizer, ...] = (
    Recognizer("email", re.compile(r"@[^\W_][\w.-]{1,253}"), check_email, _has_at),
    Recognizer(
        "postal_code",
        re.compile(rf"[{_POSTAL_FIRST}]\d[{_POSTAL_REST}][ -]?\d[{_POSTAL_REST}]\d"),
        check_postal, anchor=-1, run=1,
    ),
    Recognizer(
        "address",
        re.compile(
            r"(?:#?\d{1,5} ?- ?)?\d{1,6}[A-Za-z]?,? (?:[A-Z0-9À-Ý][\w'’.-]{0,24} ){1,4}"
            rf"{_STREET}(?![^\W_])\.?"
            rf"(?: (?:(?i:north|south|east|west)|[NSEW]\.?)(?![^\W_]))?{_UNIT_AFTER}"
        ),
        check_alone("address", 80), anchor=0, run=6,
    ),
    Recognizer(
        "address",
        re.compile(
            r"(?:#?\d{1,5} ?- ?)?\d{1,6}[a-z]?,? (?P<name>[a-z0-9][a-z0-9'’-]{1,24})"
            r"(?: [a-z][a-z'’-]{1,24})?"
            r" (?:street|st|avenue|ave|road|rd|boulevard|blvd|drive|crescent|cres|court|lane)(?![^\W_])"
            rf"(?: (?:north|south|east|west|[nsew])(?![^\W_]))?{_UNIT_AFTER}"
        ),
        check_street, anchor=0, run=6,
    ),
    Recognizer(
        "address",
        re.compile(
            rf"\d{{1,6}}[A-Za-z]?,? {_RUE}\.? [\w'’.-]{{1,30}}"
            r"(?: (?:[A-ZÀ-Ý][\w'’.-]{0,29}|(?:de|du|des|la|le|les)(?= ))){0,4}"
            + _UNIT_AFTER
        ),
        check_alone("address", 82), anchor=0, run=6,
    ),
    Recognizer("date_of_birth", re.compile(f"{_SPELLED}|{_SPELLED_US}", re.IGNORECASE), _birth, _has_birth),
    Recognizer(
        "mac", re.compile(r"[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}"),
        check_alone("mac", 90), _has_joints,
    ),
    Recognizer(
        "ip", re.compile(r"[0-9A-Fa-f:]{3,39}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?"), check_ipv6,
        _has_colons,
    ),
    Recognizer(
        "crypto", re.compile(r"0x[0-9a-fA-F]{40}"), check_alone("crypto", 90),
        _has_0x,
    ),
    Recognizer(
        "crypto", re.compile(r"bc1[02-9ac-hj-np-z]{11,71}"), check_alone("crypto", 90),
        _has_bc1,
    ),
    Recognizer("crypto", re.compile(r"[13][1-9A-HJ-NP-Za-km-z]{25,34}"), check_base58, anchor=0),
)  # fmt: skip
"""Forms that are not tied to a cluster of digits; each has its own gate."""
