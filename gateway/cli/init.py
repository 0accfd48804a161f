"""``borderpost init``: start a policy folder of one's own, from the demo or from packs."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from gateway.adapters.clock import SystemClock
from gateway.cli.opened import starter_folder, stop

_OF_STARTER = ("schema", "prices", "examples")


def _list(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 (click's shape)
    if not wanted:
        return
    from gateway.policy.packs import NO_ADVICE, available, load  # noqa: PLC0415 (the starter needs no policy)

    for name, path in available(starter_folder() / "packs").items():
        pack = load(path).file
        click.echo(f"{name:<16}  {pack.says}  ({len(pack.rules)} rules, as of {pack.seen})")
    click.echo(NO_ADVICE)
    context.exit()


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--pack", "words", help="Packs, with commas: quebec,osfi. --list names them.")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list,
    help="Name the packs and what each is for.",
)
def command(folder: Path, words: str | None) -> None:
    """Start FOLDER/policies from the starter policies, or from packs. Nothing there is overwritten."""
    target = folder / "policies"
    if target.exists():
        stop(f"`{target}` exists; name another folder, or move it away")
    if words is not None:
        _compose(target, [word.strip() for word in words.split(",") if word.strip()])
        return
    shutil.copytree(starter_folder(), target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    click.echo(f"Copied the starter policies to {target}.")
    click.echo(f"Next: borderpost policy check --folder {target}, then edit connections.yaml and teams.yaml.")


def _compose(target: Path, words: list[str]) -> None:
    """Write a folder whose policy is made of packs, once all of it can be used."""
    from gateway.policy.load import bundle_of, read_folder  # noqa: PLC0415 (the starter needs no policy)
    from gateway.policy.packs import NO_ADVICE, compose_folder  # noqa: PLC0415 (the same)
    from gateway.policy.problems import PolicyErrors  # noqa: PLC0415 (the same)

    starter = starter_folder()
    try:
        files = compose_folder(starter / "packs", words)
        prices = {name: raw for name, raw in read_folder(starter).items() if name.startswith("prices/")}
        bundle_of({**files, **prices}, now=SystemClock().now())
    except PolicyErrors as errors:
        stop("these packs cannot be composed\n" + "\n".join(str(problem) for problem in errors.problems))
    target.mkdir(parents=True)
    for name in _OF_STARTER:
        shutil.copytree(starter / name, target / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name, raw in files.items():
        (target / name).write_bytes(raw)
    click.echo(f"Composed {target / 'policy.yaml'} from {', '.join(words)}. {NO_ADVICE}")
    click.echo(f"Next: borderpost policy test --folder {target}, then your own deployments, teams and words.")
    click.echo(f"What must be looked at again, and when: borderpost policy due --folder {target}")
