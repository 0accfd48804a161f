"""What ``pip install .`` brings is whole: starter policies, migrations, schema, the types marker."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.repo.reading import GATEWAY, ROOT, tracked

pytestmark = pytest.mark.slow

BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel built from this tree by the pinned backend."""
    if not (ROOT / "policies").is_dir() or not (ROOT / "README.md").is_file():
        pytest.skip("the tree is not whole yet")
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return set(archive.namelist())


def inside(folder: Path) -> set[str]:
    """The files of a folder that are, or are about to be, under version control."""
    return {path.relative_to(folder).as_posix() for path in tracked() if folder in path.parents}


def test_the_package_is_whole(wheel: set[str]) -> None:
    """Every file of the package travels: code, migrations, schemas, pages."""
    assert not {f"gateway/{name}" for name in inside(GATEWAY)} - wheel
    assert "gateway/py.typed" in wheel


def test_the_starter_policies_travel(wheel: set[str]) -> None:
    """``borderpost demo`` works from an installed wheel, with no repository around."""
    starter = {f"gateway/_starter/policies/{name}" for name in inside(ROOT / "policies")}
    assert starter
    assert not starter - wheel


def test_nothing_else_travels(wheel: set[str]) -> None:
    """No tests, no keys, no .pth."""
    strays = {name for name in wheel if not name.startswith(("gateway/", "borderpost-"))}
    assert not strays
    assert not {name for name in wheel if name.endswith((".pth", ".key", ".pem", ".db"))}


def test_the_command_and_the_licence_travel(wheel: set[str]) -> None:
    """The ``borderpost`` command, and Apache-2.0 in full."""
    assert any(name.endswith("entry_points.txt") for name in wheel)
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
