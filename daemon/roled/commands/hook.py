"""The shell code that `roled hook SHELL` prints. Imports next to nothing: every new terminal waits for it."""

import os
import sys

from roled.commands.outcome import UsageError, say
from roled.core import quoting
from roled.edges import paths

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

HOW_TO_LOAD = {
    "bash": '~/.bashrc: eval "$(roled hook bash)"',
    "zsh": '~/.zshrc: eval "$(roled hook zsh)"',
    "fish": "~/.config/fish/config.fish: roled hook fish | source",
}
SHELLS = tuple(HOW_TO_LOAD)


def show(shell: str) -> int:
    """Print the hook for `shell`; the exit code."""
    if shell not in HOW_TO_LOAD:
        raise UsageError(f"there is no hook for {shell}, only for bash, zsh and fish")
    print(code(shell), end="")
    if sys.stdout and sys.stdout.isatty():
        say("this is for your shell to read; it takes effect from the end of its rc file", HOW_TO_LOAD[shell])
    return 0


def code(shell: str) -> str:
    """The hook file, told where this installation and this user's daemon are."""
    with open(os.path.join(PACKAGE, "shell", f"hook.{shell}"), encoding="utf-8") as file:
        text = file.read()
    return quoting.render(
        text,
        shell,
        {
            "RUNTIME": paths.runtime_dir(os.environ),
            "PYTHON": os.path.abspath(sys.executable),
            "CLIENT": os.path.join(PACKAGE, "edges", "client.py"),
        },
    )
