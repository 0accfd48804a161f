"""Print: the compiled rules as plain sentences, in English or French.

Rendered from the compiled form, not from the YAML, so that a reader checks what the machine will
do. ``says`` stays as its author wrote it; the sentences beneath it are ours.
"""

from __future__ import annotations

from typing import Literal

from gateway.core.rules import (
    BoundTest,
    DocumentTest,
    Exemption,
    Obligations,
    PlaceTest,
    Rule,
    RungTest,
    Scope,
    Test,
    UseTest,
    ValueTest,
)
from gateway.core.snapshot import Snapshot

Language = Literal["en", "fr"]

_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "title": "Policy {name}, version {version} ({hash}…). Whatever is not allowed below is refused.",
        "unlabelled": "Data that nobody labelled counts as {label}.",
        "for_any": "For any data",
        "for_data": "For {data} data",
        "apps": "apps {x}",
        "teams": "teams {x}",
        "groups": "user groups {x}",
        "purposes": "purposes {x}",
        "uses": "uses {x}",
        "caller_in": "callers in {x}",
        "tenants": "tenants {x}",
        "allows": "the call is allowed",
        "must": "a deployment is used only if {tests}",
        "caller": "the caller must be in {x}",
        "or_has": "; a place does not count where {docs} is on file",
        "hard": "No exception is possible.",
        "exception": "Refused unless an exception below is in force.",
        "warn": "It only warns.",
        "shadow": "It is in shadow: it is recorded and refuses nothing.",
        "except": "Exception until {until} ({owner}), for {data}: some deployments pass all the same.",
        "any": "any data",
        "and": " and ",
        "or": " or ",
        "inside": "{fact} is inside {x}",
        "value": "{fact} is {x}",
        "most": "{fact} is at most {x}",
        "least": "{fact} is at least {x}",
        "document": "{x} is on file and has not ended",
        "use": "{fact} names the use of this call",
        "rung": "{fact} is known at least from {x}",
        "rung_declared": "somebody's word",
        "rung_page": "a page that was read",
        "rung_contract": "a contract on file",
        "rung_probe": "a look at the vendor's settings",
        "rung_response": "the vendor's replies",
        "only_if": "only if {x}",
        "layer": "Added by {x}; it can only narrow.",
        "block": "block {x}",
        "tokenise": "replace {x} by tokens",
        "preserving": "replace {x} by tokens of the same format",
        "mask": "mask {x}",
        "hash": "replace {x} by keyed hashes",
        "report": "count {x} and leave the text as it is",
        "answer": "answers have at most {x} tokens",
        "log_in": "the call is logged only in {x}",
        "forbid": "without {x}",
        "no_store": "the vendor stores nothing",
        "ask": "{x} must agree first",
        "mark": "mark it {x}",
        "disclose": "people are told that it is AI",
        "cache": "caches are shared at most within one {x}",
        "keep_least": "logs are kept at least {x} days",
        "keep_most": "logs are kept at most {x} days",
        "duties": "Duties: {x}.",
    },
    "fr": {
        "title": "Politique {name}, version {version} ({hash}…). Ce qui n’est pas permis ici est refusé.",
        "unlabelled": "Les données que personne n’a étiquetées comptent comme {label}.",
        "for_any": "Pour toute donnée",
        "for_data": "Pour les données {data}",
        "apps": "applications {x}",
        "teams": "équipes {x}",
        "groups": "groupes d’utilisateurs {x}",
        "purposes": "finalités {x}",
        "uses": "usages {x}",
        "caller_in": "appelants en {x}",
        "tenants": "locataires {x}",
        "allows": "l’appel est permis",
        "must": "un déploiement ne sert que si {tests}",
        "caller": "l’appelant doit être en {x}",
        "or_has": " ; le lieu ne compte pas si {docs} est au dossier",
        "hard": "Aucune exception n’est possible.",
        "exception": "Refusé, sauf si une exception ci-dessous est en vigueur.",
        "warn": "Elle avertit seulement.",
        "shadow": "Elle est à l’essai : elle est consignée et ne refuse rien.",
        "except": "Exception jusqu’au {until} ({owner}), pour {data} : certains passent quand même.",
        "any": "toute donnée",
        "and": " et ",
        "or": " ou ",
        "inside": "{fact} est à l’intérieur de {x}",
        "value": "{fact} est {x}",
        "most": "{fact} est au plus {x}",
        "least": "{fact} est au moins {x}",
        "document": "{x} est au dossier et n’a pas pris fin",
        "use": "{fact} nomme l’usage de cet appel",
        "rung": "{fact} est connu au moins par {x}",
        "rung_declared": "une simple déclaration",
        "rung_page": "une page lue",
        "rung_contract": "un contrat au dossier",
        "rung_probe": "un examen des réglages du fournisseur",
        "rung_response": "les réponses du fournisseur",
        "only_if": "seulement si {x}",
        "layer": "Ajoutée par {x} ; elle ne peut que restreindre.",
        "block": "bloquer {x}",
        "tokenise": "remplacer {x} par des jetons",
        "preserving": "remplacer {x} par des jetons de même format",
        "mask": "masquer {x}",
        "hash": "remplacer {x} par des empreintes à clé",
        "report": "compter {x} et laisser le texte tel quel",
        "answer": "les réponses ont au plus {x} jetons",
        "log_in": "l’appel n’est journalisé qu’en {x}",
        "forbid": "sans {x}",
        "no_store": "le fournisseur ne conserve rien",
        "ask": "{x} doit d’abord être d’accord",
        "mark": "marquer {x}",
        "disclose": "on dit aux gens que c’est une IA",
        "cache": "les caches se partagent au plus au sein d’un même {x}",
        "keep_least": "les journaux sont gardés au moins {x} jours",
        "keep_most": "les journaux sont gardés au plus {x} jours",
        "duties": "Obligations : {x}.",
    },
}


def render(snapshot: Snapshot, *, language: Language = "en") -> str:
    """Return the policy in sentences, one paragraph a rule; ends without a newline."""
    words = _WORDS[language]
    head = words["title"].format(
        name=snapshot.policy_name, version=snapshot.policy_version, hash=snapshot.hash[:4]
    )
    blocks = [head]
    if snapshot.rules.treat_as is not None:
        blocks[0] += "\n" + words["unlabelled"].format(label=snapshot.rules.treat_as)
    blocks += ["\n".join(_rule(rule, words)) for rule in snapshot.rules.rules]
    return "\n\n".join(blocks)


def _rule(rule: Rule, words: dict[str, str]) -> list[str]:
    lines = [f"{rule.id}  {rule.says}"]
    data = words["for_any"] if rule.data is None else words["for_data"].format(data=_or(rule.data, words))
    scope = _scope(rule.scope, words)
    clauses = []
    if rule.allow:
        said = f" {words['only_if'].format(x=rule.only_if_shown)}" if rule.only_if is not None else ""
        clauses.append(words["allows"] + said)
    if rule.must is not None:
        tests = words["and"].join(_test(test, words) for test in rule.must.tests)
        clause = words["must"].format(tests=tests)
        if rule.must.or_has:
            clause += words["or_has"].format(docs=words["or"].join(rule.must.or_has))
        clauses.append(clause)
    if rule.caller_must_be_in is not None:
        clauses.append(words["caller"].format(x=rule.caller_shown))
    if clauses:
        lines.append(f"  {data}{f' ({scope})' if scope else ''}: {'; '.join(clauses)}.")
    todo = _duties(rule.do, words)
    if todo and clauses:
        lines.append("  " + words["duties"].format(x="; ".join(todo)))
    elif todo:
        lines.append(f"  {data}{f' ({scope})' if scope else ''}: {'; '.join(todo)}.")
    if rule.unit:
        lines.append("  " + words["layer"].format(x=rule.unit))
    if rule.must is not None or rule.shadow:
        lines.append("  " + words["shadow" if rule.shadow else rule.strength])
    lines += [f"  {_exemption(exemption, words)}" for exemption in rule.exemptions]
    return lines


def _exemption(exemption: Exemption, words: dict[str, str]) -> str:
    data = words["any"] if exemption.data is None else _or(exemption.data, words)
    scope = _scope(exemption.scope, words)
    said = words["except"].format(until=exemption.until_day, owner=exemption.owner, data=data)
    return said if not scope else said.replace(data, f"{data} ({scope})", 1)


def _scope(scope: Scope, words: dict[str, str]) -> str:
    parts = [
        words[key].format(x=_or(values, words))
        for key in ("apps", "teams", "tenants", "groups", "purposes", "uses", "caller_in")
        if (values := getattr(scope, key)) is not None
    ]
    if scope.within is not None:
        parts.append(_scope(scope.within, words))
    return ", ".join(parts)


def _or(values: frozenset[str], words: dict[str, str]) -> str:
    return words["or"].join(sorted(values))


def _test(test: Test, words: dict[str, str]) -> str:
    match test:
        case PlaceTest(fact=fact, shown=place):
            return words["inside"].format(fact=fact, x=place)
        case ValueTest(fact=fact, values=values):
            return words["value"].format(fact=fact, x=_or(values, words))
        case BoundTest(fact=fact, at_most=most, at_least=least):
            parts = [] if most is None else [words["most"].format(fact=fact, x=most)]
            return words["and"].join(
                [*parts, *([] if least is None else [words["least"].format(fact=fact, x=least)])]
            )
        case DocumentTest(document=document):
            return words["document"].format(x=document)
        case UseTest(fact=fact):
            return words["use"].format(fact=fact)
        case RungTest(fact=fact, shown=least):
            return words["rung"].format(fact=fact, x=words[f"rung_{least}"])


def _duties(do: Obligations, words: dict[str, str]) -> list[str]:
    said = [words["ask"].format(x=who) for who in do.ask]
    for key, kinds in (
        ("block", do.block),
        ("tokenise", do.tokenise - do.preserving),
        ("preserving", do.preserving),
        ("mask", do.mask),
        ("hash", do.hash),
        ("report", do.report),
    ):
        if kinds:
            said.append(words[key].format(x=", ".join(sorted(kinds))))
    for key, value in (
        ("answer", do.answer_tokens),
        ("keep_least", do.keep_log_days_at_least),
        ("keep_most", do.keep_log_days_at_most),
        ("cache", do.cache_scope),
    ):
        if value is not None:
            said.append(words[key].format(x=value))
    if do.log_in is not None:
        said.append(words["log_in"].format(x=_or(do.log_in, words)))
    if do.forbid_tools:
        said.append(words["forbid"].format(x=", ".join(sorted(do.forbid_tools))))
    if do.no_store:
        said.append(words["no_store"])
    said += [words["mark"].format(x=mark) for mark in sorted(do.marks)]
    if do.disclose_ai:
        said.append(words["disclose"])
    return said
