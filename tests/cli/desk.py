"""The command line on a data folder of the test's own, with the starter policies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from gateway.adapters.journal_read import verify
from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.schema import migrate
from gateway.cli import main

STARTER = Path(__file__).parents[2] / "policies"


@dataclass(frozen=True)
class Desk:
    """Runs ``borderpost …`` and opens what it left."""

    folder: Path
    policies: Path = STARTER

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def journal(self) -> Path:
        return self.data / "journal"

    def run(self, *arguments: str, **environment: str) -> Result:
        env = {
            "BORDERPOST_DATA_DIR": str(self.data),
            "BORDERPOST_POLICIES": str(self.policies),
            **environment,
        }
        return CliRunner(env=env).invoke(main, list(arguments), prog_name="borderpost")

    def store(self) -> Store:
        self.data.mkdir(parents=True, exist_ok=True)
        store = Store(f"sqlite:///{self.data / 'borderpost.db'}")
        migrate(store)
        return store

    def kinds(self) -> list[str]:
        """The kinds of all journal entries, once the chains were found whole."""
        assert verify(self.journal).ok
        text = "".join(path.read_text() for path in sorted(self.journal.rglob("*.jsonl")))
        return [part.split('"', 1)[0] for part in text.split('"kind":"')[1:]]
