"""`python -I -m roled.daemon [--background]`: the daemon's own process, kept small.

asyncio does without ssl, and hashlib without OpenSSL, where they are missing; the daemon needs neither, and
without OpenSSL the process, which lives as long as the session, is a third smaller.
"""

import importlib.util
import os
import sys


def main(arguments: list[str]) -> int:
    """Run the daemon until it is told to stop; 0 also where one runs already."""
    _leave_aws_behind()
    _do_without_openssl()
    # Only now: these load asyncio and hashlib.
    from roled import service  # noqa: PLC0415
    from roled.core import report  # noqa: PLC0415
    from roled.core.errors import RoledError  # noqa: PLC0415

    try:
        service.main(background="--background" in arguments)
    except RoledError as error:
        print(*report.lines(error), sep="\n", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


def _leave_aws_behind() -> None:
    """Start anew without the AWS settings of the shell that happens to start the daemon: they must not decide
    for other shells. What a process merely unsets stays readable in its memory.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    if len(kept) < len(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], kept)  # noqa: S606


def _do_without_openssl() -> None:
    missing = None  # as an import of a module that is not there
    sys.modules.setdefault("ssl", missing)  # type: ignore[arg-type]
    built_in = "_sha2" if sys.version_info >= (3, 12) else "_sha256"
    if importlib.util.find_spec(built_in):
        sys.modules.setdefault("_hashlib", missing)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
