"""The daemon and the commands: first switch, start-up, memory, wake-ups, many shells at once."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from functools import partial

from bench.lab import PROFILES, Lab, idle_processes, is_grant
from bench.sample import Sample
from roled.demo import accounts
from roled.edges import client

BARE = (sys.executable, "-I", "-S", "-c", "pass")
FIRST, SECOND = "first switch of a new daemon", "switch to a profile not held yet"
STS, COLD_STS = "STS round trip", "boto3 in a new process"


@dataclass(frozen=True)
class Crowd:
    """Many shells that ask for the same profile at the same moment; the counts are the worst."""

    last_answer: Sample
    answered: int  # with credentials
    sts_calls: int


@dataclass(frozen=True)
class Memory:
    """MiB; None for what only root may see of a process that refuses inspection."""

    rss: float
    pss: float | None
    wake_ups: float  # per minute


def start_up(
    commands: Mapping[str, Sequence[str]], environ: dict[str, str], rounds: int
) -> dict[str, Sample]:
    """How long each command runs; they take turns."""
    values: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            values[name].append(_seconds(partial(_run, command, environ)))
    return {name: Sample(taken) for name, taken in values.items()}


def first_switch(lab: Lab, rounds: int) -> dict[str, Sample]:
    """From a daemon that has just started and finds nothing stored, and to one more profile that is not held;
    next to STS alone.
    """
    first, second = [], []
    for _ in range(rounds):
        with lab.daemon():
            first.append(_seconds(partial(lab.lease, PROFILES[0])))
            second.append(_seconds(partial(lab.lease, PROFILES[1])))
    return {FIRST: Sample(first), SECOND: Sample(second)} | _sts_alone(lab, rounds)


def crowds(lab: Lab, shells: int, rounds: int) -> dict[str, Crowd]:
    """Those that come when nothing is held and STS has to be called, and those that come after them."""
    seen: dict[str, list[tuple[float, int, int]]] = {"cold": [], "warm": []}
    with idle_processes(shells) as pids:
        requests = [client._request("lease", lab.lease_fields(PROFILES[0], pid)) for pid in pids]
        for _ in range(rounds):
            with lab.daemon():
                for values in seen.values():
                    values.append(_ask_at_once(lab, requests))
    return {kind: _worst(each) for kind, each in seen.items()}


def memory(lab: Lab, shells: int, seconds: float) -> Memory:
    """Of a daemon with every profile in use, and what wakes it in `seconds` of idling."""
    with idle_processes(shells) as pids, lab.daemon() as daemon:
        for number, pid in enumerate(pids):
            lab.lease(PROFILES[number % len(PROFILES)], pid)
        time.sleep(min(5.0, seconds))  # until it has settled
        before = _switches(daemon)
        time.sleep(seconds)
        woken = _switches(daemon) - before
        return Memory(_status(daemon, "VmRSS") / 1024, _pss(daemon), woken * 60 / seconds)


def _sts_alone(lab: Lab, rounds: int) -> dict[str, Sample]:
    """One AssumeRole with a boto3 client that is warm, and with one in a new process."""
    import boto3

    keys = ConfigParser()
    keys.read(lab.home / ".aws" / "credentials")
    sts = boto3.client(
        "sts",
        endpoint_url=lab.endpoint,
        region_name=accounts.REGION,
        aws_access_key_id=keys["user1"]["aws_access_key_id"],
        aws_secret_access_key=keys["user1"]["aws_secret_access_key"],
    )
    request = {"RoleArn": accounts.MARKETING.arn, "RoleSessionName": "bench"}
    code = f"import boto3; boto3.Session(profile_name='user1').client('sts').assume_role(**{request})"

    def warm() -> None:
        sts.assume_role(**request)

    def cold() -> None:
        _run((sys.executable, "-c", code), lab.environ)

    warm()
    return {
        STS: Sample([_seconds(warm) for _ in range(rounds)]),
        COLD_STS: Sample([_seconds(cold) for _ in range(rounds)]),
    }


def _worst(seen: Sequence[tuple[float, int, int]]) -> Crowd:
    seconds, answered, calls = zip(*seen, strict=True)
    return Crowd(Sample(seconds), min(answered), max(calls))


def _ask_at_once(lab: Lab, requests: Sequence[bytes]) -> tuple[float, int, int]:
    """Seconds to the last answer, answers with credentials, calls to STS."""
    calls = lab.sts_calls()
    seconds, replies = asyncio.run(_exchange(f"{lab.runtime}/socket", requests))
    answered = sum(is_grant(reply.decode().splitlines()) for reply in replies)
    return seconds, answered, lab.sts_calls() - calls


async def _exchange(path: str, requests: Sequence[bytes]) -> tuple[float, list[bytes]]:
    """Connect all, then ask all, then read all; the time from the first question to the last answer."""
    connections = await asyncio.gather(*(asyncio.open_unix_connection(path) for _ in requests))
    try:
        began = time.perf_counter()
        for (_, writer), request in zip(connections, requests, strict=True):
            writer.write(request)
        replies = await asyncio.gather(*(reader.read() for reader, _ in connections))
        return time.perf_counter() - began, list(replies)
    finally:
        for _, writer in connections:
            writer.close()


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _run(command: Sequence[str], environ: dict[str, str]) -> None:
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)


def _status(pid: int | str, name: str, task: str = "") -> int:
    with open(f"/proc/{pid}{task}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{name}:"))


def _switches(pid: int) -> int:
    """How often the threads of a process have gone to sleep, that is, been woken."""
    tasks = os.listdir(f"/proc/{pid}/task")
    return sum(_status(pid, "voluntary_ctxt_switches", f"/task/{task}") for task in tasks)


def _pss(pid: int) -> float | None:
    with contextlib.suppress(PermissionError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024
    return None
