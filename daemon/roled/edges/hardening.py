"""Makes a process that holds secrets hard to look into.

Protects from: core files, and other processes of the same user that read its memory, environment or open
files through /proc or attach a debugger to it. Does not protect from: root, swap, malware of the same user
that asks the daemon the way a shell does, or anyone between the interpreter's start and this call.
"""

import contextlib
import ctypes
import resource
import sys

PR_SET_DUMPABLE = 4  # linux/prctl.h
PT_DENY_ATTACH = 31  # sys/ptrace.h of macOS


def harden() -> None:
    """Do what this system offers, again after each exec. Never fails: it is a second line of defence."""
    # The limit alone is not enough: Linux ignores it when core_pattern is a pipe, see core(5).
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        _refuse_inspection()


def _refuse_inspection() -> None:
    libc = ctypes.CDLL(None)
    if sys.platform == "linux":
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    elif sys.platform == "darwin":
        libc.ptrace(PT_DENY_ATTACH, 0, None, 0)
