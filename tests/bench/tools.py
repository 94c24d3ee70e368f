"""What can be hooked into a shell: roled, the two that it is compared with, and nothing."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.lab import PROFILES, ROLED, Lab

VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
HOOKS = {"direnv": "hook", "mise": "activate"}  # how each prints its hook
TRUST = {"direnv": ("allow",), "mise": ("trust", "--quiet")}


@dataclass(frozen=True)
class Tool:
    """`turns` are commands, each for one environment; the variable `shows` tells which one it is."""

    name: str
    hook: tuple[str, ...] = ()  # the command that prints the hook, without the shell's name
    turns: tuple[str, str] = ("", "")
    shows: str = ""
    is_quick: bool = False  # far below a millisecond for a prompt

    def load(self, shell: str) -> str:
        """The line for the rc file of `shell`."""
        hook = " ".join((*self.hook, shell))
        if not self.hook:
            return ""
        return f"{hook} | source" if shell == "fish" else f'eval "$({hook})"'


NOTHING = Tool("no hook", is_quick=True)


def roled(shell: str) -> Tool:
    """Switches between two profiles."""
    export = "set -gx AWS_PROFILE {}" if shell == "fish" else "export AWS_PROFILE={}"
    there, back = export.format(PROFILES[0]), export.format(PROFILES[1])
    return Tool("roled", (ROLED, "hook"), (there, back), "AWS_ACCESS_KEY_ID", is_quick=True)


def installed(lab: Lab) -> list[Tool]:
    """Those of direnv and mise that are here, with two folders that set as much as roled does."""
    there, back = (lab.home / name for name in ("there", "back"))
    for folder in (there, back):
        folder.mkdir()
        values = {name: f"{folder.name}-{'x' * (700 if 'TOKEN' in name else 20)}" for name in VARIABLES}
        (folder / ".envrc").write_text("".join(f"export {name}={value}\n" for name, value in values.items()))
        (folder / "mise.toml").write_text(
            "[env]\n" + "".join(f'{name} = "{value}"\n' for name, value in values.items())
        )
    return [_tool(name, path, there, back, lab) for name in HOOKS if (path := shutil.which(name))]


def _tool(name: str, executable: str, there: Path, back: Path, lab: Lab) -> Tool:
    for folder in (there, back):
        subprocess.run(
            [executable, *TRUST[name]], cwd=folder, env=lab.environ, check=True, capture_output=True
        )
    return Tool(name, (executable, HOOKS[name]), (f"cd {there}", f"cd {back}"), VARIABLES[0])
