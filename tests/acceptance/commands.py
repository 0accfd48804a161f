"""The command line as its people run it: a process of its own, on a running gateway's data or on none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gateway.cli.keys import new_admin_token
from tests.acceptance.running import Running


def borderpost(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end and return it; ``environment`` is all that it finds beside PATH."""
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *map(str, arguments)],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "VENDOR_KEY": "unused", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def on(running: Running, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one command with a gateway's own settings."""
    return borderpost(
        *arguments,
        **{
            "BORDERPOST_DATA_DIR": str(running.data),
            "BORDERPOST_POLICIES": str(running.policies),
            "BORDERPOST_LISTEN": f"127.0.0.1:{running.port}",
            "BORDERPOST_PLACE": "CA-QC",
            **running.settings,
        },
    )


def admin_tokens(folder: Path, *roles: str) -> tuple[Path, dict[str, str]]:
    """Write a file of admin tokens and return it with the tokens by role."""
    made = {role: new_admin_token(role, f"{role}-of-the-tests") for role in roles}
    file = folder / "admin.tokens"
    file.write_text("".join(f"{line}\n" for _, line in made.values()))
    return file, {role: token for role, (token, _) in made.items()}
