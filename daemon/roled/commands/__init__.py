"""What a person types: a file per group of commands, with its arguments, printing and exit codes."""

import sys

from roled.commands.outcome import run


def main() -> None:
    """The command `roled`."""
    arguments = sys.argv[1:]
    sys.exit(run(lambda: _dispatch(arguments)))


def _dispatch(arguments: list[str]) -> int:
    match arguments:
        case ["hook", shell] if not shell.startswith("-"):
            # Every new terminal waits for this one, and click alone would double its time.
            from roled.commands.hook import show

            return show(shell)
        case _:
            from roled.commands.cli import dispatch

            return dispatch(arguments)
