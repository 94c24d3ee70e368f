"""psutil: is the asking shell still alive."""

import psutil


class Process:
    """One process, told apart from a later one of the same number by its start time."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process

    def alive(self) -> bool:
        """False once it ended, even if nobody has waited for it yet."""
        try:
            return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        except OSError:
            return True  # it cannot be looked at for now: no reason to let go of a shell


def find(pid: int) -> Process | None:
    """The running process of this number."""
    try:
        return Process(psutil.Process(pid))
    except (psutil.NoSuchProcess, psutil.AccessDenied, OverflowError, ValueError, OSError):
        return None
