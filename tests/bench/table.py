"""Measures everything, and prints one table: `tests/bench/run`."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench import measure, shells, tools
from bench.lab import PROFILES, ROLED, Lab
from bench.sample import Sample, number
from bench.shells import Costs

COMPARED = ("direnv", "mise")
GOALS = {"bash": "50 µs", "zsh": "50 µs", "fish": "150 µs"}

NOTES = """
Median ± half of the range that holds the middle half of the values. What stands for a prompt is what the hook
adds to it, in an interactive shell with an environment in force: direnv and mise are in a folder that sets as
much as roled does, and switch to another such folder. What is started are processes and their threads.
"""


class Row(NamedTuple):
    what: str
    roled: str
    goal: str = ""
    against: str = ""
    takes: str = ""
    ratio: str = ""


HEADINGS = Row("", "roled", "goal", "against", "", "roled / that")


@dataclass(frozen=True)
class Rounds:
    """How often what is measured."""

    prompts: int = 100
    daemons: int = 7  # for each first switch a new one
    starts: int = 25
    crowd: int = 500  # shells
    idle: float = 30.0  # seconds


QUICK = Rounds(prompts=3, daemons=1, starts=3, crowd=50, idle=2.0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure little, to see that it works")
    rounds = QUICK if parser.parse_args().quick else Rounds()
    with Lab() as lab:
        sys.stdout.write(f"{drawn([HEADINGS, *rows(lab, rounds)])}\n{NOTES}")
    load = f"{os.cpu_count()} processors, load average {os.getloadavg()[1]:.1f}"
    sys.stdout.write(f"{', '.join(_versions())}; {load}.\n")


def rows(lab: Lab, rounds: Rounds) -> Iterator[Row]:
    """The table's rows, as they are measured."""
    yield from _shell_rows(lab, rounds)
    yield from _daemon_rows(lab, rounds)


def drawn(rows: Sequence[Row]) -> str:
    """In columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _shell_rows(lab: Lab, rounds: Rounds) -> Iterator[Row]:
    others = tools.installed(lab)
    present = [shell for shell in shells.SHELLS if shutil.which(shell)]
    with lab.daemon():
        for profile in PROFILES[:2]:
            lab.lease(profile)
        costs = {
            shell: shells.compare(lab, shell, [tools.roled(shell), *others], rounds.prompts)
            for shell in present
        }
    for shell, cost in costs.items():
        prompts = {name: one.prompt for name, one in cost.items()}
        yield from _against(f"unchanged prompt, {shell}", prompts, COMPARED, GOALS[shell])
    for shell, cost in costs.items():
        yield from _started(shell, cost)
    for shell, cost in costs.items():
        switches = {name: one.switch for name, one in cost.items()}
        yield from _against(f"switch to a warm profile, {shell}", switches, COMPARED)


def _daemon_rows(lab: Lab, rounds: Rounds) -> Iterator[Row]:
    switches = measure.first_switch(lab, rounds.daemons)
    for what in (measure.FIRST, measure.SECOND):
        yield from _against(what, switches | {"roled": switches[what]}, (measure.STS, measure.COLD_STS))
    commands = {"roled": (ROLED, "hook", "zsh"), "python -I -S": measure.BARE}
    commands |= {
        name: (path, word, "zsh") for name, word in tools.HOOKS.items() if (path := shutil.which(name))
    }
    yield from _against(
        "start-up of the hook, zsh",
        measure.start_up(commands, lab.environ, rounds.starts),
        ("python -I -S", *COMPARED),
    )
    crowds = measure.crowds(lab, rounds.crowd, rounds.daemons)
    cold, warm = crowds["cold"], crowds["warm"]
    samples = {"roled": cold.last_answer, "one shell": switches[measure.FIRST]}
    yield from _against(f"{rounds.crowd} shells at once, new daemon", samples, ("one shell",))
    yield Row(f"  STS calls, for {cold.answered} answers", str(cold.sts_calls), "1")
    yield Row(f"{rounds.crowd} shells at once, once more", str(warm.last_answer))
    yield Row(f"  STS calls, for {warm.answered} answers", str(warm.sts_calls), "0")
    held = measure.memory(lab, 10, rounds.idle)
    yield Row(f"memory, {len(PROFILES)} profiles, 10 shells (RSS)", f"{held.rss:.1f} MiB", "25 MiB")
    yield Row("  its own share of that (PSS)", f"{held.pss:.1f} MiB" if held.pss else "for root only")
    yield Row("wake-ups per minute when idle", f"{held.wake_ups:.0f}")


def _against(
    what: str, samples: Mapping[str, Sample], others: Sequence[str], goal: str = ""
) -> Iterator[Row]:
    """A row for each of the others, next to roled."""
    ours, roled = samples["roled"], str(samples["roled"])
    for name in others:
        theirs = samples.get(name)
        ratio = number(ours.median / theirs.median) if theirs else ""
        yield Row(what, roled, goal, name, str(theirs or "not installed"), ratio)
        what = roled = goal = ""


def _started(shell: str, costs: Mapping[str, Costs]) -> Iterator[Row]:
    what, roled, goal = f"  started for a prompt, {shell}", f"{costs['roled'].started:g}", "0"
    for name in COMPARED:
        theirs = f"{costs[name].started:g}" if name in costs else "not installed"
        yield Row(what, roled, goal, name, theirs)
        what = roled = goal = ""


def _versions() -> Iterator[str]:
    for name in ("python", *shells.SHELLS, *COMPARED):
        executable = measure.BARE[0] if name == "python" else shutil.which(name)
        if executable:
            answer = subprocess.run(
                [executable, "--version"], capture_output=True, text=True, check=False
            ).stdout
            found = re.search(r"\d[\d.]+", answer)
            yield f"{name} {found[0] if found else '?'}"


if __name__ == "__main__":
    main()
