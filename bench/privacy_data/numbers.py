# ruff: noqa: E501 (data and tables read better unbroken)
"""Makes identifiers that pass their public check digits, and none that belongs to anybody on purpose.

The rules are written down here once more, from their public definitions, instead of being taken from the gateway: a
mistake in a recognizer must not make the very data that would show it. Prefixes of secrets are put together at run
time, so that tools that look for leaked secrets in repositories stay quiet.
"""

from __future__ import annotations

import base64
import hashlib
import json

from bench.privacy_data.weave import Chance

CONSONANTS = "BCDFGHJKLMNPRSTVW"


def luhn_digit(body: str) -> str:
    """The digit that makes `body` + digit pass Luhn's check."""
    total = 0
    for place, letter in enumerate(reversed(body)):
        digit = int(letter) * (2 if place % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit
    return str(-total % 10)


def sin(c: Chance) -> str:
    body = c.pick("1234567") + c.digits(7)
    return body + luhn_digit(body)


def business_number(c: Chance) -> str:
    body = c.pick("18") + c.digits(7)
    return body + luhn_digit(body)


def ohip(c: Chance) -> str:
    body = c.pick("123456789") + c.digits(8)
    return body + luhn_digit(body)


def ramq(c: Chance) -> str:
    """Three letters of a name, one of a first name, year, month (+50 for women), day, two more digits."""
    letters = c.letters(3, CONSONANTS) + c.letters(1)
    month = c.between(1, 12) + (50 if c.often(0.5) else 0)
    return f"{letters}{c.between(30, 99):02d}{month:02d}{c.between(1, 28):02d}{c.digits(2)}"


def bc_phn(c: Chance) -> str:
    """Starts with 9; the tenth digit is 11 less the weighted sum modulo 11."""
    while True:
        body = c.digits(8)
        check = 11 - sum(int(d) * w for d, w in zip(body, (2, 4, 8, 5, 10, 9, 7, 3), strict=True)) % 11
        if check < 10:
            return f"9{body}{check}"


def card(c: Chance) -> str:
    prefix, length = c.pick(
        [("4", 16), ("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15)]
    )
    body = prefix + c.digits(length - len(prefix) - 1)
    return body + luhn_digit(body)


IBANS = {
    "DE": "dddddddddddddddddd",
    "FR": "ddddddddddddddddddddddd",
    "GB": "LLLLdddddddddddddd",
    "NL": "LLLLdddddddddd",
}


def iban(c: Chance) -> str:
    country = c.pick(sorted(IBANS))
    body = "".join(c.digits(1) if k == "d" else c.letters(1) for k in IBANS[country])
    moved = "".join(str(int(ch, 36)) for ch in body + country + "00")
    return f"{country}{98 - int(moved) % 97:02d}{body}"


def ssn(c: Chance) -> str:
    area = c.pick([*range(1, 666), *range(667, 900)])
    return f"{area:03d}{c.between(1, 99):02d}{c.between(1, 9999):04d}"


def nino(c: Chance) -> str:
    return (
        c.letters(1, "ABCEGHJKLMNPRSTWXYZ")
        + c.letters(1, "ABCEGHJKLMNPRSTWXYZ")
        + c.digits(6)
        + c.letters(1, "ABCD")
    )


def nhs(c: Chance) -> str:
    while True:
        body = c.pick("4679") + c.digits(8)
        check = 11 - sum(int(d) * w for d, w in zip(body, range(10, 1, -1), strict=True)) % 11
        if check != 10:
            return body + str(check % 11)


def french_nir(c: Chance) -> str:
    body = f"{c.pick('12')}{c.between(40, 99):02d}{c.between(1, 12):02d}{c.between(1, 95):02d}{c.between(1, 900):03d}"
    body += f"{c.between(1, 900):03d}"
    return f"{body}{97 - int(body) % 97:02d}"


def spanish_dni(c: Chance) -> str:
    body = c.pick("1234567") + c.digits(7)
    return body + "TRWAGMYFPDXBNJZSQVHLCKE"[int(body) % 23]


def grouped(digits: str, sizes: tuple[int, ...], by: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(digits[at : at + size])
        at += size
    return by.join(parts)


BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def bitcoin(c: Chance) -> str:
    body = b"\x00" + bytes(c.below(256) for _ in range(20))
    whole = body + hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]
    number, text = int.from_bytes(whole, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = BASE58[rest] + text
    return "1" + text


def ethereum(c: Chance) -> str:
    return "0x" + c.letters(40, "0123456789abcdef")


ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def jwt(c: Chance) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    head, body = part({"alg": "HS256", "typ": "JWT"}), part({"sub": c.digits(8), "iat": 1_700_000_000})
    return f"{head}.{body}.{c.letters(43, ALNUM)}"


def private_key(c: Chance) -> str:
    kind = c.pick(["RSA ", "EC ", "OPENSSH ", ""])
    lines = "\n".join(c.letters(64, ALNUM + "+/") for _ in range(c.between(3, 8)))
    return f"-----BEGIN {kind}PRIVATE {'KEY'}-----\n{lines}\n-----END {kind}PRIVATE {'KEY'}-----"


def vendor_token(c: Chance) -> str:
    """A token in the form that a known issuer gives out."""
    forms = (
        ("AK" + "IA", 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
        ("gh" + "p_", 36, ALNUM),
        ("glp" + "at-", 20, ALNUM),
        ("xo" + "xb-", 0, ALNUM),
        ("sk_" + "live_", 24, ALNUM),
        ("sk-" + "proj-", 48, ALNUM),
        ("sk-" + "ant-api03-", 80, ALNUM),
        ("AI" + "za", 35, ALNUM),
        ("np" + "m_", 36, ALNUM),
        ("hf" + "_", 34, ALNUM),
        ("SG" + ".", 0, ALNUM),
    )
    prefix, length, of = c.pick(forms)
    if prefix.startswith("xo"):
        return f"{prefix}{c.pick('123456789')}{c.digits(11)}-{c.pick('123456789')}{c.digits(12)}-{c.letters(24, ALNUM)}"
    if prefix.startswith("SG"):
        return f"{prefix}{c.letters(22, ALNUM)}.{c.letters(43, ALNUM)}"
    return prefix + c.letters(length, of)
