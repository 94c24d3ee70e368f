"""A text as one word of a shell, per shell; the hook files' placeholders filled with such words.

`shlex.quote` is right for bash and zsh, and a hole in fish, where a backslash inside single quotes escapes.
"""

import re
import shlex
from collections.abc import Callable, Mapping


def posix(text: str) -> str:
    """`text` as one word of bash, zsh or sh."""
    return shlex.quote(text)


def fish(text: str) -> str:
    """`text` as one word of fish."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


QUOTERS: Mapping[str, Callable[[str], str]] = {"bash": posix, "zsh": posix, "fish": fish}

PLACEHOLDER = re.compile(r"@([A-Z]+)@")


def render(template: str, shell: str, values: Mapping[str, str]) -> str:
    """`template` with each `@NAME@` replaced by `values[NAME]`, quoted for `shell`."""
    quote = QUOTERS[shell]
    return PLACEHOLDER.sub(lambda found: quote(values[found[1]]), template)
