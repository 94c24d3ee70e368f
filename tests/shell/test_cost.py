"""Promise 4: a prompt where nothing changed starts no process and costs microseconds."""

import re
from pathlib import Path

from fake_daemon import FakeDaemon
from terminal import Open, Terminal

LOOPS = {
    "bash": "for ((i = 0; i < 500; i++)); do {}; done",
    "zsh": "for ((i = 0; i < 500; i++)); do {}; done",
    "fish": "for i in (seq 500); {}; end",
}
CHECKS = {"bash": "_roled_prompt", "zsh": "_roled_precmd", "fish": "_roled_before_prompt"}

STARTS = re.compile(r"\b(fork|vfork|clone3?|execve)\(")


def test_promise_4_an_unchanged_check_costs_less_than_any_process(terminal: Terminal) -> None:
    terminal.use("marketing")
    loop = LOOPS[terminal.shell]
    assert seconds(terminal, loop.format(CHECKS[terminal.shell])) < seconds(
        terminal, loop.format("/bin/true")
    )


def test_promise_4_an_unchanged_prompt_starts_no_process(
    shell: str, open_terminal: Open, daemon: FakeDaemon, home: Path
) -> None:
    trace = home / "trace"
    terminal = open_terminal(shell)
    terminal.use("marketing")
    terminal.run(f"strace -f -e trace=process -o {trace} -p {terminal.child.pid} &")
    terminal.wait_for("attached")
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
