"""A real shell on a pseudo-terminal, with the hook loaded from its rc file."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pexpect

from roled.core import quoting
from roled.edges import client

HOOKS = Path(__file__).resolve().parents[2] / "shell"
PROMPT = "<<prompt>>"
ESCAPES = re.compile(r"\x1b\[[0-9;?<>=]*[A-Za-z]|\x1b[=>()][A-Z0-9]?|\x1b\][^\x07]*\x07")

RC = {
    "bash": "PS1='{prompt}'\nbind 'set enable-bracketed-paste off' 2>/dev/null\n",
    "zsh": "PROMPT='{prompt}' RPROMPT='' PROMPT_SP='' PROMPT_EOL_MARK=''\nunsetopt zle prompt_cr\n",
    "fish": "function fish_prompt; echo -n '{prompt}'; end\nset -g fish_greeting\nfunction fish_title; end\n",
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
        runtime: Path,
        *,
        before: str = "",
        after: str = "",
        environ: dict[str, str] | None = None,
        executable: str | None = None,
        python: str = sys.executable,
    ) -> None:
        self.shell = shell
        rc = home / RC_FILE[shell]
        rc.parent.mkdir(parents=True, exist_ok=True)
        hook = home / f"hook.{shell}"
        hook.write_text(render(shell, runtime, python))
        rc.write_text(f"{before}\n{RC[shell].format(prompt=PROMPT)}\n{load(shell, hook)}\n{after}\n")
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
        self.child.sendline(line)
        self.child.expect_exact(line[-60:] if len(line) < 900 else "\n")

    def interrupt(self) -> str:
        """Press Ctrl-C; what came until the next prompt."""
        self.child.sendintr()
        return self._until_prompt()

    def wait_for(self, text: str, timeout: float = 20) -> None:
        self.child.expect_exact(text, timeout=timeout)

    def value(self, name: str) -> str:
        """An environment variable as a command started now sees it; empty if it is not there."""
        return self.run(f"printenv {name}").strip()

    def key(self) -> str:
        return self.value("AWS_ACCESS_KEY_ID")

    def close(self) -> None:
        self.child.close(force=True)

    def _until_prompt(self, timeout: float = 20) -> str:
        self.child.expect_exact(PROMPT, timeout=timeout)
        return ESCAPES.sub("", self.child.before).replace("\r\n", "\n").replace("\r", "").lstrip("\n")


def render(shell: str, runtime: Path, python: str = sys.executable) -> str:
    values = {"RUNTIME": str(runtime), "PYTHON": python, "CLIENT": str(client.__file__)}
    return quoting.render((HOOKS / f"hook.{shell}").read_text(), shell, values)


def load(shell: str, hook: Path) -> str:
    return f"source {hook}" if shell == "fish" else f'eval "$(cat {hook})"'
