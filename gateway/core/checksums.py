"""Check digits of identifiers: what tells a number that was issued from one that looks like it.

Each function takes the bare characters, separators removed, and only answers yes or no.
One random number in ten passes a check digit, which is why :mod:`gateway.core.patterns`
asks for a format or a context word as well.
"""

from __future__ import annotations

import hashlib

_LUHN_DOUBLE = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28,
    "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30,
    "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22,
    "SA": 24, "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23,
    "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
"""Total length of an IBAN by country, as the SWIFT registry lists it."""


def luhn(digits: str) -> bool:
    """Tell whether ASCII digits pass the Luhn check (cards, SIN, OHIP, business numbers)."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        digit = ord(char) - 48
        total += _LUHN_DOUBLE[digit] if place & 1 else digit
    return total % 10 == 0


def card(digits: str) -> bool:
    """Tell whether 12 to 19 digits are a payment card: issuer range, length and Luhn."""
    size = len(digits)
    two, four = int(digits[:2]), int(digits[:4])
    issued = (
        (digits[0] == "4" and size in {13, 16, 19})
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and size == 16)
        or (two in {34, 37} and size == 15)
        or ((four == 6011 or two == 65 or 6440 <= four <= 6499) and 16 <= size <= 19)
        or ((two in {36, 38, 39} or 3000 <= four <= 3059) and 14 <= size <= 19)
        or (3528 <= four <= 3589 and 16 <= size <= 19)
        or (two == 62 and 16 <= size <= 19)
        or (two in {50, 56, 57, 58, 63, 67} and 12 <= size <= 19)
    )
    return issued and luhn(digits)


def iban(text: str) -> bool:
    """Tell whether capital letters and digits are an IBAN: country, length and mod 97."""
    if IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1


def bc_phn(digits: str) -> bool:
    """Tell whether ten digits are a British Columbia personal health number (mod 11)."""
    if digits[0] != "9":
        return False
    weights = (2, 4, 8, 5, 10, 9, 7, 3)
    rest = sum(int(d) * w % 11 for d, w in zip(digits[1:9], weights, strict=True)) % 11
    return 11 - rest == int(digits[9])


def ramq(text: str) -> bool:
    """Tell whether four letters and eight digits can be a Quebec health insurance number.

    The digits hold year, month (plus 50 for women), day and a sequence; a date that
    cannot be is refused. The last digit's rule is not public, so it is not checked.
    """
    month, day = int(text[6:8]), int(text[8:10])
    return (1 <= month <= 12 or 51 <= month <= 62) and 1 <= day <= 31


def us_ssn(digits: str) -> bool:
    """Tell whether nine digits can be a US social security number (it has no check digit)."""
    return (
        digits[:3] not in {"000", "666"} and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"
    )


def itin(digits: str) -> bool:
    """Tell whether nine digits can be a US individual taxpayer number (it has no check digit)."""
    group = int(digits[3:5])
    return (
        digits[0] == "9"
        and (50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 99)
        and group not in {89, 93}
    )


def nino(text: str) -> bool:
    """Tell whether nine characters can be a UK National Insurance number (it has no check digit)."""
    return (
        text[0] not in "DFIQUV" and text[1] not in "DFIQUVO" and text[8] in "ABCD"
        and text[:2] not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}
    )  # fmt: skip


def nhs(digits: str) -> bool:
    """Tell whether ten digits are an English NHS number (mod 11)."""
    rest = 11 - sum(int(d) * w for d, w in zip(digits, range(10, 1, -1), strict=False)) % 11
    return rest != 10 and rest % 11 == int(digits[9])


def nir(text: str) -> bool:
    """Tell whether 15 characters are a French social security number (key 97; Corsica has letters)."""
    body = text[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and text[13:].isdigit() and 97 - int(body) % 97 == int(text[13:])


def dni(text: str) -> bool:
    """Tell whether nine characters are a Spanish DNI or NIE (letter by mod 23)."""
    body = {"X": "0", "Y": "1", "Z": "2"}.get(text[0], text[0]) + text[1:8]
    return body.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(body) % 23] == text[8]


def weighted(digits: str, weights: tuple[int, ...], modulus: int) -> bool:
    """Tell whether the weighted sum of digits is a multiple (Dutch BSN, Polish PESEL)."""
    return sum(int(d) * w for d, w in zip(digits, weights, strict=True)) % modulus == 0


def codice_fiscale(text: str) -> bool:
    """Tell whether 16 characters are an Italian tax code (its check letter)."""
    odd = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12,
        14, 16, 10, 22, 25, 24, 23,
    ), strict=True))  # fmt: skip
    total = sum(
        odd[char] if place % 2 == 0 else (int(char) if char.isdigit() else ord(char) - 65)
        for place, char in enumerate(text[:15])
    )
    return chr(65 + total % 26) == text[15]


_BASE58 = {
    char: value for value, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
}


def base58check(text: str) -> bool:
    """Tell whether a text is a base-58 address with a right double SHA-256 checksum."""
    number = 0
    for char in text:
        number = number * 58 + _BASE58[char]
    try:
        raw = number.to_bytes(25, "big")
    except OverflowError:
        return False
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]
