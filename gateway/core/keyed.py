"""What a key says about its value: `customer_name`, `ville`, `dateNaissance`.

Models find few names without a sentence around them, and patterns no names at all. But a value
under a key that asks for a person's name, and that looks like one, is one: this rule finds what
both miss in tool calls, tables and forms, in English and French.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Role = Literal["person", "location", "address", "other"]

_SPLIT = re.compile(r"(?<=[a-zà-ÿ0-9])(?=[A-ZÀ-Ý])|[^A-Za-zÀ-ÿ0-9]+")

_NAMES = frozenset(
    """name names nom noms prenom prénom surname lastname firstname fullname givenname forename
    nomcomplet""".split()  # noqa: SIM905 (a paragraph of words)
)
# Persons by what they do here; alone (`customer`) they may also hold an id or an object.
_PEOPLE = frozenset(
    """customer client patient contact owner assignee employee beneficiary payee recipient sender
    author signatory tenant guarantor spouse manager holder cardholder person attendee guest
    applicant claimant insured borrower student teacher doctor physician nurse lawyer agent
    employé employe bénéficiaire beneficiaire destinataire expéditeur expediteur titulaire locataire
    propriétaire proprietaire conjoint patiente cliente assigné reporter requester approver
    supervisor kin attn""".split()  # noqa: SIM905
)
# A name that is not a person's.
_THINGS = frozenset(
    """file host domain product company org organization organisation project event class branch
    table column model server tool function package app brand store user id ids number no num count
    type status path employer account display service bucket queue field item sku category event
    session group role team department job task city street field variable key entreprise produit
    fichier projet date email mail phone""".split()  # noqa: SIM905
)
_PLACES = frozenset(
    """city town ville country pays province municipality municipalité municipalite locality
    birthplace region région hometown location lieu""".split()  # noqa: SIM905
)
_STREETS = frozenset("address adresse street rue addr streetaddress".split())  # noqa: SIM905
_OTHER = frozenset(
    """sin nas ssn ohip ramq phn health card carte santé sante passport passeport licence license permis
    dob birth born naissance phone tel telephone téléphone mobile cell fax email courriel mail postal zip
    iban account compte bank transit pan cc cvv ip mac password passwd pwd secret token key api
    business bn gst hst tps vat insurance assurance uci national nino nir medicare courrier
    coordinates latitude longitude""".split()  # noqa: SIM905
)

# What stands under these is an ordinary number, whatever it looks like.
_DULL = frozenset(
    """id ids uuid guid reference ref order sku hash sha digest version amount total price quantity
    qty created updated modified timestamp ticket invoice tracking commande facture montant
    request trace span build score count index status date datetime""".split()  # noqa: SIM905
)

_NAME = re.compile(
    r"(?:(?:[Dd]r|[Mm]rs?|[Mm]s|[Mm]me|[Mm]lle|[Mm]e|M)\.? )?"
    r"[^\W\d_][^\W\d_'’.-]*+(?:['’.-][^\W\d_]++\.?|\.)*+"
    r"(?:,? [^\W\d_][^\W\d_'’.-]*+(?:['’.-][^\W\d_]++\.?|\.)*+){0,4}"
)
_PLACE = re.compile(r"[^\W\d_][^\W\d_'’.-]*+(?:['’. -]{1,2}[^\W\d_]++){0,5}\.?")
_NOBODY = frozenset(
    """null none nil unknown n/a na test true false yes no admin root system default anonymous inconnu
    aucun active inactive pending closed open draft new string undefined guest user vip todo tbd""".split()  # noqa: SIM905
)


class Value(NamedTuple):
    """What a value under a key is: a kind, where in the value, and how sure in percent."""

    kind: str
    start: int
    end: int
    score: int


@lru_cache(maxsize=4_096)
def role(key: str) -> Role | None:
    """Tell what a key asks for, or None if it says nothing that we know."""
    if len(key) > 64:
        return None
    words = [word.lower() for word in _SPLIT.split(key) if word]
    told = frozenset(words)
    if not told:
        return None
    if told & _OTHER:
        return "other"
    if told & _STREETS and not told & {"email", "ip", "mac", "url", "web"}:
        return "address"
    if told & _PLACES:
        return "location"
    if told & _NAMES:
        return (
            None if told & _THINGS - {"user", "account"} or words[-1] in {"id", "no", "number"} else "person"
        )
    if told & _PEOPLE and not told & _THINGS:
        return "person"
    return None


@lru_cache(maxsize=4_096)
def dull(key: str) -> bool:
    """Tell whether a key says that its value is an ordinary number: an order, a date, a sum."""
    told = {word.lower() for word in _SPLIT.split(key) if word}
    return bool(told & _DULL) and role(key) is None


def known(key: str) -> bool:
    """Tell whether a key says anything about its value."""
    return role(key) is not None


def value(key: str, text: str) -> Value | None:
    """Return what a whole value under a key is by the key alone: a person, a place, an address."""
    size = len(text)
    if not 2 <= size <= 120:
        return None
    match role(key):
        case "person":
            bare = text.strip()
            if size > 64 or bare.lower() in _NOBODY or _NAME.fullmatch(bare) is None:
                return None
            # One word in small letters under `client` may be anything; under `prenom` it is a name.
            sure = any(word.lower() in _NAMES for word in _SPLIT.split(key))
            if not sure and " " not in bare and not bare[0].isupper():
                return None
            start = text.index(bare)
            return Value("person", start, start + len(bare), 86)
        case "location":
            if text.lower() in _NOBODY or size > 48 or _PLACE.fullmatch(text) is None:
                return None
            return Value("location", 0, size, 82)
        case "address":
            if (
                any(char.isdigit() for char in text)
                and sum(char.isalpha() for char in text) >= 4
                and "@" not in text
            ):
                return Value("address", 0, size, 72)
            return None
        case _:
            return None
