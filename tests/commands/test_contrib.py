"""The man page and the units: they parse, and they know what the commands know."""

import os
import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from roled.commands.cli import COMMANDS

CONTRIB = Path(__file__).parents[2] / "contrib"


def test_the_man_page_names_every_command() -> None:
    page = (CONTRIB / "man" / "roled.1").read_text(encoding="utf-8")
    described = page.partition(".Sh COMMANDS")[2].partition(".Sh ENVIRONMENT")[0]
    words = {word for line in described.splitlines() if line.startswith(".It Cm") for word in line.split()}
    assert set(COMMANDS) <= words


def test_the_man_page_is_clean() -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    judged = subprocess.run(
        ["groff", "-mdoc", "-ww", "-z", "-Tutf8", CONTRIB / "man" / "roled.1"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert judged.stderr == ""


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    home = tmp_path / "home"
    (home / ".local" / "bin").mkdir(parents=True)
    (home / ".local" / "bin" / "roled").symlink_to("/bin/true")
    judged = subprocess.run(
        [
            *("systemd-analyze", "--user", "--man=no", "verify"),
            *(CONTRIB / "systemd" / f"roled.{kind}" for kind in ("service", "socket")),
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (judged.returncode, judged.stdout, judged.stderr) == (0, "", "")


def test_the_socket_unit_lets_nobody_else_in() -> None:
    lines = (CONTRIB / "systemd" / "roled.socket").read_text(encoding="utf-8").splitlines()
    assert {"ListenStream=%t/roled/socket", "SocketMode=0600", "DirectoryMode=0700"} <= set(lines)


def test_launchd_can_read_the_agent() -> None:
    agent = plistlib.loads((CONTRIB / "launchd" / "roled.plist").read_bytes())
    assert agent["Label"] == "roled"
    assert agent["Umask"] == 0o077
    assert agent["ProgramArguments"][-1].endswith("exec roled daemon --background")
