"""`borderpost serve` ends with words and a status when it cannot serve."""

from __future__ import annotations

import socket

from click.testing import CliRunner

from gateway.cli import main


def serve(tmp_path, toml):
    (tmp_path / "s.toml").write_text(f'data_dir = "{tmp_path}/data"\n{toml}\n')
    return CliRunner().invoke(main, ["serve", "--config", str(tmp_path / "s.toml")])


def test_wrong_settings_are_named(tmp_path):
    """Exit 2 and the file, line and nearest right word."""
    result = serve(tmp_path, "workrs = 2")
    assert result.exit_code == 2
    assert "did you mean `workers`?" in result.output


def test_a_taken_port_is_named(tmp_path):
    """Exit 1, the address, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = serve(tmp_path, f'listen = "127.0.0.1:{taken.getsockname()[1]}"')
    assert result.exit_code == 1
    assert "BORDERPOST_LISTEN" in result.output
