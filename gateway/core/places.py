"""Places: ISO codes as sets, and the one question asked of them, "is this inside that?".

A place is an ISO 3166-1 country (``CA``), an ISO 3166-2 subdivision (``CA-QC``, inside
``CA``), the union ``EU`` (its members are inside it) or ``global`` (inside nothing but
itself). A residency fact is a set of places, and it satisfies a rule only if every one of
them is inside the allowed set. ``None`` stands for *unknown* and is never inside anything.
"""

from __future__ import annotations

import re
from functools import lru_cache

Places = frozenset[str]

GLOBAL = "global"
UNION = "EU"


def _codes(text: str) -> Places:
    return frozenset(text.split())


EU_MEMBERS: Places = _codes(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
)

COUNTRIES: Places = _codes(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS
    BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE
    EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM
    HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC
    LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA
    NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW
    SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO
    TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
    """
)

# Subdivisions are checked by name where a typing mistake would be costly to our readers;
# elsewhere the shape of ISO 3166-2 is all that is asked.
_SUBDIVISIONS: dict[str, Places] = {
    "CA": _codes("AB BC MB NB NL NS NT NU ON PE QC SK YT"),
    "US": _codes(
        """
        AK AL AR AZ CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE NH
        NJ NM NV NY OH OK OR PA PR RI SC SD TN TX UT VA VT WA WI WV WY
        """
    ),
}

_SHAPE = re.compile(r"([A-Z]{2})-([A-Z0-9]{1,3})")

_NAMES = {
    "CA": "Canada",
    "CA-AB": "Alberta",
    "CA-BC": "British Columbia",
    "CA-MB": "Manitoba",
    "CA-NB": "New Brunswick",
    "CA-NL": "Newfoundland and Labrador",
    "CA-NS": "Nova Scotia",
    "CA-ON": "Ontario",
    "CA-PE": "Prince Edward Island",
    "CA-QC": "Quebec",
    "CA-SK": "Saskatchewan",
    "US": "the US",
    "GB": "the UK",
    "EU": "the EU",
    "global": "any country",
}


def valid(code: str) -> bool:
    """Return whether the code names a place that we know."""
    if code in COUNTRIES or code in {UNION, GLOBAL}:
        return True
    shape = _SHAPE.fullmatch(code)
    if shape is None or shape[1] not in COUNTRIES:
        return False
    known = _SUBDIVISIONS.get(shape[1])
    return known is None or shape[2] in known


def known_codes() -> list[str]:
    """Return every code that can be suggested for a mistyped one."""
    return sorted(
        {UNION, GLOBAL, *COUNTRIES}
        | {f"{country}-{part}" for country, parts in _SUBDIVISIONS.items() for part in parts}
    )


def contains(allowed: Places, code: str) -> bool:
    """Return whether one place lies inside a set of allowed places."""
    if code in allowed:
        return True
    country = code[:2] if len(code) > 2 and code[2] == "-" else None
    if country is not None:
        return country in allowed or (UNION in allowed and country in EU_MEMBERS)
    if code == UNION:
        return allowed >= EU_MEMBERS
    return UNION in allowed and code in EU_MEMBERS


@lru_cache(maxsize=4096)
def inside(places: Places | None, allowed: Places) -> bool:
    """Return whether every place lies inside the allowed set.

    INVARIANT: unknown (``None``) and the empty set are never inside: doubt denies.
    """
    return bool(places) and all(contains(allowed, code) for code in places or ())


def spoken(places: Places | None) -> str:
    """Return places as a caller reads them: ``Quebec and the US``; unknown says so."""
    if not places:
        return "a place that is not known"
    names = [_NAMES.get(code, code) for code in sorted(places)]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
