"""`roled hook`: shell code and nothing else, fast."""

import os
import pty
import subprocess
import sys

import pytest
from scripted_daemon import Roled

from roled.commands import hook

HEAVY = (
    "click",
    "rich",
    "asyncio",
    "boto3",
    "botocore",
    "psutil",
    "platformdirs",
    "json",
    "pathlib",
    "socket",
)


@pytest.mark.parametrize("shell", hook.SHELLS)
def test_the_hook_is_the_file_of_that_shell_with_every_placeholder_filled(roled: Roled, shell: str) -> None:
    finished = roled("hook", shell)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert os.path.abspath(sys.executable) in finished.stdout
    assert os.path.join(hook.PACKAGE, "edges", "client.py") in finished.stdout
    assert "@RUNTIME@" not in finished.stdout


def test_a_folder_with_odd_characters_stays_one_word(roled: Roled, runtime: str) -> None:
    odd = f"{runtime}/it's $(touch gone) here"
    finished = roled("hook", "bash", env={"ROLED_RUNTIME_DIR": odd})
    assert "'\"'\"'s $(touch gone) here'" in finished.stdout


def test_an_unknown_shell_is_told_which_there_are(roled: Roled) -> None:
    finished = roled("hook", "tcsh")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr == "roled: there is no hook for tcsh, only for bash, zsh and fish\n"


def test_on_a_terminal_the_code_still_stands_alone_on_stdout(environ: dict[str, str]) -> None:
    ours, terminal = pty.openpty()
    command = [sys.executable, "-m", "roled", "hook", "zsh"]
    with subprocess.Popen(command, env=environ, stdout=terminal, stderr=subprocess.PIPE) as process:
        os.close(terminal)
        while _read(ours):
            pass
        assert process.stderr
        told = process.stderr.read().decode()
    os.close(ours)
    assert "this is for your shell to read" in told
    assert '~/.zshrc: eval "$(roled hook zsh)"' in told


def test_the_hook_imports_nothing_heavy(environ: dict[str, str]) -> None:
    program = (
        "import sys; sys.argv[1:] = ['hook', 'bash']\n"
        "from roled.commands import main\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    finished = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env=environ | {"PYTHONPATH": os.path.dirname(hook.PACKAGE)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert set(HEAVY).isdisjoint(finished.stderr.split())


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says so when the other end is closed
        return b""
