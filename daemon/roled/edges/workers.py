"""Starts, feeds, times out and kills the child processes that boto3 and keyring live in.

Neither can be stopped from within when it hangs, so each lives in a process of its own: started when it is
first asked, kept warm while questions come, killed with all that it started when one runs over its time.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import shlex
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from typing import Any

from roled.core.errors import WorkerFailed, from_code

IDLE = 60.0  # seconds without a question after which a child is not worth its memory
START = 15.0  # seconds to import everything, on a busy machine with a cold cache
LONGEST_LINE = 1024 * 1024  # bytes; a session token has up to 16 KiB
AT_ONCE = {"sts": 4, "keyring": 1}  # questions that a child of this kind works on at the same time

# What a child doesn't get to know: whose AWS it is, who could be asked, which keyring others prefer.
# All else stays, for what wraps the daemon (a proxy's settings or preloaded library) must wrap its children.
KEPT_BACK = re.compile(r"(AWS|BOTO|KEYRING|LISTEN)_.*|PYTHON.*|(WAYLAND_)?DISPLAY|SSH_ASKPASS|NOTIFY_SOCKET")

READY = 0  # a child's first line answers this question, which nobody asks

Message = Mapping[str, Any]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a child gets to know of the daemon's environment."""
    return {name: value for name, value in environ.items() if not KEPT_BACK.fullmatch(name)}


class Worker:
    """The child of one kind, whether or not it runs at the moment."""

    def __init__(
        self, kind: str, environ: Mapping[str, str] = os.environ, *, idle_after: float = IDLE
    ) -> None:
        self._kind = kind
        self._environment = environment(environ)
        self._idle_after = idle_after
        self._turns = asyncio.Semaphore(AT_ONCE[kind])
        self._starting = asyncio.Lock()
        self._asking = 0
        self._stop: asyncio.TimerHandle | None = None
        self._child: _Child | None = None

    async def ask(self, request: Message, seconds: float) -> dict[str, Any]:
        """What the child answers to `request`, or the RoledError that it answers with.

        `seconds` are the child's: waiting for a free turn, or for it to start, does not count. When they are
        over it is killed, and every question that it was working on ends with WorkerFailed.
        """
        self._keep()
        try:
            async with self._turns:
                child = await self._running()
                return await child.ask(request, seconds)
        finally:
            self._release()

    async def warm_up(self) -> None:
        """Start the child ahead of its first question; if that fails, the question will tell why."""
        self._keep()
        try:
            await self._running()
        except WorkerFailed:
            return
        finally:
            self._release()

    async def close(self) -> None:
        """Kill the child, if there is one, and wait for its end."""
        if self._stop:
            self._stop.cancel()
        if self._child:
            self._child.kill("was stopped")
            await self._child.ended()

    async def _running(self) -> "_Child":
        async with self._starting:  # several questions, one child
            if self._child is None or not self._child.alive:
                self._child = await _start(self._kind, self._environment, START)
            return self._child

    def _keep(self) -> None:
        self._asking += 1
        if self._stop:
            self._stop.cancel()

    def _release(self) -> None:
        self._asking -= 1
        if self._child and not self._asking:
            self._stop = asyncio.get_running_loop().call_later(self._idle_after, self._child.kill, "was idle")


async def _start(kind: str, environ: Mapping[str, str], seconds: float) -> "_Child":
    command = [sys.executable, "-I", "-m", "roled.worker", kind]
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=environ,
            cwd="/",
            limit=LONGEST_LINE,
            start_new_session=True,  # it dies with all that it started, and never from a Ctrl-C
        )
    except OSError as error:
        raise WorkerFailed(f"cannot start the {kind} worker: {error.strerror}") from error
    child = _Child(kind, process)
    try:
        await child.answer(READY, seconds)
    except BaseException as error:
        child.kill("was given up")
        await child.ended()
        if isinstance(error, WorkerFailed):
            error.hint = f"to see why, run: {shlex.join(command)} </dev/null"
        raise
    return child


class _Child:
    """A running process: questions out, answers in by their number, until either side ends it."""

    def __init__(self, kind: str, process: Process) -> None:
        self._kind = kind
        self._process = process
        self._numbers = itertools.count(READY + 1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._over: Message | None = None  # once it has ended, the answer to everything
        self._expect(READY)
        self._reading = asyncio.create_task(self._read())

    @property
    def alive(self) -> bool:
        return self._over is None

    async def ask(self, request: Message, seconds: float) -> dict[str, Any]:
        number = next(self._numbers)
        self._expect(number)
        if self._process.stdin:  # no drain: only a few short lines are ever on their way
            self._process.stdin.write(json.dumps({**request, "id": number}).encode() + b"\n")
        return await self.answer(number, seconds)

    async def answer(self, number: int, seconds: float) -> dict[str, Any]:
        """The answer to a question that was sent."""
        try:
            async with asyncio.timeout(seconds):
                reply = await self._waiting[number]
        except TimeoutError:
            self.kill(f"gave no answer within {seconds:g} s")
            raise WorkerFailed(f"the {self._kind} worker gave no answer within {seconds:g} s") from None
        finally:
            self._waiting.pop(number, None)
        if error := reply.get("error"):
            failure = from_code(error["code"], error["message"], error["hint"])
            failure.skew = error["skew"]
            raise failure
        answer: dict[str, Any] = reply["ok"]
        return answer

    def kill(self, why: str) -> None:
        """End the process and its children; what was asked and not answered fails."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: not permitted on a zombie
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._over is None:
            message = f"the {self._kind} worker {why}"
            self._over = {"error": {"code": WorkerFailed.code, "message": message, "hint": "", "skew": None}}
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_result(self._over)

    async def ended(self) -> None:
        """Return once the process is gone."""
        await self._reading
        await self._process.wait()

    def _expect(self, number: int) -> None:
        self._waiting[number] = answered = asyncio.get_running_loop().create_future()
        if self._over:
            answered.set_result(self._over)

    async def _read(self) -> None:
        answers = self._process.stdout
        try:
            while answers and (line := await answers.readline()):
                reply = json.loads(line)
                answered = self._waiting.get(reply["id"])  # None: who asked has given up
                if answered and not answered.done():
                    answered.set_result(reply)
        except (ValueError, LookupError, TypeError):
            self.kill("broke the protocol")  # a line that is too long, or not one of ours
        else:
            self.kill("died")
