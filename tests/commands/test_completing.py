"""Completion: the shells' own scripts, profiles by name, and silence whatever happens."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_daemon import FakeDaemon, Roled

from roled.core.errors import BrokenConfig

COMPLETIONS = Path(__file__).parents[2] / "contrib" / "completions"


@pytest.mark.parametrize(
    ("shell", "file"), [("bash", "roled.bash"), ("zsh", "_roled"), ("fish", "roled.fish")]
)
def test_the_packaged_script_is_what_the_command_prints(roled: Roled, shell: str, file: str) -> None:
    assert roled("completion", shell).stdout == (COMPLETIONS / file).read_text(encoding="utf-8")


def suggestions(roled: Roled, line: str, word: int) -> list[str]:
    """What bash would offer for the word of that number in `line`."""
    finished = roled(
        env={"_ROLED_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(word)},
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return [line.partition(",")[2] for line in finished.stdout.splitlines() if line]


def test_commands_and_shells_complete(roled: Roled) -> None:
    assert suggestions(roled, "roled st", 1) == ["status", "start", "stop"]
    assert suggestions(roled, "roled hook ", 2) == ["bash", "zsh", "fish"]


@pytest.mark.parametrize(
    ("line", "word"),
    [("roled env ma", 2), ("roled forget ma", 2), ("roled credential-process --profile ma", 3)],
)
def test_profiles_complete_from_the_daemon(roled: Roled, fake: FakeDaemon, line: str, word: int) -> None:
    fake.answer("profiles", [{"profile": "marketingadmin"}, {"profile": "ops"}])
    assert suggestions(roled, line, word) == ["marketingadmin"]


def test_without_a_daemon_profiles_come_from_the_files_and_nothing_is_started(
    roled: Roled, environ: dict[str, str], runtime: str
) -> None:
    write_config(environ, "[profile marketingadmin]\nregion = us-east-1\n[profile ops]\nregion = us-east-1\n")
    assert suggestions(roled, "roled env ", 2) == ["marketingadmin", "ops"]
    assert os.listdir(runtime) == []


def test_what_cannot_be_completed_is_completed_with_silence(
    roled: Roled, fake: FakeDaemon, environ: dict[str, str]
) -> None:
    fake.refuse("profiles", BrokenConfig("line 1 is wrong"))
    write_config(environ, "no section at all\n")
    assert suggestions(roled, "roled env ", 2) == []
    assert suggestions(roled, "roled nonsense a", 2) == []


def test_bash_offers_profiles_when_the_script_is_loaded(environ: dict[str, str], tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    write_config(environ, "[profile marketingadmin]\nregion = us-east-1\n")
    command = tmp_path / "roled"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m roled "$@"\n')
    command.chmod(0o755)
    script = (
        f"source {COMPLETIONS / 'roled.bash'}; COMP_WORDS=(roled env mar); COMP_CWORD=2;"
        ' _roled_completion roled; echo "${COMPREPLY[@]}"'
    )
    finished = subprocess.run(
        [bash, "--norc", "-c", script],
        env=environ | {"PATH": f"{tmp_path}:{environ['PATH']}"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("marketingadmin\n", "")


def write_config(environ: dict[str, str], text: str) -> None:
    Path(environ["HOME"], ".aws", "config").write_text(text, encoding="utf-8")
