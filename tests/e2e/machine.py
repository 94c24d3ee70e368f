"""A machine of its own for one test: HOME, daemon and shells, as a person would have them, and an AWS.

Everything, AWS included, runs under libfaketime and reads one clock, which `advance` moves.
"""

import contextlib
import glob
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.request import ProxyHandler, Request, build_opener

import psutil
from terminal import Terminal

from roled.edges.keychain import open_keychain
from roled.edges.sealed_file import SealedFile

BIN = str(Path(sys.executable).parent)
LOAD = {
    "bash": 'eval "$(roled hook bash)"',
    "zsh": 'eval "$(roled hook zsh)"',
    "fish": "roled hook fish | source",
}
SHELLS = tuple(LOAD)

# bash has a getenv of its own, by which libfaketime finds no settings in it. Once unset, EPOCHSECONDS is a
# plain variable, which `first` sets by a `date` that sees the machine's clock.
BASH_CLOCK = "EPOCHSECONDS=$(date +%s)"


class Aws:
    """The strict AWS, which takes seconds to start, and the clock that it shares with the machines."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.home = folder
        self._clock = folder / "clock"
        self._offset = 0
        self.advance(0)
        self.environ = {
            "LD_PRELOAD": libfaketime(),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
            "NO_FAKE_STAT": "1",
        }

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "roled.demo.standin", "--home", str(self.home)]
        self._process = subprocess.Popen(command, env=os.environ | self.environ, stdout=subprocess.PIPE)
        assert self._process.stdout
        where = json.loads(self._process.stdout.readline())
        self.endpoint, self.bucket = where["endpoint"], where["bucket"]
        # libfaketime's memory goes with the process that made it, and its later children die at their start:
        # let it be that of a process which outlives all others.
        pid = self._process.pid
        self.environ["FAKETIME_SHARED"] = f"/faketime_sem_{pid} /faketime_shm_{pid}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def advance(self, seconds: int) -> None:
        self._offset += seconds
        self._clock.write_text(f"+{self._offset}")

    def forget_calls(self) -> None:
        self.http("/_standin/calls", method="DELETE")
        self.http("/_standin/faults", method="DELETE")

    def http(self, path: str, body: Any = None, method: str | None = None) -> Any:
        request = Request(
            self.endpoint + path,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"},
            method=method,
        )
        with build_opener(ProxyHandler({})).open(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None


class Machine:
    """A context manager: whatever it started ends with the block."""

    def __init__(self, folder: Path, aws: Aws, environ: dict[str, str] | None = None) -> None:
        self.home = folder / "home"
        self.runtime = folder / "run"
        self.endpoint, self.bucket = aws.endpoint, aws.bucket
        self.environ = {
            "HOME": str(self.home),
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "PAGER": "cat",
            "ROLED_RUNTIME_DIR": str(self.runtime),
            "XDG_STATE_HOME": str(folder / "state"),
            "AWS_EC2_METADATA_DISABLED": "true",
            **aws.environ,
            **(environ or {}),
        }
        self._aws = aws
        self._terminals: list[Terminal] = []
        shutil.copytree(aws.home / ".aws", self.home / ".aws")
        aws.forget_calls()

    def __enter__(self) -> Self:
        sweep()
        return self

    def __exit__(self, *_: object) -> None:
        for terminal in self._terminals:
            terminal.close()
        self.roled("stop")
        for process in self.daemons():
            process.kill()

    def terminal(self, shell: str, **options: Any) -> Terminal:
        """A terminal of the person: their rc file loads the hook as the README says."""
        environ = self.environ | options.pop("environ", {})
        if shell == "bash":
            options["before"] = f"unset EPOCHSECONDS; {BASH_CLOCK}\n{options.get('before', '')}"
        terminal = Terminal(shell, self.home, hook=LOAD[shell], environ=environ, **options)
        self._terminals.append(terminal)
        return terminal

    def roled(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        command = [f"{BIN}/roled", *arguments]
        return subprocess.run(
            command, env=self.environ | environ, capture_output=True, text=True, check=False
        )

    def resting(self) -> list[str]:
        """What the store holds, as the next daemon will find it."""
        keychain = open_keychain(self.environ, lambda: SealedFile(str(self.runtime)))
        return [text for identity in keychain._index() if (text := keychain.recall(identity))]

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.roled("status", "--json").stdout)
        return status

    def advance(self, seconds: int) -> None:
        """Let time pass, as sleep does: nobody notices until they look at the clock."""
        self._aws.advance(seconds)

    def first(self, terminal: Terminal, line: str) -> str:
        """What `line` prints as the first one typed after `advance`."""
        return terminal.run(f"{BASH_CLOCK}; {line}" if terminal.shell == "bash" else line)

    def daemons(self) -> list[psutil.Process]:
        """Who listens on this machine's socket. Only the socket tells: nobody may look into a daemon."""
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError, psutil.NoSuchProcess):
            connection.connect(str(self.runtime / "socket"))
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
            return [psutil.Process(struct.unpack("iII", peer)[0])]
        return []

    def kill_daemon(self) -> None:
        (daemon,) = self.daemons()
        daemon.kill()
        daemon.wait()

    def calls(self, action: str = "AssumeRole") -> list[dict[str, Any]]:
        """What STS was asked so far."""
        return [call for call in self._aws.http("/_standin/calls") if call["action"] == action]

    def fault(self, kind: str, value: Any = None, count: int | None = None, **narrowed: str) -> None:
        self._aws.http("/_standin/faults", {"kind": kind, "value": value, "count": count, **narrowed})

    def heal(self) -> None:
        self._aws.http("/_standin/faults", method="DELETE")

    def edit(self, old: str, new: str) -> None:
        """Change the AWS config as an editor does: a new file over the old."""
        config = self.home / ".aws" / "config"
        text = config.read_text()
        assert old in text
        replacement = config.with_suffix(".new")
        replacement.write_text(text.replace(old, new))
        replacement.replace(config)


def libfaketime() -> str:
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    assert found, "libfaketime is missing: apt-get install faketime"
    return found[0]


def sweep() -> None:
    """Remove what libfaketime kept for killed processes: it may end a later one that gets the same number."""
    for left in Path("/dev/shm").glob("*faketime_s[eh]m_*"):
        if not psutil.pid_exists(int(left.name.rpartition("_")[2])):
            with contextlib.suppress(OSError):  # another user's, or swept by another test
                left.unlink()


def eventually(true: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for what another process is about to do."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found
