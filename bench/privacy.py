# ruff: noqa: E501, SIM905 (data and tables read better unbroken)
"""Detection beside default Presidio: accuracy on marked texts, speed on fresh texts and on a conversation.

    python -m bench.privacy [--public FOLDER] [--markdown OUT.md] [--skip-blind]

Both run in processes of their own, one thread each, on the same texts. Accuracy is scored by
`gateway.core.accuracy`; Presidio is shown at its own threshold (0) and at 0.4, and its LOCATION may stand for an
address, its DATE_TIME for a date of birth. Times are CPU seconds of the process, the best of three passes.
`--public` names a folder of other marked texts (JSON lines `{text, spans}`); none are part of this project.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.privacy_data import blind, develop
from bench.privacy_data.weave import Chance, Weaver
from gateway.cli.privacy import _ALIASES
from gateway.core import structure
from gateway.core.accuracy import Marked, Score, only
from gateway.core.patterns import KINDS

HERE = Path(__file__).parent
ROOT = HERE.parent
SAME = {"address": "location", "date_time": "date_of_birth"}
GENERAL = frozenset(
    ["person", "location", "card", "phone", "email", "iban", "us_ssn", "ip", "driver_licence"]
)
CHAT = frozenset({"chat-en", "chat-fr"})

Doc = dict[str, Any]


def ask(program: str, texts: Sequence[str]) -> list[Doc]:
    """Run one engine over texts; a line `{spans, s}` for each."""
    lines = "\n".join(json.dumps({"text": text}) for text in texts) + "\n"
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(HERE / program)],
        input=lines,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def marks(doc: Doc) -> list[Marked]:
    return [Marked(_ALIASES.get(s["label"], s["label"]), s["start"], s["end"]) for s in doc["spans"]]


def scored(
    docs: Sequence[Doc], answers: Sequence[Doc], kinds: frozenset[str], least: float, *, dates: bool = False
) -> Score:
    total = Score()
    for doc, answer in zip(docs, answers, strict=True):
        truth = only(marks(doc), kinds, SAME)
        finds = [
            Marked(s["label"], s["start"], s["end"]) for s in answer["spans"] if s.get("score", 1) >= least
        ]
        if dates:  # a date that was asked for counts, another is no mistake
            births = [t for t in truth if t.kind == "date_of_birth"]
            finds = [
                f
                for f in finds
                if f.kind != "date_time" or any(f.start < b.end and b.start < f.end for b in births)
            ]
        total.add(doc["text"], truth, only(finds, kinds, SAME))
    return total


def row(name: str, who: str, total: Score) -> str:
    o = total.overall
    touched = f"{total.touched_harmless} of {total.harmless}"
    return (
        f"| {name} | {who} | {o.precision:.3f} | {o.recall:.3f} | {o.f(1):.3f} | **{o.f(2):.3f}** "
        f"| {total.leak_rate:.3f} | {touched} |"
    )


def accuracy(
    name: str, docs: Sequence[Doc], kinds: frozenset[str] | None, answers: dict[str, list[Doc]]
) -> list[str]:
    wanted = kinds or frozenset(SAME.get(m.kind, m.kind) for d in docs for m in marks(d)) - {"organisation"}
    return [
        row(name, "Borderpost", scored(docs, answers["ours"], wanted, 0)),
        row(name, "Presidio, 0.4", scored(docs, answers["default"], wanted, 0.4, dates=True)),
        row(name, "Presidio, 0", scored(docs, answers["default"], wanted, 0, dates=True)),
    ]


def by_kind(docs: Sequence[Doc], answers: dict[str, list[Doc]]) -> Iterable[str]:
    wanted = frozenset(SAME.get(m.kind, m.kind) for d in docs for m in marks(d))
    ours = scored(docs, answers["ours"], wanted, 0).by_kind
    theirs = scored(docs, answers["default"], wanted, 0.4, dates=True).by_kind
    yield "| kind | marked | precision | recall | F2 | default Presidio F2 |"
    yield "|---|---|---|---|---|---|"
    for kind in sorted(ours, key=lambda k: -ours[k].marked):
        o, t = ours[kind], theirs.get(kind)
        yield (
            f"| `{kind}` | {o.marked} | {o.precision:.2f} | {o.recall:.2f} | {o.f(2):.2f} "
            f"| {t.f(2) if t and t.found else 0:.2f} |"
        )


ORDINARY = (
    "I have been trying to write a short letter about the noise in the building, and it keeps coming out too angry.",
    "The main argument of the second chapter seems to be that small towns adapt faster than large ones.",
    "Could you explain in simple words how compound interest works, with an example that a student would follow?",
    "We agreed last week that the report should open with the results and keep the method for the end.",
    "My code works on small inputs but becomes very slow when the list has more than a few thousand entries.",
    "Please rewrite the following paragraph so that it sounds friendlier without getting any longer.",
    "The recipe asks for butter, but one of my guests cannot eat dairy; what would you use instead?",
    "It would help to have three options, each with its advantages and its risks in one sentence.",
    "After the update the printer stopped answering, and turning it off and on again changed nothing.",
    "Nous cherchons une formulation plus claire pour le troisième paragraphe de la politique interne.",
    "What I do not understand is why the test passes on my machine and fails on the build server.",
    "Compare the two proposals and tell me which one you would pick for a team of five people.",
)


def long_text(size: int, number: int) -> str:
    """A chat message of about a size: two ordinary sentences for one with something personal in it."""
    chance = Chance(f"speed {size} {number}")
    parts: list[str] = []
    while sum(map(len, parts)) < size:
        parts += chance.some(ORDINARY, 2)
        parts.append(str(Weaver(chance, develop.MAKERS).fill(chance.pick(develop.PROSE))))
    return " ".join(chance.some(parts, len(parts)))[:size]


def spent(program: str, texts: Sequence[str], *, passes: int = 3) -> float:
    """CPU seconds for all texts, after 80 KB of other texts, as in a process that has served a while."""
    warm = [long_text(2_000, 900 + k) for k in range(40)]
    runs = [[a["s"] for a in ask(program, [*warm, *texts])[len(warm) :]] for _ in range(passes)]
    # The machine is shared: of each text the quickest pass counts, for both.
    return sum(map(min, zip(*runs, strict=True)))


def speed() -> list[str]:
    lines = ["| fresh text | Borderpost, ms/KB | default Presidio, ms/KB | ratio |", "|---|---|---|---|"]
    for size, count in ((200, 60), (2_000, 12), (8_000, 4), (32_000, 2)):
        texts = [long_text(size, k) for k in range(count)]
        ours, theirs = spent("privacy_ours.py", texts), spent("privacy_default.py", texts)
        kb = size * count / 1000
        lines.append(
            f"| {size / 1000:g} KB | {ours * 1000 / kb:.1f} | {theirs * 1000 / kb:.0f} | {theirs / ours:.1f} |"
        )
    turns = [long_text(600, 100 + k) for k in range(20)]  # ten questions and ten answers
    resent = [text for turn in range(10) for text in turns[: 2 * turn + 1]]
    ours, theirs = spent("privacy_ours.py", resent), spent("privacy_default.py", resent)
    told = f"its history resent each turn: {ours * 1000:.0f} ms against {theirs * 1000:.0f} ms"
    lines += [
        "",
        f"A conversation of ten turns, 600 characters a message, {told}, {theirs / ours:.0f} times.",
    ]
    return lines


def hidden() -> list[str]:
    """How often identifiers are still found when somebody hides them: 40 each of six kinds."""
    made = [
        (develop.MAKERS[name](Chance(f"hidden {name} {k}"))[0], name) for name in WORDS for k in range(40)
    ]
    letters = str.maketrans("aceopxy", "\u0430\u0441\u0435\u043e\u0440\u0445\u0443")
    ways: dict[str, Callable[[str], str]] = {
        "as it is": str,
        "full-width digits": lambda v: "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in v),
        "Arabic-Indic digits": lambda v: "".join(chr(0x660 + int(c)) if c in "0123456789" else c for c in v),
        "a zero-width space after each third character": lambda v: "\u200b".join(
            v[at : at + 3] for at in range(0, len(v), 3)
        ),
        "between right-to-left marks": lambda v: f"\u202e{v}\u202c",
        "typographic dashes and spaces": lambda v: v.replace("-", "\u2011").replace(" ", "\u00a0"),
        "Cyrillic look-alike letters": lambda v: v.translate(letters),
        "URL-encoded": lambda v: quote(v, safe=""),
        "base64": lambda v: base64.b64encode(v.encode()).decode(),
        "digits spelled out": lambda v: " ".join(DIGITS[int(c)] if c.isdigit() else c for c in v),
    }
    lines = ["| hidden as | " + " | ".join(WORDS) + " |", "|---|" + "---|" * len(WORDS)]
    for way, hide in ways.items():
        found = dict.fromkeys(WORDS, 0)
        for value, name in made:
            text = f"{WORDS[name]} {hide(value)} please"
            found[name] += any(span.end > len(WORDS[name]) + 1 for span in structure.scan(text, KINDS))
        lines.append(f"| {way} | " + " | ".join(f"{100 * count // 40} %" for count in found.values()) + " |")
    return lines


DIGITS = "zero one two three four five six seven eight nine".split()
WORDS = {
    "sin": "my SIN is",
    "health": "health card",
    "card": "card",
    "phone": "call",
    "email": "mail",
    "iban": "IBAN",
}


def load(path: Path) -> list[Doc]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--public", type=Path, help="a folder of other marked texts")
    parser.add_argument("--markdown", type=Path, help="write the tables there")
    parser.add_argument("--skip-blind", action="store_true", help="do not look at the blind set")
    parser.add_argument("--skip-speed", action="store_true")
    chosen = parser.parse_args()
    out = [
        "| set | detector | precision | recall | F1 | F2 | leak rate | harmless texts touched |",
        "|" + "---|" * 8,
    ]
    detail: list[str] = []
    if not chosen.skip_blind:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "blind.jsonl"
            path.write_text("\n".join(blind.documents()) + "\n", encoding="utf-8")
            told = (HERE / "privacy_data" / "BLIND.sha256").read_text(encoding="ascii").split()[0]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == told, (
                "the blind set is not the one that was sealed"
            )
            docs = load(path)
        answers = {who: ask(f"privacy_{who}.py", [d["text"] for d in docs]) for who in ("ours", "default")}
        for name, groups in (
            ("blind, all", None), ("blind, chat", CHAT), ("blind, chat in English", {"chat-en"}),
            ("blind, chat in French", {"chat-fr"}), ("blind, tool calls", {"tool-json"}),
            ("blind, CSV, Markdown, XML, SQL", {"csv", "markdown", "xml", "sql"}), ("blind, logs", {"log"}),
            ("blind, secrets", {"secret"}),
        ):  # fmt: skip
            picked = [k for k, d in enumerate(docs) if groups is None or d["group"] in groups]
            part = [docs[k] for k in picked]
            out += accuracy(name, part, None, {who: [answers[who][k] for k in picked] for who in answers})
        detail = ["", "Per kind on the blind set:", "", *by_kind(docs, answers)]
    for path in sorted(chosen.public.glob("*.jsonl")) if chosen.public else ():
        docs = load(path)
        held = frozenset(SAME.get(m.kind, m.kind) for d in docs for m in marks(d))
        answers = {who: ask(f"privacy_{who}.py", [d["text"] for d in docs]) for who in ("ours", "default")}
        out += accuracy(path.stem, docs, GENERAL & held, answers)
    text = "\n".join([*out, *detail, "", *hidden(), "", *([] if chosen.skip_speed else speed())])
    print(text)
    if chosen.markdown:
        chosen.markdown.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
