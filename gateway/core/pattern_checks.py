"""The proofs of identifiers: what makes a match of a form a find.

A check looks at boundaries, check digits and context words (English and French). It sees
60 characters before a match and 30 after it, and the key that the text stands under.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

from gateway.core import checksums
from gateway.core.national import country_of

BEFORE = 60
AFTER = 30


class Hit(NamedTuple):
    """A find: half-open code points, and how sure we are in percent."""

    kind: str
    start: int
    end: int
    score: int


Check = Callable[[re.Match[str], str, str], Hit | None]
"""Takes a match, the whole text and the key's words; returns the find or None."""


def _words(words: str) -> re.Pattern[str]:
    """Compile context words: whole words, any case, at most a plural s."""
    return re.compile(rf"(?<![^\W_])(?:{words})s?(?![^\W_])", re.IGNORECASE)


_CONTEXT = {
    "sin": _words(r"sin|social insurance|n\.?a\.?s|assurance[- ]sociale|sin number|sinnumber"),
    "health": _words(
        r"ohip|ramq|phn|phin|nhs|hcn|uli|mcp|medicare|pharmacare|"
        r"health[- ]?(?:card|number|insurance|care|no|num|id)|"
        r"healthcard|carte[- ](?:sant[ée]|soleil)|assurance[- ]maladie|nam|"
        r"num[ée]ro (?:de )?sant[ée]|provincial health"
    ),
    "phone": _words(
        r"phone|telephone|tel|t[ée]l[ée]phone|t[ée]l|cell|cellulaire|mobile|call|appel(?:er|ez)|fax|"
        r"t[ée]l[ée]copieur|text|sms|whatsapp|phone number|reach|joindre"
    ),
    "passport": _words(r"passport|passeport|passport number|travel document"),
    "licence": _words(
        r"driver'?s?[- ]?licen[cs]e|driving licen[cs]e|licen[cs]e (?:number|no|#)|permis(?: de conduire)?|"
        r"dl|drivers licen[cs]e"
    ),
    "account": _words(
        r"account|acct|a/c|compte|transit|institution|direct deposit|d[ée]p[ôo]t direct|bank(?:ing)?|"
        r"banque|void cheque"
    ),
    "birth": _words(
        r"born(?: on)?|birth[- ]?(?:date|day)?|date of birth|d\.?o\.?b|née?|n[ée]e? le|naissance|ddn|"
        r"birthdate|birthday"
    ),
    "business": _words(r"business number|bn|gst|hst|qst|tvq|tps|num[ée]ro d'entreprise"),
    "ssn": _words(r"ssn|social security|itin|taxpayer|tax id"),
    "resident": _words(
        r"pr card|permanent resident(?: card)?|resident card|r[ée]sident permanent|uci|iuc|client id|"
        r"immigration|work permit|study permit|permis d'?e? ?travail|citizenship|ircc"
    ),
    "national": _words(
        r"national (?:id|insurance|identity)(?: number| no)?|nino|ni number|nir|"
        r"num[ée]ro de s[ée]curit[ée] sociale|"
        r"s[ée]curit[ée] sociale|dni|nie|nif|bsn|burgerservicenummer|pesel|personnummer|codice fiscale|"
        r"identity (?:card|number)|carte d'identit[ée]|steuer[- ]?id|rijksregister(?:nummer)?|"
        r"tax (?:id|number)|insurance number|personal (?:id|identity|number)|egn|егн|cnp|oib|"
        r"rodn[ée] [čc][íi]slo|amka|αμκα|ppsn?|emšo|emso|asmens kodas|isikukood|hetu|"
        r"henkil[öo]tunnus|cpr|personas kods|svnr|"
        r"sozialversicherungsnummer|sv[- ]nummer|idnr|num[ée]ro national|registre national|"
        r"cart[ãa]o de cidad[ãa]o|contribuinte|num[ée]ro fiscal"
    ),
    "card": _words(r"card|visa|mastercard|amex|credit|debit|carte|cr[ée]dit|d[ée]bit|cvv|pan"),
    "postal": _words(
        r"postal(?: code)?|postcode|code postal|zip|address|adresse|on|qc|bc|ab|mb|sk|ns|nb|nl|pe|canada"
    ),
}  # fmt: skip


# Lower-case pieces of which every match of the words above holds at least one: testing for
# them costs a fraction of the search for whole words.
_CUES = {
    "sin": ("sin", "insurance", "nas", "n.a", "na.s", "sociale"),
    "health": (
        "nhs", "phin", "ohip", "ramq", "phn", "hcn", "uli", "mcp", "care", "health", "sant", "soleil",
        "maladie", "nam",
    ),
    "phone": (
        "phone", "tel", "tél", "cell", "mobile", "call", "appel", "fax", "copieur", "text", "sms", "whats",
        "reach", "joindre",
    ),
    "passport": ("passp", "passep", "travel"),
    "licence": ("licen", "permis", "dl"),
    "account": (
        "acc", "a/c", "compte", "transit", "instit", "deposit", "dépôt", "depot", "dépot", "depôt", "bank",
        "banq", "cheque",
    ),
    "birth": ("born", "birth", "dob", "d.o", "do.b", "né", "nee", "ne le", "naiss", "ddn"),
    "business": ("business", "bn", "gst", "hst", "qst", "tvq", "tps", "entreprise"),
    "ssn": ("ssn", "social", "itin", "tax"),
    "resident": (
        "pr card", "resident", "résident", "uci", "iuc", "client id", "immigration", "permit", "permis",
        "citizen", "ircc",
    ),
    "national": (
        "national", "nino", "ni num", "nir", "sécurité", "securite", "securité", "sécurite", "dni", "nie",
        "nif",
        "bsn", "burger", "pesel", "person", "codice", "identi", "steuer", "rijks", "tax", "insurance",
        "egn", "егн", "rodn", "cnp", "oib", "amka", "αμκα", "pps", "emšo", "emso", "asmens", "isikukood",
        "hetu", "henkil", "cpr", "svnr", "nummer", "idnr", "numéro", "numero", "registre", "cidad",
        "contribuinte",
    ),
    "card": (
        "card", "visa", "amex", "credit", "debit", "carte", "crédit", "débit", "cvv", "pan",
    ),
    "postal": ("post", "zip", "adress", "address", "canada", "on", "qc", "b", "sk", "n", "pe"),
}  # fmt: skip


def cued(name: str, window: str, context: str) -> bool:
    """Tell cheaply whether context words may stand in a lower-case window or in the key."""
    cues = _CUES[name]
    for cue in cues:
        if cue in window:
            return True
    return bool(context) and any(cue in context for cue in cues)


def near(name: str, match: re.Match[str], text: str, context: str, *, before: int = BEFORE) -> bool:
    """Tell whether a context word stands near a match, or in the key above it."""
    start, end = match.span()
    low = max(0, start - before)
    if not cued(name, text[low : end + AFTER].lower(), context):
        return False
    words = _CONTEXT[name]
    return (
        (bool(context) and words.search(context) is not None)
        or words.search(text, low, start) is not None
        or words.search(text, end, end + AFTER) is not None
    )


def _just_before(name: str, other: str, match: re.Match[str], text: str) -> bool:
    """Tell whether a word stands right before a match, and no word of the other kind does."""
    low = max(0, match.start() - 24)
    return (
        _CONTEXT[name].search(text, low, match.start()) is not None
        and _CONTEXT[other].search(text, low, match.start()) is None
    )


def _bounded(match: re.Match[str], text: str) -> bool:
    """Tell whether a match stands alone: no letter, digit or joint continues it."""
    start, end = match.span()
    return _opens(text, start) and _closes(text, end)


def _opens(text: str, start: int) -> bool:
    if start == 0:
        return True
    before = text[start - 1]
    if before.isalnum() or before == "_":
        return False
    # "12-345…", "1.234…": the number goes on to the left.
    return not (before in "-./" and start > 1 and text[start - 2].isdigit())


def _closes(text: str, end: int) -> bool:
    if end >= len(text):
        return True
    after = text[end]
    if after.isalnum() or after == "_":
        return False
    return not (after in "-./" and end + 1 < len(text) and text[end + 1].isdigit())


_NOT_DIGIT = re.compile(r"\D")
_NOT_ALNUM = re.compile(r"[\W_]")


def _digits(text: str) -> str:
    return _NOT_DIGIT.sub("", text)


def _hit(kind: str, match: re.Match[str], score: int) -> Hit:
    return Hit(kind, match.start(), match.end(), score)


# ------------------------------------------------------------------------- checks


def check_card(match: re.Match[str], text: str, context: str) -> Hit | None:
    """Accept a card by issuer, length and Luhn; short national ranges need a word."""
    digits = _digits(match.group())
    if not _bounded(match, text) or not checksums.card(digits) or len(set(digits)) < 2:
        return None
    # Short national debit ranges collide with serial numbers: they need a word.
    national = len(digits) < 14 or digits[:2] in {"50", "56", "57", "58"}
    if national and not near("card", match, text, context):
        return None
    return _hit("card", match, 98 if near("card", match, text, context) else 92)


def check_sin(match: re.Match[str], text: str, context: str) -> Hit | None:
    """Accept a SIN by Luhn with a format or a word; a bare number needs the word."""
    digits = _digits(match.group())
    if not _bounded(match, text) or not checksums.luhn(digits) or len(set(digits)) < 2:
        return None
    if near("sin", match, text, context):
        # "social insurance …, business number 123456782": the word that stands nearer decides.
        return None if _just_before("business", "sin", match, text) else _hit("sin", match, 98)
    # 0 and 8 are not issued; a bare nine-digit number is anything.
    if len(match.group()) == 9 or digits[0] in "08":
        return None
    return _hit("sin", match, 80)


def check_ssn(match: re.Match[str], text: str, context: str) -> Hit | None:
    """Accept a US social security number by its dashes or a word."""
    digits = _digits(match.group())
    if not _bounded(match, text):
        return None
    if digits[0] == "9":  # a taxpayer number, for those who have no social security number
        return (
            _hit("us_ssn", match, 90)
            if checksums.itin(digits) and near("ssn", match, text, context)
            else None
        )
    if not checksums.us_ssn(digits):
        return None
    if near("ssn", match, text, context):
        return _hit("us_ssn", match, 97)
    return _hit("us_ssn", match, 75) if match.group()[3] == "-" else None


def check_health(match: re.Match[str], text: str, context: str) -> Hit | None:
    """Accept a provincial health number: Ontario and BC by check digit, others by a close word."""
    if not _bounded(match, text):
        return None
    digits = _digits(match.group())
    close = near("health", match, text, context)
    if len(digits) == 10:
        version = match.group()[-1].isalpha()
        if checksums.luhn(digits) and (close or (version and len(match.group()) > 12)):
            return _hit("health_number", match, 97 if close else 70)
        if checksums.bc_phn(digits) and close:
            return _hit("health_number", match, 97)
    # Other provinces have no public check: the word must stand right there.
    if near("health", match, text, context, before=32):
        return _hit("health_number", match, 84)
    return None


def check_nhs(match: re.Match[str], text: str, context: str) -> Hit | None:
    """Accept an English NHS number by its check digit and a word; else it is a phone number's form."""
    if not _bounded(match, text) or not checksums.nhs(_digits(match.group())):
        return None
    return _hit("health_number", match, 95) if near("health", match, text, context) else None


def check_ramq(match: re.Match[str], text: str, context: str) -> Hit | None:
    """Accept a Quebec health insurance number by the date in it."""
    bare = _NOT_ALNUM.sub("", match.group())
    if not _bounded(match, text) or not checksums.ramq(bare):
        return None
    if near("health", match, text, context):
        return _hit("health_number", match, 98)
    return _hit("health_number", match, 85) if bare[:4].isupper() else None


def check_phone(match: re.Match[str], text: str, context: str) -> Hit | None:
    """Accept a phone number: international with `+`, North American with separators or a word."""
    start, end = match.span()
    if (start and (text[start - 1].isalnum() or text[start - 1] in "+_.-/")) or not _closes(text, end):
        return None
    found = match.group()
    digits = _digits(found)
    if found[0] == "+":
        return _hit("phone", match, 90) if 8 <= len(digits) <= 15 else None
    if len(found) == len(digits):
        return _hit("phone", match, 85) if near("phone", match, text, context) else None
    return _hit("phone", match, 88 if near("phone", match, text, context) else 78)


def check_iban(match: re.Match[str], text: str, _: str) -> Hit | None:
    """Accept an IBAN: take as many characters as its country has, and check mod 97."""
    start = match.start()
    length = checksums.IBAN_LENGTHS.get(match.group()[:2].upper())
    if length is None or not _opens(text, start):
        return None
    end, taken = start, 0
    while end < len(text) and taken < length and (text[end].isalnum() or text[end] in " -"):
        taken += text[end].isalnum()
        end += 1
    bare = _NOT_ALNUM.sub("", text[start:end]).upper()
    if not bare.isascii() or not checksums.iban(bare) or not _closes(text, end):
        return None
    return Hit("iban", start, end, 97)


def check_ipv4(match: re.Match[str], text: str, _: str) -> Hit | None:
    """Accept an IPv4 address that is not a version, a loopback or a broadcast."""
    start, end = match.span()
    if not _bounded(match, text) or (start and text[start - 1] in ".v-"):
        return None
    octets = [int(octet) for octet in match.group().split(".")]
    dull = octets[0] in {0, 127} or octets == [255] * 4 or max(octets) > 255
    if dull or text[max(0, start - 9) : start].lower().rstrip(" :=").endswith(("version", "ver")):
        return None
    return Hit("ip", start, end, 85)


def check_ipv6(match: re.Match[str], text: str, _: str) -> Hit | None:
    """Accept an IPv6 address that names a host."""
    start, end = match.span()
    if (start and (text[start - 1].isalnum() or text[start - 1] in ":_")) or (
        end < len(text) and (text[end].isalnum() or text[end] in ":_")
    ):
        return None
    try:
        address = ipaddress.IPv6Address(match.group())
    except ValueError:
        return None
    return None if address.is_loopback or address.is_unspecified else Hit("ip", start, end, 85)


def check_alone(kind: str, score: int) -> Check:
    """Return a check that only asks for boundaries."""

    def check(match: re.Match[str], text: str, _: str) -> Hit | None:
        return _hit(kind, match, score) if _bounded(match, text) else None

    return check


def check_with(kind: str, words: str, score: int, *, before: int = BEFORE) -> Check:
    """Return a check that asks for boundaries and for a context word."""

    def check(match: re.Match[str], text: str, context: str) -> Hit | None:
        if not _bounded(match, text) or not near(words, match, text, context, before=before):
            return None
        return _hit(kind, match, score)

    return check


def check_postal(match: re.Match[str], text: str, context: str) -> Hit | None:
    """Accept a Canadian postal code: spaced capitals, or a word."""
    if not _bounded(match, text):
        return None
    found = match.group()
    if near("postal", match, text, context, before=30):
        return _hit("postal_code", match, 88)
    if len(found) == 7 and found[3] == " ":
        return _hit("postal_code", match, 70 if found.upper() == found else 62)
    return _hit("postal_code", match, 70) if len(found) == 7 and found.upper() == found else None


def check_resident(match: re.Match[str], text: str, context: str) -> Hit | None:
    """Accept a permanent-resident card or client number beside its word."""
    if not _bounded(match, text) or not near("resident", match, text, context, before=48):
        return None
    return _hit("resident_card", match, 90)


_BSN, _PESEL = (9, 8, 7, 6, 5, 4, 3, 2, -1), (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)


def check_national(match: re.Match[str], text: str, context: str) -> Hit | None:
    """Accept a national id by its check; those without letters need their word as well."""
    bare = _NOT_ALNUM.sub("", match.group()).upper()
    if not _bounded(match, text) or not bare.isascii():
        return None
    size, digits = len(bare), bare.isdigit()
    close = near("national", match, text, context)
    if size == 16 and not digits:
        proven = checksums.codice_fiscale(bare)
    elif size == 15:
        proven = checksums.nir(bare) and (close or (bare[0] in "12" and 1 <= int(bare[3:5]) <= 12))
    elif size == 9 and not digits:
        proven = checksums.dni(bare) if bare[1].isdigit() else checksums.nino(bare)
    elif size == 9:
        proven = close and checksums.weighted(bare, _BSN, 11)
    elif size == 11:
        proven = close and (checksums.weighted(bare, _PESEL, 10) or 97 - int(bare[:9]) % 97 == int(bare[9:]))
    else:
        proven = size in {10, 12} and close and checksums.luhn(bare[-10:])
    return _hit("national_id", match, 95 if close else 76) if proven else None


def check_european(match: re.Match[str], text: str, context: str) -> Hit | None:
    """Accept a national number of an EU country beside its word, by that country's own check."""
    if not _bounded(match, text) or not near("national", match, text, context):
        return None
    found = match.group().upper()
    while found:
        if country_of(found):
            return Hit("national_id", match.start(), match.start() + len(found), 95)
        # A number that stands behind it was taken along: leave out what follows the last space.
        found = found.rpartition(" ")[0]
    return None


def check_street(match: re.Match[str], text: str, _: str) -> Hit | None:
    """Accept a street address in small letters, where nothing but its form speaks for it."""
    if not _bounded(match, text) or match.group("name") in _NO_STREET:
        return None
    return _hit("address", match, 70)


_NO_STREET = frozenset(
    """minute minutes hour hours day days week weeks month months year years km miles percent first other
    same last next more less such only one big long short hard best""".split()  # noqa: SIM905 (words)
)


def check_business(match: re.Match[str], text: str, context: str) -> Hit | None:
    """Accept a business number by Luhn with its program account or a word."""
    digits = _digits(match.group())[:9]
    if not _bounded(match, text) or not checksums.luhn(digits):
        return None
    if len(match.group()) > 11:  # with the program account: RT0001
        return _hit("business_number", match, 95)
    return _hit("business_number", match, 85) if near("business", match, text, context) else None


def check_coordinates(match: re.Match[str], text: str, _: str) -> Hit | None:
    """Accept a pair of decimal degrees that is on Earth."""
    latitude, longitude = match.group(1), match.group(2)
    # Integer parts only: no floats are needed to see that a place is on Earth.
    inside = abs(int(latitude.split(".")[0])) <= 90 and abs(int(longitude.split(".")[0])) <= 180
    return _hit("coordinates", match, 80) if inside and _bounded(match, text) else None


def check_base58(match: re.Match[str], text: str, _: str) -> Hit | None:
    """Accept a Bitcoin address by its checksum."""
    if not _bounded(match, text) or not checksums.base58check(match.group()):
        return None
    return _hit("crypto", match, 95)


_LOCAL = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-'"
    "àâäçéèêëîïôöùûüÿœæÀÂÄÇÉÈÊËÎÏÔÖÙÛÜŸŒÆñÑßáíóúÁÍÓÚ"
)


def check_email(match: re.Match[str], text: str, _: str) -> Hit | None:
    """Extend from the ``@`` to the left by at most 64 characters of a local part."""
    at = match.start()
    window = text[max(0, at - 64) : at]
    local = window[len(window.rstrip(_LOCAL)) :].lstrip(".'")
    if not local:
        return None
    end = match.end()
    while text[end - 1] in "-.":
        end -= 1
    if text[at + 1 : end].rpartition(".")[2].isdigit() or "." not in text[at + 1 : end]:
        return None
    if local == "git" and text[end : end + 1] == ":":  # an SSH remote, not a person
        return None
    return Hit("email", at - len(local), end, 97)
