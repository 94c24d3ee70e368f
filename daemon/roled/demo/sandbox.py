"""A person's surroundings, made for the demo and removed with it: HOME, runtime folder, programs, an AWS.

Nothing of the real person's configuration is read, and nothing of it written.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import ProxyHandler, build_opener

from roled.core.errors import RoledError
from roled.demo.dialects import DIALECTS

KEPT = re.compile(r"PATH|TERM|COLORTERM|LANG|LANGUAGE|LC_\w+|TZ|USER|LOGNAME|SHELL|TMPDIR")
# Older ones don't know `endpoint_url` in the config, and would go out to the real AWS.
OLDEST_AWS_CLI = {"1": 29, "2": 13}


@dataclass(frozen=True, slots=True)
class Sandbox:
    """`environ` is what a terminal of that person starts with."""

    home: str
    environ: Mapping[str, str]
    endpoint: str

    def calls(self) -> list[dict[str, Any]]:
        """The AssumeRole calls that AWS has granted so far."""
        directly = build_opener(ProxyHandler({}))
        with directly.open(f"{self.endpoint}/_standin/calls", timeout=5) as answer:
            calls = json.load(answer)
        return [call for call in calls if (call["action"], call["outcome"]) == ("AssumeRole", "ok")]


@contextlib.contextmanager
def opened(session_seconds: int) -> Iterator[Sandbox]:
    """A sandbox whose AWS gives sessions of `session_seconds`; at the end daemon, AWS and files are gone."""
    home = tempfile.mkdtemp(prefix="roled-demo-")
    environ = _environ(home)
    try:
        with _standin(home, session_seconds) as where:
            _write_programs(os.path.join(home, "bin"), environ)
            yield Sandbox(home, environ, where["endpoint"])
    finally:
        with _undisturbed():
            _end_daemon(environ)
            shutil.rmtree(home, ignore_errors=True)


def _environ(home: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    return kept | {
        "HOME": home,
        "PATH": os.pathsep.join((os.path.join(home, "bin"), os.environ.get("PATH", os.defpath))),
        "ROLED_RUNTIME_DIR": os.path.join(home, "run"),
        "XDG_RUNTIME_DIR": home,
        "XDG_CONFIG_HOME": os.path.join(home, ".config"),
        "XDG_STATE_HOME": os.path.join(home, ".local", "state"),
        "XDG_DATA_HOME": os.path.join(home, ".local", "share"),
        "XDG_CACHE_HOME": os.path.join(home, ".cache"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "NO_PROXY": "127.0.0.1",  # macOS has a proxy for all programs
        "BASH_SILENCE_DEPRECATION_WARNING": "1",  # macOS's bash would recommend zsh
    }


@contextlib.contextmanager
def _standin(home: str, session_seconds: int) -> Iterator[dict[str, Any]]:
    """The stand-in as a process of its own, which Ctrl-C in the demo's terminal doesn't reach."""
    command = (
        sys.executable,
        "-I",
        "-m",
        "roled.demo.standin",
        "--home",
        home,
        "--session-seconds",
        str(session_seconds),
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else b""
            if not line:
                raise RoledError("the pretend AWS does not start", "its message stands above")
            yield json.loads(line)
        finally:
            process.terminate()


def _write_programs(folder: str, environ: Mapping[str, str]) -> None:
    """`roled`, also where it isn't on the PATH; `aws`, where there is none to be used; the rc files."""
    os.makedirs(folder)
    _write_program(os.path.join(folder, "roled"), "roled")
    if not _has_aws_cli(environ):
        _write_program(os.path.join(folder, "aws"), "roled.demo.aws_command")
    # Without this folder a fish would start by reading all man pages, for minutes and after its own end.
    os.makedirs(os.path.join(environ["XDG_DATA_HOME"], "fish", "generated_completions"))
    for dialect in DIALECTS.values():
        path = os.path.join(environ["HOME"], dialect.rc)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(dialect.rc_text(folder))


def _write_program(path: str, module: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -m {module} "$@"\n')
    os.chmod(path, 0o755)  # noqa: S103 - in a folder of ours


def _has_aws_cli(environ: Mapping[str, str]) -> bool:
    """Whether the `aws` on the PATH works in the sandbox, and is new enough to ask our AWS only."""
    try:
        asked = subprocess.run(
            ("aws", "--version"),  # noqa: S607 - the one that the person would run
            env=environ,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    found = re.match(r"aws-cli/(\d+)\.(\d+)", asked.stdout or asked.stderr)
    return found is not None and int(found[2]) >= OLDEST_AWS_CLI.get(found[1], 0)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Neither Ctrl-C nor a closing window interrupts what happens in here."""
    numbers = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _end_daemon(environ: Mapping[str, str]) -> None:
    """Forget first: what the daemon keeps in the person's real keyring must not outlive the demo."""
    for verb in ("forget", "stop"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                (sys.executable, "-I", "-m", "roled", verb),
                env=environ,
                capture_output=True,
                timeout=20,
                check=False,
            )
