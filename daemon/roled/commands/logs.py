"""The daemon's log."""

import os
import shutil
import sys
import time
from typing import BinaryIO

import click

from roled.core.errors import RoledError
from roled.edges import paths

LOOK = 0.25  # seconds between two looks for new lines


@click.command(short_help="Print the daemon's log.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines as they come, until Ctrl-C.")
def logs(*, follow: bool) -> None:
    """Print the log of the daemon. It holds no secrets."""
    path = paths.log_path()
    try:
        _print(path, follow=follow)
    except FileNotFoundError:
        hint = "the daemon writes it once it runs: roled start"
        raise RoledError(f"there is no log yet, it would be {path}", hint) from None


def _print(path: str, *, follow: bool) -> None:
    while True:
        with open(path, "rb") as log:
            _copy(log)
            while follow and not _replaced(log, path):
                time.sleep(LOOK)
                _copy(log)
        if not follow:
            return


def _copy(log: BinaryIO) -> None:
    shutil.copyfileobj(log, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _replaced(log: BinaryIO, path: str) -> bool:
    """Whether a new log stands in the place of this one, or this one begins anew."""
    try:
        now = os.stat(path)
    except FileNotFoundError:
        return False
    return not os.path.samestat(now, os.fstat(log.fileno())) or now.st_size < log.tell()
