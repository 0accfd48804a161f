# ruff: noqa: E501 (data and tables read better unbroken)
"""The blind test set: texts as they pass through an LLM gateway in Canada, planted with made-up personal data.

    python -m bench.privacy_data.blind OUT.jsonl

Written before its author had read a recognizer of this project (the reference page on redaction was known), and its
SHA-256 was written to `BLIND.sha256` before the first score. It is scored, never tuned on: `develop.py` makes the set
for that. Half prose of chats in English and French, half what agents send: tool calls, tables, logs, code, secrets.

How it is labelled: honorifics are no part of a person; `address` is civic number, street and unit, while city,
province and country are `location`; an organisation is labelled, but no detector is asked for it in the headline;
a date counts when somebody was born on it; of credentials in a URL `user:password` is labelled.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from bench.privacy_data import blind_words as w
from bench.privacy_data import numbers as n
from bench.privacy_data.weave import Chance, Made, Maker, Text, Weaver, line

SEED = "borderpost blind 1"


# Makers -----------------------------------------------------------------------------------------------


def _person(c: Chance) -> Made:
    style = c.below(20)
    given, surname = c.pick(w.GIVEN), c.pick(w.SURNAMES)
    if style == 0:
        return f"{given} {c.letters(1)}. {surname}", "person"
    if style == 1:
        return f"{surname}, {given}", "person"
    if style == 2:
        return f"{given.upper()} {surname.upper()}", "person"
    if style == 3:
        return f"{given.lower()} {surname.lower()}", "person"
    if style == 4:
        return f"{c.letters(1)}. {surname}", "person"
    return f"{given} {surname}", "person"


def _person_fr(c: Chance) -> Made:
    given, surname = c.pick(w.GIVEN_FR), c.pick(w.SURNAMES_FR)
    style = c.below(16)
    if style == 0:
        return f"{given.upper()} {surname.upper()}", "person"
    if style == 1:
        return f"{surname}, {given}", "person"
    if style == 2:
        return f"{given.lower()} {surname.lower()}", "person"
    return f"{given} {surname}", "person"


def _one_of(words: list[str], label: str | None) -> Maker:
    return lambda c: (c.pick(words), label)


def _email(c: Chance) -> Made:
    given, surname = c.pick(w.GIVEN).lower(), c.pick(w.SURNAMES).lower().replace("'", "")
    local = c.pick(
        [f"{given}.{surname}", f"{given[0]}{surname}", f"{given}{c.between(1, 99)}", f"{surname}_{given}"]
    )
    return f"{local}@{c.pick(w.DOMAINS)}", "email"


def _phone(c: Chance) -> Made:
    area = c.pick(
        ["416", "514", "604", "902", "403", "204", "867", "306", "819", "418", "250", "709", "506", "647"]
    )
    mid, last = str(c.between(2, 9)) + c.digits(2), c.digits(4)
    forms = (
        f"({area}) {mid}-{last}",
        f"{area}-{mid}-{last}",
        f"{area}.{mid}.{last}",
        f"+1 {area} {mid} {last}",
        f"1-{area}-{mid}-{last}",
        f"{area} {mid}-{last}",
        f"+1{area}{mid}{last}",
        f"{area} {mid} {last}",
    )
    return c.pick(forms), "phone"


def _phone_fr(c: Chance) -> Made:
    tail = " ".join(c.digits(2) for _ in range(4))
    return c.pick([f"+33 {c.pick('1679')} {tail}", f"0{c.pick('1679')} {tail}"]), "phone"


def _phone_bare(c: Chance) -> Made:
    return c.pick(["416", "604", "514"]) + str(c.between(2, 9)) + c.digits(6), "phone"


def _postal(c: Chance) -> Made:
    first, rest = "ABCEGHJKLMNPRSTVXY", "ABCEGHJKLMNPRSTVWXYZ"
    a = c.letters(1, first) + c.digits(1) + c.letters(1, rest)
    b = c.digits(1) + c.letters(1, rest) + c.digits(1)
    style = c.below(10)
    if style < 7:
        return f"{a} {b}", "postal_code"
    if style < 9:
        return a + b, "postal_code"
    return f"{a} {b}".lower(), "postal_code"


def _address(c: Chance) -> Made:
    street = f"{c.between(2, 9999)} {c.pick(w.STREETS)} {c.pick(w.STREET_KINDS)}"
    style = c.below(6)
    if style == 0:
        return f"{street} {c.pick(['West', 'E', 'N', 'South'])}", "address"
    if style == 1:
        return f"{street}, Unit {c.between(1, 40)}", "address"
    if style == 2:
        return f"{c.between(100, 2400)}-{street}", "address"
    return street, "address"


def _address_fr(c: Chance) -> Made:
    number, street = c.between(2, 9999), c.pick(w.STREETS_FR)
    tail = f", app. {c.between(1, 40)}" if c.often(0.25) else ""
    return c.pick([f"{number}, {street}{tail}", f"{number} {street}{tail}"]), "address"


def _dob(c: Chance) -> Made:
    year, month, day = c.between(1935, 2015), c.between(1, 12), c.between(1, 28)
    name = w.MONTHS[month - 1]
    forms = (
        f"{name} {day}, {year}",
        f"{day} {name} {year}",
        f"{year}-{month:02d}-{day:02d}",
        f"{month:02d}/{day:02d}/{year}",
        f"{name[:3]} {day} {year}",
        f"{day:02d}/{month:02d}/{year}",
    )
    return c.pick(forms), "date_of_birth"


def _dob_fr(c: Chance) -> Made:
    year, month, day = c.between(1935, 2015), c.between(1, 12), c.between(1, 28)
    forms = (
        f"{day} {w.MONTHS_FR[month - 1]} {year}",
        f"{year}-{month:02d}-{day:02d}",
        f"{day:02d}/{month:02d}/{year}",
    )
    return c.pick(forms), "date_of_birth"


def _sin(c: Chance) -> Made:
    s = n.sin(c)
    return c.pick([n.grouped(s, (3, 3, 3), " "), n.grouped(s, (3, 3, 3), "-"), s]), "sin"


def _ohip(c: Chance) -> Made:
    s = n.ohip(c)
    version = c.letters(2, "ABCDEFGHJKLMNPQRSTVWXYZ")
    forms = (
        f"{n.grouped(s, (4, 3, 3), '-')}-{version}",
        f"{n.grouped(s, (4, 3, 3), ' ')} {version}",
        n.grouped(s, (4, 3, 3), "-"),
        s,
        f"{s}{version}",
    )
    return c.pick(forms), "health_number"


def _ramq(c: Chance) -> Made:
    s = n.ramq(c)
    return c.pick([f"{s[:4]} {s[4:8]} {s[8:]}", s, f"{s[:4]}-{s[4:8]}-{s[8:]}"]), "health_number"


def _bc_phn(c: Chance) -> Made:
    s = n.bc_phn(c)
    return c.pick([n.grouped(s, (4, 3, 3), " "), s]), "health_number"


def _ab_phn(c: Chance) -> Made:
    s = c.pick("123456789") + c.digits(8)
    return c.pick([f"{s[:5]}-{s[5:]}", s]), "health_number"


def _plain_number(label: str | None, *lengths: int) -> Maker:
    return lambda c: (c.pick("123456789") + c.digits(c.pick(lengths) - 1), label)


def _passport(c: Chance) -> Made:
    return c.pick([c.letters(2) + c.digits(6), c.letters(1) + c.digits(6) + c.letters(2)]), "passport"


def _on_licence(c: Chance) -> Made:
    year, month, day = c.below(100), c.between(1, 12) + (50 if c.often(0.5) else 0), c.between(1, 28)
    s = f"{c.letters(1)}{c.digits(8)}{year:02d}{month:02d}{day:02d}"
    return c.pick([f"{s[:5]}-{s[5:10]}-{s[10:]}", f"{s[:5]} {s[5:10]} {s[10:]}", s]), "driver_licence"


def _qc_licence(c: Chance) -> Made:
    day, month, year = c.between(1, 28), c.between(1, 12), c.below(100)
    s = f"{c.letters(1)}{c.digits(4)}{day:02d}{month:02d}{year:02d}{c.digits(2)}"
    return c.pick([f"{s[:5]}-{s[5:11]}-{s[11:]}", s]), "driver_licence"


def _pr_card(c: Chance) -> Made:
    return c.pick(["RA", "PA", "RC"]) + c.digits(c.pick([7, 10])), "resident_card"


def _uci(c: Chance) -> Made:
    return c.pick([f"{c.digits(4)}-{c.digits(4)}", f"11-{c.digits(4)}-{c.digits(4)}"]), "resident_card"


def _bank(c: Chance) -> Made:
    institution = c.pick(["001", "002", "003", "004", "006", "010", "016", "815"])
    return f"{c.digits(5)}-{institution}-{c.pick('123456789')}{c.digits(c.pick([6, 6, 11]))}", "bank_account"


def _business(c: Chance) -> Made:
    s = n.business_number(c)
    return c.pick([s, n.grouped(s, (5, 4), " ")]), "business_number"


def _business_account(c: Chance) -> Made:
    s = n.business_number(c)
    return c.pick([f"{s}RT0001", f"{s} RT 0001", f"{s} RT0001"]), "business_number"


def _card(c: Chance) -> Made:
    s = n.card(c)
    sizes = (4, 6, 5) if len(s) == 15 else (4, 4, 4, 4)
    return c.pick([n.grouped(s, sizes, " "), s, n.grouped(s, sizes, "-")]), "card"


def _iban(c: Chance) -> Made:
    s = n.iban(c)
    return c.pick([s, " ".join(s[i : i + 4] for i in range(0, len(s), 4))]), "iban"


def _ip(c: Chance) -> Made:
    if c.often(0.2):
        return f"2001:db8:{c.letters(4, '0123456789abcdef')}::{c.letters(4, '123456789abcdef')}", "ip"
    return (
        f"{c.pick([10, 24, 99, 142, 172, 192, 203])}.{c.between(1, 254)}.{c.below(256)}.{c.between(1, 254)}",
        "ip",
    )


def _mac(c: Chance) -> Made:
    by = c.pick(":-")
    return by.join(c.letters(2, "0123456789abcdef") for _ in range(6)), "mac"


def _ssn(c: Chance) -> Made:
    s = n.ssn(c)
    return c.pick([n.grouped(s, (3, 2, 4), "-"), s]), "us_ssn"


def _itin(c: Chance) -> Made:
    return f"9{c.digits(2)}-{c.pick(['70', '78', '83', '88', '92', '97'])}-{c.digits(4)}", "us_ssn"


def _nino(c: Chance) -> Made:
    s = n.nino(c)
    return c.pick([s, " ".join([s[:2], s[2:4], s[4:6], s[6:8], s[8]])]), "national_id"


def _nhs(c: Chance) -> Made:
    s = n.nhs(c)
    return c.pick([n.grouped(s, (3, 3, 4), " "), s]), "health_number"


def _nir(c: Chance) -> Made:
    s = n.french_nir(c)
    return c.pick([s, n.grouped(s, (1, 2, 2, 2, 3, 3, 2), " ")]), "national_id"


def _coordinates(c: Chance) -> Made:
    lat, lon = 43 + c.below(900000) / 100000, -(60 + c.below(6000000) / 100000)
    return f"{lat:.5f}, {lon:.5f}", "coordinates"


def _password(c: Chance) -> Made:
    word = c.pick(["Falcon", "Harvest", "Mortimer", "Bluejay", "Thistle", "Copper"])
    forms = (
        f"{word}{c.digits(3)}!",
        f"{word.lower()}-{c.digits(4)}-{c.letters(3).lower()}",
        c.letters(14, n.ALNUM),
    )
    return c.pick(forms), "secret"


def _random(c: Chance) -> Made:
    hexadecimal = "0123456789abcdef"
    forms = (
        c.letters(32, hexadecimal),
        c.letters(40, n.ALNUM),
        c.letters(24, n.ALNUM + "_-") + "8",
        c.letters(64, hexadecimal),
    )
    return c.pick(forms), "secret"


def _url_credential(c: Chance) -> Made:
    return (
        f"{c.pick(['deploy', 'admin', 'svc_app', 'ci'])}:{c.letters(c.between(8, 20), n.ALNUM)}",
        "url_credential",
    )


def _made(of: Callable[[Chance], str], label: str | None) -> Maker:
    return lambda c: (of(c), label)


def _order(c: Chance) -> Made:
    return c.pick(
        [f"ORD-{c.digits(6)}", c.digits(8), f"#{c.digits(7)}", f"{c.letters(3)}{c.digits(5)}"]
    ), None


def _isbn(c: Chance) -> Made:
    body = "978" + c.digits(9)
    check = -sum(int(d) * (1, 3)[i % 2] for i, d in enumerate(body)) % 10
    return f"{body[:3]}-{body[3]}-{body[4:8]}-{body[8:12]}-{check}", None


def _uuid(c: Chance) -> Made:
    return "-".join(c.letters(k, "0123456789abcdef") for k in (8, 4, 4, 4, 12)), None


MAKERS: dict[str, Maker] = {
    "person": _person,
    "person_fr": _person_fr,
    "given": _one_of(w.GIVEN, "person"),
    "given_fr": _one_of(w.GIVEN_FR, "person"),
    "surname": _one_of(w.SURNAMES, "person"),
    "surname_fr": _one_of(w.SURNAMES_FR, "person"),
    "city": _one_of(w.CITIES, "location"),
    "city_fr": _one_of(w.CITIES_FR, "location"),
    "country": _one_of(w.COUNTRIES, "location"),
    "country_fr": _one_of(w.COUNTRIES_FR, "location"),
    "province": _one_of(w.PROVINCES, "location"),
    "place": _one_of(w.CITIES + w.COUNTRIES, "location"),
    "alberta": _one_of(["Alberta"], "location"),
    "manitoba": _one_of(["Manitoba"], "location"),
    "madrid": _one_of(["Madrid"], "location"),
    "nova_scotia": _one_of(["Nova Scotia"], "location"),
    "paris": _one_of(["Paris"], "location"),
    "quebec": _one_of(["Quebec"], "location"),
    "org": _one_of(w.ORGS, "organisation"),
    "org_fr": _one_of(w.ORGS_FR, "organisation"),
    "email": _email,
    "phone": _phone,
    "phone_fr": _phone_fr,
    "phone_bare": _phone_bare,
    "postal": _postal,
    "address": _address,
    "address_fr": _address_fr,
    "dob": _dob,
    "dob_fr": _dob_fr,
    "sin": _sin,
    "sin_bare": _made(n.sin, "sin"),
    "ohip": _ohip,
    "ramq": _ramq,
    "bc_phn": _bc_phn,
    "ab_phn": _ab_phn,
    "mb_phin": _plain_number("health_number", 9),
    "ns_health": _plain_number("health_number", 10),
    "passport": _passport,
    "on_licence": _on_licence,
    "qc_licence": _qc_licence,
    "bc_licence": _plain_number("driver_licence", 7),
    "pr_card": _pr_card,
    "uci": _uci,
    "bank": _bank,
    "transit": _plain_number(None, 5),
    "account": _plain_number("bank_account", 7),
    "business": _business,
    "business_account": _business_account,
    "card": _card,
    "iban": _iban,
    "ip": _ip,
    "mac": _mac,
    "ssn": _ssn,
    "itin": _itin,
    "nino": _nino,
    "nhs": _nhs,
    "nir": _nir,
    "dni": _made(n.spanish_dni, "national_id"),
    "bitcoin": _made(n.bitcoin, "crypto"),
    "ethereum": _made(n.ethereum, "crypto"),
    "coordinates": _coordinates,
    "vendor_token": _made(n.vendor_token, "secret"),
    "jwt": _made(n.jwt, "secret"),
    "password": _password,
    "random": _random,
    "azure_key": _made(lambda c: c.letters(86, n.ALNUM + "+/") + "==", "secret"),
    "private_key": _made(n.private_key, "secret"),
    "url_credential": _url_credential,
    "order": _order,
    "tracking": _made(lambda c: c.pick(["1Z", "RN"]) + c.letters(6) + c.digits(8), None),
    "nine": _plain_number(None, 9),
    "upc": _plain_number(None, 12),
    "version": _made(lambda c: f"{c.below(9)}.{c.below(20)}.{c.below(30)}", None),
    "sha": _made(lambda c: c.letters(c.pick([7, 40]), "0123456789abcdef"), None),
    "sha256": _made(lambda c: c.letters(64, "0123456789abcdef"), None),
    "isbn": _isbn,
    "uuid": _uuid,
    "id": _made(lambda c: c.letters(4) + "_" + c.digits(6), None),
    "amount": _made(lambda c: f"{c.between(10, 9000)}.{c.digits(2)}", None),
    "stamp": _made(
        lambda c: f"2026-{c.between(1, 12):02d}-{c.between(1, 28):02d}T{c.between(0, 23):02d}:30:00Z", None
    ),
    "status": _one_of(["active", "pending", "closed", "open", "approved", "declined"], None),
}


# Documents --------------------------------------------------------------------------------------------


def _prose(weaver: Weaver, planted: tuple[str, ...], plain: tuple[str, ...]) -> Text:
    c = weaver.chance
    sentences = c.some(planted, c.pick([1, 1, 2, 2, 3])) + c.some(plain, c.pick([0, 1, 1, 2]))
    text = Text()
    for number, sentence in enumerate(c.some(sentences, len(sentences))):
        text.add(c.pick([" ", " ", "\n"]) if number else "").join(weaver.fill(sentence))
    style = c.below(25)
    if style < 3:
        text.parts = [part.lower() for part in text.parts]
    elif style == 3:
        text.parts = [part.upper() for part in text.parts]
        assert sum(map(len, text.parts)) == text.length
    return text


FIELDS: tuple[tuple[str, str], ...] = (
    ("customer_name", "{person}"),
    ("name", "{person}"),
    ("fullName", "{person}"),
    ("contact", "{person}"),
    ("first_name", "{given}"),
    ("last_name", "{surname}"),
    ("assignee", "{person}"),
    ("patientName", "{person}"),
    ("nom", "{surname_fr}"),
    ("prenom", "{given_fr}"),
    ("nom_complet", "{person_fr}"),
    ("beneficiary", "{person}"),
    ("email", "{email}"),
    ("courriel", "{email}"),
    ("phone", "{phone}"),
    ("telephone", "{phone}"),
    ("mobile", "{phone_bare}"),
    ("address", "{address}"),
    ("adresse", "{address_fr}"),
    ("street", "{address}"),
    ("city", "{city}"),
    ("ville", "{city_fr}"),
    ("country", "{country}"),
    ("postal_code", "{postal}"),
    ("codePostal", "{postal}"),
    ("sin", "{sin}"),
    ("nas", "{sin_bare}"),
    ("socialInsuranceNumber", "{sin}"),
    ("health_card", "{ohip}"),
    ("ramq", "{ramq}"),
    ("phn", "{bc_phn}"),
    ("date_of_birth", "{dob}"),
    ("dob", "{dob}"),
    ("dateNaissance", "{dob_fr}"),
    ("passport_number", "{passport}"),
    ("driversLicence", "{on_licence}"),
    ("card_number", "{card}"),
    ("pan", "{card}"),
    ("iban", "{iban}"),
    ("account_number", "{account}"),
    ("bank_account", "{bank}"),
    ("ip_address", "{ip}"),
    ("client_ip", "{ip}"),
    ("ssn", "{ssn}"),
    ("api_key", "{vendor_token}"),
    ("password", "{password}"),
    ("access_token", "{random}"),
    ("business_number", "{business}"),
    ("employer", "{org}"),
    ("location", "{coordinates}"),
    ("notes", "Spoke with {person} about the renewal, call back at {phone}."),
    ("comment", "{given} prefers e-mail, {email}, and lives in {city}."),
    ("message", "Bonjour, ici {person_fr}, rappelez-moi au {phone}."),
)
OTHER: tuple[tuple[str, object], ...] = (
    ("id", "{id}"),
    ("order_id", "{order}"),
    ("status", "{status}"),
    ("created_at", "{stamp}"),
    ("amount", "{amount}"),
    ("currency", "CAD"),
    ("quantity", 3),
    ("verified", True),
    ("request_id", "{uuid}"),
    ("version", "{version}"),
    ("reference", "{nine}"),
    ("tags", ["vip", "retail"]),
    ("type", "individual"),
    ("parent", None),
    ("score", 0.82),
)


def _fields(c: Chance, low: int, high: int) -> list[tuple[str, object]]:
    picked: list[tuple[str, object]] = list(c.some(FIELDS, c.between(low, high)))
    return c.some(picked + list(c.some(OTHER, c.between(1, 4))), 99)


def _tool(weaver: Weaver) -> Text:
    c = weaver.chance
    value: object = dict(_fields(c, 2, 5))
    style = c.below(6)
    if style == 0:
        value = {"results": [dict(_fields(c, 2, 3)) for _ in range(c.between(2, 4))], "total": 4}
    elif style == 1:
        value = {"customer": value, "order": {"id": "{order}", "total": "{amount}"}}
    elif style == 2:
        value = {"tool": "create_ticket", "arguments": value}
    elif style == 3 and isinstance(value, dict):
        value["sin"] = "#{sin_bare}"
    how: dict[str, object] = {"ensure_ascii": c.often(0.5)}
    if c.often(0.4):
        how["indent"] = 2
    elif c.often(0.3):
        how["separators"] = (",", ":")
    dumped = weaver.dump(value, **how)
    style = c.below(5)
    if style == 0:
        return (
            Text()
            .add("Here is the result of the lookup:\n```json\n")
            .join(dumped)
            .add("\n```\nSummarize it.")
        )
    if style == 1:
        return Text().add("Explain this record: ").join(dumped)
    return dumped


COLUMNS: tuple[tuple[str, str], ...] = (
    ("name", "{person}"), ("customer", "{person}"), ("nom", "{person_fr}"), ("email", "{email}"), ("phone", "{phone}"),
    ("city", "{city}"), ("ville", "{city_fr}"), ("sin", "{sin}"), ("dob", "{dob}"), ("postal", "{postal}"),
    ("health_card", "{ohip}"), ("card", "{card}"), ("first name", "{given}"), ("surname", "{surname}"),
    ("street", "{address_plain}"), ("account", "{account}"),
)  # fmt: skip
COLUMNS_OTHER = (
    ("id", "{nine}"), ("status", "{status}"), ("amount", "{amount}"), ("updated", "{stamp}"), ("sku", "{order}"),
)  # fmt: skip


def _cell(weaver: Weaver, template: str, by: str) -> Text:
    """A cell that does not break the row: the separator inside a value is avoided by making another one."""
    while True:
        text = weaver.fill(template)
        if by not in str(text) and "\n" not in str(text):
            return text


def _table(weaver: Weaver) -> Text:
    c = weaver.chance
    columns = c.some(list(c.some(COLUMNS, c.between(2, 4))) + list(c.some(COLUMNS_OTHER, c.between(1, 2))), 9)
    by = c.pick([",", ",", ";", "\t"])
    text = Text()
    if c.often(0.4):
        text.add("Clean up this export:\n")
    text.add(by.join(head for head, _ in columns))
    for _ in range(c.between(2, 6)):
        text.add("\n")
        for number, (_, template) in enumerate(columns):
            text.add(by if number else "").join(_cell(weaver, template, by))
    return text


def _markdown(weaver: Weaver) -> Text:
    c = weaver.chance
    columns = c.some(list(c.some(COLUMNS, c.between(2, 4))) + list(c.some(COLUMNS_OTHER, 1)), 9)
    text = Text().add("| " + " | ".join(head for head, _ in columns) + " |\n|" + "---|" * len(columns))
    for _ in range(c.between(2, 5)):
        text.add("\n|")
        for _, template in columns:
            text.add(" ").join(_cell(weaver, template, "|")).add(" |")
    return text


def _xml(weaver: Weaver) -> Text:
    c = weaver.chance
    text = Text().add("<record>\n")
    for key, template in _fields(c, 2, 5):
        if not isinstance(template, str):
            continue
        if c.often(0.2):
            text.add(f'  <field name="{key}" value="').join(_cell(weaver, template, '"')).add('"/>\n')
        else:
            text.add(f"  <{key}>").join(_cell(weaver, template, "<")).add(f"</{key}>\n")
    return text.add("</record>")


def _sql(weaver: Weaver) -> Text:
    c = weaver.chance
    columns = c.some(COLUMNS, c.between(2, 4))
    names = ", ".join(head.replace(" ", "_") for head, _ in columns)
    if c.often(0.3):
        text = Text().add("UPDATE customers SET ")
        for number, (head, template) in enumerate(columns):
            text.add(", " if number else "").add(f"{head.replace(' ', '_')} = '").join(
                _cell(weaver, template, "'")
            ).add("'")
        return text.add(" WHERE id = 48213;")
    text = Text().add(f"INSERT INTO customers (id, {names}) VALUES")
    for row in range(c.between(1, 3)):
        text.add(("," if row else "") + f"\n  ({c.between(1, 9999)}")
        for _, template in columns:
            text.add(", '").join(_cell(weaver, template, "'")).add("'")
        text.add(")")
    return text.add(";")


def _heading(key: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key).replace("_", " ").title()


def _log(weaver: Weaver) -> Text:
    c = weaver.chance
    text = Text()
    style = c.below(3)
    for number in range(c.between(1, 4)):
        text.add("\n" if number else "")
        if style == 0:
            text.add(
                f"2026-03-{c.between(1, 28):02d}T10:{c.between(10, 59)}:07.331Z INFO  [svc-{c.between(1, 9)}]"
            )
            for key, template in c.some(FIELDS, c.between(1, 3)):
                filled = weaver.fill(template)
                quote = '"' if " " in str(filled) else ""
                text.add(f" {key}={quote}").join(filled).add(quote)
        elif style == 1:
            for inner, (key, template) in enumerate(_fields(c, 2, 4)):
                if isinstance(template, str):
                    text.add("\n" if inner else "").add(f"{_heading(key)}: ").join(weaver.fill(template))
        else:
            sentence = c.pick(
                (
                    "[warn] login failed for {email} from {ip}",
                    "user {person} changed password from {ip}",
                    "payment declined card={card} customer='{person}'",
                    "GET /v1/users?email={email}&page=2 200 {ip}",
                    "sms sent to {phone} ref={nine}",
                    "created account id={nine} for {given} in {city}",
                )
            )
            text.add(f"Mar {c.between(1, 28)} 09:14:{c.between(10, 59)} host app[{c.between(100, 9999)}]: ")
            text.join(weaver.fill(sentence))
    return text


def _one(of: tuple[str, ...]) -> Callable[[Weaver], Text]:
    return lambda weaver: weaver.fill(weaver.chance.pick(of).replace("{{", "\0").replace("}}", "\1"))


GROUPS: tuple[tuple[str, int, Callable[[Weaver], Text]], ...] = (
    ("chat-en", 260, lambda v: _prose(v, w.CHAT_EN, w.PLAIN_EN)),
    ("chat-fr", 150, lambda v: _prose(v, w.CHAT_FR, w.PLAIN_FR)),
    ("tool-json", 130, _tool),
    ("csv", 50, _table),
    ("markdown", 25, _markdown),
    ("xml", 25, _xml),
    ("sql", 25, _sql),
    ("log", 80, _log),
    ("secret", 60, _one(w.SECRETS)),
    ("harmless", 120, _one(w.HARMLESS)),
)


def documents() -> list[str]:
    makers = {
        **MAKERS,
        "address_plain": lambda c: (
            f"{c.between(2, 999)} {c.pick(w.STREETS)} {c.pick(w.STREET_KINDS)}",
            "address",
        ),
    }
    lines = []
    for group, count, make in GROUPS:
        for number in range(count):
            weaver = Weaver(Chance(f"{SEED} {group} {number}"), makers)
            text = make(weaver)
            text.parts = [part.replace("\0", "{").replace("\1", "}") for part in text.parts]
            lines.append(line(f"{group}-{number}", group, text))
    return lines


def main() -> None:
    Path(sys.argv[1]).write_text("\n".join(documents()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
