"""``borderpost policy``: check, test, explain, prove, print and publish a bundle, without a running gateway.

Exit status: 0 for yes, 1 for no (a test fails, a proof breaks, a call is refused), 2 for a
bundle or a question that cannot be used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import click
import orjson

from gateway.adapters.clock import SystemClock
from gateway.cli import policy_publish
from gateway.cli.opened import reading, settings_of, with_config, with_folder
from gateway.cli.policy_papers import due, vendors
from gateway.core.explain import Explanation, explain_subject, text
from gateway.core.snapshot import Snapshot
from gateway.policy.bundle import Bundle
from gateway.policy.cases import run, subject_for
from gateway.policy.compile import compile_bundle
from gateway.policy.coverage import coverage, shadowed, sourced
from gateway.policy.load import load_bundle
from gateway.policy.problems import PolicyErrors, did_you_mean
from gateway.policy.prove import TEMPLATES, prove_sentence
from gateway.policy.prove import prove as prove_all
from gateway.policy.recorded import recorded_why
from gateway.policy.render import render
from gateway.policy.review import review
from gateway.policy.schema import FILES, USES, published
from gateway.policy.sinks import sinks
from gateway.settings import UNKNOWN_PLACE


@click.group()
def command() -> None:
    """Check, test, explain and publish a policy bundle."""


for _one in (*policy_publish.COMMANDS, due, vendors):
    command.add_command(_one)


@command.command()
@with_folder
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
def check(folder: Path, *, strict: bool) -> None:
    """Say what is wrong in the files, with file, line and the nearest right word."""
    bundle, snapshot, now = _open(folder)
    warnings = [
        *bundle.warnings,
        *review(bundle, snapshot, now=now),
        *shadowed(snapshot, now=now, apart=sourced(bundle)),
    ]
    for warning in warnings:
        click.echo(f"{'error' if strict else 'warning'}: {warning}", err=strict)
    if strict and warnings:
        sys.exit(1)
    click.echo(
        f"{snapshot.policy_name} v{snapshot.policy_version} can be used ({snapshot.hash[:12]}): "
        f"{_count(len(snapshot.rules.rules), 'rule')}, {_count(len(snapshot.deployments), 'deployment')}, "
        f"{_count(len(snapshot.routes), 'route')}, {_count(len(snapshot.apps), 'app')}, "
        f"{_count(len(bundle.tests), 'test')}, {_count(len(warnings), 'warning')}"
    )


@command.command()
@with_folder
def test(folder: Path) -> None:
    """Run the tests that stand beside the rules."""
    bundle, snapshot, now = _open(folder)
    outcomes = run(bundle, snapshot, now=now)
    for outcome in outcomes:
        if outcome.passed:
            click.echo(f"ok      {outcome.say}")
        else:
            click.echo(f"FAILED  {outcome.failure}\n        {outcome.at}")
    failed = [outcome for outcome in outcomes if not outcome.passed]
    click.echo(f"{_count(len(outcomes), 'test')}, {len(failed)} failed; {coverage(bundle, snapshot)}")
    sys.exit(1 if failed else 0)


@command.command()
@with_folder
@click.option("--app", help="App of teams.yaml.")
@click.option("--data", multiple=True, help="Kinds of data on the call, beside the app's own.")
@click.option("--model", help="Model as the app names it, or a deployment.")
@click.option(
    "--use", type=click.Choice(USES), default="chat", show_default=True, help="What the call is for."
)
@click.option("--decision", metavar="DECISION", help="A recorded decision instead, as dec_….")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@with_config
def explain(
    folder: Path,
    *,
    app: str | None,
    data: tuple[str, ...],
    model: str | None,
    use: str,
    decision: str | None,
    toml: Path | None,
    as_json: bool,
) -> None:
    """Say why a call of an app with some data may or may not use a model, or why a recorded one did."""
    if decision is not None:
        _explain_recorded(folder, decision, toml, as_json=as_json)
    if app is None or model is None:
        _stop("name --app and --model, or --decision")
    _, snapshot, now = _open(folder)
    kinds = tuple(kind for given in data for kind in given.split(",") if kind)
    _known(app, "app", snapshot.apps)
    _known(model, "model or deployment", {**snapshot.aliases, **snapshot.deployments})
    for kind in kinds:
        _known(kind, "kind of data", snapshot.rules.labels)
    subject, labels = subject_for(snapshot, app=app, data=kinds, model=model, use=use)
    candidates = (model,) if model in snapshot.deployments else None
    why = explain_subject(subject, labels, snapshot, now=now, candidates=candidates)
    click.echo(_json(why) if as_json else text(why))
    sys.exit(0 if why.permitted else 1)


def _explain_recorded(folder: Path, decision: str, toml: Path | None, *, as_json: bool) -> NoReturn:
    """Explain a recorded decision under the bundle that decided it, or else under the folder's."""
    settings = settings_of(toml)
    _, snapshot, now = _open(folder)
    told = reading(settings, lambda connection: recorded_why(connection, decision, snapshot, now=now))
    if told is None:
        _stop(f"no decision `{decision[:60]}` is recorded; a fresh one takes a second to get there")
    click.echo(_json(told.why) if as_json else f"{told.headline}\n{text(told.why)}")
    sys.exit(0 if told.why.permitted else 1)


@command.command()
@with_folder
@click.argument("sentence", nargs=-1)
@with_config
def prove(folder: Path, sentence: tuple[str, ...], toml: Path | None) -> None:
    """Prove the sentences under prove, or SENTENCE, over every app, alias, fallback, use and sink.

    The sinks (journal, database, telemetry) are those of a process with these settings.
    """
    bundle, snapshot, now = _open(folder)
    settings = settings_of(toml)
    # A terminal that declares no place runs no process: then the proof is about the bundle alone.
    declared = toml is not None or settings.place != UNKNOWN_PLACE
    kept = sinks(settings, snapshot.alerts) if declared else ()
    if sentence:
        asked = " ".join(sentence)
        proofs = [prove_sentence(asked, "as asked", bundle, snapshot, now=now, sinks=kept)]
    else:
        proofs = prove_all(bundle, snapshot, now=now, sinks=kept)
    for proof in proofs:
        if proof.holds:
            click.echo(f"PROVED  {proof.sentence}  ({proof.paths:,} paths)")
        else:
            click.echo(f"BROKEN  {proof.sentence}  ({proof.at})")
            for line in [proof.error] if proof.error else proof.broken[:20]:
                click.echo(f"        {line}")
            if len(proof.broken) > 20:
                click.echo(f"        and {len(proof.broken) - 20} more")
    if not proofs:
        click.echo("nothing to prove; write for example:\n" + "\n".join(f"  {line}" for line in TEMPLATES))
    names = ", ".join(f"{sink.kind.value} in {sink.place or 'an unknown place'}" for sink in kept)
    click.echo(f"Sinks: {names or 'none looked at, since no settings declare a place (--config)'}.")
    click.echo("This proves the configuration, given the labels and the facts; facts are declared.")
    sys.exit(0 if all(proof.holds for proof in proofs) else 1)


@command.command(name="print")
@with_folder
@click.option("--lang", type=click.Choice(["en", "fr"]), default="en", show_default=True)
def print_(folder: Path, lang: str) -> None:
    """Print the compiled rules as plain sentences."""
    _, snapshot, _ = _open(folder)
    click.echo(render(snapshot, language="fr" if lang == "fr" else "en"))


@command.command()
@click.argument("kind", type=click.Choice(sorted(FILES)), required=False)
@click.option("--write", type=click.Path(path_type=Path, file_okay=False), help="Write all into this folder.")
def schema(kind: str | None, write: Path | None) -> None:
    """Print the JSON Schema of a kind of file, for editors; or write all of them."""
    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (write / f"{name}.schema.json").write_bytes(published(name))
    elif kind is not None:
        click.echo(published(kind).decode(), nl=False)
    else:
        _stop(f"which kind of file? one of {', '.join(sorted(FILES))}")


def _open(folder: Path) -> tuple[Bundle, Snapshot, int]:
    """Load and compile a folder, or end the command with every problem in it."""
    now = SystemClock().now()
    try:
        bundle = load_bundle(folder, now=now)
        return bundle, compile_bundle(bundle, now=now), now
    except PolicyErrors as errors:
        for problem in errors.problems:
            click.echo(f"error: {problem}", err=True)
        click.echo(f"{_count(len(errors.problems), 'problem')} in {folder}; nothing was changed", err=True)
        sys.exit(2)


def _stop(message: str) -> NoReturn:
    click.echo(f"borderpost: {message}", err=True)
    sys.exit(2)


def _known(word: str, what: str, names: Iterable[str]) -> None:
    known = list(names)
    if word not in known:
        near = did_you_mean(word, known)
        _stop(f"unknown {what} `{word}`" + (f"; {near}" if near else ""))


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _json(why: Explanation) -> str:
    """Return an explanation as JSON; sets become sorted lists."""

    def plain(value: object) -> object:
        if isinstance(value, frozenset):
            return sorted(value)
        raise TypeError(type(value).__name__)

    return orjson.dumps(why, default=plain, option=orjson.OPT_INDENT_2).decode()
