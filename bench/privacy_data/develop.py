# ruff: noqa: E501, SIM905 (data and tables read better unbroken)
"""The set that recognizers are developed on. Other words, other sentences and another seed than the blind set's.

    python -m bench.privacy_data.develop OUT.jsonl

Look at every miss in it as often as you like; never quote a score on it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.privacy_data import numbers as n
from bench.privacy_data.weave import Chance, Made, Maker, Text, Weaver, line

SEED = "borderpost develop 1"

GIVEN = "James Olivia Liam Emma Noah Ava William Sophia Raj Anjali Wei Li Ming Aisha Omar Fatima Ahmed Carlos Elena Ivan Katya Hiroshi Yuki Nguyet Thanh Bola Ngozi Kwame Abena Patrick Colleen Angus Fiona Gurpreet Simran Pedro Lucia Johan Ingrid Marek Zofia Angela Steve Linda Greg Joy Art Pat Summer Chris".split()
SURNAMES = "Smith Johnson Tremaine Patel Sharma Chen Wang Khan Hussain Garcia Lopez Ivanov Petrova Tanaka Sato Pham Vo Adeyemi Eze Mensah Boateng Murphy Kelly MacDonald Campbell Grewal Sidhu Silva Costa Berg Hansen Nowak Wilson Taylor White Green Baker Hill Hall Wright Bear Runningwolf".split()
GIVEN_FR = "Jean Marie Pierre Sophie Luc Isabelle François Nathalie Michel Julie André Caroline Louis Chantal Marc Valérie Éric Mélanie Gilles Céline Denis Hélène Jean-François Marie-Claude Émile Zoé Alexis Camille".split()
SURNAMES_FR = "Tremblay Gagnon Roy Côté Bouchard Bélanger Lavoie Fortin Morin Pelletier Lévesque Bergeron Leblanc Poirier Girard Simard Boucher Fournier Caron Desjardins Nadeau Ndiaye Traoré Mansouri".split()
PLACES = "Vancouver;Ottawa;Edmonton;Hamilton;Regina;Kitchener;London;Victoria;Guelph;Barrie;Windsor;Truro;Sydney;Boston;Chicago;Paris;France;Brazil;Vietnam;Kenya;Italy;Quebec;Alberta;Saskatchewan;Newfoundland;Prince George;Sault Ste. Marie".split(
    ";"
)
PLACES_FR = "Montréal;Québec;Lévis;Saguenay;Joliette;Granby;Val-d'Or;Matane;Lyon;Bruxelles;Tunisie;Italie;Ottawa;Toronto;Saint-Hyacinthe".split(
    ";"
)
ORGS = "Acme Widgets Inc.;Royal Oak Bank;Sunrise Clinic;Hydro One;Maritime Freight Ltd.;Lakehead University".split(
    ";"
)
STREETS = "Main;Queen;Yonge;Bloor;Hastings;Robson;Albert;Dundas;Spring Garden;Whyte;5th;Oak Ridge".split(";")
KINDS = "Street;St;St.;Avenue;Ave;Road;Rd;Drive;Dr;Blvd;Crescent;Court;Lane;Terrace".split(";")
STREETS_FR = "rue Saint-Denis;boulevard Charest Est;avenue Cartier;chemin Sainte-Foy;rue de la Montagne;rang du Nord;boul. Taschereau;3e Avenue;rue Ontario Est;rue Notre-Dame O.".split(
    ";"
)
MONTHS = "Jan Feb March April May June July Aug Sept Oct Nov Dec".split()
MONTHS_FR = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()
DOMAINS = "example.com;mail.example.org;bell.net;shaw.ca;yahoo.ca;acme.internal;gouv.qc.test;telus.net".split(
    ";"
)


def person(c: Chance) -> Made:
    g, s = c.pick(GIVEN), c.pick(SURNAMES)
    return c.pick(
        [f"{g} {s}"] * 8 + [f"{g} {s}".lower(), f"{s}, {g}", f"{g} {c.letters(1)}. {s}", f"{g} {s}".upper()]
    ), "person"


def person_fr(c: Chance) -> Made:
    g, s = c.pick(GIVEN_FR), c.pick(SURNAMES_FR)
    return c.pick([f"{g} {s}"] * 8 + [f"{g} {s}".lower(), f"{g} {s.upper()}", f"{s}, {g}"]), "person"


def email(c: Chance) -> Made:
    g, s = c.pick(GIVEN).lower(), c.pick(SURNAMES).lower()
    return c.pick([f"{g}.{s}", f"{s}{c.digits(2)}", f"{g}-{s}", f"{g[0]}.{s}+news"]) + "@" + c.pick(
        DOMAINS
    ), "email"


def phone(c: Chance) -> Made:
    a, m, z = (
        c.pick(["613", "780", "450", "438", "905", "778", "506"]),
        str(c.between(2, 9)) + c.digits(2),
        c.digits(4),
    )
    return c.pick(
        [
            f"{a}-{m}-{z}",
            f"({a}) {m}-{z}",
            f"+1-{a}-{m}-{z}",
            f"{a}.{m}.{z}",
            f"{a} {m} {z}",
            f"1 {a} {m} {z}",
            f"+1 ({a}) {m}-{z}",
        ]
    ), "phone"


def phone_intl(c: Chance) -> Made:
    return c.pick(
        [
            f"+44 20 {c.digits(4)} {c.digits(4)}",
            f"+33 1 {c.digits(2)} {c.digits(2)} {c.digits(2)} {c.digits(2)}",
            f"+91 98{c.digits(8)}",
        ]
    ), "phone"


def postal(c: Chance) -> Made:
    f, r = "ABCEGHJKLMNPRSTVXY", "ABCEGHJKLMNPRSTVWXYZ"
    a, b = c.letters(1, f) + c.digits(1) + c.letters(1, r), c.digits(1) + c.letters(1, r) + c.digits(1)
    return c.pick([f"{a} {b}"] * 3 + [a + b, f"{a} {b}".lower()]), "postal_code"


def address(c: Chance) -> Made:
    s = f"{c.between(1, 9999)} {c.pick(STREETS)} {c.pick(KINDS)}"
    return c.pick(
        [
            s,
            s,
            f"{s} W",
            f"{s}, Apt {c.between(1, 99)}",
            f"Suite {c.between(100, 900)}, {s}",
            f"{c.between(1, 99)}-{s}",
            f"#{c.between(1, 99)} - {s}",
        ]
    ), "address"


def address_fr(c: Chance) -> Made:
    return (
        f"{c.between(1, 9999)}{c.pick([', ', ' '])}{c.pick(STREETS_FR)}{c.pick(['', '', f', bureau {c.between(1, 90)}', f', apt {c.between(1, 90)}'])}",
        "address",
    )


def dob(c: Chance) -> Made:
    y, m, d = c.between(1930, 2018), c.between(1, 12), c.between(1, 28)
    return c.pick(
        [
            f"{MONTHS[m - 1]} {d}, {y}",
            f"{y}/{m:02d}/{d:02d}",
            f"{d}-{MONTHS[m - 1][:3]}-{y}",
            f"{y}-{m:02d}-{d:02d}",
            f"{m}/{d}/{y}",
            f"{d} {MONTHS_FR[m - 1]} {y}",
        ]
    ), "date_of_birth"


def sin(c: Chance) -> Made:
    s = n.sin(c)
    return c.pick(
        [s, n.grouped(s, (3, 3, 3), " "), n.grouped(s, (3, 3, 3), "-"), n.grouped(s, (3, 3, 3), ".")]
    ), "sin"


def health(c: Chance) -> Made:
    o, r, b = n.ohip(c), n.ramq(c), n.bc_phn(c)
    return c.pick(
        [
            n.grouped(o, (4, 3, 3), "-") + "-" + c.letters(2),
            n.grouped(o, (4, 3, 3), " "),
            o + " " + c.letters(2),
            f"{r[:4]} {r[4:8]} {r[8:]}",
            r.lower(),
            n.grouped(b, (4, 3, 3), " "),
            c.pick("123456789") + c.digits(8),
        ]
    ), "health_number"


def licence(c: Chance) -> Made:
    on = f"{c.letters(1)}{c.digits(4)}-{c.digits(5)}-{c.digits(1)}{c.between(10, 99)}{c.between(1, 9)}{c.digits(1)}"
    return c.pick(
        [
            on,
            on.replace("-", ""),
            f"{c.letters(1)}{c.digits(12)}",
            c.digits(7),
            f"{c.digits(6)}-{c.digits(3)}",
            f"{c.letters(5)}{c.digits(9)}",
        ]
    ), "driver_licence"


def bank(c: Chance) -> Made:
    return c.pick(
        [
            f"{c.digits(5)}-{c.pick(['002', '010', '004', '614'])}-{c.digits(7)}",
            f"{c.digits(5)} {c.pick(['003', '006'])} {c.digits(9)}",
        ]
    ), "bank_account"


def secret(c: Chance) -> Made:
    return c.pick(
        [n.vendor_token(c), c.letters(32, "0123456789abcdef"), c.letters(43, n.ALNUM), n.jwt(c)]
    ), "secret"


def card(c: Chance) -> Made:
    s = n.card(c)
    return c.pick([s, n.grouped(s, (4, 6, 5) if len(s) == 15 else (4, 4, 4, 4), c.pick(" -"))]), "card"


def national(c: Chance) -> Made:
    nino, nir = n.nino(c), n.french_nir(c)
    return c.pick(
        [nino, f"{nino[:2]} {nino[2:4]} {nino[4:6]} {nino[6:8]} {nino[8]}", nir, n.spanish_dni(c)]
    ), "national_id"


def one(of: list[str], label: str | None) -> Maker:
    return lambda c: (c.pick(of), label)


def plain(f: object) -> Maker:
    return lambda c: (f(c), None)  # type: ignore[operator]


MAKERS: dict[str, Maker] = {
    "person": person, "person_fr": person_fr, "given": one(GIVEN, "person"), "surname": one(SURNAMES, "person"), "given_fr": one(GIVEN_FR, "person"), "surname_fr": one(SURNAMES_FR, "person"),
    "place": one(PLACES, "location"), "place_fr": one(PLACES_FR, "location"), "org": one(ORGS, "organisation"),
    "email": email, "phone": phone, "phone_intl": phone_intl, "postal": postal, "address": address, "address_fr": address_fr, "dob": dob, "sin": sin,
    "health": health, "licence": licence, "bank": bank, "secret": secret, "card": card, "national": national,
    "account": lambda c: (c.digits(7), "bank_account"), "passport": lambda c: (c.letters(2) + c.digits(6), "passport"),
    "pr": lambda c: (c.pick([c.pick(["RA", "PA"]) + c.digits(c.pick([7, 10])), f"{c.digits(2)}-{c.digits(4)}-{c.digits(4)}"]), "resident_card"),
    "bn": lambda c: (c.pick([n.business_number(c), n.business_number(c) + "RC0001", n.business_number(c) + " RP0001"]), "business_number"),
    "iban": lambda c: (n.iban(c), "iban"), "ip": lambda c: (f"{c.between(11, 220)}.{c.below(256)}.{c.below(256)}.{c.between(1, 254)}", "ip"),
    "ssn": lambda c: (n.grouped(n.ssn(c), (3, 2, 4), "-"), "us_ssn"), "itin": lambda c: (f"9{c.digits(2)}-7{c.digits(1)}-{c.digits(4)}", "us_ssn"),
    "crypto": lambda c: (c.pick([n.bitcoin(c), n.ethereum(c)]), "crypto"), "urlcred": lambda c: (f"{c.pick(['root', 'app'])}:{c.letters(12, n.ALNUM)}", "url_credential"),
    "password": lambda c: (c.pick(["Winter2024!", "hunter42x", "Tr0ub4dor&3", "maple-syrup-99", c.letters(12, n.ALNUM)]), "secret"),
    "pem": lambda c: (n.private_key(c), "secret"),
    "id": plain(lambda c: c.pick([c.digits(9), c.letters(2) + "-" + c.digits(6), c.digits(6)])), "money": plain(lambda c: f"{c.between(1, 900)}.{c.digits(2)}"),
    "date": plain(lambda c: f"2026-{c.between(1, 12):02d}-{c.between(1, 28):02d}"), "hex": plain(lambda c: c.letters(c.pick([8, 40, 64]), "0123456789abcdef")),
    "word": one("blue green active draft retail premium none".split(), None),
}  # fmt: skip

PROSE = (
    "Please call {person} at {phone} before noon.", "I am {person}, I live at {address}, {place}.", "{person} was born {dob} in {place}.",
    "His social insurance number: {sin}.", "SIN {sin} belongs to {given}.", "Health card number {health} for patient {person}.",
    "Email {person} <{email}> the contract.", "Licence no. {licence} was suspended.", "My driver's license is {licence}.",
    "Deposit to {bank} please.", "account #{account} at {org}", "Her passport ({passport}) was stolen in {place}.",
    "The PR card number is {pr}.", "Business number {bn} is registered in {place}.", "Pay with {card}.", "IBAN {iban} for {person}.",
    "{given} and {given} are moving from {place} to {place}.", "Mr. {surname} met Dr. {surname} in {place}.", "Signed, {person}",
    "Ship it to {address}, {place} {postal}.", "login from {ip} by {email}", "US hire, SSN {ssn}, name {person}.", "The ITIN {itin} is on the W-7.",
    "Send ETH or BTC to {crypto}.", "National insurance / identity number {national} on file.", "api key: {secret}", "password: {password}", "My token is {secret}",
    "postgres://{urlcred}@db:5432/x", "hey it's {given}, text me {phone} or {phone_intl}", "What does {person} owe? ask {surname}.", "dob {dob}, postal code {postal}",
    "{person} joined {org} in {place} as an analyst.", "Is {given} coming? {person} said so.",
)  # fmt: skip
PROSE_FR = (
    "Appelez {person_fr} au {phone}.", "Je suis {person_fr} et je demeure au {address_fr}, {place_fr}.", "{person_fr}, née le {dob}, vit à {place_fr}.",
    "NAS: {sin}", "Son numéro d'assurance maladie est {health}.", "Permis de conduire {licence} de {given_fr}.", "Écrire à {email} pour {person_fr}.",
    "M. {surname_fr} et Mme {surname_fr} sont de {place_fr}.", "Compte bancaire {bank}.", "Passeport numéro {passport}.", "{given_fr} part pour {place_fr} demain.",
    "Livraison: {address_fr}, {place_fr} {postal}", "Bien à vous, {person_fr}", "Mot de passe: {password}", "Carte {card} au nom de {person_fr}.",
)  # fmt: skip
HARMLESS = (
    "Order {id} shipped on {date} for ${money}.", "Commit {hex} fixed it.", "Write a limerick about winter.", "The quick brown fox, version 1.22.333.", "Explain recursion.",
    "Invoice {id}, total {money}, due {date}.", "Resume en deux phrases le texte suivant.", "Run pytest -k smoke --maxfail=2", "Mark May will be busy in March.", "Digest {hex}",
    "The Python Software Foundation released 3.13.", "Is 123456789 a prime number?", "Chapter 4, section 2.1.3, page 118.", "SELECT id, total FROM orders LIMIT 10;",
    "How many bytes are in 512 KB?", "Rust vs Go vs Java: pros and cons?", "It was 35 degrees in July.", "Le Mac mini coûte 799 $.",
)  # fmt: skip
KEYS = (
    ("customer_name", "{person}"), ("name", "{person}"), ("firstName", "{given}"), ("surname", "{surname}"), ("owner", "{person}"), ("nom", "{person_fr}"), ("prénom", "{given_fr}"),
    ("email", "{email}"), ("phoneNumber", "{phone}"), ("address", "{address}"), ("adresse", "{address_fr}"), ("city", "{place}"), ("ville", "{place_fr}"), ("postalCode", "{postal}"),
    ("sin", "{sin}"), ("health_number", "{health}"), ("birth_date", "{dob}"), ("passport", "{passport}"), ("licence_number", "{licence}"), ("card", "{card}"), ("account_no", "{account}"),
    ("ip", "{ip}"), ("apiKey", "{secret}"), ("password", "{password}"), ("note", "met {person} in {place}"), ("bn", "{bn}"),
)  # fmt: skip
OTHER = (("id", "{id}"), ("status", "{word}"), ("total", "{money}"), ("date", "{date}"), ("hash", "{hex}"))


def fields(c: Chance) -> list[tuple[str, str]]:
    return c.some(c.some(KEYS, c.between(2, 5)) + c.some(OTHER, 2), 9)


def cell(v: Weaver, template: str, bad: str) -> Text:
    while True:
        text = v.fill(template)
        if not any(mark in str(text) for mark in bad):
            return text


def rows(v: Weaver, by: str, lead: str = "", tail: str = "", *, rule: bool = False) -> Text:
    columns = fields(v.chance)[:4]
    text = Text().add(lead + by.join(key for key, _ in columns) + tail)
    if rule:
        text.add("\n" + lead + by.join("---" for _ in columns) + tail)
    for _ in range(v.chance.between(2, 5)):
        text.add("\n" + lead)
        for k, (_, template) in enumerate(columns):
            text.add(by if k else "").join(cell(v, template, by.strip() or by))
        text.add(tail)
    return text


def structure(v: Weaver) -> Text:
    c = v.chance
    match c.below(9):
        case 0 | 1 | 2:
            dumped = v.dump(
                dict(fields(c)), ensure_ascii=c.often(0.5), **({"indent": 2} if c.often(0.4) else {})
            )
            return c.pick([dumped, Text().add("Result:\n```json\n").join(dumped).add("\n```")])
        case 3:
            return rows(v, c.pick([",", ";", "\t"]))
        case 4:
            return rows(v, " | ", "| ", " |", rule=True)
        case 5:
            text = Text().add("<doc>")
            for key, template in fields(c):
                text.add(f"\n <{key}>").join(cell(v, template, "<&")).add(f"</{key}>")
            return text.add("\n</doc>")
        case 6:
            cols = fields(c)[:4]
            text = Text().add(f"INSERT INTO people ({', '.join(k for k, _ in cols)}) VALUES (")
            for k, (_, template) in enumerate(cols):
                text.add(", '" if k else "'").join(cell(v, template, "'")).add("'")
            return text.add(");")
        case 7:
            text = Text()
            for key, template in fields(c):
                text.add(f"{key}: ").join(v.fill(template)).add("\n")
            return text
        case _:
            text = Text().add("2026-02-03 10:11:12,131 INFO app.web:")
            for key, template in fields(c)[:3]:
                text.add(f" {key}=").join(cell(v, f'"{template}"', "\0"))
            return text


def prose(v: Weaver, of: tuple[str, ...]) -> Text:
    text = Text()
    for k, sentence in enumerate(v.chance.some(of, v.chance.pick([1, 2, 2, 3]))):
        text.add(" " if k else "").join(v.fill(sentence))
    if v.chance.often(0.12):
        text.parts = [part.lower() for part in text.parts]
    return text


GROUPS = (
    ("chat-en", 220, lambda v: prose(v, PROSE)),
    ("chat-fr", 110, lambda v: prose(v, PROSE_FR)),
    ("structure", 270, structure),
    ("harmless", 80, lambda v: v.fill(v.chance.pick(HARMLESS))),
)


def main() -> None:
    lines = [
        line(f"{group}-{k}", group, make(Weaver(Chance(f"{SEED} {group} {k}"), MAKERS)))
        for group, count, make in GROUPS
        for k in range(count)
    ]
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
