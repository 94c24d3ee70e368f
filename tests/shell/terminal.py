"""A real shell on a pseudo-terminal, with the hook loaded from its rc file."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect

from roled.core import quoting
from roled.core.quoting import QUOTERS
from roled.edges import client

# An interpreter without roled: the client runs in it, but what it starts as a daemon ends at once.
BARE_PYTHON = os.path.realpath(sys.executable)

HOOKS = Path(__file__).resolve().parents[2] / "shell"
STARTED = "<<started>>"
END_OF_LINE = re.compile(
    r"⏎ *\r?(⏎ *)?\r?"
)  # what fish prints to find out whether the cursor is in the first column
ERASED = re.compile(r"[^\n]*\r\x1b\[K")  # a line that stood there only while it was true
ESCAPES = re.compile(r"\x1b\[[0-9;?<>=]*[A-Za-z]|\x1b[=>()][A-Z0-9]?|\x1b\][^\x07]*\x07")

# fish draws its prompt again and again, so its prompts carry a number, and a mark shows where output begins.
RC = {
    "bash": "PS1='<<prompt>>'\nbind 'set enable-bracketed-paste off' 2>/dev/null\n",
    "zsh": "PROMPT='<<prompt>>' RPROMPT='' PROMPT_SP='' PROMPT_EOL_MARK=''\nunsetopt prompt_cr prompt_sp\n",
    "fish": """
set -g fish_greeting
set -g lines 0
function fish_title; end
function fish_prompt; echo -n "<<prompt $lines>>"; end
function mark --on-event fish_preexec; set -g lines (builtin math $lines + 1); echo "<<started>>"; end
""",
}
START = {
    "bash": ["--noprofile", "--rcfile", "{home}/.bashrc", "-i"],
    "zsh": ["-i"],
    "fish": ["-i"],
}
RC_FILE = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}


class Terminal:
    """Type lines, read what they printed."""

    def __init__(
        self,
        shell: str,
        home: Path,
        runtime: Path | None = None,
        *,
        hook: str = "",
        before: str = "",
        after: str = "",
        environ: dict[str, str] | None = None,
        executable: str | None = None,
        python: str = BARE_PYTHON,
    ) -> None:
        self.shell = shell
        self._lines = 0
        rc = home / RC_FILE[shell]
        rc.parent.mkdir(parents=True, exist_ok=True)
        if runtime:
            rendered = home / f"hook.{shell}"
            rendered.write_text(render(shell, runtime, python))
            hook = load(shell, rendered)
        rc.write_text(f"{before}\n{RC[shell]}\n{hook}\n{after}\n")
        self.child: Any = pexpect.spawn(
            executable or shutil.which(shell) or shell,
            [word.format(home=home) for word in START[shell]],
            env={
                "HOME": str(home),
                "PATH": os.environ["PATH"],
                "TERM": "dumb",
                "LANG": "C.UTF-8",
                "HISTFILE": "",
                **(environ or {}),
            },
            cwd=str(home),
            dimensions=(50, 1000),
            encoding="utf-8",
            timeout=20,
        )
        self.child.delaybeforesend = None
        self.greeting = self._until_prompt()

    def run(self, line: str, *, timeout: float = 20) -> str:
        """What `line` printed, up to the next prompt."""
        self.send(line)
        return self._until_prompt(timeout)

    def send(self, line: str) -> None:
        self._lines += 1
        self.child.sendline(line)
        self.child.expect_exact(STARTED if self.shell == "fish" else line)
        self.child.expect_exact("\n")

    def enter(self, line: str) -> None:
        """Type a line that starts another shell in this one."""
        self.send(line)
        self._lines = 0
        self._until_prompt()

    def interrupt(self) -> str:
        """Press Ctrl-C; what came until the next prompt."""
        self.child.sendintr()
        return self._until_prompt()

    def wait_for(self, text: str, timeout: float = 20) -> None:
        self.child.expect_exact(text, timeout=timeout)

    def export(self, name: str, value: str) -> str:
        quoted = QUOTERS[self.shell](value)
        return self.run(f"set -gx {name} {quoted}" if self.shell == "fish" else f"export {name}={quoted}")

    def unset(self, name: str) -> str:
        return self.run(f"set -e {name}" if self.shell == "fish" else f"unset {name}")

    def use(self, profile: str) -> str:
        """Switch to a profile."""
        return self.export("AWS_PROFILE", profile)

    def value(self, name: str) -> str:
        """An environment variable as a command started now sees it; empty if it is not there."""
        return self.run(f"sh -c 'echo \"${name}\"'").strip()

    def key(self) -> str:
        return self.value("AWS_ACCESS_KEY_ID")

    def close(self) -> None:
        self.child.close(force=True)

    def _until_prompt(self, timeout: float = 20) -> str:
        prompt = f"<<prompt {self._lines}>>" if self.shell == "fish" else "<<prompt>>"
        self.child.expect_exact(prompt, timeout=timeout)
        shown = ERASED.sub("", self.child.before)
        return ESCAPES.sub("", END_OF_LINE.sub("", shown)).replace("\r\n", "\n").replace("\r", "")


Open = Callable[..., Terminal]  # the fixture `open_terminal`


def render(shell: str, runtime: Path, python: str = BARE_PYTHON) -> str:
    values = {"RUNTIME": str(runtime), "PYTHON": python, "CLIENT": str(client.__file__)}
    return quoting.render((HOOKS / f"hook.{shell}").read_text(), shell, values)


def load(shell: str, hook: Path) -> str:
    return f"source {hook}" if shell == "fish" else f'eval "$(cat {hook})"'
