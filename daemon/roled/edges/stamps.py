"""Stamps: empty files whose existence tells a shell that nothing changed since it asked."""

import contextlib
import os


class Stamps:
    """The stamps folder. A stamp that can't be made only costs its shells a question at their next prompt."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def put(self, name: str) -> None:
        with contextlib.suppress(OSError):
            flags = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(os.path.join(self._folder, name), flags, 0o600))

    def remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self._folder, name))

    def clear(self) -> None:
        """Remove what an earlier daemon left, so that every shell asks this one."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self._folder):
                self.remove(name)
