"""What the story's lines look like in each shell, and the rc file that loads the hook as the README says."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from roled.core import quoting


@dataclass(frozen=True, slots=True)
class Dialect:
    """One shell: how to start it, where its rc file lies in HOME, and how it says what the story needs."""

    command: tuple[str, ...]
    rc: str
    hook: str
    set_profile: str
    unset_profile: str
    status: str
    path: str
    prompt: str
    quote: Callable[[str], str]

    def rc_text(self, folder: str) -> str:
        """The rc file: programs of `folder` come first, then the hook."""
        return "\n".join((self.path.format(self.quote(folder)), self.prompt, self.hook, ""))


BASH = Dialect(
    command=("bash", "-i"),
    rc=".bashrc",
    hook='eval "$(roled hook bash)"',
    set_profile="export AWS_PROFILE={}",
    unset_profile="unset AWS_PROFILE",
    status="$?",
    path='export PATH={}:"$PATH"',
    prompt=r"PS1='roled demo \w \$ '",
    quote=quoting.posix,
)
ZSH = Dialect(
    command=("zsh", "-i"),
    rc=".zshrc",
    hook='eval "$(roled hook zsh)"',
    set_profile="export AWS_PROFILE={}",
    unset_profile="unset AWS_PROFILE",
    status="$?",
    path='export PATH={}:"$PATH"',
    prompt="PROMPT='roled demo %~ %# '",
    quote=quoting.posix,
)
FISH = Dialect(
    command=("fish", "-i"),
    rc=os.path.join(".config", "fish", "config.fish"),
    hook="roled hook fish | source",
    set_profile="set -gx AWS_PROFILE {}",
    unset_profile="set -e AWS_PROFILE",
    status="$status",
    path="set -gx PATH {} $PATH",
    prompt="set -g fish_greeting\nfunction fish_prompt; echo 'roled demo '(prompt_pwd)' > '; end",
    quote=quoting.fish,
)
DIALECTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
