"""How a command ends: what its user reads on stderr, and the exit code. Never a traceback.

stdout is for what was asked for, stderr for people. Such a line reads `roled: <line>`, in lower case and
with no full stop; below it, indented, stands the next step if there is one.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from types import TracebackType

from roled.core.errors import RoledError

INTERRUPTED = 130  # what a shell calls a program that Ctrl-C ended
READER_LEFT = 141  # what a shell calls a program that SIGPIPE ended


class UsageError(RoledError):
    """Words on the command line that say nothing roled could do."""

    code = "usage"
    exit_code = 2


def run(command: Callable[[], int]) -> int:
    """The exit code of `command`, after telling its user what went wrong, if anything did."""
    try:
        code = command()
        if sys.stdout:
            sys.stdout.flush()  # here, where a reader that left can still be noticed
    except RoledError as error:
        say(str(error), error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _let_go_of_stdout()
        return READER_LEFT
    except Exception as error:  # noqa: BLE001 - a bug is still told in one line
        _let_go_of_stdout()
        say(_unexpected(error), "this should not happen; what the daemon knows of it: roled logs")
        return 1
    return code


def say(line: str, hint: str = "") -> None:
    """Tell the person one line, and below it the next step."""
    from roled.core.protocol import (
        printable,
    )  # here, because `roled hook` has nothing to say and is in a hurry

    if sys.stderr:  # None when it was closed, and then print() would take stdout
        with contextlib.suppress(OSError):
            print(f"roled: {printable(line)}", file=sys.stderr)
            if hint:
                print(f"       {printable(hint)}", file=sys.stderr)


def _unexpected(error: Exception) -> str:
    """Type and place: the text of a foreign exception may hold anything, secrets included."""
    reasons = [error.strerror, error.filename] if isinstance(error, OSError) else []
    place = f"unexpected {type(error).__name__} at {_site(error.__traceback__)}"
    return ": ".join([place, *(str(reason) for reason in reasons if reason)])


def _site(traceback: TracebackType | None) -> str:
    """The last line of roled's own code that the exception passed."""
    package = os.path.dirname(os.path.dirname(__file__))
    site = "an unknown place"
    while traceback:
        filename = traceback.tb_frame.f_code.co_filename
        if filename.startswith(package):
            site = f"{os.path.relpath(filename, package)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return site


def _let_go_of_stdout() -> None:
    """Python flushes stdout once more at its end, and would complain there."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
