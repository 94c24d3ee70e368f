"""Where everything is measured: a HOME of its own, the AWS stand-in on loopback, and a daemon.

Nothing of the machine's AWS set-up is seen, and nothing outlives the `with` block.
"""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from roled.core.protocol import SHELL_VARIABLES
from roled.edges import client

ROLED = os.path.join(os.path.dirname(sys.executable), "roled")
PROFILES = ("marketingadmin", "auditor", "reports", "partner", "long")  # of the stand-in; all can be had
COME_UP = 30.0  # seconds that the stand-in and the daemon get to start on a busy machine


class Lab:
    """The sandbox. `environ` is what a shell in it starts with."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="roled-bench-", ignore_cleanup_errors=True)
        self.home = Path(self._folder.name)
        self.runtime = str(self.home / "run")
        self.environ = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "ROLED_RUNTIME_DIR": self.runtime,
        }

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "roled.demo.standin", "--home", str(self.home)]
        self._aws = subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE, text=True)
        assert self._aws.stdout
        where = json.loads(self._aws.stdout.readline())
        self.endpoint, self._port = where["endpoint"], where["port"]
        return self

    def __exit__(self, *_: object) -> None:
        self._aws.terminate()
        self._aws.communicate()
        self._folder.cleanup()

    @contextlib.contextmanager
    def daemon(self) -> Iterator[int]:
        """The pid of a daemon that has just started, with nothing in its store."""
        shutil.rmtree(self.runtime, ignore_errors=True)
        # As client.start does it.
        command = [sys.executable, "-I", "-m", "roled.daemon", "--background"]
        with subprocess.Popen(command, env=self.environ, cwd="/", start_new_session=True) as process:
            try:
                self._until_it_answers()
                yield process.pid
            finally:
                self.ask("forget")  # what the stand-in gave must not stay in a store
                self.ask("stop")

    def ask(self, verb: str, **fields: str) -> list[str]:
        return client.ask(self.runtime, verb, fields, 30.0)

    def lease_fields(self, profile: str, pid: int = 0) -> dict[str, str]:
        """What the hook of a shell sends that has just switched to `profile`."""
        shell = {name: self.environ[name] for name in SHELL_VARIABLES if name in self.environ}
        return shell | {"shell": "bash", "pid": str(pid), "tty": "", "wait": "1", "AWS_PROFILE": profile}

    def lease(self, profile: str, pid: int = 0) -> None:
        """Have the daemon hold credentials of `profile`, for the shell `pid`."""
        reply = self.ask("lease", **self.lease_fields(profile, pid))
        assert is_grant(reply), reply

    def sts_calls(self) -> int:
        """How many calls STS has answered so far."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=COME_UP)
        with contextlib.closing(connection):
            connection.request("GET", "/_standin/calls")
            return len(json.load(connection.getresponse()))

    def _until_it_answers(self) -> None:
        deadline = time.monotonic() + COME_UP
        while True:
            try:
                self.ask("ping")
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return


def is_grant(reply: list[str]) -> bool:
    """Whether a reply of the daemon hands out credentials."""
    return reply[-1] == "OK" and any(line.startswith("set AWS_SECRET_ACCESS_KEY ") for line in reply)


@contextlib.contextmanager
def idle_processes(count: int) -> Iterator[list[int]]:
    """The pids of processes that sleep: they stand for shells at their prompt."""
    sleepers = [subprocess.Popen(["sleep", "3600"]) for _ in range(count)]
    try:
        yield [sleeper.pid for sleeper in sleepers]
    finally:
        for sleeper in sleepers:
            sleeper.kill()
        for sleeper in sleepers:
            sleeper.wait()
