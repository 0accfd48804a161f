"""``python -m gateway.cli``: the same as the ``borderpost`` command."""

from gateway.cli import main

main(prog_name="borderpost")
