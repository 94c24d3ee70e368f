"""Interactive shells on a PTY, each with one tool's hook: what a prompt costs, and what it starts.

A shell is made to do again and again what it does before each prompt (`loops.*`), and reads the clock itself.
A shell without any hook does the same, and what that takes is subtracted.

What is started is counted by the numbers that the kernel gives to processes and threads, in sequence: one
started before the prompts and one started after them are neighbours if nothing was started in between. What
others start meanwhile can only add, so the smallest of many counts is the shell's own. Unlike strace this
needs no rights and no other tool.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect

from bench.lab import Lab
from bench.sample import Sample
from bench.tools import NOTHING, Tool

FOLDER = Path(__file__).parent
RC_FILE = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}
SHELLS = tuple(RC_FILE)
LONGEST = 120.0  # seconds for any one line that is typed
PROMPTS, COUNTS = 5, 20  # what is started is counted for so many prompts, so many times

# Prompts in one measurement of something quick: few, so that other processes seldom come between. fish has no
# clock of its own, and asks `date`.
IN_A_ROW = {"bash": 25, "zsh": 25, "fish": 500}


@dataclass(frozen=True)
class Costs:
    """What one tool costs in one shell."""

    prompt: Sample
    switch: Sample
    started: float  # processes and threads, for a prompt


class Shell:
    """An interactive shell with one tool in it, in the first of the tool's two environments."""

    def __init__(self, shell: str, tool: Tool, lab: Lab) -> None:
        rc = lab.home / RC_FILE[shell]
        rc.parent.mkdir(parents=True, exist_ok=True)
        rc.write_text(f"{tool.load(shell)}\n")
        self._is_fish = shell == "fish"
        self._child: Any = pexpect.spawn(
            shell, ["-i"], env=lab.environ, cwd=str(lab.home), encoding="utf-8", timeout=LONGEST
        )
        self._child.delaybeforesend = None
        self._child.sendline(f"source {FOLDER}/loops.{shell}")
        self._child.sendline(tool.turns[0])
        self.turn("", "")
        self.seconds(1)

    def turn(self, *commands: str) -> None:
        """From now on do these two, in turn, before each prompt."""
        words = " ".join(f"'{command}'" for command in commands)
        self._child.sendline(f"set -g BENCH_TURN {words}" if self._is_fish else f"BENCH_TURN=({words})")

    def seconds(self, prompts: int) -> float:
        """How long one of so many prompts took."""
        self._child.sendline(f"bench_time {prompts}")
        began, ended = map(float, self._answer(r"bench (\d+\.\d+) (\d+\.\d+)\r"))
        return (ended - began) / prompts

    def numbers(self, prompts: int) -> int:
        """How many processes and threads were started, by anybody, during so many prompts."""
        self._child.sendline(f"bench_pids {prompts}")
        (first,) = map(int, self._answer(r"bench-first (\d+)\r"))
        (last,) = map(int, self._answer(r"bench-last (\d+)\r"))
        return last - first - 1

    def value(self, name: str) -> str:
        """An environment variable as a command that is started now sees it."""
        self._child.sendline(f"printenv {name} | sed 's/.*/bench [&]/'")
        return self._answer(r"bench \[([^&]*)\]\r")[0]

    def close(self) -> None:
        self._child.close(force=True)

    def _answer(self, pattern: str) -> Sequence[str]:
        self._child.expect(pattern)
        groups: Sequence[str] = self._child.match.groups()
        return groups


def compare(lab: Lab, shell: str, tools: Sequence[Tool], rounds: int) -> dict[str, Costs]:
    """What each tool costs in `shell`, by its name. All take turns, for the machine's speed drifts."""
    with _each(lab, shell, [NOTHING, *tools]) as shells:
        prompts = _timed(shells, {tool: IN_A_ROW[shell] if tool.is_quick else 2 for tool in tools}, rounds)
        starts = {tool: started(shells[tool]) for tool in tools}
        for tool in tools:
            shells[tool].turn(*reversed(tool.turns))
            _check_turns(shells[tool], tool)
        switches = _timed(shells, dict.fromkeys(tools, 2), rounds)
    return {tool.name: Costs(prompts[tool], switches[tool], starts[tool]) for tool in tools}


def started(session: Shell) -> float:
    """How many processes and threads a prompt starts."""
    return (_fewest(session, PROMPTS) - _fewest(session, 0)) / PROMPTS


@contextlib.contextmanager
def _each(lab: Lab, shell: str, tools: Sequence[Tool]) -> Iterator[Mapping[Tool, Shell]]:
    with contextlib.ExitStack() as stack:
        shells = {}
        for tool in tools:
            shells[tool] = Shell(shell, tool, lab)
            stack.callback(shells[tool].close)
        yield shells


def _timed(shells: Mapping[Tool, Shell], prompts: Mapping[Tool, int], rounds: int) -> dict[Tool, Sample]:
    """What a prompt takes beyond what as many take without a hook."""
    loops: dict[int, list[float]] = {count: [] for count in prompts.values()}
    values: dict[Tool, list[float]] = {tool: [] for tool in prompts}
    for _ in range(rounds):
        for count, taken in loops.items():
            taken.append(shells[NOTHING].seconds(count))
        for tool, count in prompts.items():
            values[tool].append(shells[tool].seconds(count))
    return {tool: Sample(values[tool]).without(Sample(loops[prompts[tool]]).median) for tool in prompts}


def _fewest(session: Shell, prompts: int) -> int:
    counts = [session.numbers(prompts) for _ in range(COUNTS)]
    return min(count for count in counts if count >= 0)  # a negative one: the numbers began anew


def _check_turns(session: Shell, tool: Tool) -> None:
    """That the tool does switch, for else there is nothing to measure."""
    before = session.value(tool.shows)
    session.seconds(1)
    after = session.value(tool.shows)
    assert before, f"{tool.name} has not set {tool.shows}"
    assert after, f"{tool.name} has not set {tool.shows}"
    assert before != after, f"{tool.name} does not switch"
    session.seconds(1)
