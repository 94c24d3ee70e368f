"""A real daemon in a process of its own; all that it reads and writes lies below one folder."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from roled.edges import client

COMMAND = (sys.executable, "-I", "-m", "roled.daemon")
PATIENCE = 20.0  # seconds, on a busy machine
CONFIG = """
[profile base]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY
[profile admin]
role_arn = arn:aws:iam::111122223333:role/Admin
source_profile = base
"""


class Daemon:
    """Use it as a context manager: it answers when the block begins, and is gone after it."""

    def __init__(self, folder: Path, *, command: Sequence[str] = COMMAND, **environ: str) -> None:
        self.folder, self.command = folder, command
        self.runtime, self.home, self.state = str(folder / "run"), folder / "home", folder / "state"
        self.log = self.state / "roled" / "daemon.log"
        self.config = self.home / ".aws" / "config"
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(CONFIG)
        self.environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.state),
            "ROLED_RUNTIME_DIR": self.runtime,
            **environ,
        }

    def __enter__(self) -> Self:
        self.process = self.spawn()
        eventually(self.answers)
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)

    def spawn(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start one, whatever will come of it."""
        return subprocess.Popen(
            [*self.command, *arguments],
            env=self.environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self) -> tuple[int, str]:
        """Start one that is expected to end by itself: its exit status and what it wrote."""
        process = self.spawn()
        try:
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            end(process)
        return process.returncode, said

    def ask(self, verb: str, **fields: str) -> list[str]:
        return client.ask(self.runtime, verb, fields, PATIENCE)

    def lease(self, profile: str, **variables: str) -> list[str]:
        """What a shell is told, here in the role of the test's own process."""
        shell = {"HOME": str(self.home), "AWS_PROFILE": profile, **variables}
        return self.ask("lease", shell="zsh", pid=str(os.getpid()), tty="", wait="1", **shell)

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.ask("ping")[-1] == "OK"
        return False

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(PATIENCE)
        connection.connect(f"{self.runtime}/socket")
        return connection

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Ask the running one to end: its exit status and what it wrote."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said


def end(process: subprocess.Popen[str]) -> None:
    """Kill it if it still runs, and close its pipes."""
    process.kill()
    process.communicate()


def eventually(found: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait for what another process is about to do."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return result
