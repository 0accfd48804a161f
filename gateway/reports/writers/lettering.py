"""The letters of a printed report: two embedded fonts, and what stands for a letter that they lack.

DejaVu Sans Condensed covers Latin, Greek, Cyrillic and more, so that French, German, Polish
and Greek names print as they are written. Any other letter is shown as ``‹U+65E5›``: ugly,
and nothing is lost.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from xml.sax.saxutils import escape

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from gateway.reports.writers.cells import printable

BODY = "Borderpost-Body"
BOLD = "Borderpost-Bold"
_FILES = {BODY: "DejaVuSansCondensed.ttf", BOLD: "DejaVuSansCondensed-Bold.ttf"}


@cache
def load() -> frozenset[int]:
    """Register the fonts, once a process, and return the code points that both of them have."""
    covered: list[frozenset[int]] = []
    for name, file in _FILES.items():
        with as_file(files("gateway.reports.writers") / "fonts" / file) as path:
            font = TTFont(name, str(path))
        pdfmetrics.registerFont(font)
        covered.append(frozenset(font.face.charToGlyph))
    pdfmetrics.registerFontFamily(BODY, normal=BODY, bold=BOLD, italic=BODY, boldItalic=BOLD)
    return covered[0] & covered[1]


def spelled(text: str) -> str:
    """Return text with every letter that the fonts lack spelled as its code point."""
    covered = load()
    return "".join(
        letter if ord(letter) in covered else f"‹U+{ord(letter):04X}›" for letter in printable(text)
    )


def escaped(text: str) -> str:
    """Return :func:`spelled` text for a paragraph, where ``<`` and ``&`` would be markup."""
    return escape(spelled(text))
