"""Promise 4: a prompt where nothing changed starts no process and costs microseconds."""

import re
import shutil
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon
from terminal import Open, Terminal

# Calls of what a prompt or a command runs, and a generous multiple of the promise for a busy machine.
LOOPS = {
    "bash": ("for ((i = 0; i < 5000; i++)); do _roled_prompt; done", 4 * 50),
    "zsh": ("for ((i = 0; i < 5000; i++)); do _roled_precmd; done", 4 * 50),
    "fish": ("for i in (seq 5000); _roled_before_prompt; end", 4 * 150),
}
EMPTY = {
    "bash": "for ((i = 0; i < 5000; i++)); do :; done",
    "zsh": "for ((i = 0; i < 5000; i++)); do :; done",
    "fish": "for i in (seq 5000); true; end",
}


STARTS = re.compile(r"\b(fork|vfork|clone3?|execve)\(")


def test_promise_4_an_unchanged_check_is_cheap(terminal: Terminal) -> None:
    terminal.use("marketing")
    loop, limit = LOOPS[terminal.shell]
    cost = seconds(terminal, loop) - seconds(terminal, EMPTY[terminal.shell])
    assert cost / 5000 * 1e6 < limit


@pytest.mark.skipif(not shutil.which("strace"), reason="strace counts the processes")
def test_promise_4_an_unchanged_prompt_starts_no_process(
    shell: str, open_terminal: Open, daemon: FakeDaemon, home: Path
) -> None:
    trace = home / "trace"
    terminal = open_terminal(shell)
    terminal.use("marketing")
    terminal.run(f"strace -f -qq -e trace=process -o {trace} -p {terminal.child.pid} & sleep 0.5")
    terminal.run("true")
    traced = len(trace.read_text())
    for _ in range(3):
        terminal.run("true")
    calls = [line for line in trace.read_text()[traced:].splitlines() if STARTS.search(line)]
    assert [line for line in calls if "CLONE_THREAD" not in line] == []
    daemon.renew()
    terminal.run("true")
    assert shell == "zsh" or STARTS.search(trace.read_text()[traced:]), "this trace would have shown one"


def seconds(terminal: Terminal, loop: str) -> float:
    if terminal.shell == "fish":
        return float(terminal.run(f"set t (date +%s.%N); {loop}; math (date +%s.%N) - $t").split()[-1])
    terminal.run("TIMEFORMAT=%R; TIMEFMT=%E")
    text = terminal.run(
        f"time {{ {loop}; }}"
        if terminal.shell == "bash"
        else f"s=$EPOCHREALTIME; {loop}; print $((EPOCHREALTIME - s))"
    )
    return float(text.split()[-1])
