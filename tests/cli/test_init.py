"""``borderpost init``: a copy of the starter policies that loads, and never an overwrite."""

from __future__ import annotations

from tests.cli.desk import STARTER, Desk


def test_the_copy_is_the_starter_and_loads(tmp_path):
    """Ready to be edited, and to be served from."""
    done = Desk(tmp_path).run("init", str(tmp_path / "mine"))
    assert done.exit_code == 0
    copy = tmp_path / "mine" / "policies"
    assert (copy / "policy.yaml").read_bytes() == (STARTER / "policy.yaml").read_bytes()
    assert Desk(tmp_path, policies=copy).run("report", "spend").exit_code == 0


def test_what_is_there_is_not_overwritten(tmp_path):
    """Somebody's policies are somebody's work."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "policy.yaml").write_text("mine")
    done = Desk(tmp_path).run("init", str(tmp_path))
    assert done.exit_code == 2
    assert (tmp_path / "policies" / "policy.yaml").read_text() == "mine"


def test_packs_are_composed_and_hold_their_tests(tmp_path):
    """The folder loads, its tests pass, and it says that it is no legal advice."""
    done = Desk(tmp_path).run("init", "--pack", "quebec,osfi", str(tmp_path / "mine"))
    assert done.exit_code == 0
    assert "no legal advice" in done.output
    copy = str(tmp_path / "mine" / "policies")
    tested = Desk(tmp_path).run("policy", "test", "--folder", copy)
    assert tested.exit_code == 0
    assert "QC-1" in (tmp_path / "mine" / "policies" / "policy.yaml").read_text()
    assert Desk(tmp_path).run("policy", "check", "--folder", copy).exit_code == 0


def test_a_pack_that_is_not_there_writes_nothing(tmp_path):
    """A slip names the nearest pack and leaves no half-made folder."""
    done = Desk(tmp_path).run("init", "--pack", "quebec-law52", str(tmp_path / "mine"))
    assert done.exit_code == 2
    assert "did you mean `quebec-law25`?" in done.output
    assert not (tmp_path / "mine").exists()


def test_the_packs_are_listed(tmp_path):
    """With what each is for."""
    listed = Desk(tmp_path).run("init", "--list")
    assert listed.exit_code == 0
    assert "ontario-phipa" in listed.output
