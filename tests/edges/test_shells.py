"""Shells that live, end, and whose numbers go to others."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from roled.edges import shells
from roled.edges.shells import Process

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
WAIT = [sys.executable, "-I", "-S", "-c", "input()"]


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(WAIT, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def found(pid: int) -> Process:
    process = shells.find(pid)
    assert process
    return process


def test_a_running_shell_is_alive(child: "subprocess.Popen[bytes]") -> None:
    assert found(os.getpid()).alive()
    assert found(child.pid).alive()


def test_a_shell_that_ended_is_not_even_while_nobody_has_waited_for_it(
    child: "subprocess.Popen[bytes]",
) -> None:
    process = found(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive()
    child.wait()
    assert not process.alive()
    assert shells.find(child.pid) is None


@pytest.mark.parametrize("number", [-1, 2**22 + 1, 2**31, 2**63, 10**30])
def test_a_number_that_no_process_has_finds_none(number: int) -> None:
    assert shells.find(number) is None


def test_another_process_of_the_same_number_is_not_the_shell(child: "subprocess.Popen[bytes]") -> None:
    process, started = found(child.pid), psutil.Process(child.pid).create_time()
    child.kill()
    child.wait()
    with reborn(child.pid, started) as another:
        assert found(child.pid).alive()
        assert not process.alive()
        another.kill()


def test_a_shell_is_kept_while_the_system_does_not_let_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> bool:
        raise OSError(24, "Too many open files")

    process = found(os.getpid())
    monkeypatch.setattr(psutil.Process, "is_running", fail)
    assert process.alive()


def reborn(pid: int, started: float) -> "subprocess.Popen[bytes]":
    """A later process with this number, which the kernel is told to give next; others may be faster.

    Start times are told apart by the hundredth of a second.
    """
    for _ in range(50):
        try:
            LAST_PID.write_text(str(pid - 1))
        except OSError:
            pytest.skip("only root on Linux can choose the number of the next process")
        process = subprocess.Popen(WAIT, stdin=subprocess.PIPE)
        if process.pid == pid and psutil.Process(pid).create_time() != started:
            return process
        process.kill()
        process.communicate()
    pytest.skip("the number went to others each time")
