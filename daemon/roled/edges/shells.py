"""psutil: is the asking shell still alive."""

import contextlib

import psutil


class Process:
    """One process, told apart from a later one of the same number by its start time."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process

    def alive(self) -> bool:
        """False once it ended, even if nobody has waited for it yet."""
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        return False


def find(pid: int) -> Process | None:
    """The running process of this number."""
    try:
        return Process(psutil.Process(pid))
    except (psutil.NoSuchProcess, psutil.AccessDenied, OverflowError, ValueError):
        return None
