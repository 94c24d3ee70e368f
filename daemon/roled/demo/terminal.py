"""A shell on a terminal of its own, driven line by line."""

import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import pexpect

# What a line editor writes besides text: CSI, OSC and other escape sequences, and lone control characters.
ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1f]"
)


class Terminal:
    """An interactive shell; `status` is the variable that holds its exit status."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], status: str) -> None:
        self._status = status
        self._count = 0
        self._shell = pexpect.spawn(
            command[0],
            list(command[1:]),
            env={**environ, "TERM": "dumb"},
            cwd=environ["HOME"],
            encoding="utf-8",
            codec_errors="replace",
            dimensions=(50, 500),  # wide, so that nothing is wrapped
            timeout=60,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shell.close(force=True)

    def run(self, line: str) -> tuple[int, str]:
        """Type `line`; its exit status (-1: it did not end) and what it and the shell wrote meanwhile."""
        self._count += 1
        # What is typed is echoed too, but with the variable's name in place of its value.
        echo = f'echo "end {self._count}={self._status}="'
        self._shell.sendline(f"{line}; {echo}")
        try:
            self._shell.expect(rf"end {self._count}=(\d+)=")
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            return -1, f"{_after(echo, self._shell.before)}\n({type(error).__name__.lower()})"
        return int(self._shell.match[1]), _after(echo, self._shell.before)


def _after(echo: str, shown: str) -> str:
    """What was shown since the line was typed, which a line editor may draw more than once."""
    return ESCAPES.sub("", shown).rpartition(echo)[2].strip()
