"""What a person can meet is written down: every error code, every setting; and no link leads nowhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.repo.reading import GATEWAY, ROOT, name_of, parsed, tracked

DOCS = ROOT / "docs"
LINK = re.compile(
    r"(?<!!)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|!\[[^\]]*\]\(([^)\s]+)\)|^\[[^\]]+\]:\s+(\S+)",
    re.MULTILINE,
)


def text_of(page: Path, source: Path) -> str:
    """A page of the reference; required from when the source that it documents exists."""
    if not source.exists():
        pytest.skip(f"{name_of(source)} is not there yet")
    assert page.is_file(), f"{name_of(page)} is missing: it documents {name_of(source)}"
    return page.read_text(encoding="utf-8")


def members(path: Path, class_name: str) -> list[str]:
    """The string values of an enum."""
    return [
        line.value.value
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef) and node.name == class_name
        for line in node.body
        if isinstance(line, ast.Assign)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    ]


def test_every_error_code_is_documented() -> None:
    """Each code is a heading, so that it can be linked to; no heading is of a code that is gone."""
    source = GATEWAY / "core" / "errors.py"
    page = text_of(DOCS / "reference" / "errors.md", source)
    headings = set(re.findall(r"^#+ +`?([a-z_]+)`?\s*$", page, flags=re.MULTILINE))
    codes = set(members(source, "Code"))
    assert codes, "no codes were found"
    assert not codes - headings, f"no heading in docs/reference/errors.md: {sorted(codes - headings)}"
    gone = {heading for heading in headings if "_" in heading} - codes
    assert not gone, f"docs/reference/errors.md speaks of codes that are gone: {sorted(gone)}"


def test_every_error_code_has_its_status() -> None:
    """The one table from code to status knows every code."""
    table = GATEWAY / "api" / "errors.py"
    if not table.exists():
        pytest.skip("gateway/api/errors.py is not there yet")
    named = set(re.findall(r"Code\.([A-Z_]+)", table.read_text(encoding="utf-8")))
    codes = {value.upper() for value in members(GATEWAY / "core" / "errors.py", "Code")}
    assert not codes - named, f"no status for {sorted(codes - named)}"


def test_every_setting_is_documented() -> None:
    """A setting that no page names is a setting that nobody can use."""
    page = text_of(DOCS / "reference" / "settings.md", GATEWAY / "settings.py")
    from gateway.settings import describe

    settings = describe()
    assert settings, "no settings were found"
    missing = [
        item.key for item in settings if f"`{item.key}`" not in page and f"`{item.variable}`" not in page
    ]
    assert not missing, f"docs/reference/settings.md does not name {missing}"
    gone = set(re.findall(r"`(BORDERPOST_[A-Z0-9_]+)`", page)) - {item.variable for item in settings}
    gone = {
        name
        for name in gone
        if not name.startswith(("BORDERPOST_TEST_", "BORDERPOST_REQUIRE_", "BORDERPOST_SETTINGS"))
    }
    assert not gone, f"docs/reference/settings.md speaks of settings that are gone: {sorted(gone)}"


def pages() -> list[Path]:
    """Every page that a person reads."""
    if not DOCS.is_dir():
        return []
    return sorted({*DOCS.rglob("*.md"), *ROOT.glob("*.md")})


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual hosts make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    made = set()
    for heading in re.findall(r"^#+ +(.+?)\s*$", text, flags=re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        made.add(plain.replace(" ", "-"))
    return made | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_no_link_leads_nowhere(page: Path) -> None:
    """Links to files of the repository resolve, their anchors too."""
    text = re.sub(
        r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    dead = []
    for groups in LINK.findall(text):
        target = next(filter(None, groups))
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (page.parent / place).resolve() if place else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            dead.append(target)
    assert not dead, f"{name_of(page)}: {dead}"


def test_pages_are_under_version_control() -> None:
    """A page that .gitignore hides would be missing from a clone."""
    known = set(tracked())
    assert not [name_of(page) for page in pages() if page not in known]
