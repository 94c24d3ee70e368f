"""`roled demo` as a person runs it: in a terminal, and without one."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import psutil
import pytest

SHELLS = [shell for shell in ("bash", "zsh", "fish") if shutil.which(shell)]
DEMO = (sys.executable, "-m", "roled", "demo")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demo makes its sandbox; short, because a socket's path has to be."""
    with tempfile.TemporaryDirectory(prefix="d") as name:
        yield Path(name)
        assert leftovers(name) == []
        assert os.listdir(name) == []


@pytest.fixture
def environ(folder: Path) -> dict[str, str]:
    return {"HOME": "/nonexistent", "PATH": os.environ["PATH"], "TERM": "xterm", "TMPDIR": str(folder)}


def leftovers(folder: str) -> list[list[str]]:
    """Processes that still know of the folder, once they have had a moment to end."""
    give_up_at = time.monotonic() + 10
    while (found := running(folder)) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    return found


def running(folder: str) -> list[list[str]]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if folder in f"{process.environ()} {process.cmdline()}":
                found.append(process.cmdline())
    return found


def opened(shell: str, environ: dict[str, str]) -> pexpect.spawn:
    """The demo on a terminal, when the shell has shown its prompt."""
    environ = {**environ, "SHELL": f"/bin/{shell}"}
    terminal = pexpect.spawn(
        DEMO[0], list(DEMO[1:]), env=environ, encoding="utf-8", timeout=30, dimensions=(50, 200)
    )
    terminal.expect("roled demo ~")
    return terminal


def test_the_story_goes_as_told_in_every_installed_shell(environ: dict[str, str]) -> None:
    story = subprocess.run(
        (*DEMO, "--check"), env=environ, capture_output=True, text=True, timeout=110, check=False
    )
    assert (story.returncode, story.stderr) == (0, ""), story.stdout
    assert story.stdout.endswith("all of it went as it should\n")
    for shell in SHELLS:
        assert f"  ok      {shell:5} the same terminal still lists the bucket\n" in story.stdout


def test_without_a_terminal_a_step_that_goes_wrong_is_shown_and_fails_the_demo(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    lying_aws = tmp_path / "aws"
    lying_aws.write_text('#!/bin/sh\n[ "$1" = --version ] && echo aws-cli/2.99.0 || echo "PRE 2026/"\n')
    lying_aws.chmod(0o755)
    environ["PATH"] = f"{tmp_path}:{environ['PATH']}"
    story = subprocess.run(
        DEMO, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert story.returncode == 1
    for shell in SHELLS:
        assert f"  FAILED  {shell:5} user1 may not list the bucket\nPRE 2026/\n" in story.stdout
    assert story.stdout.endswith("the demo failed at: user1 may not list the bucket\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_on_a_terminal_it_opens_the_persons_own_shell_and_cleans_up_after_it(
    shell: str, environ: dict[str, str]
) -> None:
    terminal = opened(shell, environ)
    name_profile = (
        "set -gx AWS_PROFILE marketingadmin" if shell == "fish" else "export AWS_PROFILE=marketingadmin"
    )
    terminal.sendline(name_profile)
    terminal.sendline("aws s3 ls s3://marketing-reports")
    terminal.expect("PRE 2026/")
    terminal.sendline("exit")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert (terminal.exitstatus, terminal.signalstatus) == (0, None)


def test_a_closed_window_leaves_nothing_behind(environ: dict[str, str]) -> None:
    terminal = opened("bash", environ)
    terminal.sendline("export AWS_PROFILE=marketingadmin; aws s3 ls s3://marketing-reports")
    terminal.expect("PRE 2026/")
    demo = psutil.Process(terminal.pid)
    with contextlib.suppress(pexpect.ExceptionPexpect):  # it takes its time to clean up
        terminal.close(force=False)
    demo.wait(60)  # pexpect kills whatever still runs once its own object goes


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing in it but the script, on a machine with nothing but its tools."""
    root = Path(__file__).parents[2]
    for name in ("pyproject.toml", "contrib/demo"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "dirname", "cmp"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    return tmp_path


def run_script(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = ("bash", str(checkout / "contrib" / "demo"), "--check")
    environ = {"PATH": str(checkout / "bin")}
    return subprocess.run(
        command, env=environ, cwd="/", capture_output=True, text=True, timeout=20, check=False
    )


def test_the_script_says_in_one_line_that_python_is_missing(checkout: Path) -> None:
    tried = run_script(checkout)
    assert (tried.returncode, tried.stdout) == (1, "")
    assert tried.stderr.count("\n") == 1
    assert tried.stderr.startswith("contrib/demo: no Python 3.11 or newer")


def test_the_script_installs_nothing_when_nothing_has_changed(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/bash\necho "in $PWD: $*"\n')
    python.chmod(0o755)
    shutil.copy(checkout / "pyproject.toml", checkout / ".venv" / "installed-demo")
    tried = run_script(checkout)
    assert (tried.returncode, tried.stderr) == (0, "")
    assert tried.stdout == f"in {checkout}: -m roled demo --check\n"
