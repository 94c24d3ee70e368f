"""A hardened process leaves no core file, and is closed to others of the same user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOOK = """
import ctypes, resource
from roled.edges.hardening import harden
harden()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))
"""  # 3: PR_GET_DUMPABLE


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_hardened_process_cannot_be_dumped() -> None:
    shown = subprocess.run([sys.executable, "-I", "-c", LOOK], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["0", "0", "0"]


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() == 0, reason="root may read everything")
def test_the_environment_of_a_hardened_process_is_closed_to_its_own_user() -> None:
    waiting = "from roled.edges.hardening import harden; harden(); print(flush=True); input()"
    command = [sys.executable, "-I", "-c", waiting]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        with pytest.raises(PermissionError):
            Path(f"/proc/{process.pid}/environ").read_bytes()
        process.kill()
