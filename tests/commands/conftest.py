"""Real `roled` commands, run as a shell runs them, against a daemon that answers what a test lays down."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from scripted_daemon import FakeDaemon, Finished, Roled


@pytest.fixture
def runtime() -> Iterator[str]:
    """A runtime folder whose socket has a short enough path, which pytest's own folders do not promise."""
    with tempfile.TemporaryDirectory(prefix="roled-", ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.fixture
def environ(tmp_path: Path, runtime: str) -> dict[str, str]:
    """The environment of a person who has no variable of AWS's set."""
    (tmp_path / ".aws").mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "SHELL": "/bin/bash",
        "ROLED_RUNTIME_DIR": runtime,
    }


@pytest.fixture
def roled(environ: dict[str, str], tmp_path: Path) -> Roled:
    """Run `roled` with these words, and these variables on top of the person's."""

    def run(*words: str, env: Mapping[str, str] | None = None) -> Finished:
        return subprocess.run(
            [sys.executable, "-m", "roled", *words],
            env=environ | dict(env or {}),
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=30,
            check=False,
        )

    return run


@pytest.fixture
def fake(runtime: str) -> Iterator[FakeDaemon]:
    """A running daemon."""
    with FakeDaemon(runtime) as daemon:
        yield daemon


@pytest.fixture
def credentials() -> dict[str, Any]:
    """What the daemon answers to `credentials`."""
    return {
        "profile": "marketingadmin",
        "access_key_id": "ASIAEXAMPLEEXAMPLE12",
        "secret_access_key": "made/up+secret",
        "session_token": "made/up+token==",
        "expiration": "2033-05-18T03:33:20Z",
        "expires_at": 2000000000,
        "account": "123456789012",
        "assumed_role_arn": "arn:aws:sts::123456789012:assumed-role/marketingadmin/me",
        "region": "eu-central-1",
    }
